import Chronology
import Foundation
import Identity
import Messaging
import Postgres

/// Whose daily reminder is due.
extension NotificationStore {
    /// Organizations to look at now, longest due first.
    func organizationsDue(at now: Timestamp, limit: Int) async throws -> [OrganizationID] {
        try await database.pool.query(
            """
            SELECT organization_id FROM known_organization
            WHERE deleted_at IS NULL AND reminder_due_at <= \(now)
            ORDER BY reminder_due_at LIMIT \(limit)
            """
        ).map { try $0.get("organization_id") }
    }

    /// People or settings changed: the organization is to be looked at with the next tick.
    func lookAgain(_ transaction: Transaction) throws {
        transaction.send(
            """
            INSERT INTO known_organization (organization_id) VALUES (\(try transaction.tenant))
            ON CONFLICT (organization_id) DO UPDATE SET reminder_due_at = '-infinity'
            WHERE known_organization.deleted_at IS NULL AND known_organization.reminder_due_at > '-infinity'
            """
        )
    }

    /// Takes the organization's turn: no other process judges it until the transaction ends. Nil if another one does,
    /// or has just done so.
    func takeTurn(at now: Timestamp, _ transaction: Transaction) async throws -> ReminderTurn? {
        let organization = try transaction.tenant
        let claimed = try await transaction.query(
            """
            SELECT 1 FROM known_organization
            WHERE organization_id = \(organization) AND deleted_at IS NULL AND reminder_due_at <= \(now)
            FOR NO KEY UPDATE SKIP LOCKED
            """
        )
        guard !claimed.isEmpty else { return nil }
        // The farthest local days are half a day from the date in UTC; the day before that is over everywhere.
        let oldest = now.civilDate(in: .gmt).adding(days: -2)
        let answers = try await transaction.query([
            "SELECT time_zone, reminder_hour FROM organization WHERE organization_id = \(organization)",
            """
            SELECT m.user_id, p.muted_in_app, p.muted_mail, p.reminder_hour, p.time_zone FROM member m
            LEFT JOIN preference p ON p.organization_id = m.organization_id AND p.user_id = m.user_id
            WHERE m.organization_id = \(organization) AND m.is_active ORDER BY m.user_id
            """,
            """
            SELECT user_id, local_day FROM reminder_day
            WHERE organization_id = \(organization) AND local_day >= \(oldest)
            """,
            "DELETE FROM reminder_day WHERE organization_id = \(organization) AND local_day < \(oldest)",
        ])
        let settings = answers[0].first
        let zone = try settings.map { Preferences.zone(named: try $0.get("time_zone")) ?? .gmt } ?? .gmt
        let hour = try settings?.get("reminder_hour", as: Int.self) ?? 9
        let candidates = try answers[1].map { row in
            let preferences = try Preferences(row)
            return ReminderCandidate(
                user: try row.get("user_id"),
                schedule: ReminderSchedule(
                    hour: preferences.reminderHour ?? hour,
                    zone: preferences.timeZone.flatMap(Preferences.zone(named:)) ?? zone
                ),
                preferences: preferences
            )
        }
        let judged = try answers[2].map { row in
            ReminderDay(user: try row.get("user_id"), day: try row.get("local_day"))
        }
        return ReminderTurn(zone: zone, candidates: candidates, judged: Set(judged))
    }

    /// Ends the local days of these people; gives back those whose day was not ended before.
    func endDays(_ days: [ReminderDay], _ transaction: Transaction) async throws -> Set<UserID> {
        guard !days.isEmpty else { return [] }
        let rows = try await transaction.query(
            """
            INSERT INTO reminder_day (organization_id, user_id, local_day)
            SELECT \(try transaction.tenant)::uuid, d.user_id, d.local_day
            FROM unnest(\(days.map(\.user))::uuid[], \(days.map(\.day.description))::date[]) AS d (user_id, local_day)
            ON CONFLICT DO NOTHING RETURNING user_id
            """
        )
        return Set(try rows.map { try $0.get("user_id") })
    }

    func endTurn(next: Timestamp, _ transaction: Transaction) throws {
        transaction.send(
            """
            UPDATE known_organization SET reminder_due_at = \(next)
            WHERE organization_id = \(try transaction.tenant)
            """
        )
    }

    /// The open tasks that these people collaborate on.
    func openTasks(of users: [UserID], _ transaction: Transaction) async throws -> [OpenTask] {
        guard !users.isEmpty else { return [] }
        let rows = try await transaction.query(
            """
            SELECT c.user_id, t.id, t.project_id, p.name AS project_name, t.key, t.title, t.priority, t.due_day, t.due_at
            FROM task_collaborator c
            JOIN task t ON t.organization_id = c.organization_id AND t.id = c.task_id
            LEFT JOIN project p ON p.organization_id = t.organization_id AND p.id = t.project_id
            WHERE c.organization_id = \(try transaction.tenant) AND c.user_id = ANY(\(users)::uuid[])
                AND NOT t.is_deleted AND t.status NOT IN ('COMPLETED', 'CANCELLED')
                AND NOT COALESCE(p.is_deleted, false)
            """
        )
        return try rows.map { row in
            OpenTask(
                user: try row.get("user_id"),
                project: try row.get("project_id"),
                projectName: try row.get("project_name", as: String?.self),
                task: try row.get("id"),
                key: try row.get("key"),
                title: try row.get("title"),
                priority: try row.get("priority"),
                due: try DueDate(row)
            )
        }
    }
}

/// What a look at an organization's reminders begins with.
struct ReminderTurn: Sendable {
    /// The organization's.
    var zone: TimeZone
    var candidates: [ReminderCandidate]
    var judged: Set<ReminderDay>
}
