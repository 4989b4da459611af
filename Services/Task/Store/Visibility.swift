import Identity
import Postgres

/// Which tasks someone may see, as a condition; the same table of rights as `Role.canRead` and `Role.canDelete`.
///
/// The projects and tasks one collaborates on are gathered once per statement into arrays, so that a list can walk the
/// index of its order and compare each row with them.
struct Visibility: Sendable {
    let principal: Principal

    private var organization: OrganizationID { principal.organization }

    /// The live tasks that the caller may see, in the table `alias`.
    func tasks(_ alias: String = "t") -> SQL {
        let t = SQL(unsafe: alias)
        let base: SQL = """
            \(t).organization_id = \(organization) AND \(t).deleted_at IS NULL AND \(t).project_id = ANY(\(projects))
            """
        guard principal.role == .developer else { return base }
        return """
            \(base) AND (\(t).created_by = \(principal.user) \
            OR \(t).id = ANY(ARRAY(SELECT tc.task_id FROM task_collaborator tc \
            WHERE tc.organization_id = \(organization) AND tc.user_id = \(principal.user))) \
            OR \(t).project_id = ANY(ARRAY(SELECT v.id FROM project v WHERE v.organization_id = \(organization) \
            AND v.task_visibility = 'project')))
            """
    }

    /// The tasks in the trash that the caller may restore.
    func trash(_ alias: String = "t") -> SQL {
        let t = SQL(unsafe: alias)
        let base: SQL = """
            \(t).organization_id = \(organization) AND \(t).deleted_at IS NOT NULL \
            AND \(t).project_id = ANY(\(projects))
            """
        return principal.role == .developer ? "\(base) AND \(t).created_by = \(principal.user)" : base
    }

    /// The live projects that the caller may see, as an array of ids.
    var projects: SQL {
        let live: SQL = """
            SELECT v.id FROM project v WHERE v.organization_id = \(organization) AND v.deleted_at IS NULL
            """
        guard principal.role != .admin else { return "ARRAY(\(live))" }
        return """
            ARRAY(\(live) AND EXISTS (SELECT FROM project_collaborator pc WHERE pc.organization_id = \(organization) \
            AND pc.project_id = v.id AND pc.user_id = \(principal.user)))
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
