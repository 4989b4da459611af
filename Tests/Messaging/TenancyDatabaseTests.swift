import Events
import Identity
import Postgres
import TestSupport
import Testing

@testable import Messaging

/// A consumer works in the organization of the event it applies, and in no other.
@Suite("Tenancy of consumers Database", .serialized, .enabled(if: LogFixture.hasServers), .timeLimit(.minutes(1)))
struct TenancyDatabaseTests {
    /// Handlers that try something with another organization's rows.
    private func handlers(_ attempt: @escaping @Sendable (WriteTransaction) async throws -> Void) -> EventHandlers {
        var handlers = EventHandlers()
        handlers.on(TaskRestored.self) { _, _, transaction in try await attempt(transaction) }
        return handlers
    }

    private func row(_ organization: OrganizationID) -> SQL {
        "INSERT INTO seen (organization_id, stream, seq, subject) VALUES (\(organization), 's', 1, 'mine')"
    }

    @Test("TEN-6: a consumer with an event of one organization cannot write to another; the event is parked")
    func writing() async throws {
        let log = try await LogFixture(redisNumber: 10)
        let (mine, other) = (log.organization(), log.organization())
        let foreign = row(other)
        let relay = log.makeRelay()
        let reader = log.makeReader(handlers: handlers { _ = try await $0.query(foreign) })
        let administration = EventLogAdministration(database: log.consumer, redis: log.redis, logger: log.logger)
        try await log.run([relay.run, reader.run]) {
            try await log.say(1, in: mine)
            try await eventually { try await administration.parked().map(\.state) == ["parked"] }
            let reason = try await administration.parked().first?.reason ?? ""
            #expect(reason.contains("42501"), "\(reason)")
            for organization in [mine, other] {
                #expect(try await log.seen(in: organization).isEmpty)
            }
        }
    }

    @Test("TEN-6: nor can it see, change or remove another's rows, though no statement of it names an organization")
    func reaching() async throws {
        let log = try await LogFixture(redisNumber: 10)
        let (mine, other) = (log.organization(), log.organization())
        let (own, foreign) = (row(mine), row(other))
        for (organization, statement) in [(mine, own), (other, foreign)] {
            try await log.consumer.pool.transaction(in: organization) { $0.send(statement) }
        }
        let relay = log.makeRelay()
        let reader = log.makeReader(
            handlers: handlers { transaction in
                let seen = try await transaction.query("SELECT organization_id FROM seen")
                #expect(try seen.map { try $0.get("organization_id", as: OrganizationID.self) } == [mine])
                let changed = try await transaction.query("UPDATE seen SET subject = 'changed'")
                #expect(changed.affected == 1)
                let moved = try await transaction.query(
                    "DELETE FROM seen WHERE organization_id = \(other)"
                )
                #expect(moved.affected == 0)
            }
        )
        try await log.run([relay.run, reader.run]) {
            try await log.say(1, in: mine)
            try await eventually { try await log.seen(in: mine).map(\.subject) == ["changed"] }
            #expect(try await log.seen(in: other).map(\.subject) == ["mine"])
        }
    }
}
