/// Several complaints at once.
struct ConfigurationComplaints: Error {
    var all: [ConfigurationComplaint]
}

/// Turns statements into a configuration and collects everything that is wrong with what they mean.
struct ConfigurationReader {
    private var complaints: [ConfigurationComplaint] = []
    private var configuration = GatewayConfiguration(listen: .standard)
    private var upstreamPlaces: [String: SourcePlace] = [:]
    private var ratePlaces: [String: SourcePlace] = [:]

    mutating func read(_ statements: [Statement]) throws -> GatewayConfiguration {
        if !statements.contains(where: { $0.word == "listen" }) {
            complaints.append(.init(SourcePlace(line: 1, column: 1), "listen is missing: say where to listen"))
        }
        for statement in statements where statement.word != "route" {
            collect { reader throws(ConfigurationComplaint) in try reader.readGeneral(statement) }
        }
        for statement in statements where statement.word == "route" {
            collect { reader throws(ConfigurationComplaint) in try reader.readRoute(statement) }
        }
        checkReachability()
        if !complaints.isEmpty { throw ConfigurationComplaints(all: complaints) }
        return configuration
    }

    /// Runs one step; what it throws is kept and the rest of the file still read.
    private mutating func collect(_ step: (inout Self) throws(ConfigurationComplaint) -> Void) {
        do throws(ConfigurationComplaint) { try step(&self) } catch { complaints.append(error) }
    }

    private mutating func readGeneral(_ statement: Statement) throws(ConfigurationComplaint) {
        switch statement.word {
        case "listen": configuration.listen = try ConfigurationValue.address(statement.arguments[0])
        case "admin": configuration.admin = try ConfigurationValue.address(statement.arguments[0])
        case "trusted_proxies":
            for argument in statement.arguments {
                guard let block = AddressBlock(argument.word ?? "") else {
                    throw ConfigurationComplaint(
                        argument.place,
                        "\"\(argument.word ?? "")\" is no address or block like 10.0.0.0/8"
                    )
                }
                configuration.trustedProxies.append(block)
            }
        case "limits": try readLimits(statement.block ?? [])
        case "jwt": try readToken(statement.block ?? [])
        case "upstream": try readUpstream(statement)
        default: try readRate(statement)
        }
    }

    private mutating func readLimits(_ statements: [Statement]) throws(ConfigurationComplaint) {
        for statement in statements {
            let value = statement.arguments[0]
            switch statement.word {
            case "header_bytes": configuration.limits.headerBytes = try ConfigurationValue.bytes(value)
            case "header_count": configuration.limits.headerCount = try ConfigurationValue.count(value)
            case "line_bytes": configuration.limits.lineBytes = try ConfigurationValue.bytes(value)
            case "header_timeout": configuration.limits.headerTimeout = try ConfigurationValue.duration(value)
            case "body_timeout": configuration.limits.bodyTimeout = try ConfigurationValue.duration(value)
            case "idle_timeout": configuration.limits.idleTimeout = try ConfigurationValue.duration(value)
            case "min_rate": configuration.limits.minimumRate = try ConfigurationValue.byteRate(value)
            case "connections": configuration.limits.connections = try ConfigurationValue.count(value)
            default: configuration.limits.connectionsPerAddress = try ConfigurationValue.count(value)
            }
        }
    }

    private mutating func readToken(_ statements: [Statement]) throws(ConfigurationComplaint) {
        for statement in statements {
            let value = statement.arguments[0]
            switch statement.word {
            case "issuer": configuration.token.issuer = try ConfigurationValue.claim(value)
            case "audience": configuration.token.audience = try ConfigurationValue.claim(value)
            case "jwks":
                guard let url = value.word, url.hasPrefix("http://") || url.hasPrefix("https://") else {
                    throw ConfigurationComplaint(
                        value.place,
                        "\"\(value.word ?? "")\" is no http:// or https:// address"
                    )
                }
                configuration.token.jwks = url
            case "algorithms":
                guard statement.arguments.count == 1, value.word == "EdDSA" else {
                    throw ConfigurationComplaint(value.place, "EdDSA is the only algorithm")
                }
            default: configuration.token.leeway = try ConfigurationValue.duration(value)
            }
        }
    }

