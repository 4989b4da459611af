import Chronology
import Foundation
import Identity
import Lists
import Messaging
import Postgres

/// Notices and what people want to be told.
extension NotificationStore {
    func notices(of user: UserID, in organization: OrganizationID, _ request: ListRequest) async throws -> Page<Notice>
    {
        try await request.run(
            in: organization,
            on: database,
            select: "n.id, n.kind, n.title, n.body, n.project_id, n.task_id, n.created_at, n.read_at",
            from: "notice n",
            visible: "n.organization_id = \(organization) AND n.user_id = \(user)",
            decode: Notice.init
        )
    }

    /// Marks a notice of a user as read, keeping the moment it was first read; nil if they have no such notice.
    func read(_ notice: NoticeID, of user: UserID, _ transaction: Transaction) async throws -> Notice? {
        let rows = try await transaction.query(
            """
            UPDATE notice SET read_at = COALESCE(read_at, \(transaction.now))
            WHERE organization_id = \(try transaction.tenant) AND id = \(notice) AND user_id = \(user)
            RETURNING id, kind, title, body, project_id, task_id, created_at, read_at
            """
        )
        return try rows.first.map(Notice.init)
    }

    /// Marks all of a user's notices as read; how many were not.
    func readAll(of user: UserID, _ transaction: Transaction) async throws -> Int {
        try await transaction.query(
            """
            UPDATE notice SET read_at = \(transaction.now)
            WHERE organization_id = \(try transaction.tenant) AND user_id = \(user) AND read_at IS NULL
            """
        ).affected
    }

    /// Adds notices of one event, numbered in the same statement; those of people who have one of it already are not.
    func add(
        _ notices: [(user: UserID, text: NoticeText)],
        kind: NoticeKind,
        project: ProjectID?,
        task: TaskID?,
        event: EventID,
        _ transaction: Transaction
    ) throws {
        guard !notices.isEmpty else { return }
        let organization = try transaction.tenant
        transaction.send(
            """
            WITH n AS (
                INSERT INTO counter (organization_id, kind, value)
                VALUES (\(organization), 'notice', \(notices.count))
                ON CONFLICT (organization_id, kind) DO UPDATE SET value = counter.value + excluded.value
                RETURNING value
            )
            INSERT INTO notice (organization_id, id, user_id, event_id, kind, title, body, project_id, task_id, created_at)
            SELECT \(organization)::uuid, n.value - \(notices.count)::bigint + t.place, t.user_id, \(event)::uuid,
                \(kind.rawValue)::text, t.title, t.body, \(project)::bigint, \(task)::bigint,
                \(transaction.now)::timestamptz
            FROM n, unnest(\(notices.map(\.user))::uuid[], \(notices.map(\.text.title))::text[],
                \(notices.map(\.text.body))::text[]) WITH ORDINALITY AS t (user_id, title, body, place)
            ON CONFLICT ON CONSTRAINT notice_event_key DO NOTHING
            """
        )
    }

    func preferences(of user: UserID, in organization: OrganizationID) async throws -> StoredPreferences {
        let rows = try await database.read(
            in: organization,
            """
            SELECT version, muted_in_app, muted_mail, reminder_hour, time_zone FROM preference
            WHERE organization_id = \(organization) AND user_id = \(user)
            """
        )
        return try rows.first.map(StoredPreferences.init) ?? StoredPreferences(preferences: .standard, version: 0)
    }

    /// The preferences with their row made and locked until the transaction ends.
    func lockPreferences(of user: UserID, _ transaction: Transaction) async throws -> StoredPreferences {
        let organization = try transaction.tenant
        let answers = try await transaction.query([
            """
            INSERT INTO preference (organization_id, user_id) VALUES (\(organization), \(user)) ON CONFLICT DO NOTHING
            """,
            """
            SELECT version, muted_in_app, muted_mail, reminder_hour, time_zone FROM preference
            WHERE organization_id = \(organization) AND user_id = \(user) FOR UPDATE
            """,
        ])
        return try answers[1].first.map(StoredPreferences.init)
            ?? StoredPreferences(preferences: .standard, version: 0)
    }

