import Chronology
import Events
import Identity
import Postgres

/// The statements on a service's own log.
struct OutboxTable: Sendable {
    let pool: PostgresPool
    let producer: Producer

    private static let columns: SQL = """
        o.shard, o.seq, o.id, o.type, o.version, o.subject, o.happened_at, o.organization_id, o.actor, o.causation_id,
        o.correlation_id, o.traceparent, o.payload
        """

    /// The newest number of each shard.
    func committed() async throws -> [Shard: Int64] {
        var numbers: [Shard: Int64] = [:]
        for row in try await pool.query("SELECT shard, seq FROM event_log") {
            if let shard = Shard(try row.get("shard")) { numbers[shard] = try row.get("seq") }
        }
        return numbers
    }

    /// The newest number of each shard, and the lineage that they belong to.
    func committedWithLineage() async throws -> (lineage: String, numbers: [Shard: Int64]) {
        let lineage = try await Lineage.note(in: pool)
        return (lineage, try await committed())
    }

    /// Up to `limit` events of each of several shards after a number each, in order; without a limit some, up to 512
    /// together.
    ///
    /// Over the outbox's partitions planning takes three times as long as reading an event. Postgres keeps one plan for
    /// good where values could not make it cheaper (PREPARE, "Notes"): so places are JSON, of which it guesses the same
    /// number of rows whatever they are, and the relay's limit is part of the text, in two forms.
    func events(after places: [(shard: Shard, top: Int64)], limit: Int? = nil) async throws -> [Shard: [StoredEvent]] {
        let objects = places.map { "{\"shard\":\($0.shard.number),\"top\":\($0.top)}" }
        let list: String = "[" + objects.joined(separator: ",") + "]"
        let some: SQL = places.count == 1 ? "512" : "32"
        let limit: SQL = if let limit { "\(limit)" } else { some }
        let rows = try await pool.query(
            """
            SELECT \(Self.columns)
            FROM jsonb_to_recordset(\(list)::jsonb) AS place (shard smallint, top bigint)
            CROSS JOIN LATERAL (
                SELECT * FROM outbox WHERE outbox.shard = place.shard AND seq > place.top ORDER BY seq LIMIT \(limit)
            ) o
            """
        )
        var events: [Shard: [StoredEvent]] = [:]
        for row in rows {
            let event = try event(row)
            events[event.envelope.position.stream.shard, default: []].append(event)
        }
        return events
    }

    /// When the oldest event after the top was committed, for each shard that has one.
    func oldest(after places: [(shard: Shard, top: Int64)]) async throws -> [Shard: Timestamp] {
        let rows = try await pool.query(
            """
            SELECT place.shard, o.created_at
            FROM unnest(\(places.map(\.shard.number))::smallint[], \(places.map(\.top))::bigint[]) AS place (shard, top)
            CROSS JOIN LATERAL (
                SELECT created_at FROM outbox
                WHERE outbox.shard = place.shard AND seq > place.top ORDER BY seq LIMIT 1
            ) o
            """
        )
        var moments: [Shard: Timestamp] = [:]
        for row in rows {
            if let shard = Shard(try row.get("shard")) { moments[shard] = try row.get("created_at") }
        }
        return moments
    }

    /// Lets the oldest weeks go.
    func retire() async throws -> Int {
        try await pool.query("SELECT outbox_retire() AS emptied").first?.get("emptied") ?? 0
    }

    private func event(_ row: Row) throws -> StoredEvent {
        guard let shard = Shard(try row.get("shard")) else { throw MalformedEvent() }
        return StoredEvent(
            envelope: Envelope(
                id: try row.get("id"),
                type: try row.get("type"),
                version: try row.get("version"),
                time: try row.get("happened_at"),
                subject: try row.get("subject"),
                position: Position(StreamName(producer, shard), try row.get("seq")),
                organization: try row.get("organization_id", as: OrganizationID?.self),
                actor: try row.get("actor", as: UserID?.self),
                causationID: try row.get("causation_id", as: EventID?.self),
                correlationID: try row.get("correlation_id", as: String?.self),
                traceparent: try row.get("traceparent", as: String?.self)
            ),
            payload: Array(try row.get("payload", as: String.self).utf8)
        )
    }
}
