import Chronology
public import Events
import Identity
public import Logging
import Postgres
public import Redis

/// What an operator asks of a service's log; behind `/internal/events` and `taskflow events`.
public struct EventLogAdministration: Sendable {
    let database: TenantDatabase
    let redis: RedisClient
    let logger: Logger

    /// Of one service.
    public init(
        database: TenantDatabase,
        redis: RedisClient,
        logger: Logger = Logger(label: "taskflow.events")
    ) {
        self.database = database
        self.redis = redis
        self.logger = logger
    }

    /// Up to `limit` events of a shard of the service's own log after a number, at most 1000.
    public func replay(_ stream: StreamName, after sequence: Int64, limit: Int) async throws -> [StoredEvent] {
        guard let outbox, stream.producer == outbox.producer else { return [] }
        let events = try await outbox.events(
            after: [(shard: stream.shard, top: sequence)],
            limit: max(1, min(limit, 1000))
        )
        return events[stream.shard] ?? []
    }

    /// What the service's log has in common with another lineage of it.
    public func origin(_ stream: StreamName, lineage: String?) async throws -> LogOrigin {
        let present = try await Lineage.note(in: database.pool)
        let rows = try await database.pool.query(
            "SELECT name, since FROM lineage WHERE shard = \(stream.shard.number) ORDER BY id"
        )
        let known = try rows.map { row in
            (name: try row.get("name", as: String.self), since: try row.get("since", as: Int64.self))
        }
        return LogOrigin.between(known, present: present, theirs: lineage)
    }

    /// How the service's log and its reading of the others' stand.
    public func status() async throws -> EventLogStatus {
        EventLogStatus(outbox: try await outboxStatus(), cursors: try await cursorStatus())
    }

    private func outboxStatus() async throws -> [EventLogStatus.Outbox] {
        guard let outbox else { return [] }
        let tops = await tops(of: Shard.all.map { StreamName(outbox.producer, $0) })
        let committed = try await outbox.committed()
        var behind: [(shard: Shard, top: Int64)] = []
        for (stream, top) in tops where committed[stream.shard] ?? 0 > top { behind.append((stream.shard, top)) }
        let oldest = behind.isEmpty ? [:] : try await outbox.oldest(after: behind)
        return Shard.all.map { shard in
            let newest = committed[shard] ?? 0
            let published = tops[StreamName(outbox.producer, shard)]
            return EventLogStatus.Outbox(
                stream: StreamName(outbox.producer, shard).description,
                newest: newest,
                published: published,
                depth: published.map { max(0, newest - $0) } ?? 0,
                oldestUnpublishedSeconds: oldest[shard].map {
                    Double((database.clock.now - $0).wholeMicroseconds) / 1_000_000
                } ?? 0
            )
        }
    }

    private func cursorStatus() async throws -> [EventLogStatus.Cursor] {
        let rows = try await database.pool.query("SELECT stream, seq FROM cursor ORDER BY stream")
        let cursors = try rows.compactMap { row -> (StreamName, Int64)? in
            guard let stream = StreamName(try row.get("stream", as: String.self)) else { return nil }
            return (stream, try row.get("seq"))
        }
        let tops = await tops(of: cursors.map { $0.0 })
        let counts = try await parkedTable.counts()
        return cursors.map { stream, applied in
            EventLogStatus.Cursor(
                stream: stream.description,
                applied: applied,
                newest: tops[stream],
                lag: tops[stream].map { $0 - applied } ?? 0,
                retrying: counts[stream]?.retrying ?? 0,
                parked: counts[stream]?.parked ?? 0
            )
        }
    }

    /// Where streams end; nothing while Redis is not there.
    private func tops(of streams: [StreamName]) async -> [StreamName: Int64] {
        guard let replies = try? await redis.send(streams.map(RelayStream.top)) else { return [:] }
        var tops: [StreamName: Int64] = [:]
        for (stream, reply) in zip(streams, replies) { tops[stream] = try? RelayStream.top(from: reply) }
        return tops
    }

    private var outbox: OutboxTable? { database.producer.map { OutboxTable(pool: database.pool, producer: $0) } }

    private var parkedTable: ParkedTable { ParkedTable(pool: database.pool) }

    // MARK: Parked events

