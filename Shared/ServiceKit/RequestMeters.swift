import Metrics
import Synchronization

/// Counts and times the requests of one service. Instruments are looked up here: making one asks the metrics system,
/// which costs more than many a request.
final class RequestMeters: Sendable {
    private struct Key: Hashable {
        var method: String
        var route: String
        var status: Int
    }

    private struct Instruments {
        let counter: Counter
        let timer: Timer
    }

    private let service: String
    private let known = Mutex<[Key: Instruments]>([:])

    init(service: String) { self.service = service }

    func note(_ method: String, _ route: String, status: Int, after elapsed: Duration) {
        let method = RequestMeters.methods.contains(method) ? method : "other"
        let key = Key(method: method, route: route, status: status)
        let instruments = known.withLock { known in
            if let instruments = known[key] { return instruments }
            let instruments = make(key)
            known[key] = instruments
            return instruments
        }
        instruments.counter.increment()
        instruments.timer.record(duration: elapsed)
    }

    private func make(_ key: Key) -> Instruments {
        let common = [("service", service), ("method", key.method), ("route", key.route)]
        return Instruments(
            counter: Counter(label: "http_requests_total", dimensions: common + [("status", String(key.status))]),
            timer: Timer(label: "http_request_duration_seconds", dimensions: common)
        )
    }

    /// Others count as one, so that a client cannot make metrics of its own.
    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
}
