@testable import GatewayService

/// `gateway.conf`: what is accepted can be written out and read again as the same, the formatter changes nothing but
/// the layout and is done after one go, and every complaint points into the file.
enum ConfigurationProperty {
    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        try judgeComplaints(of: text)
        guard let tokens = try? Lexer.tokens(of: text) else {
            return try expect((try? GatewayConfiguration.format(text)) == nil, "formats what has no tokens")
        }
        try judgeTokens(tokens)
        try judgeFormat(of: text)
        guard let configuration = try? GatewayConfiguration.load(text) else { return }
        try judgeMeaning(of: configuration)
        let written = ConfigurationWriter.text(of: configuration)
        let again: GatewayConfiguration
        do {
            again = try GatewayConfiguration.load(written)
        } catch {
            throw Violation("cannot be read again: \(error) in\n\(written)")
        }
        try expect(placeless(again) == placeless(configuration), "is not read again as the same: \(written)")
        try expect(again.routes() == configuration.routes(), "the printed table differs")
    }

    private static func judgeComplaints(of text: String) throws {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        do {
            _ = try GatewayConfiguration.load(text)
        } catch let error as GatewayConfigurationError {
            try expect(!error.complaints.isEmpty, "refused without a complaint")
            for complaint in error.complaints {
                let place = complaint.place
                try expect(
                    (1...lines.count).contains(place.line),
                    "a complaint about no line of the file: \(complaint)"
                )
                try expect(
                    (1...(lines[place.line - 1].count + 1)).contains(place.column),
                    "a complaint about no column of its line: \(complaint)"
                )
                try expect(!complaint.message.isEmpty, "a complaint says nothing")
            }
        }
    }

    /// The tokens, each written in the one way, give the same tokens.
    private static func judgeTokens(_ tokens: [Token]) throws {
        var text = ""
        for token in tokens {
            switch token.kind {
            case .word(let word, quoted: true): text += " \(ConfigurationWriter.quoted(word))"
            case .word(let word, quoted: false): text += " \(word)"
            case .open: text += " {"
            case .close: text += " }"
            case .comment(let comment): text += " \(comment)"
            case .newline: text += "\n"
            case .end: break
            }
        }
        let again = (try? Lexer.tokens(of: text))?.map(\.kind)
        try expect(again == tokens.map(\.kind), "tokens written out are other tokens: \(text.debugDescription)")
        for (one, next) in zip(tokens, tokens.dropFirst()) {
            try expect((one.place.line, one.place.column) < (next.place.line, next.place.column), "places go back")
        }
    }

    private static func judgeFormat(of text: String) throws {
        guard let formatted = try? GatewayConfiguration.format(text) else { return }
        guard let twice = try? GatewayConfiguration.format(formatted) else {
            throw Violation("cannot read what it has formatted: \(formatted.debugDescription)")
        }
        try expect(
            twice.utf8.elementsEqual(formatted.utf8),
            "formats once more what it has formatted: \(formatted.debugDescription)"
        )
        let one = (try? GatewayConfiguration.load(text)).map(placeless)
        let other = (try? GatewayConfiguration.load(formatted)).map(placeless)
        try expect(one == other, "formatting changes the meaning: \(formatted.debugDescription)")
        try expect(complaints(text) == complaints(formatted), "formatting changes the complaints")
    }

    /// What is wrong, without the places, which a new layout moves.
    private static func complaints(_ text: String) -> [String] {
        guard let wrong = GatewayConfiguration.complaints(of: text) else { return [] }
        return wrong.map { $0.message.filter { !$0.isNumber } }.sorted()
    }

    private static func judgeMeaning(of configuration: GatewayConfiguration) throws {
        let limits = configuration.limits
        let counts = [
            limits.headerBytes, limits.headerCount, limits.lineBytes, limits.minimumRate, limits.connections,
            limits.connectionsPerAddress,
        ]
        let times = [limits.headerTimeout, limits.bodyTimeout, limits.idleTimeout, configuration.token.leeway]
        try expect(counts.allSatisfy { $0 > 0 } && times.allSatisfy { $0 > .zero }, "a limit is not above 0")
        for rule in configuration.upstreams {
            try expect(!rule.servers.isEmpty && !rule.name.isEmpty, "an upstream without name or server")
            try expect(Set(rule.servers).count == rule.servers.count, "a server stands twice")
            try expect(rule.ejectFor <= rule.ejectForAtMost, "a span ends before it begins")
            try expect(rule.maximumInFlight > 0 && rule.queue > 0 && rule.ejectAfter > 0, "a count is not above 0")
        }
        for rate in configuration.rates {
            try expect(
                rate.burst >= 1 && rate.burst <= rate.count && rate.window > .zero,
                "a rate beyond itself: \(rate)"
            )
        }
        let upstreams = Set(configuration.upstreams.map(\.name))
        let rates = Set(configuration.rates.map(\.name))
        try expect(upstreams.count == configuration.upstreams.count, "two upstreams of one name")
        try expect(rates.count == configuration.rates.count, "two rates of one name")
        var served: Set<String> = []
        for rule in configuration.routeRules {
            try expect(upstreams.contains(rule.upstream), "a route to nowhere")
            try expect(rates.isSuperset(of: rule.limits), "a limit that is not there")
            try expect(!rule.methods.isEmpty && rule.bodyLimit > 0 && rule.timeout > .zero, "an empty route")
            try expect(rule.pattern.reservation == nil, "a route that nobody may give: \(rule.pattern)")
            for method in rule.methods {
                try expect(
                    served.insert("\(method) \(rule.pattern.shape)").inserted,
                    "a route is served twice: \(rule.pattern)"
                )
            }
        }
        for block in configuration.trustedProxies {
            try expect(block.contains(block.address), "a block without its own address: \(block)")
        }
    }

    private static func placeless(_ configuration: GatewayConfiguration) -> GatewayConfiguration {
        var configuration = configuration
        for index in configuration.routeRules.indices { configuration.routeRules[index].line = 0 }
        return configuration
    }
}

