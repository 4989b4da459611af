import Postgres

/// What a service keeps of another's data: a table, and the statement that says what it has to hold, made of the tables
/// of those whose events fill it.
///
/// `taskflow verify` compares the two, `taskflow rebuild` writes the table from the statement. Memberships and
/// organizations in Auth are no read models: sign-ups write them too, and accounts belong to them.
struct ReadModel: Sendable {
    struct Column: Sendable {
        let name: String
        /// In the terms of ``source``, and of the type that the table has.
        let truth: SQL
        /// False for what says when or by which event a row came about.
        let isCompared: Bool
    }

    /// For people: `users in task`.
    let name: String
    let service: ServiceName
    let table: String
    /// Beside `organization_id`.
    let key: [String]
    let columns: [Column]
    /// What follows FROM; the rows' organization is `s.organization_id`.
    let source: SQL

    /// The table with its schema.
    var place: SQL { "\(unsafe: service.rawValue).\(unsafe: table)" }

    /// Every column by name, the organization first.
    var names: SQL { "\(unsafe: (["organization_id"] + columns.map(\.name)).joined(separator: ", "))" }

    /// The rows that the table has to hold.
    var truth: SQL {
        columns.reduce("SELECT s.organization_id" as SQL) { "\($0), \($1.truth) AS \(unsafe: $1.name)" }
            + " FROM \(source)"
    }

    /// That two rows are of the same thing.
    func isSame(_ one: String, _ other: String) -> SQL {
        let parts = (["organization_id"] + key).map { "\(one).\($0) = \(other).\($0)" }
        return "\(unsafe: parts.joined(separator: " AND "))"
    }

    /// What is compared of a row, as one value.
    func value(of row: String) -> SQL {
        let parts = columns.filter(\.isCompared).map { "\(row).\($0.name)" }
        return "ROW(\(unsafe: parts.joined(separator: ", ")))"
    }

    /// Whether the table holds what it has to.
    var check: Check {
        let parts = (["organization_id"] + key).map { "x.\($0)" }
        let key: SQL = "\(unsafe: parts.joined(separator: " || '/' || "))::text"
        return .replica(
            name,
            of: "SELECT \(key) AS key, \(value(of: "x"))::text AS value FROM (\(truth)) x",
            is: "SELECT \(key) AS key, \(value(of: "x"))::text AS value FROM \(place) x"
        )
    }

    // MARK: All there are

    static let all = organizations + users + projects + tasks

    /// Whose events fill a service's read models.
    static func producers(of service: ServiceName) -> [ServiceName] {
        switch service {
        case .project: [.auth, .organization]
        case .task: [.auth, .organization, .project]
        case .notification: [.auth, .organization, .project, .task]
        case .auth, .organization, .gateway: []
        }
    }

    private static func compared(_ name: String, _ truth: SQL) -> Column {
        Column(name: name, truth: truth, isCompared: true)
    }

    private static func kept(_ name: String, _ truth: SQL) -> Column {
        Column(name: name, truth: truth, isCompared: false)
    }

    private static let organizations: [ReadModel] = {
        let settings = [
            kept("revision", "s.version"), compared("name", "s.name"), compared("time_zone", "s.time_zone"),
        ]
        return [
            ReadModel(
                name: "organizations in project",
                service: .project,
                table: "organization",
                key: [],
                columns: [kept("founded_at", "s.created_at")],
                source: "organization.organization s"
            ),
            ReadModel(
                name: "organizations in task",
                service: .task,
                table: "organization",
                key: [],
                columns: settings + [
                    compared("reminder_hour", "s.reminder_hour::integer"),
                    kept(
                        "sql_zone",
                        "COALESCE((SELECT z.name FROM pg_timezone_names z WHERE z.name = s.time_zone), 'UTC')"
                    ),
                    kept("created_at", "s.created_at"), kept("updated_at", "s.updated_at"),
                    // Above any number that was ever counted to: versions of tasks never go back.
                    kept("people_epoch", "extract(epoch FROM clock_timestamp())::bigint"),
                ],
                source: "organization.organization s"
            ),
            ReadModel(
                name: "organizations in notification",
                service: .notification,
                table: "organization",
                key: [],
                columns: settings + [compared("reminder_hour", "s.reminder_hour")],
                source: "organization.organization s"
            ),
        ]
    }()

