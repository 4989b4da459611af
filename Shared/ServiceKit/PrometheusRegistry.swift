public import CoreMetrics
import Synchronization

/// The metrics of this process, kept in memory and written as Prometheus text.
///
/// `main()` makes it the backend of swift-metrics with `MetricsSystem.bootstrap(PrometheusRegistry.shared)`; where
/// nobody does, as in tests, metrics cost next to nothing and go nowhere. Counters and gauges are what they are called;
/// timers become histograms in seconds, recorders histograms.
public final class PrometheusRegistry: MetricsFactory {
    /// The one of this process.
    public static let shared = PrometheusRegistry()
    /// The `Content-Type` of ``render()``.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// From half a millisecond, which is a read of one row, to ten seconds, which is when the gateway gives up.
    static let secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    /// For counts and sizes.
    static let plainBuckets: [Double] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 10_000, 100_000]

    private struct Key: Hashable {
        let name: String
        let labels: [Label]
    }

    struct Label: Hashable, Comparable {
        let name: String
        let value: String

        static func < (left: Label, right: Label) -> Bool { left.name < right.name }
    }

    private enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    private struct Family {
        let kind: Kind
        var series: [[Label]: any PrometheusSeries] = [:]
    }

    private let families = Mutex<[String: Family]>([:])

    /// A registry of its own, for tests.
    public init() {}

    /// Prometheus' text format, families and series in order of name.
    public func render() -> String {
        let families = self.families.withLock { $0 }
        var lines: [String] = []
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            lines.append("# TYPE \(name) \(family.kind.rawValue)")
            for (labels, series) in family.series.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                series.write(name, labels, to: &lines)
            }
        }
        return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
    }

    private func series<Series: PrometheusSeries>(
        _ label: String,
        _ dimensions: [(String, String)],
        _ kind: Kind,
        _ make: () -> Series
    ) -> Series {
        let name = PrometheusRegistry.sanitized(label)
        let labels = dimensions.map { Label(name: PrometheusRegistry.sanitized($0.0), value: $0.1) }.sorted()
        return families.withLock { families in
            var family = families[name] ?? Family(kind: kind)
            if let known = family.series[labels] as? Series { return known }
            let made = make()
            // A name used for two kinds of metric: the second one counts, but is not shown.
            guard family.kind == kind, family.series[labels] == nil else { return made }
            family.series[labels] = made
            families[name] = family
            return made
        }
    }

    /// Letters, digits, `_` and `:`; anything else becomes `_`.
    private static func sanitized(_ label: String) -> String {
        let bytes = label.utf8.map { byte -> UInt8 in
            switch byte {
            case 0x30...0x3A, 0x41...0x5A, 0x61...0x7A, 0x5F: byte
            default: 0x5F
            }
        }
        let name = String(decoding: bytes, as: UTF8.self)
        return bytes.first.map { (0x30...0x39).contains($0) } ?? true ? "_\(name)" : name
    }

    /// A counter.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, .counter) { PrometheusNumber() }
    }

    /// A counter.
    public func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(label, dimensions, .counter) { PrometheusNumber() }
    }

    /// A gauge.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, .gauge) { PrometheusNumber() }
    }

    /// A histogram, in the buckets of seconds if it is named so; a gauge where nothing is to be summed up.
    public func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool
    ) -> any RecorderHandler {
        if aggregate {
            let buckets =
                label.hasSuffix("_seconds") ? PrometheusRegistry.secondsBuckets : PrometheusRegistry.plainBuckets
            return series(label, dimensions, .histogram) { PrometheusHistogram(buckets) }
        }
        return series(label, dimensions, .gauge) { PrometheusNumber() }
    }

    /// A histogram in seconds.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        let name = label.hasSuffix("_seconds") ? label : "\(label)_seconds"
        return series(name, dimensions, .histogram) { PrometheusHistogram(PrometheusRegistry.secondsBuckets) }
    }

    /// Does nothing: Prometheus would take a series that starts over for a restart.
    public func destroyCounter(_ handler: any CounterHandler) {}
    /// Does nothing: Prometheus would take a series that starts over for a restart.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    /// Does nothing: Prometheus would take a series that starts over for a restart.
    public func destroyMeter(_ handler: any MeterHandler) {}
    /// Does nothing: Prometheus would take a series that starts over for a restart.
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    /// Does nothing: Prometheus would take a series that starts over for a restart.
    public func destroyTimer(_ handler: any TimerHandler) {}
}

/// One line, or one histogram, of the text.
protocol PrometheusSeries: AnyObject, Sendable {
    func write(_ name: String, _ labels: [PrometheusRegistry.Label], to lines: inout [String])
}

/// A counter or a gauge.
final class PrometheusNumber: PrometheusSeries, CounterHandler, FloatingPointCounterHandler, MeterHandler,
    RecorderHandler
{
    private let value = Mutex(0.0)

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    func increment(by amount: Double) { value.withLock { $0 += amount } }
    func decrement(by amount: Double) { value.withLock { $0 -= amount } }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { self.value.withLock { $0 = value } }
    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }
    func reset() { set(0.0) }

    func write(_ name: String, _ labels: [PrometheusRegistry.Label], to lines: inout [String]) {
        lines.append("\(name)\(PrometheusText.labels(labels)) \(PrometheusText.number(value.withLock { $0 }))")
    }
}

/// Counts of values up to each bound.
final class PrometheusHistogram: PrometheusSeries, TimerHandler, RecorderHandler {
    private struct State {
        var counts: [UInt64]
        var sum = 0.0
        var count: UInt64 = 0
    }

    private let bounds: [Double]
    private let state: Mutex<State>

    init(_ bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count)))
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        let bucket = bounds.firstIndex { value <= $0 }
        state.withLock { state in
            if let bucket { state.counts[bucket] += 1 }
            state.sum += value
            state.count += 1
        }
    }

    func write(_ name: String, _ labels: [PrometheusRegistry.Label], to lines: inout [String]) {
        let state = self.state.withLock { $0 }
        var total: UInt64 = 0
        for (bound, count) in zip(bounds, state.counts) {
            total += count
            let limit = PrometheusRegistry.Label(name: "le", value: PrometheusText.number(bound))
            lines.append("\(name)_bucket\(PrometheusText.labels(labels + [limit])) \(total)")
        }
        let limit = PrometheusRegistry.Label(name: "le", value: "+Inf")
        lines.append("\(name)_bucket\(PrometheusText.labels(labels + [limit])) \(state.count)")
        lines.append("\(name)_sum\(PrometheusText.labels(labels)) \(PrometheusText.number(state.sum))")
        lines.append("\(name)_count\(PrometheusText.labels(labels)) \(state.count)")
    }
}

/// Pieces of the text format.
private enum PrometheusText {
    static func labels(_ labels: [PrometheusRegistry.Label]) -> String {
        guard !labels.isEmpty else { return "" }
        let pairs = labels.map { label in
            let value = label.value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                .replacing("\n", with: "\\n")
            return "\(label.name)=\"\(value)\""
        }
        return "{\(pairs.joined(separator: ","))}"
    }

    static func number(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value > 0 ? "+Inf" : "-Inf" }
        if let whole = Int64(exactly: value) { return String(whole) }
        return "\(value)"
    }
}
