import CLibPQ
import Glibc
import Poller

/// What every session of a service is set to, beside its `search_path`: by the connection, and by the role for those that
/// come through a pooler.
enum SessionSettings {
    static let all = [
        ("timezone", "UTC"),
        ("datestyle", "ISO"),
        ("intervalstyle", "postgres"),
        ("bytea_output", "hex"),
        ("statement_timeout", "20000"),
        ("lock_timeout", "5000"),
        ("idle_in_transaction_session_timeout", "10000"),
        // Compiling pays for reports of seconds, which no request may be.
        ("jit", "off"),
    ]
}

/// Where to connect and with which settings: libpq's keywords and values.
struct ConnectionTarget: Sendable {
    private(set) var values: [String: String] = [:]

    /// Reads a connection string or URI as libpq does.
    init(_ url: String) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &message) else {
            // libpq's message quotes the string, password and all, so it is not passed on.
            PQfreemem(message)
            throw PostgresError(.unavailable, message: "not a connection string that libpq understands")
        }
        defer { PQconninfoFree(options) }
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
    }

    subscript(keyword: String) -> String? {
        get { values[keyword] }
        set { values[keyword] = newValue }
    }

    /// Puts settings of the session before those of the connection string, which so prevail.
    mutating func addOptions(_ options: [(String, String)]) {
        let ours = options.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing(" ", with: "\\ ")
            return "-c \(name)=\(escaped)"
        }
        values["options"] = (ours + [values["options"]].compactMap { $0 }).joined(separator: " ")
    }

    /// The same with `hostaddr` for names that only a resolver knows, which libpq would ask while everybody waits.
    func resolved() async throws(PostgresError) -> ConnectionTarget {
        guard values["hostaddr"] == nil, values["service"] == nil else { return self }
        guard let host = values["host"] ?? environment("PGHOST"), !host.isEmpty else { return self }
        let hosts = host.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        if hosts.allSatisfy({ isPathOrAddress($0) }) { return self }
        let ports = (values["port"] ?? environment("PGPORT") ?? "5432")
            .split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var result: (hosts: [String], addresses: [String], ports: [String]) = ([], [], [])
        for (index, host) in hosts.enumerated() {
            let addresses = isPathOrAddress(host) ? [""] : await BlockingCalls.run { lookUp(host) }
            for address in addresses {
                result.hosts.append(host)
                result.addresses.append(address)
                result.ports.append(ports.count == 1 ? ports[0] : index < ports.count ? ports[index] : "5432")
            }
        }
        guard !result.hosts.isEmpty else {
            throw PostgresError(.unavailable, message: "could not resolve \(host)")
        }
        var copy = self
        copy.values["host"] = result.hosts.joined(separator: ",")
        copy.values["hostaddr"] = result.addresses.joined(separator: ",")
        copy.values["port"] = result.ports.joined(separator: ",")
        return copy
    }

    /// Starts a connection; nil only without memory.
    @PollerActor
    func start() -> OpaquePointer? {
        let keywords = values.keys.sorted()
        var keys: [UnsafePointer<CChar>?] = keywords.map { UnsafePointer(strdup($0)) }
        var texts: [UnsafePointer<CChar>?] = keywords.map { UnsafePointer(strdup(values[$0] ?? "")) }
        defer {
            for pointer in keys + texts { free(UnsafeMutableRawPointer(mutating: pointer)) }
        }
        keys.append(nil)
        texts.append(nil)
        let handle = PQconnectStartParams(keys, texts, 0)
        keys.removeLast()
        texts.removeLast()
        return handle
    }

    /// `keyword='value'` for each, in the order of the keywords.
    var connectionString: String {
        values.keys.sorted().map { key in
            let value = (values[key] ?? "").replacing("\\", with: "\\\\").replacing("'", with: "\\'")
            return "\(key)='\(value)'"
        }.joined(separator: " ")
    }
}

extension PostgresConfiguration {
    /// A connection string like `url` with some of libpq's keywords replaced: `["dbname": "taskflow", "user": "x"]`.
    public static func connectionString(_ url: String, replacing values: [String: String]) throws -> String {
        var target = try ConnectionTarget(url)
        for (keyword, value) in values { target[keyword] = value }
        return target.connectionString
    }

    /// A connection string like `url` whose sessions have these settings, whatever else sets them.
    public static func connectionString(_ url: String, settings: [(String, String)]) throws -> String {
        var target = try ConnectionTarget(url)
        let options = target["options"]
        target["options"] = nil
        target.addOptions(settings)
        if let options { target["options"] = "\(options) \(target["options"] ?? "")" }
        return target.connectionString
    }

    /// What programs of Postgres read from their environment to connect there: no password stands on a command line.
    public static func programEnvironment(for url: String) throws -> [String: String] {
        let target = try ConnectionTarget(url)
        let names = [
            "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
            "password": "PGPASSWORD", "passfile": "PGPASSFILE", "sslmode": "PGSSLMODE", "sslcert": "PGSSLCERT",
            "sslkey": "PGSSLKEY", "sslrootcert": "PGSSLROOTCERT", "options": "PGOPTIONS", "service": "PGSERVICE",
            "connect_timeout": "PGCONNECT_TIMEOUT", "channel_binding": "PGCHANNELBINDING",
        ]
        var variables: [String: String] = [:]
        for (keyword, name) in names { variables[name] = target[keyword] }
        return variables
    }

    /// Which database a connection string names, for comparing: `host:port/database`, names of this machine made alike.
    public static func place(of url: String) throws -> String {
        let target = try ConnectionTarget(url)
        let host = target["host"] ?? environment("PGHOST") ?? "localhost"
        let isHere = ["localhost", "127.0.0.1", "::1"].contains(host)
        let port = target["port"] ?? environment("PGPORT") ?? "5432"
        return "\(isHere ? "localhost" : host):\(port)/\(target["dbname"] ?? target["user"] ?? "")"
    }
}

private func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// True for what libpq reaches without a resolver: a socket's directory or an IP address.
private func isPathOrAddress(_ host: String) -> Bool {
    if host.isEmpty || host.hasPrefix("/") || host.hasPrefix("@") { return true }
    var address = in6_addr()
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
}

/// The addresses of a host, in the resolver's order; empty if it has none. Blocks.
private func lookUp(_ host: String) -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var addresses: [String] = []
    var next = list
    while let entry = next {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let flags = Int32(NI_NUMERICHOST)
        let address = entry.pointee
        if getnameinfo(address.ai_addr, address.ai_addrlen, &text, socklen_t(text.count), nil, 0, flags) == 0 {
            addresses.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        next = address.ai_next
    }
    return addresses
}
