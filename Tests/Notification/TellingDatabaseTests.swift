import Chronology
import Events
import Failures
import Foundation
import Identity
import Lists
import Messaging
import Postgres
import Testing

@testable import NotificationService

@Suite struct TellingDatabaseTests {
    func added(_ fixture: Fixture, _ user: UserID, isCreator: Bool = false) -> ProjectCollaboratorAdded {
        ProjectCollaboratorAdded(project: fixture.project, revision: 2, user: user, isCreator: isCreator)
    }

    @Test func beingAddedToAProjectIsTold() async throws {
        let fixture = try await Fixture.make()
        try await fixture.hear(added(fixture, fixture.ada), actor: fixture.admin)
        #expect(try await fixture.notices(of: fixture.ada) == ["project-added You were added to Web"])
        #expect(try await fixture.mails(of: fixture.ada) == ["project-added"])
        #expect(try await fixture.notices(of: fixture.admin).isEmpty)
    }

    @Test func neitherTheCreatorNorTheOneWhoActedIsTold() async throws {
        let fixture = try await Fixture.make()
        try await fixture.hear(added(fixture, fixture.admin, isCreator: true))
        try await fixture.hear(added(fixture, fixture.ada), actor: fixture.ada)
        try await fixture.task(1, [fixture.ada, fixture.bob], actor: fixture.ada)
        #expect(try await fixture.notices(of: fixture.admin).isEmpty)
        #expect(try await fixture.notices(of: fixture.ada).isEmpty)
        #expect(try await fixture.mails(of: fixture.ada).isEmpty)
        #expect(try await fixture.notices(of: fixture.bob) == ["task-assigned WEB-1 was assigned to you"])
    }

    @Test func oneEventTellsOnceHoweverOftenItIsApplied() async throws {
        let fixture = try await Fixture.make()
        let id = EventID.make(milliseconds: 7)
        for _ in 0..<3 { try await fixture.hear(added(fixture, fixture.ada), id: id, actor: fixture.admin) }
        #expect(try await fixture.notices(of: fixture.ada).count == 1)
        #expect(try await fixture.mails(of: fixture.ada).count == 1)
    }

    @Test func theDeactivatedAreToldNothing() async throws {
        let fixture = try await Fixture.make()
        try await fixture.user(fixture.ada, "ada@example.com", "Ada", revision: 2, isActive: false)
        try await fixture.hear(added(fixture, fixture.ada), actor: fixture.admin)
        try await fixture.task(1, [fixture.ada])
        #expect(try await fixture.notices(of: fixture.ada).isEmpty)
        #expect(try await fixture.mails(of: fixture.ada).isEmpty)
    }

    @Test func someoneNotHeardOfYetIsTold() async throws {
        let fixture = try await Fixture.make()
        let newcomer = UserID.make(milliseconds: 9)
        try await fixture.hear(added(fixture, newcomer), actor: fixture.admin)
        #expect(try await fixture.notices(of: newcomer).count == 1)
        #expect(try await fixture.mails(of: newcomer) == ["project-added"])
    }

    @Test func preferencesSayWhatIsTold() async throws {
        let fixture = try await Fixture.make()
        _ = try await fixture.desk.replacePreferences(of: fixture.person) { _ in
            Preferences(mutedInApp: [.taskAssigned], mutedMail: [.projectAdded])
        }
        try await fixture.hear(added(fixture, fixture.ada), actor: fixture.admin)
        try await fixture.task(1, [fixture.ada])
        #expect(try await fixture.notices(of: fixture.ada) == ["project-added You were added to Web"])
        #expect(try await fixture.mails(of: fixture.ada) == ["task-assigned"])
    }

    @Test func anOverdueTaskIsToldToItsCollaboratorsElseToItsCreator() async throws {
        let fixture = try await Fixture.make()
        try await fixture.task(1, [fixture.ada], actor: fixture.ada)
        try await fixture.hear(TaskOverdue(task: TaskID(1), revision: 2))
        #expect(try await fixture.notices(of: fixture.ada) == ["task-overdue WEB-1 is overdue"])
        #expect(try await fixture.notices(of: fixture.admin).isEmpty)

        try await fixture.hear(TaskCollaboratorRemoved(task: TaskID(1), revision: 3, user: fixture.ada))
        try await fixture.hear(TaskOverdue(task: TaskID(1), revision: 4), id: .make(milliseconds: 8))
        #expect(try await fixture.notices(of: fixture.ada).count == 1)
        #expect(try await fixture.notices(of: fixture.admin) == ["task-overdue WEB-1 is overdue"])
    }