    /// Events that could not be applied, in order of stream and number.
    public func parked(after: Position? = nil, limit: Int = 100) async throws -> [ParkedEvent] {
        let rows = try await database.pool.query(
            """
            SELECT stream, seq, organization_id, subject, type, state, attempts, reason, created_at FROM parked
            WHERE (stream, seq) > (\(after?.stream.description ?? ""), \(after?.sequence ?? 0))
            ORDER BY stream, seq LIMIT \(max(1, min(limit, 1000)))
            """
        )
        return try rows.map { row in
            ParkedEvent(
                position: "\(try row.get("stream", as: String.self)):\(try row.get("seq", as: Int64.self))",
                type: try row.get("type"),
                subject: try row.get("subject"),
                organization: try row.get("organization_id", as: OrganizationID?.self)?.description,
                state: try row.get("state"),
                attempts: try row.get("attempts"),
                reason: try row.get("reason"),
                since: try row.get("created_at", as: Timestamp.self).description
            )
        }
    }

    /// Lets a parked event be tried again, and after it those that wait behind it, in order. How many there are; 0 if
    /// there is none at that place. `actor` goes to the log.
    public func retry(_ position: Position, by actor: String) async throws -> Int {
        let rows = try await database.pool.query(
            """
            WITH chosen AS (
                SELECT * FROM parked WHERE stream = \(position.stream.description) AND seq = \(position.sequence)
            )
            UPDATE parked p SET state = 'retrying', attempts = 0, next_attempt_at = now() FROM chosen
            WHERE p.stream = chosen.stream AND p.subject = chosen.subject
              AND p.organization_id IS NOT DISTINCT FROM chosen.organization_id
              AND (p.seq = chosen.seq OR (p.seq > chosen.seq AND p.state = 'retrying'))
            """
        )
        audit("retry", position, actor, count: rows.affected)
        return rows.affected
    }

    /// Gives an event up for good; those behind it go on. False if there is none at that place. `actor` goes to the log.
    public func drop(_ position: Position, by actor: String) async throws -> Bool {
        let isThere = try await database.pool.transaction(in: nil) { connection in
            let rows = try await connection.query(
                """
                SELECT 1 AS one FROM parked
                WHERE stream = \(position.stream.description) AND seq = \(position.sequence) FOR UPDATE
                """
            )
            if !rows.isEmpty { connection.send(ParkedTable.removal(position)) }
            return !rows.isEmpty
        }
        audit("drop", position, actor, count: isThere ? 1 : 0)
        return isThere
    }

    private func audit(_ action: String, _ position: Position, _ actor: String, count: Int) {
        logger.notice(
            count > 0
                ? "an operator has dealt with a parked event" : "an operator asked for an event that is not parked",
            metadata: [
                "audit": "events.\(action)", "position": "\(position)", "actor": "\(actor)", "events": "\(count)",
            ]
        )
    }
}

/// How a service's log stands.
public struct EventLogStatus: Sendable, Encodable {
    /// One shard of the service's own log.
    public struct Outbox: Sendable, Encodable {
        /// `task.07`.
        public var stream: String
        /// The newest event committed.
        public var newest: Int64
        /// The newest event on the stream; nil while Redis is not there.
        public var published: Int64?
        /// How many are still to be published.
        public var depth: Int64
        /// How long the oldest of them has waited, in seconds.
        public var oldestUnpublishedSeconds: Double
    }

    /// One stream that the service reads.
    public struct Cursor: Sendable, Encodable {
        /// `task.07`.
        public var stream: String
        /// The newest event applied.
        public var applied: Int64
        /// The newest event on the stream; nil while Redis is not there.
        public var newest: Int64?
        /// How many are still to be applied; negative if the stream has lost what was applied.
        public var lag: Int64
        /// Events that failed and will be tried again, and those that wait behind one.
        public var retrying: Int64
        /// Events that wait for an operator.
        public var parked: Int64
    }

    /// Empty for a service that says nothing.
    public var outbox: [Outbox]
    /// Empty for a service that hears nothing.
    public var cursors: [Cursor]
}

/// An event that could not be applied.
public struct ParkedEvent: Sendable, Encodable {
    /// `task.07:1234`.
    public var position: String
    /// Its type: `task.created`.
    public var type: String
    /// Its aggregate.
    public var subject: String
    /// Its organization.
    public var organization: String?
    /// `retrying` or `parked`.
    public var state: String
    /// How often it was tried; 0 for one that waits behind another.
    public var attempts: Int
    /// What went wrong last.
    public var reason: String
    /// When it was set aside.
    public var since: String
}
