import Chronology
import Events
import Foundation
import Identity
import Lists
import Messaging
import Postgres
import Testing

@testable import NotificationService

@Suite struct ReminderDatabaseTests {
    func remind(_ fixture: Fixture) async throws {
        _ = try await fixture.desk.remind(fixture.organization, at: fixture.time.now)
    }

    @Test func openTasksAreRemindedOfOnceADay() async throws {
        let fixture = try await Fixture.make(at: "2026-12-01T08:00:00Z")
        try await fixture.task(1, [fixture.ada], actor: fixture.ada)
        try await fixture.task(2, [fixture.ada], status: "COMPLETED", actor: fixture.ada)
        try await fixture.task(3, [fixture.ada], status: "CANCELLED", actor: fixture.ada)
        try await fixture.task(4, [fixture.ada], status: "OVERDUE", priority: "HIGH", actor: fixture.ada)
        try await fixture.task(5, [fixture.ada], actor: fixture.ada)
        try await fixture.hear(TaskDeleted(task: TaskID(5), revision: 2))
        try await remind(fixture)
        #expect(try await fixture.notices(of: fixture.ada).isEmpty)

        for time in ["2026-12-01T09:00:00Z", "2026-12-01T09:01:00Z", "2026-12-01T20:00:00Z"] {
            fixture.time.move(to: time)
            try await remind(fixture)
        }
        #expect(try await fixture.notices(of: fixture.ada) == ["daily-reminder You have 2 open tasks"])
        #expect(try await fixture.mails(of: fixture.ada) == ["daily-reminder"])
        let body = try await list(fixture, "page_size=1").items.first?.body
        #expect(body == "Web: WEB-4 Task 4, WEB-1 Task 1")

        fixture.time.move(to: "2026-12-02T09:00:00Z")
        try await remind(fixture)
        #expect(try await fixture.notices(of: fixture.ada).count == 2)
        #expect(try await fixture.notices(of: fixture.admin).isEmpty)
    }

    /// Project and Task empty the trash at hours of their own.
    @Test func theTasksOfAPurgedProjectAreNamedNoMore() async throws {
        let fixture = try await Fixture.make(at: "2026-12-01T09:00:00Z")
        try await fixture.task(1, [fixture.ada], actor: fixture.ada)
        try await fixture.hear(ProjectDeleted(project: ProjectID(1), revision: 2, deletedAt: fixture.time.now))
        try await fixture.hear(ProjectPurged(project: ProjectID(1), revision: 3))
        try await remind(fixture)
        #expect(try await fixture.notices(of: fixture.ada).isEmpty)
        // Heard again later, and in any order.
        try await fixture.hear(TaskPurged(task: TaskID(1), revision: 2))
    }

    @Test func findingNothingEndsTheDayToo() async throws {
        let fixture = try await Fixture.make(at: "2026-12-01T09:00:00Z")
        try await remind(fixture)
        fixture.time.move(to: "2026-12-01T10:00:00Z")
        try await fixture.task(1, [fixture.ada], actor: fixture.ada)
        // The settings change, so the organization is looked at again; the day is over nonetheless.
        try await fixture.user(fixture.ada, "ada@example.com", "Ada", revision: 2)
        try await remind(fixture)
        #expect(try await fixture.notices(of: fixture.ada).isEmpty)
    }

    @Test func hourAndZoneAreThePersonsElseTheOrganizations() async throws {
        let fixture = try await Fixture.make(at: "2026-12-01T00:30:00Z")
        try await fixture.task(1, [fixture.ada, fixture.bob], actor: fixture.admin)
        try await fixture.hear(
            OrganizationUpdated(
                revision: 2,
                name: "Org",
                timeZone: "Europe/Berlin",
                reminderHour: 8,
                updatedAt: fixture.time.now
            )
        )
        _ = try await fixture.desk.replacePreferences(of: fixture.person) { _ in
            Preferences(reminderHour: 9, timeZone: "Asia/Tokyo")
        }
        try await remind(fixture)
        // 9:30 in Tokyo, 1:30 in Berlin.
        #expect(try await fixture.notices(of: fixture.ada).last == "daily-reminder You have 1 open task")
        #expect(try await fixture.notices(of: fixture.bob).count == 1)
        fixture.time.move(to: "2026-12-01T07:00:00Z")
        try await remind(fixture)
        #expect(try await fixture.notices(of: fixture.bob).last == "daily-reminder You have 1 open task")
    }

    @Test func processesThatLookAtOnceRemindOnce() async throws {
        let fixture = try await Fixture.make(at: "2026-12-01T10:00:00Z")
        try await fixture.task(1, [fixture.ada, fixture.bob], actor: fixture.admin)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { try await remind(fixture) } }
            try await group.waitForAll()
        }
        for user in [fixture.ada, fixture.bob] {
            #expect(try await fixture.notices(of: user).filter { $0.hasPrefix("daily") }.count == 1)
        }
    }

    @Test func whoWantsNoReminderGetsNone() async throws {
        let fixture = try await Fixture.make(at: "2026-12-01T10:00:00Z")
        try await fixture.task(1, [fixture.ada, fixture.bob], actor: fixture.admin)
        _ = try await fixture.desk.replacePreferences(of: fixture.person) { _ in
            Preferences(mutedMail: [.dailyReminder])
        }
        try await fixture.user(fixture.bob, "bob@example.com", "Bob", revision: 2, isActive: false)
        try await remind(fixture)
        #expect(try await fixture.notices(of: fixture.ada).count == 2)
        #expect(try await fixture.mails(of: fixture.ada) == ["task-assigned"])
        #expect(try await fixture.notices(of: fixture.bob).count == 1)
    }

    @Test func theClockFindsEveryOrganizationThatIsDueAndRestsUntilTheNext() async throws {
        let fixture = try await Fixture.make(ownDatabase: true, at: "2026-12-01T08:59:00Z")
        try await fixture.task(1, [fixture.ada], actor: fixture.ada)
        #expect(try await fixture.store.organizationsDue(at: fixture.time.now, limit: 10) == [fixture.organization])
        try await fixture.desk.remind(at: fixture.time.now) { _, error in Issue.record(error) }
        #expect(try await fixture.store.organizationsDue(at: fixture.time.now, limit: 10).isEmpty)
        fixture.time.move(to: "2026-12-01T09:00:00Z")
        #expect(try await fixture.store.organizationsDue(at: fixture.time.now, limit: 10) == [fixture.organization])
        try await fixture.desk.remind(at: fixture.time.now) { _, error in Issue.record(error) }
        #expect(try await fixture.notices(of: fixture.ada).count == 1)
        fixture.time.move(to: "2026-12-02T08:59:59Z")
        #expect(try await fixture.store.organizationsDue(at: fixture.time.now, limit: 10).isEmpty)
    }
}
