import Events
import Postgres

/// The statements on how far a service has applied what it reads.
struct CursorTable: Sendable {
    let pool: PostgresPool

    /// Makes the cursors that are not there yet, says that all before them has taken effect, and reads them.
    func takeOver(_ streams: [StreamName]) async throws -> [StreamName: Int64] {
        let names = streams.map(\.description)
        let answers = try await pool.query([
            "INSERT INTO cursor (stream) SELECT unnest(\(names)::text[]) ON CONFLICT DO NOTHING",
            "UPDATE cursor SET settled = seq WHERE stream = ANY(\(names)::text[]) AND settled < seq",
            "SELECT stream, seq FROM cursor WHERE stream = ANY(\(names)::text[])",
        ])
        return try positions(answers[2], column: "seq")
    }

    /// Up to where everything has taken effect.
    func settled(_ streams: [StreamName]) async throws -> [StreamName: Int64] {
        let rows = try await pool.query(
            "SELECT stream, settled FROM cursor WHERE stream = ANY(\(streams.map(\.description))::text[])"
        )
        return try positions(rows, column: "settled")
    }

    /// Everything up to there has taken effect, actions after the commit included.
    func settle(_ position: Position) async throws {
        _ = try await pool.query(
            """
            UPDATE cursor SET settled = \(position.sequence)
            WHERE stream = \(position.stream.description) AND settled < \(position.sequence)
            """
        )
    }

    /// As they are kept, with what is known of their lineage.
    func known(_ streams: [StreamName]) async throws -> [StreamName: KnownCursor] {
        let rows = try await pool.query(
            "SELECT stream, seq, lineage, home FROM cursor WHERE stream = ANY(\(streams.map(\.description))::text[])"
        )
        var cursors: [StreamName: KnownCursor] = [:]
        for row in rows {
            guard let stream = StreamName(try row.get("stream", as: String.self)) else { continue }
            cursors[stream] = KnownCursor(
                sequence: try row.get("seq"),
                lineage: try row.get("lineage", as: String?.self),
                home: try row.get("home", as: String?.self)
            )
        }
        return cursors
    }

    /// The lineage of this service's own database, by which it knows whether it was restored itself.
    func home() async throws -> String {
        try await pool.query("SELECT current_lineage() AS name").first?.get("name") ?? ""
    }

    /// These cursors are at home here.
    func settleDown(_ streams: [StreamName], at home: String) async throws {
        _ = try await pool.query(
            """
            UPDATE cursor SET home = \(home)
            WHERE stream = ANY(\(streams.map(\.description))::text[]) AND home IS DISTINCT FROM \(home)
            """
        )
    }

    /// Takes a cursor over to another lineage of its log, back to what both have in common; what was set aside beyond
    /// that was never said. False if the cursor has moved meanwhile.
    func turn(_ stream: StreamName, from known: KnownCursor, to origin: LogOrigin, home: String) async throws -> Bool {
        let name = stream.description
        let common = min(known.sequence, origin.common ?? known.sequence)
        let answers = try await pool.query([
            """
            UPDATE cursor SET seq = \(common), settled = LEAST(settled, \(common)), lineage = \(origin.lineage),
                home = \(home), updated_at = now()
            WHERE stream = \(name) AND seq = \(known.sequence) AND lineage IS NOT DISTINCT FROM \(known.lineage)
            """,
            """
            DELETE FROM parked p USING cursor c
            WHERE p.stream = \(name) AND c.stream = p.stream AND c.lineage = \(origin.lineage) AND p.seq > c.seq
            """,
        ])
        return answers[0].affected == 1
    }

    private func positions(_ rows: Rows, column: String) throws -> [StreamName: Int64] {
        var positions: [StreamName: Int64] = [:]
        for row in rows {
            if let stream = StreamName(try row.get("stream", as: String.self)) {
                positions[stream] = try row.get(column)
            }
        }
        return positions
    }
}
