public import Events

/// Where missing events are fetched from: a producer's replay endpoint.
public protocol ReplaySource: Sendable {
    /// Up to `limit` events of a stream after a number, in order, as stored. Empty when there are none.
    func events(of stream: StreamName, after sequence: Int64, limit: Int) async throws -> [StoredEvent]

    /// What the producer's log has in common with another lineage of it; nil if the producer is too old to know.
    func origin(of stream: StreamName, lineage: String?) async throws -> LogOrigin?
}

extension ReplaySource {
    /// Of a source that knows nothing of lineages.
    public func origin(of stream: StreamName, lineage: String?) async throws -> LogOrigin? { nil }
}
