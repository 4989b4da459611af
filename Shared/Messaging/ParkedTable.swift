import Events
import Identity
import Postgres

/// The statements on events that could not be applied.
struct ParkedTable: Sendable {
    let pool: PostgresPool

    /// Whose order is to be kept.
    struct Aggregate: Hashable, Sendable {
        var organization: OrganizationID?
        var subject: String
    }

    /// `retrying`: will be tried again by itself. `parked`: waits for an operator.
    enum State: String, Sendable {
        case retrying
        case parked
    }

    /// The rows of the same aggregate before a row `p`.
    static let earlier: SQL = """
        SELECT 1 FROM parked q WHERE q.stream = p.stream AND q.subject = p.subject AND q.seq < p.seq
          AND q.organization_id IS NOT DISTINCT FROM p.organization_id
        """

    /// Sets an event aside, in the transaction that advances the cursor past it.
    static func insertion(
        _ position: Position,
        _ aggregate: Aggregate,
        type: String,
        state: State,
        attempts: Int,
        after delay: Duration,
        reason: String,
        event: [UInt8]
    ) -> SQL {
        """
        INSERT INTO parked (stream, seq, organization_id, subject, type, state, attempts, next_attempt_at, reason, event)
        VALUES (\(position.stream.description), \(position.sequence), \(aggregate.organization),
                \(storable(aggregate.subject)), \(storable(type)), \(state.rawValue), \(attempts),
                now() + \(delay.wholeMilliseconds) * interval '1 millisecond', \(storable(reason)),
                \(storable(String(decoding: event, as: UTF8.self))))
        """
    }

    /// The aggregates of a stream whose later events must wait.
    static func aggregates(of stream: StreamName) -> SQL {
        "SELECT DISTINCT organization_id, subject FROM parked WHERE stream = \(stream.description)"
    }

    static func aggregates(from rows: Rows) throws -> Set<Aggregate> {
        try Set(
            rows.map { row in
                Aggregate(
                    organization: try row.get("organization_id", as: OrganizationID?.self),
                    subject: try row.get("subject")
                )
            }
        )
    }

    /// An event to be tried again.
    struct Candidate: Sendable {
        var position: Position
        var attempts: Int
    }

    /// The first of each aggregate whose time has come, and how many are to be tried again at all.
    func due(_ streams: [StreamName]) async throws -> (candidates: [Candidate], waiting: Int64) {
        let names = streams.map(\.description)
        let answers = try await pool.query([
            """
            SELECT p.stream, p.seq, p.attempts FROM parked p
            WHERE p.stream = ANY(\(names)::text[]) AND p.state = 'retrying' AND p.next_attempt_at <= now()
              AND NOT EXISTS (\(Self.earlier))
            ORDER BY p.next_attempt_at, p.seq LIMIT 32
            """,
            "SELECT count(*) AS waiting FROM parked WHERE stream = ANY(\(names)::text[]) AND state = 'retrying'",
        ])
        let candidates = try answers[0].compactMap { row -> Candidate? in
            guard let stream = StreamName(try row.get("stream", as: String.self)) else { return nil }
            return Candidate(position: Position(stream, try row.get("seq")), attempts: try row.get("attempts"))
        }
        return (candidates, try answers[1].first?.get("waiting") ?? 0)
    }

    /// Locks an event that is still to be tried again; nil if somebody else has it or has done it.
    static func lock(_ position: Position) -> SQL {
        """
        SELECT p.event FROM parked p
        WHERE p.stream = \(position.stream.description) AND p.seq = \(position.sequence) AND p.state = 'retrying'
          AND NOT EXISTS (\(earlier))
        FOR UPDATE SKIP LOCKED
        """
    }

    /// Removes an event that was applied, or given up, and lets the next of its aggregate go on at once.
    static func removal(_ position: Position) -> SQL {
        """
        WITH gone AS (
            DELETE FROM parked WHERE stream = \(position.stream.description) AND seq = \(position.sequence) RETURNING *
        )
        UPDATE parked p SET next_attempt_at = now() FROM gone
        WHERE p.stream = gone.stream AND p.subject = gone.subject AND p.seq > gone.seq AND p.state = 'retrying'
          AND p.organization_id IS NOT DISTINCT FROM gone.organization_id
        """
    }

    /// Notes a failed attempt.
    func failed(_ candidate: Candidate, state: State, after delay: Duration, reason: String) async throws {
        _ = try await pool.query(
            """
            UPDATE parked SET attempts = attempts + 1, state = \(state.rawValue), reason = \(storable(reason)),
                next_attempt_at = now() + \(delay.wholeMilliseconds) * interval '1 millisecond'
            WHERE stream = \(candidate.position.stream.description) AND seq = \(candidate.position.sequence)
            """
        )
    }

    /// How many are retrying and parked, by stream.
    func counts() async throws -> [StreamName: (retrying: Int64, parked: Int64)] {
        let rows = try await pool.query(
            """
            SELECT stream, count(*) FILTER (WHERE state = 'retrying') AS retrying,
                   count(*) FILTER (WHERE state = 'parked') AS parked
            FROM parked GROUP BY stream
            """
        )
        var counts: [StreamName: (retrying: Int64, parked: Int64)] = [:]
        for row in rows {
            guard let stream = StreamName(try row.get("stream", as: String.self)) else { continue }
            counts[stream] = (try row.get("retrying"), try row.get("parked"))
        }
        return counts
    }
}

/// Text as Postgres takes it: without U+0000, and not without end.
private func storable(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(262_144) { scalars.append(scalar.value == 0 ? "\u{FFFD}" : scalar) }
    return String(scalars)
}

extension Duration {
    var wholeMilliseconds: Int64 { nanoseconds / 1_000_000 }
}
