public import Chronology
public import Events
import Failures
public import Identity
public import Postgres
import Synchronization

/// A transaction that can publish. Its events are of one shard only.
public final class WriteTransaction: Sendable {
    /// The organization it is in, nil for an account's.
    public let organization: OrganizationID?
    /// The moment of the transaction, for `created_at` and the like.
    public let now: Timestamp

    private let ledger: WriteLedger

    init(_ ledger: WriteLedger, organization: OrganizationID?, now: Timestamp) {
        self.ledger = ledger
        self.organization = organization
        self.now = now
    }

    /// Sends a statement and waits for its answer.
    public func query(_ sql: SQL) async throws -> Rows { try await ledger.connection.query(sql) }

    /// Sends several statements in one round trip.
    public func query(_ statements: [SQL]) async throws -> [Rows] { try await ledger.connection.query(statements) }

    /// Queues a statement whose answer nobody needs.
    public func send(_ sql: SQL) { ledger.connection.send(sql) }

    /// Says what happened, if and when the transaction commits. Throws ``EventTooLarge`` past 64 KiB of payload.
    public func publish<E: Event>(_ event: E) throws {
        guard E.producer == ledger.producer else { throw ForeignEvent(type: E.type) }
        let scope = RequestScope.current
        ledger.add(
            OutgoingEvent(
                id: EventID.make(milliseconds: now.microseconds / 1000),
                type: E.type,
                version: E.version,
                subject: event.subject,
                time: now,
                organization: organization,
                actor: scope?.actor,
                causationID: scope?.causationID,
                correlationID: scope?.requestID,
                traceparent: scope?.traceparent,
                payload: try EventPayload.encode(event)
            )
        )
    }

    /// Runs after the commit and before the caller goes on; not run if the transaction fails.
    public func afterCommit(_ action: @escaping @Sendable () async -> Void) { ledger.add(action) }

    /// Whether ``claimIdempotencyKey()`` has anything to do.
    public var hasIdempotencyKey: Bool { RequestScope.current?.idempotency != nil && organization != nil }

    /// To be called once rights are judged and before anything is changed: throws ``IdempotentReplay`` if the
    /// request's key has done its work before, ``Failures/Failure`` 422 `idempotency-mismatch` if it was used with
    /// another body and 409 `idempotency-in-progress` while the first one still runs. Does nothing without a key.
    public func claimIdempotencyKey() async throws {
        guard let claim = RequestScope.current?.idempotency, let organization else { return }
        // The lock is held to the end of the transaction, and the record is looked for once it is there or refused.
        let answers = try await query([
            "SELECT pg_try_advisory_xact_lock(\(claim.lockKey)) AS mine",
            """
            SELECT fingerprint, status, body, location, etag FROM idempotency
            WHERE organization_id = \(organization) AND scope = \(SQLBytes(claim.scope))
              AND created_at > now() - interval '24 hours'
            """,
        ])
        if let record = answers[1].first {
            guard try record.get("fingerprint", as: SQLBytes.self).bytes == claim.fingerprint else {
                throw Failure(
                    .invalidFields,
                    "idempotency-mismatch",
                    "This Idempotency-Key was used for another request."
                )
            }
            try await recordHead()
            throw IdempotentReplay(
                reply: StoredReply(
                    status: try record.get("status"),
                    body: try record.get("body", as: SQLBytes.self).bytes,
                    location: try record.get("location", as: String?.self),
                    etag: try record.get("etag", as: String?.self)
                )
            )
        }
        guard try answers[0].first?.get("mine") == true else {
            throw Failure.conflict("idempotency-in-progress", "The first request with this Idempotency-Key still runs.")
        }
        ledger.claim(claim)
    }

    /// Whoever is given an earlier answer has perhaps never seen it, nor where the log was then; it is here at most now.
    private func recordHead() async throws {
        guard let producer = ledger.producer, let scope = RequestScope.current else { return }
        let rows = try await query("SELECT seq FROM event_log WHERE shard = \(ledger.shard.number) AND seq > 0")
        guard let row = rows.first else { return }
        scope.record(Position(StreamName(producer, ledger.shard), try row.get("seq")))
    }

