import Chronology
import Events
import Failures
import Foundation
import Identity
import Postgres
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Messaging

/// The event log from end to end, against real servers.
@Suite("Event log Database", .serialized, .enabled(if: LogFixture.hasServers), .timeLimit(.minutes(2)))
struct EventLogDatabaseTests {
    @Test("Numbers are dense and in commit order under 50 writers whose transactions stay open at random")
    func denseNumbers() async throws {
        let log = try await LogFixture()
        let organizations = (0..<4).map { _ in log.organization() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<50 {
                group.addTask {
                    for round in 0..<10 {
                        let organization = organizations[(writer + round) % 4]
                        try? await log.producer.write(in: organization) { transaction in
                            _ = try await transaction.query("SELECT pg_sleep(\(Double.random(in: 0...0.01)))")
                            for event in 0...(round % 3) {
                                try transaction.publish(TaskRestored(task: TaskID(Int64(event + 1)), revision: 1))
                            }
                            if round == 7 { throw Poisoned() }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        let rows = try await log.producer.pool.query(
            """
            SELECT o.shard, count(*) AS events, min(o.seq) AS first, max(o.seq) AS last, max(l.seq) AS number
            FROM outbox o JOIN event_log l USING (shard) GROUP BY o.shard
            """
        )
        var total: Int64 = 0
        for row in rows {
            let events: Int64 = try row.get("events")
            #expect(try row.get("first") == Int64(1))
            #expect(try row.get("last") == events)
            #expect(try row.get("number") == events)
            total += events
        }
        // Per writer 10 rounds of 1, 2, 3 events by turns, but for the round that fails.
        #expect(total == 50 * (1 + 2 + 3 + 1 + 2 + 3 + 1 + 3 + 1))
    }

    @Test("Relay and reader bring every event over, once and in order, with what the envelope says")
    func exactlyOnce() async throws {
        let log = try await LogFixture()
        let organizations = (0..<5).map { _ in log.organization() }
        let relay = log.makeRelay()
        let reader = log.makeReader()
        try await log.run([relay.run, reader.run]) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for organization in organizations {
                    group.addTask {
                        for task in 1...100 { try await log.say(Int64(task), in: organization) }
                    }
                }
                try await group.waitForAll()
            }
            for organization in organizations {
                try await eventually { try await log.seen(in: organization).count >= 100 }
                let seen = try await log.seen(in: organization)
                #expect(seen.map(\.subject) == (1...100).map { "task/\($0)" })
                #expect(seen.map(\.seq) == seen.map(\.seq).sorted())
            }
            let rows = try await log.consumer.read(
                in: organizations[0],
                "SELECT DISTINCT actor FROM seen WHERE organization_id = \(organizations[0])"
            )
            #expect(try rows.map { try $0.get("actor", as: UserID.self).uuid } == [organizations[0].uuid])
        }
    }

    @Test("A server that loses everything is filled again, and nothing is applied twice")
    func flushed() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        let relay = log.makeRelay()
        let reader = log.makeReader()
        try await log.run([relay.run, reader.run]) {
            var last = try await log.say(1, in: organization)
            for task in 2...300 {
                if task % 60 == 0 { _ = try await log.redis.send(RedisCommand("FLUSHDB")) }
                last = try await log.say(Int64(task), in: organization)
            }
            _ = try await log.redis.send(RedisCommand("FLUSHDB"))
            try await eventually { try await log.seen(in: organization).count >= 300 }
            #expect(try await log.seen(in: organization).map(\.subject) == (1...300).map { "task/\($0)" })
            try await eventually("the stream is whole again") {
                try await log.stream(last.stream) == Array(1...last.sequence)
            }
        }
    }

    @Test("A stream that has lost its tail, or holds what was never committed, is put right")
    func tailCutAndAhead() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        let relay = log.makeRelay()
        try await log.run([relay.run]) {
            var last = try await log.say(1, in: organization)
            for task in 2...20 { last = try await log.say(Int64(task), in: organization) }
            let all = Array(1...last.sequence)
            let key = RelayStream.key(last.stream)
            try await eventually { try await log.stream(last.stream) == all }

            _ = try await log.redis.send(RedisCommand(["XDEL", key] + (11...20).map { "\($0)-0" }))
            _ = try await log.redis.send(RedisCommand("XSETID", key, "10-0"))
            try await eventually { try await log.stream(last.stream) == all }

            _ = try await log.redis.send(RedisCommand("XADD", key, "1000-0", "e", "from another life"))
            try await eventually { try await log.stream(last.stream) == all }
        }
    }

    @Test("Two relays and two readers at once do no harm")
    func doubled() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        let others = (log.replica(of: log.producer), log.replica(of: log.consumer))
        let relays = [log.makeRelay(), log.makeRelay(others.0)]
        let readers = [log.makeReader(), log.makeReader(others.1)]
        let administrator = PostgresPool(
            PostgresConfiguration(url: log.administratorURL, schema: "public"),
            logger: TestDatabase.logger
        )
        try await log.run(relays.map { $0.run } + readers.map { $0.run }) {
            var last = try await log.say(1, in: organization)
            for task in 2...400 {
                // Whoever holds locks loses them without being asked; the other one takes over.
                if task % 100 == 0 {
                    _ = try await administrator.query(
                        """
                        SELECT pg_terminate_backend(pid) FROM (SELECT DISTINCT pid FROM pg_locks
                        WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database
                                                                     WHERE datname = current_database())) AS holder
                        """
                    )
                }
                last = try await log.say(Int64(task), in: organization)
            }
            try await eventually { try await log.seen(in: organization).count >= 400 }
            #expect(try await log.seen(in: organization).map(\.subject) == (1...400).map { "task/\($0)" })
            #expect(try await log.stream(last.stream) == Array(1...last.sequence))
        }
    }

