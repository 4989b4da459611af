import Chronology
import Foundation
public import Logging
import Synchronization

/// Sets up logging for the process; called once, by `main()`.
public enum LogBootstrap {
    /// How records are written.
    public enum Format: String, Sendable, CaseIterable {
        /// JSON lines, or text where standard error is a terminal.
        case auto
        /// One JSON object a line.
        case json
        /// For people.
        case text
    }

    /// Every logger made from now on writes to standard error.
    public static func start(level: Logger.Level, format: Format = .auto) {
        let asText =
            switch format {
            case .auto: isatty(STDERR_FILENO) == 1
            case .json: false
            case .text: true
            }
        LoggingSystem.bootstrap { label in
            JSONLogHandler(label: label, level: level, asText: asText)
        }
    }
}

/// Writes one line for each record: JSON with the metadata flattened into it, or text for people. Control characters
/// are escaped, so that nothing a client sends can start a line of its own; metadata named like a secret is not shown.
public struct JSONLogHandler: LogHandler {
    /// What the logger says with every record.
    public var metadata: Logger.Metadata = [:]
    /// What the surroundings say with every record.
    public var metadataProvider: Logger.MetadataProvider?
    /// The least that is written.
    public var logLevel: Logger.Level
    private let label: String
    private let asText: Bool
    private let write: @Sendable ([UInt8]) -> Void

    /// A handler that writes lines with `write`, by default to standard error, each by one system call.
    public init(
        label: String,
        level: Logger.Level,
        asText: Bool = false,
        write: @escaping @Sendable ([UInt8]) -> Void = JSONLogHandler.standardError
    ) {
        self.label = label
        logLevel = level
        self.asText = asText
        self.write = write
    }

    /// One entry of ``metadata``.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one record.
    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let given = event.metadata { all.merge(given) { _, new in new } }
        if let error = event.error { all["error"] = "\(String(reflecting: error))" }
        var fields: [(key: String, value: JSON)] = []
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { flatten(key, value, into: &fields) }
        let time = WallClock.system.now.description
        write(
            asText
                ? text(time, event, fields)
                : JSON.object(
                    [
                        ("time", .string(time)), ("level", .string(event.level.rawValue)),
                        ("logger", .string(label)), ("message", .string(event.message.description)),
                    ] + fields
                ).encoded() + [0x0A]
        )
    }

    private func text(_ time: String, _ event: LogEvent, _ fields: [(key: String, value: JSON)]) -> [UInt8] {
        let clock = time.dropFirst(11).prefix(12)
        let level = event.level.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)
        var line = "\(clock) \(level) \(event.message)"
        for (key, value) in fields {
            line += " \(key)=\(value.text ?? String(decoding: value.encoded(), as: UTF8.self))"
        }
        let isControl: (Unicode.Scalar) -> Bool = { $0.properties.generalCategory == .control }
        let escaped = line.unicodeScalars.map { isControl($0) ? "\\u{\(String($0.value, radix: 16))}" : String($0) }
        return Array((escaped.joined() + "\n").utf8)
    }

    private func flatten(_ key: String, _ value: Logger.MetadataValue, into fields: inout [(key: String, value: JSON)])
    {
        guard !JSONLogHandler.isSecret(key) else {
            fields.append((key, .string("[redacted]")))
            return
        }
        switch value {
        case .string(let text): fields.append((key, .string(text)))
        case .stringConvertible(let value): fields.append((key, .string(value.description)))
        case .array(let values): fields.append((key, .string(values.map(\.description).joined(separator: ", "))))
        case .dictionary(let values):
            for (name, value) in values.sorted(by: { $0.key < $1.key }) {
                flatten("\(key).\(name)", value, into: &fields)
            }
        }
    }

    /// Names under which nobody should log; a net below the care of whoever does.
    private static func isSecret(_ key: String) -> Bool {
        let name = key.lowercased()
        return ["authorization", "cookie", "password", "secret", "credential", "refresh"].contains {
            name.contains($0)
        }
    }

    /// One `write(2)` a line, so that lines of several threads do not mix; what does not get out is dropped.
    public static let standardError: @Sendable ([UInt8]) -> Void = { line in
        lock.withLock { _ in
            var rest = line[...]
            while !rest.isEmpty {
                let written = rest.withUnsafeBytes { unsafe in
                    Foundation.write(STDERR_FILENO, unsafe.baseAddress, unsafe.count)
                }
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { return }
                rest = rest.dropFirst(written)
            }
        }
    }

    private static let lock = Mutex(())
}
