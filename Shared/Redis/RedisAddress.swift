/// Where the server is and who we are to it.
struct RedisAddress: Sendable, Hashable {
    enum Endpoint: Sendable, Hashable {
        case tcp(host: String, port: UInt16)
        case unix(path: String)
    }

    var endpoint: Endpoint
    var user: String?
    var password: String?
    var database = 0

    /// Reads `redis://[[user][:password]@]host[:port][/db]` or `unix://[[user][:password]@]/path[?db=n]`, percent-encoded;
    /// nil for anything else.
    init?(_ url: String) {
        guard let colon = url.firstIndex(of: ":") else { return nil }
        let scheme = url[..<colon].lowercased()
        guard url[colon...].hasPrefix("://"), scheme == "redis" || scheme == "unix" else { return nil }
        var rest = url[url.index(colon, offsetBy: 3)...]

        let authorityEnd = rest.firstIndex(of: "/") ?? rest.endIndex
        if let at = rest[..<authorityEnd].lastIndex(of: "@") {
            let credentials = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = percentDecoded(credentials[0]) else { return nil }
            if !first.isEmpty { user = first }
            if credentials.count == 2 {
                guard let second = percentDecoded(credentials[1]) else { return nil }
                password = second
            }
            // `redis://secret@host` is understood as a password by some and a name by others.
            guard password != nil else { return nil }
            rest = rest[rest.index(after: at)...]
        }

        let query = rest.firstIndex(of: "?").map { rest[rest.index(after: $0)...] }
        rest = rest[..<(rest.firstIndex(of: "?") ?? rest.endIndex)]
        if let query {
            guard query.hasPrefix("db="), let number = Int(query.dropFirst(3)), number >= 0 else { return nil }
            database = number
        }

        if scheme == "unix" {
            guard rest.hasPrefix("/"), let path = percentDecoded(rest) else { return nil }
            endpoint = .unix(path: path)
            return
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let path = rest[slash...].dropFirst()
        if !path.isEmpty {
            guard let number = Int(path), number >= 0 else { return nil }
            database = number
        }
        guard let (host, port) = Self.hostAndPort(rest[..<slash]) else { return nil }
        endpoint = .tcp(host: host, port: port)
    }

    private static func hostAndPort(_ text: Substring) -> (String, UInt16)? {
        var host = text
        var port: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            if !rest.isEmpty { port = rest.dropFirst() }
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        guard !host.isEmpty else { return nil }
        guard let port else { return (String(host), 6379) }
        guard let number = UInt16(port), number > 0 else { return nil }
        return (String(host), number)
    }

    /// What has to be sent before anything else, to be answered by no error.
    var handshake: [RedisCommand] {
        var commands: [RedisCommand] = []
        if let password { commands.append(RedisCommand(["AUTH"] + [user, password].compactMap { $0 })) }
        if database != 0 { commands.append(RedisCommand("SELECT", String(database))) }
        return commands
    }

    /// For logs: no password in it.
    var description: String {
        switch endpoint {
        case .tcp(let host, let port): "\(host):\(port)"
        case .unix(let path): path
        }
    }
}

/// Decodes `%41`; nil if an escape is cut short or not hexadecimal, or the result not UTF-8.
private func percentDecoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8
    while let byte = rest.popFirst() {
        guard byte == 0x25 else {
            bytes.append(byte)
            continue
        }
        guard let high = rest.popFirst(), let low = rest.popFirst() else { return nil }
        let digits = String(decoding: [high, low], as: UTF8.self)
        guard digits.utf8.allSatisfy({ $0 != 0x2B && $0 != 0x2D }), let value = UInt8(digits, radix: 16) else {
            return nil
        }
        bytes.append(value)
    }
    return String(validating: bytes, as: UTF8.self)
}

/// How long to wait before the next attempt: doubling, with full jitter in the upper half.
struct BackOff: Sendable {
    private var attempt = 0
    private let first: Duration
    private let limit: Duration

    init(first: Duration = .milliseconds(50), limit: Duration = .seconds(1)) {
        self.first = first
        self.limit = limit
    }

    mutating func reset() { attempt = 0 }

    mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let full = min(limit, first * (1 << min(attempt, 16)))
        attempt += 1
        return full * Double.random(in: 0.5...1, using: &generator)
    }

    mutating func next() -> Duration {
        var generator = SystemRandomNumberGenerator()
        return next(using: &generator)
    }
}
