import Foundation
import Postgres
import TestSupport
import Testing

@testable import taskflow

/// `taskflow rebuild` puts read models right, and waits for readers: BUS-13.
@Suite(
    .enabled(if: ProcessInfo.processInfo.environment["TASKFLOW_TEST_POSTGRES_URL"] != nil)
) struct RebuildingDatabaseTests {
    /// What is done to a read model of which service.
    private static let damages: [(ServiceName, String)] = [
        (.project, "DELETE FROM project.organization; DELETE FROM project.live_organization"),
        (.project, "UPDATE project.member SET is_active = false"),
        (.task, "UPDATE task.organization SET time_zone = 'Europe/Berlin'"),
        (.task, "UPDATE task.member SET profile_img = 'http://x'"),
        (.task, "UPDATE task.project SET status = 'CLOSED'; DELETE FROM task.project_collaborator"),
        (.notification, "UPDATE notification.organization SET reminder_hour = 8"),
        (.notification, "DELETE FROM notification.member; UPDATE notification.project SET is_deleted = true"),
        (.notification, "UPDATE notification.task SET title = 't'"),
        (
            .notification,
            """
            INSERT INTO notification.task_collaborator
            VALUES ('\(VerificationDatabaseTests.organization)', gen_random_uuid(), 5)
            """
        ),
    ]

    private func damaged(_ pool: PostgresPool) async throws -> Set<String> {
        try await pool.transaction(in: nil) { transaction in
            var found: Set<String> = []
            for model in ReadModel.all {
                found.formUnion(try await model.check.findings(in: transaction).map(\.check))
            }
            return found
        }
    }

    private func rebuild(_ service: ServiceName, _ pool: PostgresPool) async throws -> [Rebuilding.Outcome] {
        var outcomes: [Rebuilding.Outcome] = []
        for shard in 0..<16 {
            outcomes.append(try await Rebuilding(service: service, pool: pool).rebuild(shard: shard, patience: .zero))
        }
        return outcomes
    }

    @Test func whatDiffersIsReplacedAndNothingElse() async throws {
        let pool = try await VerificationDatabaseTests.emptyInstallation(connections: 1)
        try await VerificationDatabaseTests.fill(pool)
        for service in [ServiceName.project, .task, .notification] {
            let changes = try await rebuild(service, pool).flatMap(\.changes)
            #expect(changes == [], "\(service)")
        }
        for (service, damage) in Self.damages {
            for statement in damage.split(separator: ";") { _ = try await pool.query("\(unsafe: String(statement))") }
            #expect(try await !damaged(pool).isEmpty, "\(damage)")
            let outcomes = try await rebuild(service, pool)
            #expect(try await damaged(pool) == [], "\(damage)")
            let changed = outcomes.indices.filter { !outcomes[$0].changes.isEmpty }
            #expect(changed == [7], "\(damage)")
        }
        let known = try await pool.query("SELECT FROM project.live_organization")
        #expect(known.count == 1)
    }

    /// Project keeps a row of it for its key and number; everybody else has forgotten it, Notification with its tasks.
    @Test func aPurgedProjectIsMissedByNobody() async throws {
        let pool = try await VerificationDatabaseTests.emptyInstallation(connections: 1)
        try await VerificationDatabaseTests.fill(pool)
        let purge = [
            "UPDATE project.project SET name = '', description = '', deleted_at = now() - interval '31 days'",
            "DELETE FROM project.project_collaborator", "DELETE FROM task.project_collaborator",
            "DELETE FROM task.project", "DELETE FROM notification.project",
            "DELETE FROM notification.task_collaborator", "DELETE FROM notification.task",
        ]
        for statement in purge { _ = try await pool.query("\(unsafe: statement)") }
        #expect(try await damaged(pool) == [])
        for service in [ServiceName.task, .notification] {
            let changes = try await rebuild(service, pool).flatMap(\.changes)
            #expect(changes == [], "\(service)")
        }
    }

    @Test func theVersionsThatTasksShowGoUpWithTheirPeople() async throws {
        let pool = try await VerificationDatabaseTests.emptyInstallation(connections: 1)
        try await VerificationDatabaseTests.fill(pool)
        func epoch() async throws -> Int64 {
            try await pool.query("SELECT people_epoch FROM task.organization").first?.get("people_epoch") ?? -1
        }
        let before = try await epoch()
        _ = try await pool.query("UPDATE task.member SET first_name = 'X'")
        _ = try await rebuild(.task, pool)
        let after = try await epoch()
        #expect(after == before + 1)
        _ = try await pool.query("DELETE FROM task.organization")
        _ = try await rebuild(.task, pool)
        #expect(try await epoch() > after)
    }

    /// What was reckoned in the zone that was wrong is reckoned again, as on hearing of the right one.
    @Test(arguments: ["UPDATE task.organization SET name = 'X'", "DELETE FROM task.organization"])
    func theDaysOfTasksFollowTheZone(_ damage: String) async throws {
        let pool = try await VerificationDatabaseTests.emptyInstallation(connections: 1)
        try await VerificationDatabaseTests.fill(pool)
        let steps = [
            """
            UPDATE task.task SET start_day = '2026-06-15', start_moment = '2026-06-15T00:00:00Z',
            due_day = '2026-06-16', due_moment = '2026-06-16T23:59:59.999999Z'
            """,
            "UPDATE organization.organization SET time_zone = 'Asia/Tokyo'", damage,
        ]
        for statement in steps { _ = try await pool.query("\(unsafe: statement)") }
        _ = try await rebuild(.task, pool)
        let rows = try await pool.query(
            """
            SELECT start_moment = '2026-06-14T15:00:00Z' AND due_moment = '2026-06-16T14:59:59.999999Z' AS is_right
            FROM task.task
            """
        )
        #expect(try rows.first?.get("is_right", as: Bool.self) == true)
    }

    /// The event that a project is gone was lost: its tasks are left to the trash clock, and no others are.
    @Test func tasksOfAPurgedProjectAreLeftToTheTrashClock() async throws {
        let pool = try await VerificationDatabaseTests.emptyInstallation(connections: 1)
        try await VerificationDatabaseTests.fill(pool)
        let organization = VerificationDatabaseTests.organization
        _ = try await pool.query(
            """
            INSERT INTO task.counter (organization_id, kind, value)
            VALUES ('\(unsafe: organization)', 'task-number:1', 3), ('\(unsafe: organization)', 'task-number:2', 1)
            """
        )
        _ = try await pool.query("UPDATE project.project SET name = '', deleted_at = now() - interval '31 days'")
        _ = try await rebuild(.task, pool)
        let kinds = try await pool.query("SELECT kind FROM task.counter ORDER BY kind").map {
            try $0.get("kind", as: String.self)
        }
        #expect(kinds == ["purged-project:1", "task-number:2"])
    }

    @Test func aReaderThatIsBehindIsWaitedForAndNothingIsTouched() async throws {
        let pool = try await VerificationDatabaseTests.emptyInstallation(connections: 2)
        try await VerificationDatabaseTests.fill(pool)
        _ = try await pool.query("UPDATE notification.task SET title = 't'")
        _ = try await pool.query("UPDATE notification.cursor SET seq = 8, settled = 8")
        let rebuilding = Rebuilding(service: .notification, pool: pool)
        await #expect(throws: Rebuilding.ReaderBehind.self) {
            try await rebuilding.rebuild(shard: 7, patience: .zero)
        }
        #expect(try await damaged(pool) == ["tasks in notification"])
        // The reader comes while the logs are held.
        async let outcome = rebuilding.rebuild(shard: 7, patience: .seconds(60))
        _ = try await pool.query("UPDATE notification.cursor SET seq = 9, settled = 9")
        #expect(try await outcome.changes == [.init(model: "tasks in notification", removed: 1, written: 1)])
        #expect(try await damaged(pool) == [])
    }

    @Test func aCursorBeforeEventsThatAreGoneIsMovedToTheEnd() async throws {
        let pool = try await VerificationDatabaseTests.emptyInstallation(connections: 1)
        try await VerificationDatabaseTests.fill(pool)
        // Of the fixture's log events 1 to 3 are kept no more.
        _ = try await pool.query("UPDATE notification.cursor SET seq = 0, settled = 0")
        let outcome = try await Rebuilding(service: .notification, pool: pool).rebuild(shard: 7, patience: .zero)
        #expect(outcome.skipped == ["task.07"])
        let row = try #require(try await pool.query("SELECT seq, settled FROM notification.cursor").first)
        #expect(try row.get("seq") == Int64(9))
        #expect(try row.get("settled") == Int64(9))
    }
}