    @Test(
        "An event that fails is parked, later ones of its aggregate wait behind it, the rest flows; retry goes in order"
    )
    func poison() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        log.poison.withLock { $0 = ["task/1"] }
        let relay = log.makeRelay()
        let reader = log.makeReader()
        let administration = EventLogAdministration(database: log.consumer, redis: log.redis, logger: log.logger)
        try await log.run([relay.run, reader.run]) {
            let first = try await log.say(1, in: organization)
            for task in [2, 1, 3, 1, 2] { try await log.say(Int64(task), in: organization) }
            try await eventually { try await log.seen(in: organization).count >= 3 }
            #expect(try await log.seen(in: organization).map(\.subject) == ["task/2", "task/3", "task/2"])
            try await eventually("five more attempts") {
                try await administration.parked().map(\.state) == ["parked", "retrying", "retrying"]
            }
            let parked = try await administration.parked()
            #expect(parked.map(\.attempts) == [6, 0, 0])
            #expect(parked.map(\.subject) == ["task/1", "task/1", "task/1"])
            #expect(try await administration.status().cursors.map(\.parked).reduce(0, +) == 1)

            log.poison.withLock { $0 = [] }
            #expect(try await administration.retry(first, by: "test") == 3)
            try await eventually { try await log.seen(in: organization).count >= 6 }
            let late = try await log.seen(in: organization).suffix(3)
            #expect(late.map(\.subject) == ["task/1", "task/1", "task/1"])
            #expect(late.map(\.seq) == late.map(\.seq).sorted())
            #expect(try await administration.parked().isEmpty)
        }
    }

    @Test("A parked event can be dropped; those behind it go on")
    func drop() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        var handlers = EventHandlers()
        let fallible = log.handlers
        let firstFails = Mutex<Int64?>(nil)
        handlers.on(TaskRestored.self) { event, envelope, transaction in
            let first = firstFails.withLock { first in
                first = first ?? envelope.position.sequence
                return first
            }
            if envelope.position.sequence == first { throw UnreadableEvent(reason: "never") }
            try await fallible.handlers[envelope.type]?.handle(try EventPayload.encode(event), envelope, transaction)
        }
        let relay = log.makeRelay()
        let reader = log.makeReader(handlers: handlers)
        let administration = EventLogAdministration(database: log.consumer, redis: log.redis, logger: log.logger)
        try await log.run([relay.run, reader.run]) {
            let first = try await log.say(1, in: organization)
            try await eventually("parked at once") { try await administration.parked().map(\.state) == ["parked"] }
            try await log.say(1, in: organization)
            try await eventually { try await administration.parked().count == 2 }
            #expect(try await administration.drop(first, by: "test"))
            #expect(try await !administration.drop(first, by: "test"))
            try await eventually { try await log.seen(in: organization).count == 1 }
        }
    }

    @Test("Who has written waits until a reader has applied it, on its own process and on another")
    func readYourWrites() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        let elsewhere = log.replica(of: log.consumer)
        let watches = [log.consumer, elsewhere].map {
            CursorWatch(database: $0, producers: [.task], logger: log.logger)
        }
        let relay = log.makeRelay()
        let reader = log.makeReader()
        try await log.run([relay.run, reader.run] + watches.map { $0.run }) {
            for task in 1...30 {
                let position = try await log.say(Int64(task), in: organization)
                for watch in watches { try await watch.wait(for: [position], organization: organization) }
                #expect(try await log.seen(in: organization).count == task)
            }
            let other = Position(StreamName(.auth, Shard.all[0]), 1_000_000)
            try await watches[0].wait(for: [other])

            let never = Position(StreamName(.task, Shard.all[0]), 1_000_000)
            let start = ContinuousClock.now
            let refusals = await withTaskGroup(of: Failure?.self) { group in
                for _ in 0..<40 {
                    group.addTask {
                        do {
                            try await watches[1].wait(for: [never], timeout: .seconds(4))
                            return nil
                        } catch {
                            return error as? Failure
                        }
                    }
                }
                var refusals: [(Failure?, Duration)] = []
                for await refusal in group { refusals.append((refusal, ContinuousClock.now - start)) }
                return refusals
            }
            #expect(refusals.allSatisfy { $0.0?.code == "not-caught-up" && $0.0?.retryAfter == 1 })
            #expect(refusals.count { $0.1 < .seconds(3) } == 8)
        }
    }

    @Test("CON-4: of one organization at most 16 wait, and they leave room for another's")
    func waitingIsShared() async throws {
        let log = try await LogFixture()
        let loud = log.organization()
        let quiet = log.organization()
        let watch = CursorWatch(database: log.consumer, producers: [.task], logger: log.logger)
        let never = Position(StreamName(.task, Shard.all[0]), 1_000_000)
        let start = ContinuousClock.now
        let refusedAtOnce = await withTaskGroup(of: (OrganizationID, Duration).self) { group in
            for (organization, count) in [(loud, 25), (quiet, 10)] {
                for _ in 0..<count {
                    group.addTask {
                        await #expect(throws: Failure.self) {
                            try await watch.wait(for: [never], organization: organization, timeout: .seconds(4))
                        }
                        return (organization, ContinuousClock.now - start)
                    }
                }
            }
            var refused: [OrganizationID: Int] = [:]
            for await (organization, after) in group where after < .seconds(3) {
                refused[organization, default: 0] += 1
            }
            return refused
        }
        #expect(refusedAtOnce == [loud: 9])
    }

    @Test("CON-2: a producer that does not say what it has makes nobody wait longer", .timeLimit(.minutes(1)))
    func waitingEndsWhateverTheProducerDoes() async throws {
        let log = try await LogFixture()
        let watch = CursorWatch(
            database: log.consumer,
            producers: [.task],
            replay: SilentReplay(),
            logger: log.logger
        )
        let never = Shard.all.prefix(3).map { Position(StreamName(.task, $0), 1_000_000) }
        await #expect(throws: Failure.self) {
            try await watch.wait(for: never, organization: log.organization(), timeout: .milliseconds(800))
        }
    }

    @Test("What is done after the commit is over before anybody is told")
    func settledAfterActions() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        let elsewhere = log.replica(of: log.consumer)
        let isDone = Mutex(false)
        var handlers = EventHandlers()
        handlers.on(TaskRestored.self) { _, _, transaction in
            transaction.afterCommit {
                try? await Task.sleep(for: .milliseconds(100))
                isDone.withLock { $0 = true }
            }
        }
        let watches = [log.consumer, elsewhere].map {
            CursorWatch(database: $0, producers: [.task], logger: log.logger)
        }
        let relay = log.makeRelay()
        let reader = log.makeReader(handlers: handlers)
        try await log.run([relay.run, reader.run] + watches.map { $0.run }) {
            for watch in watches {
                isDone.withLock { $0 = false }
                let position = try await log.say(1, in: organization)
                try await watch.wait(for: [position])
                #expect(isDone.withLock { $0 })
            }
        }
    }

    @Test("Streams are trimmed only of what every reader has applied, and never of their newest entry")
    func trimming() async throws {
        let log = try await LogFixture()
        let organization = log.organization()
        let relay = log.makeRelay()
        try await log.run([relay.run]) {
            var last = try await log.say(1, in: organization)
            for task in 2...10 { last = try await log.say(Int64(task), in: organization) }
            let stream = last.stream
            try await eventually { try await log.stream(stream).count == 10 }
            let keeper = LogKeeper(
                outbox: OutboxTable(pool: log.producer.pool, producer: .task),
                redis: log.redis,
                logger: log.logger,
                metrics: LogMetrics("task"),
                clock: .system
            )
            let now = WallClock.system.now.seconds
            func mark(_ reader: String, _ sequence: Int64, age: Int64) async throws {
                let text = RelayStream.ReaderMark(sequence: sequence, seconds: now - age).text
                _ = try await log.redis.send(RedisCommand("HSET", RelayStream.cursorsKey(stream), reader, text))
            }
            await keeper.trim([stream.shard])
            #expect(try await log.stream(stream) == Array(1...10))
            try await mark("notification", 7, age: 0)
            try await mark("project", 4, age: 3600)
            try await mark("forgotten", 1, age: 100_000)
            await keeper.trim([stream.shard])
            #expect(try await log.stream(stream) == Array(4...10))
            try await mark("notification", 99, age: 0)
            try await mark("project", 99, age: 0)
            await keeper.trim([stream.shard])
            #expect(try await log.stream(stream) == [10])
        }
    }

    @Test("From commit to applied takes little", .enabled(if: LogFixture.takesFigures, "on a quiet machine only"))
    func lag() async throws {
        let figures = try await LagMeasurement.run(perSecond: 50, count: 500)
        #expect(figures.p99 < .milliseconds(25))
    }
}

extension LogFixture {
    /// Figures mean something in an optimised build on a machine that does nothing else: asked for by hand.
    static var takesFigures: Bool { ProcessInfo.processInfo.environment["TASKFLOW_TEST_FIGURES"] == "1" }
}
