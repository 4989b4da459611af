public import Postgres

/// Which of several logs with the same numbers a producer's log is; see `L0002_lineage.sql`.
public enum Lineage {
    /// Writes down from where on the present lineage is a log of its own; to be called before the first write after a
    /// start. Gives its name.
    @discardableResult
    public static func note(in pool: PostgresPool) async throws -> String {
        let answers = try await pool.query([
            """
            INSERT INTO lineage (name, shard, since) SELECT current_lineage(), shard, seq FROM event_log
            WHERE NOT EXISTS (SELECT FROM lineage WHERE name = current_lineage()) ON CONFLICT DO NOTHING
            """,
            "SELECT current_lineage() AS name",
        ])
        return try answers[1].first?.get("name") ?? ""
    }
}

/// What a producer says about its log to a consumer that knows another lineage of it.
public struct LogOrigin: Sendable, Equatable, Codable {
    /// The present lineage.
    public var lineage: String
    /// The last number whose event is the same in both; nil if all of them are.
    public var common: Int64?

    /// With these values.
    public init(lineage: String, common: Int64?) {
        self.lineage = lineage
        self.common = common
    }

    /// From the lineages of a shard, oldest first, and the consumer's. A lineage that nobody here remembers was begun
    /// after the backup that we come from: it has in common what was there when the present one began.
    static func between(_ known: [(name: String, since: Int64)], present: String, theirs: String?) -> LogOrigin {
        guard let theirs, theirs != present else { return LogOrigin(lineage: present, common: nil) }
        let later: ArraySlice<(name: String, since: Int64)>
        if let place = known.lastIndex(where: { $0.name == theirs }) {
            later = known[(place + 1)...]
        } else {
            later = known.suffix(1)
        }
        return LogOrigin(lineage: present, common: later.map(\.since).min())
    }
}

/// A cursor as it is kept.
struct KnownCursor: Sendable, Equatable {
    var sequence: Int64
    var lineage: String?
    var home: String?
}

/// Events of a stream are of another lineage than those that were applied.
struct LineageElsewhere: Error {}