    /// Removes what the log keeps of the organization: counters, idempotency and parked records go, its events in the outbox
    /// become tombstones without personal data, and the last of all is a tombstone if this transaction publishes nothing
    /// else. For services on hearing that it was deleted, and for the one that deletes it, before it publishes that.
    public func eraseOrganization() throws {
        guard let organization else { return }
        send("DELETE FROM idempotency WHERE organization_id = \(organization)")
        send("DELETE FROM counter WHERE organization_id = \(organization)")
        send("DELETE FROM parked WHERE organization_id = \(organization)")
        send(
            """
            UPDATE outbox SET type = 'tombstone', subject = 'tombstone', payload = '{}', actor = NULL,
                correlation_id = NULL, traceparent = NULL
            WHERE shard = \(ledger.shard.number) AND organization_id = \(organization) AND type <> 'tombstone'
            """
        )
        ledger.endWith(
            OutgoingEvent(
                id: EventID.make(milliseconds: now.microseconds / 1000),
                type: "tombstone",
                version: 1,
                subject: "tombstone",
                time: now,
                organization: organization,
                payload: Array("{}".utf8)
            )
        )
    }

    /// The same for what was said of these accounts alone, which belongs to no organization.
    public func erase(_ accounts: [AccountID]) {
        if accounts.isEmpty { return }
        let shards = Set(accounts.map { Shard(of: $0).number }).sorted()
        send(
            """
            UPDATE outbox SET type = 'tombstone', subject = 'tombstone', payload = '{}', actor = NULL,
                correlation_id = NULL, traceparent = NULL
            WHERE shard = ANY(\(shards)::smallint[]) AND organization_id IS NULL
              AND subject = ANY(\(accounts.map { "account/\($0)" })::text[])
            """
        )
        // A stream keeps its newest entry, which is to be none of theirs.
        send(
            """
            WITH n AS (UPDATE event_log SET seq = seq + 1 WHERE shard = ANY(\(shards)::smallint[]) RETURNING shard, seq)
            INSERT INTO outbox (shard, seq, id, type, version, subject, happened_at, payload)
            SELECT n.shard, n.seq, e.id, 'tombstone', 1, 'tombstone', \(now)::timestamptz, '{}'
            FROM n JOIN unnest(
                \(shards)::smallint[], \(shards.map { _ in EventID.make(milliseconds: now.microseconds / 1000) })::uuid[]
            ) AS e (shard, id) ON e.shard = n.shard
            """
        )
    }
}

/// An event whose payload is larger than 64 KiB.
public struct EventTooLarge: Error, Sendable {
    /// The event's type.
    public let type: String
    /// Bytes of its payload.
    public let bytes: Int
}

/// An event was published by a service that is not its producer: a mistake in the program.
public struct ForeignEvent: Error, Sendable {
    /// The event's type.
    public let type: String
}

/// An event before it has its number.
struct OutgoingEvent: Sendable {
    var id: EventID
    var type: String
    var version: Int
    var subject: String
    var time: Timestamp
    var organization: OrganizationID?
    var actor: UserID?
    var causationID: EventID?
    var correlationID: String?
    var traceparent: String?
    var payload: [UInt8]
}

/// What a transaction still has to do at its end: number and insert its events, keep an answer, run actions.
final class WriteLedger: Sendable {
    private struct Contents {
        var events: [OutgoingEvent] = []
        var last: OutgoingEvent?
        var actions: [@Sendable () async -> Void] = []
        var claim: IdempotencyClaim?
    }

    let connection: PostgresTransaction
    let producer: Producer?
    let shard: Shard
    let clock: WallClock
    private let contents = Mutex(Contents())

    init(_ connection: PostgresTransaction, producer: Producer?, shard: Shard, clock: WallClock) {
        self.connection = connection
        self.producer = producer
        self.shard = shard
        self.clock = clock
    }

    func add(_ event: OutgoingEvent) { contents.withLock { $0.events.append(event) } }

    /// Said if nothing else is.
    func endWith(_ event: OutgoingEvent) { contents.withLock { $0.last = event } }