    private mutating func readUpstream(_ statement: Statement) throws(ConfigurationComplaint) {
        let name = try ConfigurationValue.name(statement.arguments[0])
        if let first = upstreamPlaces[name] {
            throw ConfigurationComplaint(
                statement.arguments[0].place,
                "upstream \(name) is already given in line \(first.line)"
            )
        }
        upstreamPlaces[name] = statement.place
        var rule = UpstreamRule(name: name, servers: [])
        for inner in statement.block ?? [] {
            let words = inner.arguments
            switch inner.word {
            case "server":
                let server = try ConfigurationValue.address(words[0])
                guard !rule.servers.contains(server) else {
                    throw ConfigurationComplaint(words[0].place, "server \(server) is already given")
                }
                rule.servers.append(server)
            case "connect": rule.connectTimeout = try ConfigurationValue.duration(words[0])
            case "timeout": rule.answerTimeout = try ConfigurationValue.duration(words[0])
            case "max_in_flight": rule.maximumInFlight = try ConfigurationValue.count(words[0])
            case "queue": rule.queue = try ConfigurationValue.count(words[0])
            case "eject":
                try ConfigurationValue.keyword(words[0], "after")
                rule.ejectAfter = try ConfigurationValue.count(words[1])
                try ConfigurationValue.keyword(words[2], "errors")
                try ConfigurationValue.keyword(words[3], "for")
                (rule.ejectFor, rule.ejectForAtMost) = try range(words[4])
            default:
                try ConfigurationValue.keyword(words[0], "GET")
                guard let path = words[1].word, path.hasPrefix("/"), RequestTarget.complaint(aboutPath: path) == nil
                else {
                    throw ConfigurationComplaint(words[1].place, "\"\(words[1].word ?? "")\" is no path")
                }
                rule.healthPath = path
                try ConfigurationValue.keyword(words[2], "every")
                rule.healthEvery = try ConfigurationValue.duration(words[3])
            }
        }
        guard !rule.servers.isEmpty else {
            throw ConfigurationComplaint(statement.place, "upstream \(name) has no server")
        }
        configuration.upstreams.append(rule)
    }

    /// `5s..60s`.
    private func range(_ token: Token) throws(ConfigurationComplaint) -> (Duration, Duration) {
        let word = token.word ?? ""
        let parts = word.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts[1].isEmpty else {
            throw ConfigurationComplaint(token.place, "\"\(word)\" is no span like 5s..60s")
        }
        let first = try ConfigurationValue.duration(Token(kind: .word(parts[0], quoted: false), place: token.place))
        let last = try ConfigurationValue.duration(Token(kind: .word(parts[2], quoted: false), place: token.place))
        guard first <= last else { throw ConfigurationComplaint(token.place, "the span ends before it begins") }
        return (first, last)
    }

    /// `rate NAME 20/min [burst N] by KEY`.
    private mutating func readRate(_ statement: Statement) throws(ConfigurationComplaint) {
        let words = statement.arguments
        guard words.count == 4 || words.count == 6 else {
            throw ConfigurationComplaint(statement.place, "write it like: rate login 20/min burst 20 by ip")
        }
        let name = try ConfigurationValue.name(words[0])
        if let first = ratePlaces[name] {
            throw ConfigurationComplaint(words[0].place, "rate \(name) is already given in line \(first.line)")
        }
        ratePlaces[name] = statement.place
        let (count, window) = try ConfigurationValue.rate(words[1])
        var burst = count
        if words.count == 6 {
            try ConfigurationValue.keyword(words[2], "burst")
            burst = try ConfigurationValue.count(words[3])
            guard burst <= count else {
                throw ConfigurationComplaint(words[3].place, "a burst of \(burst) is more than the rate allows at all")
            }
        }
        try ConfigurationValue.keyword(words[words.count - 2], "by")
        let key = try ConfigurationValue.choice(words[words.count - 1], RateKey.self)
        configuration.rates.append(RateRule(name: name, count: count, window: window, burst: burst, key: key))
    }

