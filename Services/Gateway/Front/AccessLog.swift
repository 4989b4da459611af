import Identity
import Logging
import ServiceKit

/// One line for each request: who, what, how long. Never a header, a query or a body; of a path that holds a secret, or
/// that no route knows and that may therefore hold one mistyped, nothing but the route.
enum AccessLog {
    static func write(_ exchange: Exchange, status: Int, nanoseconds: Int64) {
        let logger = exchange.front.logger
        let isProbe = exchange.target.map { $0.path.hasPrefix("/health/") } ?? false
        let level: Logger.Level = isProbe ? .debug : .info
        guard logger.logLevel <= level else { return }
        var metadata: Logger.Metadata = [
            "request_id": "\(exchange.requestID)",
            "trace_id": "\(exchange.trace.traceID)",
            "method": "\(exchange.head.method)",
            "route": "\(exchange.route?.rule.pattern.description ?? "none")",
            "status": "\(status)",
            "ms": "\(milliseconds(nanoseconds))",
            "bytes": "\(exchange.sentBytes)",
        ]
        if let client = exchange.client { metadata["client"] = "\(client)" }
        if let route = exchange.route {
            metadata["upstream"] = "\(route.upstream.rule.name)"
            if route.rule.logsPath, let path = exchange.target?.path { metadata["path"] = "\(path)" }
        }
        if let principal = exchange.principal {
            metadata["organization"] = "\(principal.organization)"
            metadata["user"] = "\(principal.user)"
        }
        if exchange.attempts > 0 { metadata["attempts"] = "\(exchange.attempts + 1)" }
        logger.log(level: level, "request", metadata: metadata)
    }

    private static func milliseconds(_ nanoseconds: Int64) -> String {
        let hundredths = nanoseconds / 10_000
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