    private static let users: [ReadModel] = {
        let person = [
            kept("revision", "s.version"), compared("email", "s.email"), compared("first_name", "s.first_name"),
            compared("last_name", "s.last_name"), compared("is_active", "s.is_active"),
        ]
        return [
            ReadModel(
                name: "users in project",
                service: .project,
                table: "member",
                key: ["user_id"],
                columns: [compared("user_id", "s.id")] + person + [compared("profile_img", "s.picture_url")],
                source: "organization.app_user s"
            ),
            ReadModel(
                name: "users in task",
                service: .task,
                table: "member",
                key: ["user_id"],
                columns: [compared("user_id", "s.id")] + person + [
                    compared("profile_img", "s.picture_url"), compared("role", "s.role::text"),
                    compared("department_id", "s.department_id"), compared("department_name", "d.name"),
                    kept("created_at", "s.created_at"), kept("updated_at", "s.updated_at"),
                ],
                source: """
                    organization.app_user s LEFT JOIN organization.department d
                        ON d.organization_id = s.organization_id AND d.id = s.department_id
                    """
            ),
            ReadModel(
                name: "users in notification",
                service: .notification,
                table: "member",
                key: ["user_id"],
                columns: [compared("user_id", "s.id")] + person,
                source: "organization.app_user s"
            ),
        ]
    }()

    /// What stays of a purged project is a row without a name, of which nobody else knows.
    private static let livingProjects: SQL = "project.project s WHERE s.name <> ''"

    private static let projects = [
        ReadModel(
            name: "projects in task",
            service: .task,
            table: "project",
            key: ["id"],
            columns: [
                compared("id", "s.id"), kept("revision", "s.revision"), compared("key", "s.key"),
                compared("name", "s.name"), compared("status", "s.status::text"),
                compared("task_visibility", "s.task_visibility"), compared("created_by", "s.created_by"),
                compared("deleted_at", "s.deleted_at"),
            ],
            source: livingProjects
        ),
        ReadModel(
            name: "projects in notification",
            service: .notification,
            table: "project",
            key: ["id"],
            columns: [
                compared("id", "s.id"), kept("revision", "s.revision"), compared("name", "s.name"),
                compared("is_deleted", "s.deleted_at IS NOT NULL"),
            ],
            source: livingProjects
        ),
        ReadModel(
            name: "collaborators of projects in task",
            service: .task,
            table: "project_collaborator",
            key: ["project_id", "user_id"],
            columns: [compared("project_id", "s.project_id"), compared("user_id", "s.user_id")],
            source: "project.project_collaborator s"
        ),
    ]

    private static let tasks = [
        ReadModel(
            name: "tasks in notification",
            service: .notification,
            table: "task",
            key: ["id"],
            columns: [
                compared("id", "s.id"), kept("revision", "s.revision"), compared("project_id", "s.project_id"),
                compared("key", "p.key || '-' || s.number"), compared("title", "s.title"),
                compared("priority", "s.priority::text"), compared("status", "s.status::text"),
                compared("due_day", "s.due_day"), compared("due_at", "s.due_at"),
                compared("created_by", "s.created_by"), compared("is_deleted", "s.deleted_at IS NOT NULL"),
            ],
            source: """
                task.task s JOIN project.project p ON p.organization_id = s.organization_id AND p.id = s.project_id
                    AND p.name <> ''
                """
        ),
        ReadModel(
            name: "collaborators of tasks in notification",
            service: .notification,
            table: "task_collaborator",
            key: ["task_id", "user_id"],
            columns: [compared("task_id", "s.task_id"), compared("user_id", "s.user_id")],
            source: """
                task.task_collaborator s
                    JOIN task.task t ON t.organization_id = s.organization_id AND t.id = s.task_id
                    JOIN project.project p ON p.organization_id = t.organization_id AND p.id = t.project_id
                        AND p.name <> ''
                """
        ),
    ]
}
