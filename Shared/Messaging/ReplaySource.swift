public import Events

/// Where missing events are fetched from: a producer's replay endpoint.
public protocol ReplaySource: Sendable {
    /// Up to `limit` events of a stream after a number, in order, as stored. Empty when there are none.
    func events(of stream: StreamName, after sequence: Int64, limit: Int) async throws -> [StoredEvent]
}
