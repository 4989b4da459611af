import NIOCore

/// An address to listen on.
struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    var host: String
    var port: Int

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Reads `127.0.0.1:8080`, `[::1]:8080`, `name:8080`; nil for anything else.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, (0...65_535).contains(port) else { return nil }
        let allowed = host.utf8.allSatisfy {
            (0x30...0x3A).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2E
                || $0 == 0x2D
                || $0 == 0x5F
        }
        guard allowed else { return nil }
        self.host = String(host)
        self.port = port
    }
}

/// What is asked of a connection from outside.
struct FrontLimits: Sendable, Hashable {
    var headerBytes = 16_384
    var headerCount = 100
    var lineBytes = 8192
    var headerTimeout = Duration.seconds(10)
    var bodyTimeout = Duration.seconds(30)
    var idleTimeout = Duration.seconds(60)
    /// Bytes in a second, below which a body counts as stalled.
    var minimumRate = 1024
    var connections = 10_000
    var connectionsPerAddress = 1000
}

/// Whose tokens are good. What is nil comes from the settings.
struct TokenRule: Sendable, Hashable {
    var issuer: String?
    var audience = "taskflow"
    var jwks: String?
    var leeway = Duration.seconds(10)
}

/// A service behind the gateway.
struct UpstreamRule: Sendable, Hashable {
    var name: String
    var servers: [ListenAddress]
    var connectTimeout = Duration.seconds(1)
    /// Until the head of the answer.
    var answerTimeout = Duration.seconds(10)
    var maximumInFlight = 128
    var queue = 64
    var ejectAfter = 5
    var ejectFor = Duration.seconds(5)
    var ejectForAtMost = Duration.seconds(60)
    var healthPath = "/health/ready"
    var healthEvery = Duration.seconds(2)
}

/// What requests are counted by.
enum RateKey: String, Sendable, CaseIterable {
    case ip
    case user
    case organization
    case session
}

/// A limit on requests: never more than `count` in any `window`, and never more than `burst` faster than evenly.
struct RateRule: Sendable, Hashable {
    var name: String
    var count: Int
    var window: Duration
    var burst: Int
    var key: RateKey
}

/// Whether a route asks for a token.
enum AuthRule: String, Sendable, CaseIterable {
    case required
    case optional
    case none
}

/// When a request may be sent a second time.
enum RetryRule: Sendable, Hashable {
    case off
    /// Only if no connection could be made, so that nothing was sent.
    case onConnect
    /// Also when the connection broke and a repetition does no harm.
    case onConnectAndIdempotent
}

/// A path pattern with methods, and what holds there.
struct RouteRule: Sendable, Hashable {
    var pattern: PathPattern
    var methods: [String]
    var upstream: String
    var auth: AuthRule
    var limits: [String] = []
    var bodyLimit = 1_048_576
    /// From the head of the request to the end of the answer.
    var timeout = Duration.seconds(30)
    /// Whether the time above was said of this route; it then holds for the body too.
    var hasOwnTimeout = false
    /// `Cache-Control` for answers that bring none.
    var cache: String?
    var retry = RetryRule.onConnectAndIdempotent
    /// False where the path holds a secret: logs then name the pattern alone.
    var logsPath = true
    var line = 0

    /// The `Cache-Control` of an answer that has none of its own.
    var effectiveCache: String { cache ?? (auth == .none ? "no-store" : "private, no-cache") }
}

/// The gateway's whole configuration: what `gateway.conf` says, with all defaults filled in.
///
/// ```swift
/// let configuration = try GatewayConfiguration.load(text, file: "gateway.conf")
/// print(configuration.routes())
/// ```
public struct GatewayConfiguration: Sendable, Hashable {
    var listen: ListenAddress
    var admin: ListenAddress?
    var trustedProxies: [AddressBlock] = []
    var limits = FrontLimits()
    var token = TokenRule()
    var upstreams: [UpstreamRule] = []
    var rates: [RateRule] = []
    var routeRules: [RouteRule] = []

    /// Reads and checks a configuration; throws ``GatewayConfigurationError`` with everything that is wrong.
    public static func load(_ text: String, file: String = "gateway.conf") throws -> GatewayConfiguration {
        do {
            let statements = try SyntaxParser.statements(of: try Lexer.tokens(of: text))
            var reader = ConfigurationReader()
            return try reader.read(statements)
        } catch let complaint as ConfigurationComplaint {
            throw GatewayConfigurationError(file: file, complaints: [complaint])
        } catch let complaints as ConfigurationComplaints {
            throw GatewayConfigurationError(file: file, complaints: complaints.all)
        }
    }

    /// The text of a file. Throws ``GatewayConfigurationError`` if its bytes are not UTF-8.
    public static func text(of bytes: some Collection<UInt8>, file: String) throws -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        // What stands before the first byte that is wrong is what repairing leaves as it is.
        let good = zip(bytes, String(decoding: bytes, as: UTF8.self).utf8).prefix { $0 == $1 }.map(\.0)
        let lines = good.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let place = SourcePlace(
            line: lines.count,
            column: String(decoding: lines.last ?? [], as: UTF8.self).unicodeScalars.count + 1
        )
        throw GatewayConfigurationError(file: file, complaints: [ConfigurationComplaint(place, "not UTF-8")])
    }

    /// The text in the one canonical layout; comments stay. Throws ``GatewayConfigurationError`` if it is not well formed.
    public static func format(_ text: String, file: String = "gateway.conf") throws -> String {
        do throws(ConfigurationComplaint) {
            return try ConfigurationFormatter.format(text)
        } catch {
            throw GatewayConfigurationError(file: file, complaints: [error])
        }
    }

    /// The table as it takes effect, defaults included, for people to read.
    public func routes() -> String { EffectiveTable.text(of: self) }

    /// The configuration that is part of the program, used where no file is named.
    public static var embedded: String { String(decoding: PackageResources.gateway_conf, as: UTF8.self) }
}

/// What is wrong with a configuration, each with its place.
public struct GatewayConfigurationError: Error, Sendable, CustomStringConvertible {
    let file: String
    let complaints: [ConfigurationComplaint]

    /// One `file:line:col: message` each, in the order of the file.
    public var lines: [String] {
        complaints.sorted { ($0.place.line, $0.place.column) < ($1.place.line, $1.place.column) }
            .map { "\(file):\($0.place.line):\($0.place.column): \($0.message)" }
    }

    /// All lines.
    public var description: String { lines.joined(separator: "\n") }
}
