import Foundation
import Postgres
import ServiceKit
import TestSupport
import Testing

@testable import taskflow

/// `taskflow verify` finds what is wrong, and nothing where nothing is: TST-5.
@Suite(
    .enabled(if: ProcessInfo.processInfo.environment["TASKFLOW_TEST_POSTGRES_URL"] != nil)
) struct VerificationDatabaseTests {
    static let organization = "018f4f2e-0000-7000-8000-000000000007"
    private static let user = "018f4f2e-0000-7000-8000-0000000000aa"
    private static let now = "'2026-01-01T00:00:00Z'"

    /// One organization with one user, project and task, known to everybody.
    static let rows = [
        "auth.organization VALUES ('\(organization)', 1, 'Org', 'UTC', 9, \(now), \(now))",
        "auth.account (id, email, email_key, created_at) VALUES ('\(user)', 'a@b.c', 'a@b.c', \(now))",
        """
        auth.membership VALUES ('\(organization)', '\(user)', '\(user)', 1, 'a@b.c', 'A', 'B', 'ADMIN', NULL, NULL, true,
        NULL, \(now), \(now))
        """,
        "organization.organization VALUES ('\(organization)', 'Org', 'UTC', 9, 1, \(now), \(now))",
        """
        organization.app_user (organization_id, id, email, first_name, last_name, role, is_active, version, created_at,
        updated_at) VALUES ('\(organization)', '\(user)', 'a@b.c', 'A', 'B', 'ADMIN', true, 1, \(now), \(now))
        """,
        "project.organization VALUES ('\(organization)', \(now))",
        "project.member VALUES ('\(organization)', '\(user)', 1, 'a@b.c', 'A', 'B', true, NULL)",
        """
        project.project VALUES ('\(organization)', 1, 'WEB', 'Web', '', 'PENDING', 'project', '\(user)', '\(user)', \(now),
        \(now), NULL, 1, 2)
        """,
        "project.project_collaborator VALUES ('\(organization)', 1, '\(user)', \(now), '\(user)')",
        "task.known_organization VALUES ('\(organization)')",
        "task.organization VALUES ('\(organization)', 1, 'Org', 'UTC', 'UTC', 9, \(now), \(now))",
        """
        task.member VALUES ('\(organization)', '\(user)', 1, 'a@b.c', 'A', 'B', 'ADMIN', NULL, NULL, true, NULL, \(now),
        \(now))
        """,
        "task.project VALUES ('\(organization)', 1, 2, 'WEB', 'Web', 'PENDING', 'project', '\(user)', NULL)",
        "task.project_collaborator VALUES ('\(organization)', 1, '\(user)')",
        """
        task.task (organization_id, id, project_id, number, title, description, priority, status, created_by, updated_by,
        created_at, updated_at) VALUES ('\(organization)', 5, 1, 3, 'T', '', 'LOW', 'PENDING', '\(user)', '\(user)', \(now),
        \(now))
        """,
        "task.task_collaborator VALUES ('\(organization)', 5, '\(user)', \(now), '\(user)')",
        "notification.organization VALUES ('\(organization)', 1, 'Org', 'UTC', 9)",
        "notification.member VALUES ('\(organization)', '\(user)', 1, 'a@b.c', 'A', 'B', true)",
        "notification.project VALUES ('\(organization)', 1, 2, 'Web', false)",
        """
        notification.task VALUES ('\(organization)', 5, 1, 1, 'WEB-3', 'T', 'LOW', 'PENDING', NULL, NULL, '\(user)', false)
        """,
        "notification.task_collaborator VALUES ('\(organization)', '\(user)', 5)",
        "task.outbox (shard, seq, id, type, version, subject, happened_at, payload) SELECT 7, n, gen_random_uuid(), 't', 1, 's', \(now), '{}' FROM generate_series(4, 9) n",
        "notification.cursor VALUES ('task.07', 9, 9)",
    ]

    /// What is done to it, and the check that has to find it.
    private static let damages = [
        ("UPDATE auth.organization SET name = 'Orc'", "organizations in auth"),
        ("DELETE FROM project.organization", "organizations in project"),
        ("UPDATE task.organization SET time_zone = 'Europe/Berlin'", "organizations in task"),
        ("UPDATE notification.organization SET reminder_hour = 8", "organizations in notification"),
        ("UPDATE auth.membership SET role = 'MANAGER'", "users in auth"),
        ("UPDATE project.member SET is_active = false", "users in project"),
        ("UPDATE task.member SET profile_img = 'http://x'", "users in task"),
        ("DELETE FROM notification.member", "users in notification"),
        ("UPDATE task.project SET status = 'CLOSED'", "projects in task"),
        ("UPDATE notification.project SET is_deleted = true", "projects in notification"),
        ("DELETE FROM task.project_collaborator", "collaborators of projects in task"),
        ("UPDATE notification.task SET title = 't'", "tasks in notification"),
        ("UPDATE task.task SET status = 'OVERDUE'", "tasks in notification"),
        (
            "INSERT INTO notification.task_collaborator VALUES ('\(organization)', gen_random_uuid(), 5)",
            "collaborators of tasks in notification"
        ),
        ("DELETE FROM task.outbox WHERE seq = 6", "log of task is dense"),
        ("DELETE FROM task.outbox WHERE seq = 9", "log of task is dense"),
        ("UPDATE task.event_log SET seq = 11 WHERE shard = 7", "log of task is dense"),
        ("UPDATE notification.cursor SET seq = 10, settled = 10", "cursors of notification are within the logs"),
        ("UPDATE notification.cursor SET settled = 10", "cursors of notification are within the logs"),
        (
            """
            INSERT INTO task.parked VALUES ('project.01', 1, NULL, 's', 't', 'parked', 1, now(), 'r', '{}')
            """,
            "events set aside by task"
        ),
        ("DELETE FROM organization.organization", "every row of task.task has its organization"),
        (
            "DELETE FROM project.project_collaborator; DELETE FROM project.project",
            "tasks without a project"
        ),
        (
            """
            INSERT INTO notification.notice VALUES ('\(organization)', 1, gen_random_uuid(), gen_random_uuid(), 'k', 't', 'b',
            NULL, NULL, now(), NULL)
            """,
            "notices without a user"
        ),
        (
            """
            INSERT INTO project.project_collaborator
            VALUES ('\(organization)', 1, gen_random_uuid(), now(), gen_random_uuid())
            """,
            "collaborators of projects without a user"
        ),
        (
            """
            INSERT INTO task.task_collaborator VALUES ('\(organization)', 5, gen_random_uuid(), now(), gen_random_uuid())
            """,
            "collaborators of tasks without a user"
        ),
        (
            """
            INSERT INTO auth.session (id, account_id, organization_id, user_id, generation, counter, rotated_at, created_at,
            last_used_at, idle_expires_at, expires_at)
            SELECT gen_random_uuid(), id, gen_random_uuid(), id, 1, 1, now(), now(), now(), now(), now() FROM auth.account
            """,
            "open sessions without a membership"
        ),
        (
            """
            INSERT INTO notification.mail
            VALUES ('\(organization)', gen_random_uuid(), '\(user)', 'k', NULL, '{}')
            """,
            "mails without an entry in the queue"
        ),
    ]

    /// The schemas of all services in one database, seen by its administrator.
    static func emptyInstallation(connections: Int) async throws -> PostgresPool {
        let url = try await TestDatabase.empty()
        for name in ServiceName.keeping {
            let schema = ServiceFoundation.withLog(try #require(name.schema))
            _ = try await TestDatabase.migrated(schema, administratorURL: url)
        }
        return PostgresPool(
            PostgresConfiguration(url: url, schema: "pg_catalog", maximumConnections: connections),
            logger: TestDatabase.logger
        )
    }

    static func fill(_ pool: PostgresPool) async throws {
        for row in rows { _ = try await pool.query("INSERT INTO \(unsafe: row)") }
        _ = try await pool.query("UPDATE task.event_log SET seq = 9 WHERE shard = 7")
    }

    private func findings(_ pool: PostgresPool, _ damage: String) async throws -> Set<String> {
        var found: Set<String> = []
        do {
            try await pool.transaction(in: nil) { transaction in
                for statement in damage.split(separator: ";") {
                    _ = try await transaction.query("\(unsafe: String(statement))")
                }
                let tables = try await transaction.query(Verification.ownedTables)
                let checks =
                    try Verification.checks
                    + tables.map { Verification.homeless(try $0.get("schema"), try $0.get("name")) }
                for check in checks { found.formUnion(try await check.findings(in: transaction).map(\.check)) }
                throw Undone()
            }
        } catch is Undone {
            // The next one begins with what was whole.
        }
        return found
    }

    private struct Undone: Error {}

    @Test func everyDamageIsFoundAndNothingElse() async throws {
        let pool = try await Self.emptyInstallation(connections: 1)
        #expect(try await findings(pool, "SELECT 1") == [])
        try await Self.fill(pool)
        #expect(try await findings(pool, "SELECT 1") == [])
        var seen: Set<String> = []
        for (damage, check) in Self.damages {
            let found = try await findings(pool, damage)
            #expect(found.contains(check), "\(damage)")
            seen.insert(check)
        }
        // Every check has been seen finding something, those of one kind once.
        let all = Set(Verification.checks.map(\.name))
        let kinds = ["log of ", "cursors of ", "events set aside by "]
        let unseen = all.subtracting(seen).filter { name in !kinds.contains { name.hasPrefix($0) } }
        #expect(unseen.isEmpty)
    }
}