    @Test func anOlderRevisionChangesNothing() async throws {
        let fixture = try await Fixture.make()
        try await fixture.user(fixture.ada, "new@example.com", "New", revision: 5)
        try await fixture.user(fixture.ada, "old@example.com", "Old", revision: 4)
        let row = try await fixture.database.read(
            in: fixture.organization,
            "SELECT email FROM member WHERE user_id = \(fixture.ada)"
        )
        #expect(try row.first?.get("email", as: String.self) == "new@example.com")
    }

    @Test func accountsGetTheirMailsWithoutAnOrganization() async throws {
        let fixture = try await Fixture.make()
        let account = AccountID.make(milliseconds: 3)
        let link = LinkRequested(
            account: account,
            email: "ada@example.com",
            firstName: "Ada",
            purpose: .resetPassword,
            request: .make(milliseconds: 4),
            expiresAt: fixture.time.now + .seconds(600)
        )
        try await fixture.hear(link)
        try await fixture.hear(
            PasswordChanged(account: account, email: "ada@example.com", firstName: nil, byLink: true),
            id: .make(milliseconds: 6)
        )
        for reason in [SessionRevoked.Reason.logout, .reuse, .passwordReset] {
            try await fixture.hear(
                SessionRevoked(
                    account: account,
                    email: "ada@example.com",
                    session: .make(milliseconds: 1),
                    reason: reason
                ),
                id: .make(milliseconds: 7)
            )
        }
        #expect(
            try await fixture.mails(of: UserID(account.uuid)) == [
                "reset-password", "password-changed", "session-reused",
            ]
        )
        // The token is nowhere: only what it is made of.
        let kept = try await fixture.database.pool.query(
            "SELECT letter::text AS letter FROM account_mail WHERE account_id = \(account) AND kind = 'reset-password'"
        )
        #expect(try kept.first?.get("letter", as: String.self).contains("reset-password") == true)
    }

    @Test func noticesAreListedNewestFirstAndOnlyOnesOwn() async throws {
        let fixture = try await Fixture.make()
        for id in 1...5 {
            fixture.time.move(by: .seconds(1))
            try await fixture.task(Int64(id), [fixture.ada])
        }
        try await fixture.task(6, [fixture.bob])
        let titles = try await pages(fixture, "page_size=2")
        #expect(titles == (1...5).reversed().map { "WEB-\($0) was assigned to you" })

        let first = try await list(fixture, "page_size=1&count=true")
        #expect(first.count == 5)
        let notice = try #require(first.items.first)
        let read = try await fixture.desk.read(notice.id, by: fixture.person)
        fixture.time.move(by: .seconds(60))
        #expect(try await fixture.desk.read(notice.id, by: fixture.person).readAt == read.readAt)
        #expect(try await list(fixture, "unread=false").items.map(\.id) == [notice.id])
        #expect(try await list(fixture, "unread=true").items.count == 4)
        await #expect(throws: Failure.notFound) {
            try await fixture.desk.read(notice.id, by: fixture.principal(fixture.bob))
        }
        #expect(try await fixture.desk.readAll(by: fixture.person) == 4)
        #expect(try await fixture.desk.readAll(by: fixture.person) == 0)
        #expect(try await list(fixture, "unread=true", of: fixture.bob).items.count == 1)
    }

    @Test func preferencesKeepTheirVersionWhenNothingChanges() async throws {
        let fixture = try await Fixture.make()
        #expect(try await fixture.desk.preferences(of: fixture.person).version == 0)
        let wanted = Preferences(mutedMail: [.taskOverdue], reminderHour: 7, timeZone: "Asia/Kolkata")
        #expect(try await fixture.desk.replacePreferences(of: fixture.person) { _ in wanted }.version == 1)
        #expect(try await fixture.desk.replacePreferences(of: fixture.person) { _ in wanted }.version == 1)
        #expect(try await fixture.desk.preferences(of: fixture.person).preferences == wanted)
        #expect(try await fixture.desk.preferences(of: fixture.principal(fixture.bob)).preferences == .standard)
    }

    @Test func concurrentReplacementsWithOneVersionLetOneThrough() async throws {
        let fixture = try await Fixture.make()
        let won = try await withThrowingTaskGroup(of: Bool.self) { group in
            for hour in 0..<8 {
                group.addTask {
                    do {
                        _ = try await fixture.desk.replacePreferences(of: fixture.person) { stored in
                            guard stored.version == 0 else { throw Failure.preconditionFailed }
                            return Preferences(reminderHour: hour)
                        }
                        return true
                    } catch let failure as Failure where failure == .preconditionFailed {
                        return false
                    }
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(won == 1)
    }

    @Test func unsubscribingStopsOneKindOfMailAndNoNotices() async throws {
        let fixture = try await Fixture.make()
        let request = UnsubscribeRequest(
            organization: fixture.organization,
            user: fixture.ada,
            kind: .taskAssigned
        )
        for _ in 0..<2 { try await fixture.desk.unsubscribe(request) }
        #expect(try await fixture.desk.preferences(of: fixture.person).version == 1)
        try await fixture.task(1, [fixture.ada])
        try await fixture.hear(added(fixture, fixture.ada), id: .make(milliseconds: 9), actor: fixture.admin)
        #expect(try await fixture.notices(of: fixture.ada).count == 2)
        #expect(try await fixture.mails(of: fixture.ada) == ["project-added"])
        await #expect(throws: UnsubscribeRequest.invalidLink) {
            try await fixture.desk.unsubscribe(
                UnsubscribeRequest(
                    organization: fixture.organization,
                    user: .make(milliseconds: 0),
                    kind: .taskAssigned
                )
            )
        }
    }

    @Test func aDeletedOrganizationLeavesNothingAndStaysGone() async throws {
        let fixture = try await Fixture.make()
        try await fixture.task(1, [fixture.ada])
        _ = try await fixture.desk.replacePreferences(of: fixture.person) { _ in Preferences(reminderHour: 3) }
        _ = try await fixture.desk.remind(fixture.organization, at: fixture.time.now)
        try await fixture.hear(OrganizationDeleted())
        // Late events of other streams.
        try await fixture.hear(added(fixture, fixture.ada), actor: fixture.admin)
        try await fixture.task(2, [fixture.ada])
        try await fixture.user(fixture.ada, "ada@example.com", "Ada", revision: 9)
        try await fixture.hear(
            OrganizationUpdated(revision: 9, name: "Org", timeZone: "UTC", reminderHour: 1, updatedAt: fixture.time.now)
        )
        // Requests that were under way.
        await #expect(throws: Failure.notFound) {
            try await fixture.desk.replacePreferences(of: fixture.person) { _ in Preferences(reminderHour: 4) }
        }
        let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
        let claim = IdempotencyClaim(scope: bytes, fingerprint: bytes)
        claim.render { (_: Int) in StoredReply(status: 200, body: [], location: nil, etag: nil) }
        await #expect(throws: Failure.notFound) {
            try await RequestScope.$current.withValue(RequestScope(actor: fixture.ada, idempotency: claim)) {
                try await fixture.desk.readAll(by: fixture.person)
            }
        }
        for table in [
            "organization", "member", "project", "task", "task_collaborator", "notice", "preference", "reminder_day",
            "mail", "counter", "idempotency",
        ] {
            let rows = try await fixture.database.read(
                in: fixture.organization,
                "SELECT 1 FROM \(unsafe: table) WHERE organization_id = \(fixture.organization)"
            )
            #expect(rows.isEmpty, "\(table)")
        }
        let queue = try await fixture.database.pool.query(
            "SELECT 1 FROM mail_queue WHERE organization_id = \(fixture.organization)"
        )
        #expect(queue.isEmpty)
        #expect(try await fixture.desk.remind(fixture.organization, at: fixture.time.now) == false)
        await #expect(throws: UnsubscribeRequest.invalidLink) {
            try await fixture.desk.unsubscribe(
                UnsubscribeRequest(organization: fixture.organization, user: fixture.ada, kind: .taskOverdue)
            )
        }
    }
}