    private mutating func readRoute(_ statement: Statement) throws(ConfigurationComplaint) {
        let path = statement.arguments[0]
        let pattern = try PathPattern(parsing: path.word ?? "", at: path.place)
        if let own = pattern.reservation { throw ConfigurationComplaint(path.place, own) }
        let inner = statement.block ?? []
        for needed in ["methods", "to", "auth"] where !inner.contains(where: { $0.word == needed }) {
            throw ConfigurationComplaint(statement.place, "\(needed) is missing in route \(pattern)")
        }
        var rule = RouteRule(pattern: pattern, methods: [], upstream: "", auth: .required)
        rule.line = statement.place.line
        for statement in inner {
            let value = statement.arguments[0]
            switch statement.word {
            case "methods": rule.methods = try methods(statement.arguments)
            case "to": rule.upstream = try reference(value, "upstream", configuration.upstreams.map(\.name))
            case "auth": rule.auth = try ConfigurationValue.choice(value, AuthRule.self)
            case "limit":
                for argument in statement.arguments {
                    let name = try reference(argument, "rate", configuration.rates.map(\.name))
                    guard !rule.limits.contains(name) else {
                        throw ConfigurationComplaint(argument.place, "limit \(name) is already given")
                    }
                    rule.limits.append(name)
                }
            case "body": rule.bodyLimit = try ConfigurationValue.bytes(value)
            case "timeout":
                rule.timeout = try ConfigurationValue.duration(value)
                rule.hasOwnTimeout = true
            case "cache": rule.cache = value.word
            case "retry": rule.retry = try retry(statement.arguments)
            default:
                guard value.word == "on" || value.word == "off" else {
                    throw ConfigurationComplaint(value.place, "log_path is on or off")
                }
                rule.logsPath = value.word == "on"
            }
        }
        try checkKeys(of: rule, at: statement.place)
        configuration.routeRules.append(rule)
    }

    /// A limit by user needs a user: without a token the address is counted instead, so a route that never has one
    /// would silently be limited by something else than it says.
    private func checkKeys(of rule: RouteRule, at place: SourcePlace) throws(ConfigurationComplaint) {
        for name in rule.limits {
            guard let rate = configuration.rates.first(where: { $0.name == name }) else { continue }
            if rate.key != .ip, rule.auth == .none {
                throw ConfigurationComplaint(
                    place,
                    "limit \(name) counts by \(rate.key.rawValue), but route \(rule.pattern) has auth none"
                )
            }
        }
    }

    private func methods(_ tokens: [Token]) throws(ConfigurationComplaint) -> [String] {
        let known = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        var methods: [String] = []
        for token in tokens {
            let word = token.word ?? ""
            guard known.contains(word) else {
                let hint =
                    ["HEAD", "OPTIONS"].contains(word)
                    ? ": the gateway sees to it by itself" : Suggestion.text(for: word, among: known)
                throw ConfigurationComplaint(token.place, "\"\(word)\" is no method of a route\(hint)")
            }
            guard !methods.contains(word) else { throw ConfigurationComplaint(token.place, "\(word) is already given") }
            methods.append(word)
        }
        return methods
    }

    private func reference(
        _ token: Token,
        _ kind: String,
        _ known: [String]
    ) throws(ConfigurationComplaint) -> String {
        let word = token.word ?? ""
        guard known.contains(word) else {
            throw ConfigurationComplaint(
                token.place,
                "unknown \(kind) \"\(word)\"" + Suggestion.text(for: word, among: known)
            )
        }
        return word
    }

    /// `off`, `1 on connect`, `1 on connect idempotent`.
    private func retry(_ tokens: [Token]) throws(ConfigurationComplaint) -> RetryRule {
        switch tokens.map({ $0.word ?? "" }) {
        case ["off"]: return .off
        case ["1", "on", "connect"]: return .onConnect
        case ["1", "on", "connect", "idempotent"]: return .onConnectAndIdempotent
        default:
            throw ConfigurationComplaint(tokens[0].place, "retry is off, 1 on connect, or 1 on connect idempotent")
        }
    }

    /// Two routes of one pattern must not share a method: the second would never be asked.
    private mutating func checkReachability() {
        var taken: [String: Int] = [:]
        for rule in configuration.routeRules {
            for method in rule.methods {
                let key = "\(method) \(rule.pattern.shape)"
                if let line = taken[key] {
                    complaints.append(
                        .init(
                            SourcePlace(line: rule.line, column: 1),
                            "never reached: \(method) \(rule.pattern) is already served by the route in line \(line)"
                        )
                    )
                } else {
                    taken[key] = rule.line
                }
            }
        }
    }
}

extension ListenAddress {
    /// What is listened on until a configuration says otherwise.
    static let standard = ListenAddress(host: "127.0.0.1", port: 8080)

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
}