    func save(_ stored: StoredPreferences, of user: UserID, _ transaction: Transaction) throws {
        let preferences = stored.preferences
        transaction.send(
            """
            UPDATE preference SET version = \(stored.version),
                muted_in_app = \(preferences.mutedInApp.map(\.rawValue).sorted())::text[],
                muted_mail = \(preferences.mutedMail.map(\.rawValue).sorted())::text[],
                reminder_hour = \(preferences.reminderHour)::smallint, time_zone = \(preferences.timeZone)
            WHERE organization_id = \(try transaction.tenant) AND user_id = \(user)
            """
        )
    }

    /// Whether a user of the organization of the transaction is known.
    func isMember(_ user: UserID, _ transaction: Transaction) async throws -> Bool {
        let rows = try await transaction.query(
            "SELECT 1 FROM member WHERE organization_id = \(try transaction.tenant) AND user_id = \(user)"
        )
        return !rows.isEmpty
    }

    /// What is known of people who may be told something.
    func readers(_ users: [UserID], _ transaction: Transaction) async throws -> [Reader] {
        let organization = try transaction.tenant
        let rows = try await transaction.query(
            """
            SELECT r.user_id, m.is_active, p.muted_in_app, p.muted_mail, p.reminder_hour, p.time_zone,
                o.time_zone AS organization_zone
            FROM unnest(\(users)::uuid[]) WITH ORDINALITY AS r (user_id, place)
            LEFT JOIN member m ON m.organization_id = \(organization) AND m.user_id = r.user_id
            LEFT JOIN preference p ON p.organization_id = \(organization) AND p.user_id = r.user_id
            LEFT JOIN organization o ON o.organization_id = \(organization)
            ORDER BY r.place
            """
        )
        return try rows.map { row in
            let preferences = try Preferences(row)
            let zone = try preferences.timeZone ?? row.get("organization_zone", as: String?.self)
            return Reader(
                user: try row.get("user_id"),
                isActive: try row.get("is_active") ?? true,
                preferences: preferences,
                zone: zone.flatMap(Preferences.zone(named:)) ?? .gmt
            )
        }
    }

    /// A person's name; nil while the event that tells it is still on its way.
    func name(of user: UserID, _ transaction: Transaction) async throws -> String? {
        let rows = try await transaction.query(
            """
            SELECT first_name || ' ' || last_name AS name FROM member
            WHERE organization_id = \(try transaction.tenant) AND user_id = \(user)
            """
        )
        return try rows.first?.get("name", as: String.self)
    }
}

extension Notice {
    fileprivate init(_ row: Row) throws {
        id = try row.get("id")
        guard let kind = NoticeKind(rawValue: try row.get("kind", as: String.self)) else {
            throw PostgresError(.decoding, message: "the notice is of a kind this program does not know")
        }
        self.kind = kind
        title = try row.get("title")
        body = try row.get("body")
        project = try row.get("project_id")
        task = try row.get("task_id")
        createdAt = try row.get("created_at")
        readAt = try row.get("read_at")
    }
}

extension StoredPreferences {
    fileprivate init(_ row: Row) throws {
        preferences = try Preferences(row)
        version = try row.get("version")
    }
}

extension Preferences {
    /// Of the columns of `preference`, all NULL for someone without a row.
    init(_ row: Row) throws {
        func kinds(_ column: String) throws -> Set<NoticeKind> {
            Set(try row.get(column, as: [String]?.self)?.compactMap(NoticeKind.init(rawValue:)) ?? [])
        }
        self.init(
            mutedInApp: try kinds("muted_in_app"),
            mutedMail: try kinds("muted_mail"),
            reminderHour: try row.get("reminder_hour", as: Int?.self),
            timeZone: try row.get("time_zone", as: String?.self)
        )
    }
}
