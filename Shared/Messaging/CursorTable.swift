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
