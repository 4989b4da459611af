import Events
import Metrics

/// The log's figures, under names that say whose they are.
struct LogMetrics: Sendable {
    private let dimensions: [(String, String)]

    /// Of a producing or consuming service.
    init(_ service: String) { dimensions = [("service", service)] }

    private func counter(_ name: String, _ stream: StreamName? = nil, by count: Int = 1) {
        let labels = dimensions + (stream.map { [("stream", $0.description)] } ?? [])
        Counter(label: "taskflow_events_\(name)_total", dimensions: labels).increment(by: count)
    }

    private func gauge(_ name: String, _ value: Double, _ stream: StreamName) {
        Gauge(label: "taskflow_events_\(name)", dimensions: dimensions + [("stream", stream.description)]).record(value)
    }

    private func timer(_ name: String, _ value: Duration) {
        Timer(label: "taskflow_events_\(name)_seconds", dimensions: dimensions).recordNanoseconds(
            max(0, value.nanoseconds)
        )
    }

    // MARK: Relay

    func outbox(_ stream: StreamName, depth: Int64, oldest: Double) {
        gauge("outbox_depth", Double(depth), stream)
        gauge("outbox_oldest_seconds", oldest, stream)
    }

    func published(_ count: Int, lag: Duration) {
        counter("published", by: count)
        timer("publish_lag", lag)
    }

    func rebuilt(_ stream: StreamName) { counter("stream_rebuilds", stream) }

    func absentReader(_ stream: StreamName) { counter("absent_readers", stream) }

    func paused() { counter("relay_pauses") }

    // MARK: Reader

    func lag(_ stream: StreamName, events: Int64) { gauge("reader_lag", Double(events), stream) }

    func applied(_ lag: Duration) { timer("apply_lag", lag) }

    func applied(count: Int) { counter("applied", by: count) }

    func gap(_ stream: StreamName) { counter("gaps", stream) }

    func duplicates(_ stream: StreamName, _ count: Int) { counter("duplicates", stream, by: count) }

    func replayed(_ stream: StreamName, _ count: Int) { counter("replayed", stream, by: count) }

    func rewound(_ stream: StreamName, _ count: Int) { counter("rewound", stream, by: count) }

    func skipped() { counter("unknown_types") }

    func failed(_ stream: StreamName) { counter("failures", stream) }

    func parked(_ stream: StreamName) { counter("parked", stream) }

    func parkedNow(_ stream: StreamName, retrying: Int64, parked: Int64) {
        gauge("retrying_now", Double(retrying), stream)
        gauge("parked_now", Double(parked), stream)
    }

    // MARK: Watch

    func waited(_ duration: Duration) { timer("position_wait", duration) }

    func notCaughtUp() { counter("not_caught_up") }
}

extension Duration {
    /// In nanoseconds.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
