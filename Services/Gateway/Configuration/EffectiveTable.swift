/// Prints a configuration with every default in its place.
enum EffectiveTable {
    static func text(of configuration: GatewayConfiguration) -> String {
        var blocks: [String] = []
        blocks.append(general(configuration))
        blocks.append(
            columns(
                ["UPSTREAM", "SERVERS", "CONNECT", "TIMEOUT", "IN FLIGHT", "QUEUE", "EJECT", "HEALTH"],
                configuration.upstreams.map { rule in
                    [
                        rule.name, rule.servers.map(\.description).joined(separator: " "), written(rule.connectTimeout),
                        written(rule.answerTimeout), "\(rule.maximumInFlight)", "\(rule.queue)",
                        "after \(rule.ejectAfter) for \(written(rule.ejectFor))..\(written(rule.ejectForAtMost))",
                        "\(rule.healthPath) every \(written(rule.healthEvery))",
                    ]
                }
            )
        )
        blocks.append(
            columns(
                ["RATE", "LIMIT", "BURST", "BY"],
                configuration.rates.map {
                    [$0.name, "\($0.count) in \(written($0.window))", "\($0.burst)", $0.key.rawValue]
                }
            )
        )
        blocks.append(
            columns(
                ["ROUTE", "METHODS", "TO", "AUTH", "LIMIT", "BODY", "TIMEOUT", "CACHE", "RETRY", "LOG PATH"],
                RouteTable.ownPaths.map { [$0, "GET", "(gateway)", "none", "-", "-", "-", "-", "-", "on"] }
                    + configuration.routeRules.map(row)
            )
        )
        return blocks.joined(separator: "\n")
    }

    private static func general(_ configuration: GatewayConfiguration) -> String {
        let limits = configuration.limits
        let rows: [(String, String)] = [
            ("listen", configuration.listen.description),
            ("admin", configuration.admin?.description ?? "off"),
            (
                "trusted_proxies",
                configuration.trustedProxies.isEmpty
                    ? "none" : configuration.trustedProxies.map(\.description).joined(separator: " ")
            ),
            ("issuer", configuration.token.issuer ?? "the public URL"),
            ("audience", configuration.token.audience),
            ("jwks", configuration.token.jwks ?? "/.well-known/jwks.json of upstream auth"),
            ("leeway", written(configuration.token.leeway)),
            ("header_bytes", written(bytes: limits.headerBytes)),
            ("header_count", "\(limits.headerCount)"),
            ("line_bytes", written(bytes: limits.lineBytes)),
            ("header_timeout", written(limits.headerTimeout)),
            ("body_timeout", written(limits.bodyTimeout)),
            ("idle_timeout", written(limits.idleTimeout)),
            ("min_rate", written(bytes: limits.minimumRate) + "/s"),
            ("connections", "\(limits.connections)"),
            ("connections_per_address", "\(limits.connectionsPerAddress)"),
        ]
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0.padded(to: width) + "  " + $0.1 + "\n" }.joined()
    }

    private static func row(_ rule: RouteRule) -> [String] {
        let retry: String
        switch rule.retry {
        case .off: retry = "off"
        case .onConnect: retry = "on connect"
        case .onConnectAndIdempotent: retry = "on connect idempotent"
        }
        return [
            rule.pattern.description, rule.methods.joined(separator: " "), rule.upstream, rule.auth.rawValue,
            rule.limits.isEmpty ? "-" : rule.limits.joined(separator: ", "), written(bytes: rule.bodyLimit),
            written(rule.timeout), rule.effectiveCache, retry, rule.logsPath ? "on" : "off",
        ]
    }

    private static func columns(_ head: [String], _ rows: [[String]]) -> String {
        let all = [head] + rows
        let widths = head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = zip(row, widths).map { $0.padded(to: $1) }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    static func written(_ duration: Duration) -> String {
        let milliseconds = duration.milliseconds
        return switch true {
        case milliseconds % 3_600_000 == 0: "\(milliseconds / 3_600_000)h"
        case milliseconds % 60_000 == 0: "\(milliseconds / 60_000)m"
        case milliseconds % 1000 == 0: "\(milliseconds / 1000)s"
        default: "\(milliseconds)ms"
        }
    }

    static func written(bytes: Int) -> String {
        switch true {
        case bytes % 1_048_576 == 0: "\(bytes / 1_048_576)MiB"
        case bytes % 1024 == 0: "\(bytes / 1024)KiB"
        default: "\(bytes)B"
        }
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        count >= width ? self : self + String(repeating: " ", count: width - count)
    }
}

extension Duration {
    /// Whole milliseconds, the rest cut off.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