extension GatewayConfiguration {
    fileprivate static func complaints(of text: String) -> [ConfigurationComplaint]? {
        do {
            _ = try load(text)
            return nil
        } catch {
            return (error as? GatewayConfigurationError)?.complaints
        }
    }
}

/// Writes a configuration as a file; the other half of the reader, for the comparison alone.
enum ConfigurationWriter {
    static func text(of configuration: GatewayConfiguration) -> String {
        var lines = ["listen \(quoted(configuration.listen.description))"]
        if let admin = configuration.admin { lines.append("admin \(quoted(admin.description))") }
        if !configuration.trustedProxies.isEmpty {
            lines.append("trusted_proxies " + configuration.trustedProxies.map(\.description).joined(separator: " "))
        }
        lines += limits(configuration.limits) + token(configuration.token)
        for rule in configuration.upstreams { lines += upstream(rule) }
        lines += configuration.rates.map { rate in
            let units: [Duration: String] = [.seconds(1): "s", .seconds(60): "min", .seconds(3600): "h"]
            return "rate \(rate.name) \(rate.count)/\(units[rate.window] ?? "?") burst \(rate.burst) by \(rate.key)"
        }
        for rule in configuration.routeRules { lines += route(rule) }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func limits(_ limits: FrontLimits) -> [String] {
        [
            "limits {", "header_bytes \(amount(limits.headerBytes))", "header_count \(limits.headerCount)",
            "line_bytes \(amount(limits.lineBytes))", "header_timeout \(time(limits.headerTimeout))",
            "body_timeout \(time(limits.bodyTimeout))", "idle_timeout \(time(limits.idleTimeout))",
            "min_rate \(amount(limits.minimumRate))/s", "connections \(limits.connections)",
            "connections_per_address \(limits.connectionsPerAddress)", "}",
        ]
    }

    private static func token(_ rule: TokenRule) -> [String] {
        var lines = ["jwt {", "audience \(quoted(rule.audience))", "leeway \(time(rule.leeway))"]
        if let issuer = rule.issuer { lines.append("issuer \(quoted(issuer))") }
        if let jwks = rule.jwks { lines.append("jwks \(quoted(jwks))") }
        return lines + ["}"]
    }

    private static func upstream(_ rule: UpstreamRule) -> [String] {
        ["upstream \(rule.name) {"] + rule.servers.map { "server \(quoted($0.description))" } + [
            "connect \(time(rule.connectTimeout)) timeout \(time(rule.answerTimeout))",
            "max_in_flight \(rule.maximumInFlight) queue \(rule.queue)",
            "eject after \(rule.ejectAfter) errors for \(time(rule.ejectFor))..\(time(rule.ejectForAtMost))",
            "health GET \(quoted(rule.healthPath)) every \(time(rule.healthEvery))", "}",
        ]
    }

    private static func route(_ rule: RouteRule) -> [String] {
        var lines = ["route \(quoted(rule.pattern.description)) {", "methods \(rule.methods.joined(separator: " "))"]
        lines += ["to \(rule.upstream)", "auth \(rule.auth)", "body \(amount(rule.bodyLimit))"]
        if !rule.limits.isEmpty { lines.append("limit \(rule.limits.joined(separator: ", "))") }
        if rule.hasOwnTimeout { lines.append("timeout \(time(rule.timeout))") }
        if let cache = rule.cache { lines.append("cache \(quoted(cache))") }
        switch rule.retry {
        case .off: lines.append("retry off")
        case .onConnect: lines.append("retry 1 on connect")
        case .onConnectAndIdempotent: lines.append("retry 1 on connect idempotent")
        }
        return lines + ["log_path \(rule.logsPath ? "on" : "off")", "}"]
    }

    /// In quotes, scalar by scalar: a quote with an accent on it is a quote to the reader.
    static func quoted(_ word: String) -> String {
        var text = "\""
        for scalar in word.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { text.unicodeScalars.append("\\") }
            text.unicodeScalars.append(scalar)
        }
        text.unicodeScalars.append("\"")
        return text
    }

    /// In the largest unit that goes into it: numbers have at most nine digits.
    private static func amount(_ bytes: Int) -> String {
        for (name, unit) in [("GiB", 1_073_741_824), ("MiB", 1_048_576), ("KiB", 1024)] where bytes % unit == 0 {
            return "\(bytes / unit)\(name)"
        }
        return "\(bytes)B"
    }

    private static func time(_ duration: Duration) -> String {
        let milliseconds = duration.milliseconds
        for (name, unit) in [("h", 3_600_000 as Int64), ("m", 60_000), ("s", 1000)] where milliseconds % unit == 0 {
            return "\(milliseconds / unit)\(name)"
        }
        return "\(milliseconds)ms"
    }
}
