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

    /// The columns of a task that is shown, of the same tables: its own, its collaborators as one text and what the
    /// version shown adds to the version kept.
    static func shown(_ organization: OrganizationID) -> SQL {
        """
        \(columns), (SELECT string_agg(c.user_id || ' ' || c.added_by || ' ' || c.added_at, ',') \
        FROM task_collaborator c WHERE c.organization_id = \(organization) AND c.task_id = t.id) AS collaborators, \
        \(peopleEpoch(organization))
        """
    }

    /// NULL while the organization is not known here.
    static func peopleEpoch(_ organization: OrganizationID) -> SQL {
        """
        (SELECT o.people_epoch FROM organization o WHERE o.organization_id = \(organization)) AS people_epoch
        """
    }

    /// Reads ``shown(_:)``; collaborators in the order in which they came.
    static func shownTask(_ row: Row) throws -> ShownTask {
        ShownTask(
            item: try item(row),
            collaborators: try row.withUTF8("collaborators") { text in
                try text.split(separator: UInt8(ascii: ",")).map(collaborator)
                    .sorted { ($0.addedAt, $0.user.uuid) < ($1.addedAt, $1.user.uuid) }
            }
        )
    }

    private static func collaborator(_ text: Slice<UnsafeBufferPointer<UInt8>>) throws -> TaskCollaborator {
        // Two ids of 36 characters, each with a space behind it, and the moment.
        let text = UnsafeBufferPointer(rebasing: text)
        guard
            text.count > 74, let user = UserID(sqlBytes: UnsafeBufferPointer(rebasing: text[..<36])),
            let addedBy = UserID(sqlBytes: UnsafeBufferPointer(rebasing: text[37..<73])),
            let addedAt = Timestamp(sqlBytes: UnsafeBufferPointer(rebasing: text[74...]))
        else { throw PostgresError(.decoding, message: "column collaborators is of another form") }
        return TaskCollaborator(user: user, addedAt: addedAt, addedBy: addedBy)
    }

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

    /// Counts one task more in the organization and in the project, which gives it its id and its number in the key;
    /// the counters stay locked until the transaction ends. Counts nothing if the project is NULL.
    static func count(project: SQL, in organization: OrganizationID) -> SQL {
        """
        INSERT INTO counter (organization_id, kind, value) SELECT \(organization)::uuid, k.kind, 1 \
        FROM (VALUES ('task', 1), ('task-number:' || \(project), 2)) k(kind, place) WHERE \(project) IS NOT NULL \
        ORDER BY k.place ON CONFLICT (organization_id, kind) DO UPDATE SET value = counter.value + 1 RETURNING value
        """
    }

    /// Inserts a task that has its numbers.
    static func insert(
        _ item: TaskItem,
        number: Int64,
        _ calendar: OrganizationCalendar,
        in organization: OrganizationID
    ) -> SQL {
        """
        INSERT INTO task (organization_id, id, project_id, number, parent_id, title, description, priority, status, \
        start_day, start_at, due_day, due_at, start_moment, due_moment, completed_at, \
        created_by, updated_by, created_at, updated_at) VALUES (\(organization), \(item.id), \(item.project), \(number), \
        \(item.parent)::bigint, \(item.title), \(item.description), \(item.priority)::task_priority, \
        \(item.status)::task_status, \(item.start?.day)::date, \(item.start?.moment)::timestamptz, \
        \(item.due?.day)::date, \(item.due?.moment)::timestamptz, \
        \(item.start.map(calendar.startMoment))::timestamptz, \(item.due.map(calendar.dueMoment))::timestamptz, \
        \(item.completedAt)::timestamptz, \(item.createdBy), \(item.updatedBy), \(item.createdAt), \(item.updatedAt))
        """
    }

    /// Inserts the collaborators that a task has from its beginning.
    static func insert(
        _ collaborators: [TaskCollaborator],
        of task: TaskID,
        in organization: OrganizationID
    ) -> SQL {
        """
        INSERT INTO task_collaborator (organization_id, task_id, user_id, added_at, added_by) \
        SELECT \(organization)::uuid, \(task)::bigint, u.user_id, u.added_at, u.added_by \
        FROM unnest(\(collaborators.map(\.user))::uuid[], \(collaborators.map(\.addedAt))::timestamptz[], \
        \(collaborators.map(\.addedBy))::uuid[]) u(user_id, added_at, added_by)
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
