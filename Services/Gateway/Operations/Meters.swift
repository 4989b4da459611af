import Metrics
import Synchronization

/// What is counted and timed, one instrument for each name and set of labels, however often a table is reloaded.
final class Meters: Sendable {
    private let routes = Mutex<[String: RouteMeter]>([:])
    let retries = Counter(label: "taskflow_gateway_retries_total")
    let rejectedConnections = Counter(label: "taskflow_gateway_rejected_connections_total")
    let connections = Gauge(label: "taskflow_gateway_connections")
    let reloads = Counter(label: "taskflow_gateway_reloads_total")
    /// Requests that never came to a route.
    let unrouted = RouteMeter("none")

    func route(_ pattern: String) -> RouteMeter {
        routes.withLock { routes in
            if let known = routes[pattern] { return known }
            let meter = RouteMeter(pattern)
            routes[pattern] = meter
            return meter
        }
    }

    /// Upstreams are read when they are asked for, rather than counted at every request.
    func report(_ upstreams: [Upstream]) {
        for upstream in upstreams {
            let name = upstream.rule.name
            let load = upstream.load
            Gauge(label: "taskflow_gateway_upstream_in_flight", dimensions: [("upstream", name)]).record(load.inFlight)
            Gauge(label: "taskflow_gateway_upstream_queued", dimensions: [("upstream", name)]).record(load.queued)
            for server in upstream.snapshot {
                let isOpen = if case .closed = server.breaker.state { 0 } else { 1 }
                Gauge(
                    label: "taskflow_gateway_circuit_open",
                    dimensions: [("upstream", name), ("server", server.address.description)]
                ).record(isOpen)
            }
        }
    }
}

/// Counts and times the requests of one route.
final class RouteMeter: Sendable {
    private struct Key: Hashable {
        var method: String
        var status: Int
    }
    private let pattern: String
    private let counters = Mutex<[Key: Counter]>([:])
    private let timer: Timer

    init(_ pattern: String) {
        self.pattern = pattern
        timer = Timer(
            label: "http_request_duration_seconds",
            dimensions: [("service", "gateway"), ("route", pattern)]
        )
    }

    func note(method: String, status: Int, nanoseconds: Int64) {
        timer.recordNanoseconds(nanoseconds)
        let key = Key(method: Self.known.contains(method) ? method : "other", status: status)
        let counter = counters.withLock { counters in
            if let known = counters[key] { return known }
            let counter = Counter(
                label: "http_requests_total",
                dimensions: [
                    ("service", "gateway"), ("method", key.method), ("route", pattern), ("status", String(status)),
                ]
            )
            counters[key] = counter
            return counter
        }
        counter.increment()
    }

    /// Others count as one, so that a client cannot make metrics of its own.
    private static let known: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
}
