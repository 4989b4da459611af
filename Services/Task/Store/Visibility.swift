import Chronology
import Identity
import Postgres

/// Which tasks someone may see, as a condition; the same table of rights as `Role.canRead` and `Role.canDelete`.
///
/// It comes in three forms that mean the same. `tasks` judges row by row while a list walks the index of its order: right
/// for who sees much. `gathered` first collects the ids of all that is visible: right for who sees little of a large
/// organization, and would otherwise wait for a walk past everything else. `joined` judges one task that is there already.
struct Visibility: Sendable {
    let principal: Principal

    private var organization: OrganizationID { principal.organization }

    /// The live tasks that the caller may see, in the table `alias`.
    func tasks(_ alias: String = "t") -> SQL {
        let t = SQL(unsafe: alias)
        let base: SQL = """
            \(t).organization_id = \(organization) AND \(t).deleted_at IS NULL AND \(inProjects(t))
            """
        guard principal.role == .developer else { return base }
        return """
            \(base) AND (\(t).created_by = \(principal.user) \
            OR EXISTS (SELECT FROM task_collaborator tc WHERE tc.organization_id = \(organization) \
            AND tc.user_id = \(principal.user) AND tc.task_id = \(t).id) \
            OR \(t).project_id IN (SELECT o.id FROM project o WHERE o.organization_id = \(organization) \
            AND o.task_visibility = 'project'))
            """
    }

    /// `IS TRUE` keeps the planner from making a join of it: the projects are hashed once, and the tasks are walked in
    /// the order asked for.
    private func inProjects(_ t: SQL) -> SQL { "(\(t).project_id IN (\(visibleProjects))) IS TRUE" }

    /// The same as `tasks`, with the ids gathered first.
    func gathered(_ alias: String = "t") -> SQL {
        guard principal.role != .admin else { return tasks(alias) }
        let own: SQL = """
            SELECT g.id FROM task g WHERE g.organization_id = \(organization) AND g.created_by = \(principal.user) \
            UNION ALL SELECT tc.task_id FROM task_collaborator tc WHERE tc.organization_id = \(organization) \
            AND tc.user_id = \(principal.user) UNION ALL
            """
        return """
            \(tasks(alias)) AND \(unsafe: alias).id = ANY(ARRAY(\(principal.role == .developer ? own : "") \
            SELECT g.id FROM unnest(\(wholeProjects)) w(id) JOIN task g ON g.organization_id = \(organization) \
            AND g.project_id = w.id AND g.deleted_at IS NULL))
            """
    }

    /// The projects of which the caller sees all tasks, as an array of ids.
    var wholeProjects: SQL {
        guard principal.role == .developer else { return projects }
        return """
            ARRAY(SELECT o.id FROM project o WHERE o.organization_id = \(organization) \
            AND o.task_visibility = 'project' AND o.id = ANY(\(projects)))
            """
    }

    /// The same as `tasks`, judged of a task `t` and its project `p` that are there already: right for a single task,
    /// where collecting the visible projects would cost more than the task.
    func joined() -> SQL {
        let live: SQL = "t.deleted_at IS NULL AND p.deleted_at IS NULL"
        guard principal.role != .admin else { return live }
        let collaborating: SQL = """
            \(live) AND EXISTS (SELECT FROM project_collaborator pc WHERE pc.organization_id = \(organization) \
            AND pc.project_id = p.id AND pc.user_id = \(principal.user))
            """
        guard principal.role == .developer else { return collaborating }
        return """
            \(collaborating) AND (t.created_by = \(principal.user) OR p.task_visibility = 'project' \
            OR EXISTS (SELECT FROM task_collaborator tc WHERE tc.organization_id = \(organization) \
            AND tc.user_id = \(principal.user) AND tc.task_id = t.id))
            """
    }

    /// How many tasks the projects have had of which the caller sees all: the numbers given out so far.
    var reach: SQL {
        """
        SELECT COALESCE(sum(n.value), 0)::bigint AS reach FROM counter n WHERE n.organization_id = \(organization) \
        AND n.kind = ANY(ARRAY(SELECT 'task-number:' || w.id FROM unnest(\(wholeProjects)) w(id)))
        """
    }

    /// The tasks in the trash that the caller may restore: those that went there after that moment.
    func trash(_ alias: String = "t", since moment: Timestamp) -> SQL {
        let t = SQL(unsafe: alias)
        let base: SQL = """
            \(t).organization_id = \(organization) AND \(t).deleted_at > \(moment)::timestamptz \
            AND \(inProjects(t))
            """
        return principal.role == .developer ? "\(base) AND \(t).created_by = \(principal.user)" : base
    }

    /// The live projects that the caller may see, as an array of ids.
    var projects: SQL { "ARRAY(\(visibleProjects))" }

    private var visibleProjects: SQL {
        let live: SQL = """
            SELECT v.id FROM project v WHERE v.organization_id = \(organization) AND v.deleted_at IS NULL
            """
        guard principal.role != .admin else { return live }
        return """
            \(live) AND EXISTS (SELECT FROM project_collaborator pc WHERE pc.organization_id = \(organization) \
            AND pc.project_id = v.id AND pc.user_id = \(principal.user))
            """
    }
}

extension TaskReference {
    /// The id of the task so named, as an SQL value: NULL if there is none.
    func sql(in organization: OrganizationID) -> SQL {
        switch self {
        case .id(let id): "\(id)::bigint"
        case .key(let project, let number):
            """
            (SELECT kt.id FROM project kp JOIN task kt ON kt.organization_id = kp.organization_id \
            AND kt.project_id = kp.id WHERE kp.organization_id = \(organization) AND kp.key = \(project) \
            AND kt.number = \(number)::bigint)
            """
        }
    }
}