    func add(_ action: @escaping @Sendable () async -> Void) { contents.withLock { $0.actions.append(action) } }

    func claim(_ claim: IdempotencyClaim) { contents.withLock { $0.claim = claim } }

    var hasActions: Bool { contents.withLock { !$0.actions.isEmpty } }

    /// Queues the record of the answer, and drops those of yesterday.
    func keepAnswer(_ result: some Sendable, in organization: OrganizationID) throws {
        guard let claim = contents.withLock({ $0.claim }), let reply = try claim.reply(for: result) else { return }
        connection.send(
            """
            DELETE FROM idempotency
            WHERE organization_id = \(organization) AND created_at < now() - interval '24 hours'
            """
        )
        connection.send(
            """
            INSERT INTO idempotency (organization_id, scope, fingerprint, status, body, location, etag)
            VALUES (\(organization), \(SQLBytes(claim.scope)), \(SQLBytes(claim.fingerprint)), \(reply.status),
                    \(SQLBytes(reply.body)), \(reply.location), \(reply.etag))
            """
        )
    }

    /// Numbers and inserts the events in the same round trip as COMMIT; where they ended, nil if there were none.
    func commit() async throws -> Position? {
        let events = contents.withLock { $0.events.isEmpty ? $0.last.map { [$0] } ?? [] : $0.events }
        guard let producer, !events.isEmpty else {
            _ = try await connection.commit(with: [])
            return nil
        }
        let rows = try await connection.commit(with: [Self.insertion(of: events, shard: shard)])
        return Position(StreamName(producer, shard), try rows[0][0].get("last"))
    }

    /// Takes the numbers under the shard's row lock, which is held until the commit right behind it.
    private static func insertion(of events: [OutgoingEvent], shard: Shard) -> SQL {
        let columns: SQL = """
            shard, seq, id, type, version, subject, happened_at, organization_id, actor, causation_id, correlation_id,
            traceparent, payload
            """
        let numbers: SQL = """
            WITH n AS (UPDATE event_log SET seq = seq + \(events.count) WHERE shard = \(shard.number) RETURNING seq)
            """
        // Nearly always there is one, and arrays of one take the server twice as long.
        if events.count == 1, let e = events.first {
            return """
                \(numbers) INSERT INTO outbox (\(columns))
                SELECT \(shard.number)::smallint, n.seq, \(e.id)::uuid, \(e.type)::text, \(e.version)::integer, \(e.subject)::text,
                       \(e.time)::timestamptz, \(e.organization)::uuid, \(e.actor)::uuid, \(e.causationID)::uuid,
                       \(e.correlationID)::text, \(e.traceparent)::text, \(String(decoding: e.payload, as: UTF8.self))::text
                FROM n RETURNING seq AS last
                """
        }
        return """
            \(numbers), said AS (
                INSERT INTO outbox (\(columns))
                SELECT \(shard.number)::smallint, n.seq - \(events.count) + e.place, e.id, e.type, e.version, e.subject,
                       e.happened_at, e.organization_id, e.actor, e.causation_id, e.correlation_id, e.traceparent, e.payload
                FROM n, unnest(
                    \(events.map(\.id))::uuid[], \(events.map(\.type))::text[], \(events.map(\.version))::integer[],
                    \(events.map(\.subject))::text[], \(events.map(\.time))::timestamptz[],
                    \(events.map(\.organization))::uuid[], \(events.map(\.actor))::uuid[],
                    \(events.map(\.causationID))::uuid[], \(events.map(\.correlationID))::text[],
                    \(events.map(\.traceparent))::text[],
                    \(events.map { String(decoding: $0.payload, as: UTF8.self) })::text[]
                ) WITH ORDINALITY AS e (id, type, version, subject, happened_at, organization_id, actor, causation_id,
                                        correlation_id, traceparent, payload, place)
            )
            SELECT seq AS last FROM n
            """
    }

    /// Runs what was to be done after the commit, in order.
    func runActions() async {
        for action in contents.withLock({ $0.actions }) { await action() }
    }
}
