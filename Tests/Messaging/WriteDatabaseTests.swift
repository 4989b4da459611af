import Chronology
import Events
import Failures
import Foundation
import Identity
import Messaging
import Postgres
import Synchronization
import TestSupport
import Testing

/// Transactions that publish, and idempotency keys, against a real server.
@Suite("Writing Database", .enabled(if: ProcessInfo.processInfo.environment["TASKFLOW_TEST_POSTGRES_URL"] != nil))
struct WriteDatabaseTests {
    private func database() async throws -> TenantDatabase {
        let schema = SchemaDefinition(service: "project", migrations: MessagingSchema.migrations)
        let url = try await TestDatabase.empty()
        return try await TestDatabase.migrated(schema, administratorURL: url).tenant(producer: .project)
    }

    private let organization = OrganizationID.make(milliseconds: 1_750_000_000_000)

    /// Where a request's writes ended.
    private final class Noted {
        var positions: [Position] = []
    }

    /// A request under a key; gives what it is answered with.
    private func create(
        _ name: String,
        key: UInt8,
        body: UInt8,
        in database: TenantDatabase,
        claims: Bool = true,
        noting noted: Noted? = nil,
        before: @Sendable () async throws -> Void = {}
    ) async throws -> StoredReply {
        let claim = IdempotencyClaim(
            scope: [UInt8](repeating: key, count: 32),
            fingerprint: [UInt8](repeating: body, count: 32)
        )
        claim.render { (name: String) in
            StoredReply(status: 201, body: Array(name.utf8) + [0, 255], location: "/\(name)/", etag: nil)
        }
        let scope = RequestScope(actor: nil, idempotency: claim)
        defer { noted?.positions = scope.positions }
        return try await RequestScope.$current.withValue(scope) {
            do {
                let organization = organization
                let made = try await database.write(in: organization) { transaction in
                    if claims { try await transaction.claimIdempotencyKey() }
                    try await before()
                    try transaction.publish(ProjectRestored(project: ProjectID(1), revision: 1))
                    return name
                }
                return StoredReply(status: 201, body: Array(made.utf8) + [0, 255], location: "/\(made)/", etag: nil)
            } catch let replay as IdempotentReplay {
                return replay.reply
            }
        }
    }

    private func events(_ database: TenantDatabase) async throws -> Int {
        try await database.pool.query("SELECT count(*) AS n FROM outbox")[0].get("n")
    }

