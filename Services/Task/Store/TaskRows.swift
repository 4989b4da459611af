import Chronology
import Identity
import Postgres

/// Reads and writes whole rows of `task`.
enum TaskRows {
    /// The columns of a task, of the tables `t` (task) and `p` (its project).
    static let columns: SQL = """
        t.id, p.key || '-' || t.number AS key, t.project_id, t.parent_id, t.title, t.description, t.priority, t.status, \
        t.start_day, t.start_at, t.due_day, t.due_at, t.completed_at, t.status_before_overdue, t.overdue_marked, \
        t.created_by, t.updated_by, t.created_at, t.updated_at, t.version, t.revision, \
        t.deleted_at, t.deleted_by, t.deleted_with
        """

    /// What decides the caller's rights, of the same tables.
    static func standing(_ organization: OrganizationID, _ user: UserID) -> SQL {
        """
        EXISTS (SELECT FROM project_collaborator pc WHERE pc.organization_id = \(organization) \
        AND pc.project_id = t.project_id AND pc.user_id = \(user)) AS on_project, \
        EXISTS (SELECT FROM task_collaborator tc WHERE tc.organization_id = \(organization) \
        AND tc.task_id = t.id AND tc.user_id = \(user)) AS on_task, \
        p.task_visibility = 'project' AS shows_all, p.deleted_at IS NULL AS project_live
        """
    }

    static func item(_ row: Row) throws -> TaskItem {
        TaskItem(
            id: try row.get("id"),
            key: try row.get("key"),
            project: try row.get("project_id"),
            parent: try row.get("parent_id"),
            title: try row.get("title"),
            description: try row.get("description"),
            priority: try row.get("priority"),
            status: try row.get("status"),
            start: try date(row, "start_day", "start_at"),
            due: try date(row, "due_day", "due_at"),
            completedAt: try row.get("completed_at"),
            statusBeforeOverdue: try row.get("status_before_overdue"),
            isOverdueMarked: try row.get("overdue_marked"),
            createdBy: try row.get("created_by"),
            updatedBy: try row.get("updated_by"),
            createdAt: try row.get("created_at"),
            updatedAt: try row.get("updated_at"),
            version: try row.get("version"),
            revision: try row.get("revision"),
            deletedAt: try row.get("deleted_at"),
            deletedBy: try row.get("deleted_by"),
            deletedWith: try row.get("deleted_with")
        )
    }

    static func standing(_ row: Row, of item: TaskItem, for user: UserID) throws -> TaskStanding {
        TaskStanding(
            isProjectCollaborator: try row.get("on_project"),
            isCreator: item.createdBy == user,
            isTaskCollaborator: try row.get("on_task"),
            projectShowsAll: try row.get("shows_all")
        )
    }

    private static func date(_ row: Row, _ day: String, _ moment: String) throws -> TaskDate? {
        if let day: CivilDate = try row.get(day, as: CivilDate?.self) { return .day(day) }
        return try row.get(moment, as: Timestamp?.self).map { .moment($0) }
    }

    /// Saves a row that is locked; what never changes is left out.
    static func save(_ item: TaskItem, _ calendar: OrganizationCalendar, in organization: OrganizationID) -> SQL {
        """
        UPDATE task SET parent_id = \(item.parent), title = \(item.title), description = \(item.description), \
        priority = \(item.priority)::task_priority, status = \(item.status)::task_status, \
        start_day = \(item.start?.day)::date, start_at = \(item.start?.moment)::timestamptz, \
        due_day = \(item.due?.day)::date, due_at = \(item.due?.moment)::timestamptz, \
        start_moment = \(item.start.map(calendar.startMoment))::timestamptz, \
        due_moment = \(item.due.map(calendar.dueMoment))::timestamptz, \
        completed_at = \(item.completedAt)::timestamptz, \
        status_before_overdue = \(item.statusBeforeOverdue)::task_status, overdue_marked = \(item.isOverdueMarked), \
        updated_by = \(item.updatedBy), updated_at = \(item.updatedAt), \
        version = \(item.version), revision = \(item.revision), deleted_at = \(item.deletedAt)::timestamptz, \
        deleted_by = \(item.deletedBy)::uuid, deleted_with = \(item.deletedWith)::bigint \
        WHERE organization_id = \(organization) AND id = \(item.id)
        """
    }

    /// Inserts a task and its collaborators under the next numbers of the organization and the project; the counters
    /// stay locked until the transaction ends.
    static func insert(
        _ new: NewTask,
        by user: UserID,
        _ calendar: OrganizationCalendar,
        in organization: OrganizationID
    ) -> SQL {
        let now = calendar.now
        let completed: Timestamp? = new.status == .completed ? now : nil
        return """
            WITH n AS (INSERT INTO counter (organization_id, kind, value) VALUES (\(organization), 'task', 1) \
            ON CONFLICT (organization_id, kind) DO UPDATE SET value = counter.value + 1 RETURNING value), \
            k AS (INSERT INTO counter (organization_id, kind, value) \
            VALUES (\(organization), \("task-number:\(new.project.id)"), 1) \
            ON CONFLICT (organization_id, kind) DO UPDATE SET value = counter.value + 1 RETURNING value), \
            t AS (INSERT INTO task (organization_id, id, project_id, number, parent_id, title, description, priority, \
            status, start_day, start_at, due_day, due_at, start_moment, due_moment, completed_at, \
            created_by, updated_by, created_at, updated_at) \
            SELECT \(organization)::uuid, n.value, \(new.project.id)::bigint, k.value, \(new.parent)::bigint, \
            \(new.title)::text, \(new.description)::text, \(new.priority)::task_priority, \
            \(new.status)::task_status, \(new.start?.day)::date, \(new.start?.moment)::timestamptz, \
            \(new.due?.day)::date, \(new.due?.moment)::timestamptz, \
            \(new.start.map(calendar.startMoment))::timestamptz, \(new.due.map(calendar.dueMoment))::timestamptz, \
            \(completed)::timestamptz, \(user)::uuid, \(user)::uuid, \(now)::timestamptz, \(now)::timestamptz \
            FROM n, k RETURNING id), \
            c AS (INSERT INTO task_collaborator (organization_id, task_id, user_id, added_at, added_by) \
            SELECT \(organization)::uuid, t.id, u.id, \(now)::timestamptz, \(user)::uuid \
            FROM t, unnest(\(new.collaborators)::uuid[]) u(id)) \
            SELECT n.value AS id, k.value AS number FROM n, k
            """
    }
}

extension TaskDate {
    fileprivate var day: CivilDate? {
        guard case .day(let day) = self else { return nil }
        return day
    }

    fileprivate var moment: Timestamp? {
        guard case .moment(let moment) = self else { return nil }
        return moment
    }
}

extension TaskStatus: SQLEncodable, SQLDecodable {
    var sqlParameter: SQLParameter { SQLParameter(text: rawValue) }
    init?(sqlText: String) { self.init(rawValue: sqlText) }
}

extension TaskPriority: SQLEncodable, SQLDecodable {
    var sqlParameter: SQLParameter { SQLParameter(text: rawValue) }
    init?(sqlText: String) { self.init(rawValue: sqlText) }
}
