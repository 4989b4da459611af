import Chronology
import Events
import Failures
import Identity
import Logging
import Postgres
import Redis
import TestSupport
import Testing

@testable import Messaging

/// Logs that come back from a backup while somebody knows more than they do: TST-5.
@Suite struct LogOriginTests {
    private let known: [(name: String, since: Int64)] = [("a", 0), ("b", 90), ("c", 70), ("d", 120)]

    @Test func theSameLineageHasAllInCommon() {
        #expect(LogOrigin.between(known, present: "d", theirs: "d") == LogOrigin(lineage: "d", common: nil))
        #expect(LogOrigin.between(known, present: "d", theirs: nil) == LogOrigin(lineage: "d", common: nil))
    }

    @Test func anOlderLineageHasInCommonWhatNoLaterOneBeganBefore() {
        #expect(LogOrigin.between(known, present: "d", theirs: "c").common == 120)
        #expect(LogOrigin.between(known, present: "d", theirs: "b").common == 70)
        #expect(LogOrigin.between(known, present: "d", theirs: "a").common == 70)
    }

    @Test func aLineageThatTheBackupDoesNotKnowEndsWhereThePresentOneBegan() {
        #expect(LogOrigin.between(known, present: "d", theirs: "lost").common == 120)
    }

    @Test func entriesOfTwoLineagesAreNeverOneBatch() {
        var events = (1...4).map { Incoming(sequence: $0, event: [], lineage: "a") }
        #expect(events.contiguousPrefix(atMost: 100).count == 4)
        events[2].lineage = "b"
        #expect(events.contiguousPrefix(atMost: 100).count == 2)
    }
}