    @Test("The same key and body do their work once and are answered alike; another body or key is another matter")
    func replay() async throws {
        let database = try await database()
        let first = try await create("a", key: 1, body: 1, in: database)
        let again = try await create("b", key: 1, body: 1, in: database)
        #expect(first == again)
        #expect(again.body == [0x61, 0, 255])
        await #expect { try await create("c", key: 1, body: 2, in: database) } throws: { error in
            (error as? Failure)?.code == "idempotency-mismatch" && (error as? Failure)?.kind == .invalidFields
        }
        #expect(try await create("d", key: 2, body: 1, in: database).location == "/d/")
        #expect(try await events(database) == 2)
    }

    @Test("Who is given an earlier answer is told where the log is, as if it were the first")
    func replayedPosition() async throws {
        let database = try await database()
        let (first, again) = (Noted(), Noted())
        _ = try await create("a", key: 1, body: 1, in: database, noting: first)
        _ = try await create("a", key: 1, body: 1, in: database, noting: again)
        #expect(first.positions.count == 1)
        #expect(again.positions == first.positions)
    }

    @Test("Work that failed leaves the key free")
    func failureFreesKey() async throws {
        let database = try await database()
        await #expect(throws: Failure.self) {
            try await create("a", key: 1, body: 1, in: database) { throw Failure.forbidden }
        }
        #expect(try await create("b", key: 1, body: 2, in: database).location == "/b/")
        #expect(try await events(database) == 1)
    }

    @Test("While the first request runs, the second is told so")
    func inProgress() async throws {
        let database = try await database()
        let started = AsyncStream.makeStream(of: Void.self)
        let mayEnd = AsyncStream.makeStream(of: Void.self)
        async let first = create("a", key: 1, body: 1, in: database) {
            started.continuation.finish()
            for await _ in mayEnd.stream {}
        }
        for await _ in started.stream {}
        await #expect { try await create("b", key: 1, body: 1, in: database) } throws: { error in
            (error as? Failure)?.code == "idempotency-in-progress" && (error as? Failure)?.kind == .conflict
        }
        mayEnd.continuation.finish()
        #expect(try await first.location == "/a/")
        #expect(try await create("c", key: 1, body: 1, in: database).location == "/a/")
    }

    @Test("A key is forgotten after a day, and only where it was claimed")
    func expiry() async throws {
        let database = try await database()
        _ = try await create("a", key: 1, body: 1, in: database)
        _ = try await database.read(
            in: organization,
            "UPDATE idempotency SET created_at = now() - interval '25 hours' WHERE organization_id = \(organization)"
        )
        #expect(try await create("b", key: 1, body: 2, in: database).location == "/b/")
        #expect(try await create("c", key: 1, body: 2, in: database).location == "/b/")
        _ = try await create("d", key: 3, body: 1, in: database, claims: false)
        #expect(try await create("e", key: 3, body: 2, in: database).location == "/e/")
    }

    @Test("Another organization's key is not seen")
    func tenancy() async throws {
        let database = try await database()
        _ = try await create("a", key: 1, body: 1, in: database)
        let other = OrganizationID.make(milliseconds: 1)
        let rows = try await database.read(in: other, "SELECT * FROM idempotency")
        #expect(rows.isEmpty)
    }

    @Test("Nothing is left of a transaction that throws: no event, no action, no position")
    func rollback() async throws {
        let database = try await database()
        let scope = RequestScope(actor: nil)
        let ran = Mutex(false)
        await #expect(throws: Failure.self) {
            try await RequestScope.$current.withValue(scope) {
                try await database.write(in: organization) { transaction in
                    try transaction.publish(ProjectRestored(project: ProjectID(1), revision: 1))
                    transaction.afterCommit { ran.withLock { $0 = true } }
                    throw Failure.notFound
                }
            }
        }
        #expect(try await events(database) == 0)
        #expect(!ran.withLock { $0 })
        #expect(scope.positions.isEmpty)
    }

    @Test("Actions run after the commit, and the position is that of the last event")
    func commit() async throws {
        let database = try await database()
        let scope = RequestScope(actor: nil)
        let seen = Mutex(0)
        let result = try await RequestScope.$current.withValue(scope) {
            try await database.write(in: organization) { transaction in
                for number in 1...3 {
                    try transaction.publish(ProjectRestored(project: ProjectID(Int64(number)), revision: 1))
                }
                transaction.afterCommit {
                    let count = try? await database.pool.query("SELECT count(*) AS n FROM outbox")[0].get(
                        "n",
                        as: Int.self
                    )
                    seen.withLock { $0 = count ?? -1 }
                }
                return "done"
            }
        }
        #expect(result == "done")
        #expect(seen.withLock { $0 } == 3)
        #expect(scope.positions == [Position(StreamName(.project, Shard(of: organization)), 3)])
    }

    @Test("What is too large, or another service's to say, is refused at once")
    func refusals() async throws {
        let database = try await database()
        await #expect(throws: EventTooLarge.self) {
            try await database.write(in: organization) { transaction in
                let name = String(repeating: "x", count: 70_000)
                try transaction.publish(ProjectUpdated(project: ProjectID(1), revision: 1, name: name))
            }
        }
        await #expect(throws: ForeignEvent.self) {
            try await database.write(in: organization) { try $0.publish(TaskRestored(task: TaskID(1), revision: 1)) }
        }
        #expect(try await events(database) == 0)
    }

    @Test("A deadlock is nobody's error: the loser runs again")
    func deadlock() async throws {
        let database = try await database()
        let organization = organization
        _ = try await database.write(in: organization) { transaction in
            for kind in ["a", "b"] {
                transaction.send(
                    "INSERT INTO counter (organization_id, kind, value) VALUES (\(organization), \(kind), 0)"
                )
            }
        }
        let runs = Count()
        let holders = Count()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for order in [["a", "b"], ["b", "a"]] {
                group.addTask {
                    try await database.write(in: organization) { transaction in
                        runs.value.withLock { $0 += 1 }
                        for kind in order {
                            _ = try await transaction.query(
                                """
                                UPDATE counter SET value = value + 1
                                WHERE organization_id = \(organization) AND kind = \(kind)
                                """
                            )
                            // Each holds its first row before either asks for the second.
                            holders.value.withLock { $0 += 1 }
                            while holders.value.withLock({ $0 }) < 2 { await Task.yield() }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(runs.value.withLock { $0 } >= 3)
        let rows = try await database.read(
            in: organization,
            "SELECT value FROM counter WHERE organization_id = \(organization)"
        )
        #expect(try rows.map { try $0.get("value", as: Int.self) } == [2, 2])
    }

    @Test("Of a deleted organization nothing personal stays, and the log keeps its numbers")
    func erasure() async throws {
        let database = try await database()
        _ = try await create("a", key: 1, body: 1, in: database)
        let organization = organization
        _ = try await database.write(in: organization) { transaction in
            try transaction.publish(ProjectUpdated(project: ProjectID(1), revision: 1, name: "secret"))
        }
        let (stream, other) = (StreamName(.project, Shard.all[0]), OrganizationID.make(milliseconds: 1))
        for (number, owner) in [(1, organization), (2, other)] {
            _ = try await database.pool.query(
                """
                INSERT INTO parked (stream, seq, organization_id, subject, type, state, attempts, next_attempt_at, reason,
                    event) VALUES (\(stream.description), \(number), \(owner), 's', 't', 'parked', 1, now(), 'r', '{}')
                """
            )
        }
        _ = try await database.write(in: organization) { try $0.eraseOrganization() }
        let parked = try await database.pool.query("SELECT organization_id FROM parked")
        #expect(try parked.map { try $0.get("organization_id", as: OrganizationID.self) } == [other])
        let rows = try await database.pool.query("SELECT seq, type, payload FROM outbox ORDER BY seq")
        // The third is there because a stream keeps its newest entry.
        #expect(try rows.map { try $0.get("seq", as: Int.self) } == [1, 2, 3])
        #expect(try rows.allSatisfy { try $0.get("type", as: String.self) == "tombstone" })
        #expect(try rows.allSatisfy { try $0.get("payload", as: String.self) == "{}" })
        #expect(try await database.read(in: organization, "SELECT * FROM idempotency").isEmpty)
    }

    @Test("Old weeks of the outbox go, young ones stay")
    func retention() async throws {
        let database = try await database()
        _ = try await create("a", key: 1, body: 1, in: database)
        for weeks in 0...7 {
            _ = try await database.pool.query(
                """
                INSERT INTO outbox (shard, seq, week, id, type, version, subject, happened_at, payload, created_at)
                SELECT 0, \(1000 - weeks), (floor(extract(epoch FROM moment) / 604800)::bigint % 8)::smallint,
                       gen_random_uuid(), 'x', 1, 'x', moment, '{}', moment
                FROM (SELECT now() - \(weeks) * interval '7 days' AS moment) AS time
                """
            )
        }
        #expect(try await database.pool.query("SELECT outbox_retire() AS emptied")[0].get("emptied") == 2)
        let left = try await database.pool.query(
            "SELECT seq FROM outbox WHERE shard = 0 AND seq > 900 ORDER BY seq DESC"
        )
        #expect(try left.map { 1000 - (try $0.get("seq", as: Int.self)) } == [0, 1, 2, 3, 4, 5])
    }
}

private final class Count: Sendable {
    let value = Mutex(0)
}
