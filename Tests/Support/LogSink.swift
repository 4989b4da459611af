public import Logging
import Synchronization

/// Everything a logger was told, as one text.
public final class LogSink: Sendable {
    private let lines = Mutex<[String]>([])
    /// One line for each record: level, message, metadata.
    public var text: String { lines.withLock { $0.joined(separator: "\n") } }

    /// Nothing was told yet.
    public init() {}

    /// A logger that tells this.
    public var logger: Logger { Logger(label: "test") { _ in Handler(sink: self) } }

    private struct Handler: LogHandler {
        let sink: LogSink
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            sink.lines.withLock { $0.append("\(event.level) \(event.message) \(event.metadata ?? [:])") }
        }
    }
}