@Suite(.enabled(if: LogFixture.hasServers), .serialized) struct RestoreDatabaseTests {
    /// What a dump brings back: the log as it was at a number, in a table that is a new one.
    private func restore(_ log: LogFixture, _ shard: Shard, to sequence: Int64) async throws {
        let administrator = PostgresPool(
            PostgresConfiguration(url: log.administratorURL, schema: "task", maximumConnections: 1),
            logger: log.logger
        )
        for statement: SQL in [
            "CREATE TABLE restored (LIKE event_log INCLUDING ALL)",
            "INSERT INTO restored SELECT * FROM event_log",
            "DROP TABLE event_log",
            "ALTER TABLE restored RENAME TO event_log",
            "GRANT SELECT, UPDATE ON event_log TO task_app",
            "UPDATE event_log SET seq = \(sequence) WHERE shard = \(shard.number)",
            "DELETE FROM outbox WHERE shard = \(shard.number) AND seq > \(sequence)",
        ] { _ = try await administrator.query(statement) }
    }

    private func cursor(_ log: LogFixture, _ stream: StreamName) async throws -> KnownCursor? {
        try await CursorTable(pool: log.consumer.pool).known([stream])[stream]
    }

    /// Runs services on a Redis that keeps what it has.
    private func goOn(
        _ log: LogFixture,
        _ services: [@Sendable () async throws -> Void],
        until condition: @escaping @Sendable () async throws -> Bool
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in services { group.addTask { try await service() } }
            defer { group.cancelAll() }
            try await eventually("in time", condition)
        }
    }

    /// CON-2: what was applied once may be undone behind a producer that comes back older.
    @Test func whoWaitsIsNotToldOfWhatHasBeenUndone() async throws {
        let log = try await LogFixture()
        let stream = StreamName(.task, Shard.all[0])
        let watch = CursorWatch(database: log.consumer, producers: [.task], memory: .zero, logger: log.logger)
        _ = try await CursorTable(pool: log.consumer.pool).takeOver([stream])
        @Sendable func apply(_ sequence: Int64) async throws {
            _ = try await log.consumer.pool.query(
                "UPDATE cursor SET seq = \(sequence), settled = \(sequence) WHERE stream = \(stream.description)"
            )
        }
        try await goOn(log, [watch.run]) {
            try await apply(10)
            try await watch.wait(for: [Position(stream, 10)])
            try await apply(5)
            await #expect(throws: Failure.self) {
                try await watch.wait(for: [Position(stream, 7)], timeout: .milliseconds(300))
            }
            return true
        }
    }

    /// Ten events are said and heard.
    private func tenHeard(_ log: LogFixture, _ organization: OrganizationID) async throws {
        for number in 1...10 { try await log.say(Int64(number), in: organization) }
        try await goOn(log, [log.makeRelay().run, log.makeReader().run]) {
            try await log.seen(in: organization).count == 10
        }
    }

    @Test func aConsumerAheadOfItsRestoredProducerGoesBackAndMissesNothing() async throws {
        let log = try await LogFixture(redisNumber: 11)
        let organization = log.organization()
        let stream = StreamName(.task, Shard(of: organization))
        try await log.run([]) {
            try await Lineage.note(in: log.producer.pool)
            try await self.tenHeard(log, organization)
            let before = try #require(try await self.cursor(log, stream)?.lineage)

            try await self.restore(log, stream.shard, to: 6)
            try await Lineage.note(in: log.producer.pool)
            for number in 107...109 { try await log.say(Int64(number), in: organization) }
            try await self.goOn(log, [log.makeRelay().run, log.makeReader().run]) {
                try await log.seen(in: organization).count == 13
            }
            let seen = try await log.seen(in: organization)
            #expect(seen.map(\.seq) == Array(1...10) + [7, 8, 9])
            #expect(seen.suffix(3).map(\.subject) == ["task/107", "task/108", "task/109"])
            #expect(try await log.stream(stream) == Array(1...9))
            let after = try #require(try await self.cursor(log, stream))
            #expect(after.sequence == 9)
            #expect(after.lineage != before)
        }
    }

    @Test func whatWasUndoneIsNotReadFromARedisThatStillHasIt() async throws {
        let log = try await LogFixture(redisNumber: 11)
        let organization = log.organization()
        let stream = StreamName(.task, Shard(of: organization))
        try await log.run([]) {
            try await Lineage.note(in: log.producer.pool)
            try await self.tenHeard(log, organization)

            // Both are restored to the sixth event, the consumer into another database.
            try await self.restore(log, stream.shard, to: 6)
            _ = try await log.consumer.pool.transaction(in: organization) { transaction in
                try await transaction.query([
                    "DELETE FROM seen WHERE organization_id = \(organization) AND seq > 6",
                    "UPDATE cursor SET seq = 6, settled = 6, home = 'another' WHERE stream = \(stream.description)",
                    "UPDATE cursor SET home = 'another'",
                ])
            }
            try await Lineage.note(in: log.producer.pool)
            // More than were undone: the new log is longer than the old stream before any relay looks.
            for number in 107...112 { try await log.say(Int64(number), in: organization) }

            // The reader comes first, and finds the old stream.
            let reader = log.makeReader()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await reader.run() }
                try await eventually { try await self.cursor(log, stream)?.home != "another" }
                try await Task.sleep(for: .milliseconds(500))
                #expect(try await log.seen(in: organization).count == 6)
                let relay = log.makeRelay()
                group.addTask { try await relay.run() }
                defer { group.cancelAll() }
                try await eventually { try await log.seen(in: organization).count == 12 }
            }
            let seen = try await log.seen(in: organization)
            #expect(seen.map(\.seq) == Array(1...12))
            #expect(seen.suffix(6).map(\.subject) == (107...112).map { "task/\($0)" })
            #expect(try await log.stream(stream) == Array(1...12))
        }
    }

    @Test func aLineageIsNotedOnceAndKept() async throws {
        let log = try await LogFixture(redisNumber: 11)
        let first = try await Lineage.note(in: log.producer.pool)
        #expect(first.count == 16)
        #expect(try await Lineage.note(in: log.producer.pool) == first)
        try await restore(log, Shard.all[0], to: 0)
        let second = try await Lineage.note(in: log.producer.pool)
        #expect(second != first)
        let rows = try await log.producer.pool.query("SELECT count(*) AS count FROM lineage")
        #expect(try rows.first?.get("count") == Int64(2 * Shard.count))
    }
}
