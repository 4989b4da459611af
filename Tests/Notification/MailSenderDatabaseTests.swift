import Chronology
import Events
import Foundation
import Identity
import Messaging
import Postgres
import Testing

@testable import NotificationService

@Suite struct MailSenderDatabaseTests {
    func states(_ fixture: Fixture) async throws -> [String] {
        try await fixture.database.pool.query(
            "SELECT state::text AS state FROM mail_queue ORDER BY created_at, event_id"
        )
        .map { try $0.get("state") }
    }

    @Test func everyMailGoesOutOnceAndItsTextIsForgotten() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        for id in 1...9 { try await fixture.task(Int64(id), [fixture.ada, fixture.bob]) }
        let transport = CountingTransport()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<3 { group.addTask { try await fixture.sender(transport).sendDue() } }
            try await group.waitForAll()
        }
        #expect(transport.parcels.count == 18)
        #expect(Set(transport.parcels.map(\.name)).count == 18)
        #expect(transport.parcels.allSatisfy { ["ada@example.com", "bob@example.com"].contains($0.to.address) })
        #expect(try await states(fixture).allSatisfy { $0 == "sent" })
        let kept = try await fixture.database.read(
            in: fixture.organization,
            "SELECT 1 FROM mail WHERE organization_id = \(fixture.organization)"
        )
        #expect(kept.isEmpty)
        fixture.time.move(by: .seconds(3600))
        try await fixture.sender(transport).sendDue()
        #expect(transport.parcels.count == 18)
        #expect(try await states(fixture).allSatisfy { $0 == "sent" })
    }

    @Test(.timeLimit(.minutes(1))) func whatAnotherSenderIsClaimingIsPassedOver() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        for id in 1...8 { try await fixture.task(Int64(id), [fixture.ada]) }
        let claimed = try await fixture.database.pool.transaction(in: nil) { transaction in
            let held = try await transaction.query("SELECT event_id FROM mail_queue LIMIT 5 FOR UPDATE")
            let others = try await fixture.store.claimMails(
                at: fixture.time.now,
                lease: MailSender.lease,
                limit: 10
            )
            let events = try held.map { try $0.get("event_id", as: EventID.self) }
            #expect(Set(others.map(\.event)).isDisjoint(with: events))
            return others.count
        }
        #expect(claimed == 3)
    }

    @Test func aFailureIsTriedAgainLaterWithTheSameBytes() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        try await fixture.task(1, [fixture.ada])
        let passing = DeliveryFailure(reason: "busy", isPermanent: false)
        let transport = CountingTransport(failures: [passing, passing])
        let sender = fixture.sender(transport)
        try await sender.sendDue()
        try await sender.sendDue()
        #expect(try await states(fixture) == ["pending"])
        fixture.time.move(by: .seconds(1))
        try await sender.sendDue()
        fixture.time.move(by: .seconds(5))
        try await sender.sendDue()
        #expect(transport.parcels.count == 1)
        #expect(try await states(fixture) == ["sent"])
    }

    @Test func aSenderThatDiesLeavesTheMailToAnother() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        try await fixture.task(1, [fixture.ada])
        let transport = CountingTransport()
        // Claimed, maybe sent, and then nothing more was heard.
        let claimed = try await fixture.store.claimMails(
            at: fixture.time.now,
            lease: MailSender.lease,
            limit: 4
        )
        #expect(claimed.count == 1)
        try await fixture.sender(transport).sendDue()
        #expect(transport.parcels.isEmpty)
        fixture.time.move(by: MailSender.lease)
        try await fixture.sender(transport).sendDue()
        #expect(transport.parcels.count == 1)
    }

    @Test func whatWillNeverBeTakenIsDropped() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        try await fixture.task(1, [fixture.ada])
        let transport = CountingTransport(failures: [DeliveryFailure(reason: "no such mailbox", isPermanent: true)])
        try await fixture.sender(transport).sendDue()
        #expect(try await states(fixture) == ["dropped"])
    }

    @Test func aMailIsNotTriedForEver() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        try await fixture.task(1, [fixture.ada])
        fixture.time.move(by: MailSender.patience + .seconds(1))
        let transport = CountingTransport(failures: [DeliveryFailure(reason: "busy", isPermanent: false)])
        try await fixture.sender(transport).sendDue()
        #expect(try await states(fixture) == ["dropped"])
    }

    @Test func whatWasTrueAtTheEventMustBeTrueAtTheSending() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        try await fixture.task(1, [fixture.ada, fixture.bob])
        try await fixture.user(fixture.ada, "ada@example.com", "Ada", revision: 2, isActive: false)
        try await fixture.desk.unsubscribe(
            UnsubscribeRequest(organization: fixture.organization, user: fixture.bob, kind: .taskAssigned)
        )
        try await fixture.hear(
            LinkRequested(
                account: .make(milliseconds: 3),
                email: "eve@example.com",
                firstName: nil,
                purpose: .resetPassword,
                request: .make(milliseconds: 4),
                expiresAt: fixture.time.now + .seconds(600)
            )
        )
        fixture.time.move(by: .seconds(600))
        let transport = CountingTransport()
        try await fixture.sender(transport).sendDue()
        #expect(transport.parcels.isEmpty)
        #expect(try await states(fixture) == ["dropped", "dropped", "dropped"])
    }

    @Test func aMailWaitsForTheAddressOfSomeoneNotHeardOfYet() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        let newcomer = UserID.make(milliseconds: 9)
        try await fixture.task(1, [newcomer])
        let transport = CountingTransport()
        try await fixture.sender(transport).sendDue()
        try await fixture.user(newcomer, "new@example.com", "New")
        fixture.time.move(by: .seconds(1))
        try await fixture.sender(transport).sendDue()
        #expect(transport.parcels.map(\.to.address) == ["new@example.com"])
    }

    @Test func theWelcomeMailCarriesTheLinkAndNoWayOut() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        let account = AccountID.make(milliseconds: 3)
        try await fixture.hear(
            MembershipAttached(
                account: account,
                user: fixture.ada,
                email: "ada@example.com",
                firstName: "Ada",
                organizationName: "Org",
                activation: .make(milliseconds: 4),
                activationExpiresAt: fixture.time.now + .seconds(604_800)
            )
        )
        let transport = CountingTransport()
        try await fixture.sender(transport).sendDue()
        let text = String(decoding: try #require(transport.parcels.first).bytes, as: UTF8.self)
        #expect(text.contains("\r\nhttps://taskflow.example/api/account/request-reset-password/\(account)/"))
        #expect(!text.contains("List-Unsubscribe"))
        #expect(try #require(transport.parcels.first).name.contains("-welcome-"))
    }

    @Test func theDirectoryGetsOneFilePerMail() async throws {
        let fixture = try await Fixture.make(ownDatabase: true)
        try await fixture.task(1, [fixture.ada])
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: directory) }
        let transport = DirectoryTransport(directory: directory.appendingPathComponent("deep/mail").path)
        try await fixture.sender(transport).sendDue()
        // The same mail again writes over its own file.
        _ = try await fixture.database.pool.query("UPDATE mail_queue SET state = 'pending'")
        let files = try FileManager.default.contentsOfDirectory(atPath: transport.directory)
        #expect(files.count == 1)
        let name = try #require(files.first)
        #expect(name.hasPrefix("20261201T120000.000000Z-task-assigned-") && name.hasSuffix(".eml"))
        let rights = try FileManager.default.attributesOfItem(atPath: "\(transport.directory)/\(name)")
        #expect(rights[.posixPermissions] as? Int == 0o600)
        let mail = try String(contentsOfFile: "\(transport.directory)/\(name)", encoding: .utf8)
        #expect(mail.contains("Subject: WEB-1 is yours: Task 1\r\n"))
        #expect(mail.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"))
    }
}
