public import Configuration
public import Logging
public import Postgres
import Redis

/// The settings that the whole installation shares: services, gateway and command line read them alike.
///
/// - `TASKFLOW_PUBLIC_URL`: string, `http://127.0.0.1:8080`; the origin in links and `iss`.
/// - `TASKFLOW_SECRET`: string of at least 32 characters, required, secret; every other key is derived from it.
/// - `TASKFLOW_REDIS_URL`: string, `redis://127.0.0.1:6379/0`, secret.
/// - `TASKFLOW_<SERVICE>_LISTEN`: `host:port`; 127.0.0.1 and 7001 auth, 7002 organization, 7003 project, 7004 task,
///   7005 notification; port 0 picks a free one.
/// - `TASKFLOW_<SERVICE>_URL`: where the other services find it; `http://<LISTEN>` by default.
/// - `TASKFLOW_ACCESS_TOKEN_LIFETIME`: seconds, 30...3600, 300.
/// - `TASKFLOW_LOG_LEVEL`: `trace`...`critical`, `info`.
/// - `TASKFLOW_LOG_FORMAT`: `json`, `text` or `auto`, which is text on a terminal and JSON elsewhere; `auto`.
public struct InstallationSettings: Sendable {
    /// The origin under which clients reach the gateway.
    public let publicURL: String
    /// Where Redis is.
    public let redisURL: String
    /// How long an access token lives.
    public let accessTokenLifetime: Duration
    /// The keys derived from the installation's secret.
    public let secrets: DerivedSecrets
    private let urls: [String: String]

    /// The services that keep data, with their ports by default.
    public static let ports: [(service: String, port: Int)] = [
        ("auth", 7001), ("organization", 7002), ("project", 7003), ("task", 7004), ("notification", 7005),
    ]

    /// Reads and checks the settings; throws ``SettingError`` with one line for the operator.
    public init(_ config: ConfigReader) throws {
        publicURL = try config.origin("TASKFLOW_PUBLIC_URL", default: "http://127.0.0.1:8080")
        let secret = try config.required(
            "TASKFLOW_SECRET",
            secret: true,
            "at least 32 random characters, the same for all services"
        )
        guard secret.unicodeScalars.count >= 32 else {
            throw SettingError("TASKFLOW_SECRET is too short; give at least 32 random characters.")
        }
        secrets = DerivedSecrets(secret: secret)
        redisURL = try config.redisURL("TASKFLOW_REDIS_URL") ?? "redis://127.0.0.1:6379/0"
        accessTokenLifetime = .seconds(
            try config.number("TASKFLOW_ACCESS_TOKEN_LIFETIME", default: 300, in: 30...3600)
        )
        var urls: [String: String] = [:]
        for (service, _) in InstallationSettings.ports {
            let listen = try InstallationSettings.listen(service, config)
            // Nobody can connect to "every address"; the service is then found on this machine.
            let host = ["0.0.0.0", "::"].contains(listen.host) ? "127.0.0.1" : listen.host
            let authority = host.contains(":") ? "[\(host)]:\(listen.port)" : "\(host):\(listen.port)"
            urls[service] = try config.origin(
                "TASKFLOW_\(service.uppercased())_URL",
                default: "http://\(authority)"
            )
        }
        self.urls = urls
    }

    /// Where a service is found: `http://127.0.0.1:7001`.
    public func url(of service: String) -> String { urls[service] ?? "http://\(service)" }

    /// Where a service listens.
    public static func listen(_ service: String, _ config: ConfigReader) throws -> (host: String, port: Int) {
        let port = ports.first { $0.service == service }?.port ?? 0
        return try config.address("TASKFLOW_\(service.uppercased())_LISTEN", default: ("127.0.0.1", port))
    }

    /// How much is logged.
    public static func logLevel(_ config: ConfigReader) throws -> Logger.Level {
        let level = try config.choice(
            "TASKFLOW_LOG_LEVEL",
            of: Logger.Level.allCases.map(\.rawValue),
            default: "info"
        )
        return Logger.Level(rawValue: level) ?? .info
    }

    /// How it is written.
    public static func logFormat(_ config: ConfigReader) throws -> LogBootstrap.Format {
        let format = try config.choice(
            "TASKFLOW_LOG_FORMAT",
            of: LogBootstrap.Format.allCases.map(\.rawValue),
            default: "auto"
        )
        return LogBootstrap.Format(rawValue: format) ?? .auto
    }
}

/// What every service that keeps data reads from its settings: those of ``InstallationSettings``, and
///
/// - `TASKFLOW_<SERVICE>_DATABASE_URL`: string, required, secret; libpq URI for the role `<service>_app`.
/// - `TASKFLOW_<SERVICE>_DIRECT_DATABASE_URL`: string, secret; the same past PgBouncer in transaction mode, which the
///   first names then.
/// - `TASKFLOW_<SERVICE>_POOL`: connections to Postgres, 1...200, 10.
/// - `TASKFLOW_DRAIN`: seconds, 0...30, 0; how long a service that is told to stop says "not ready" and goes on
///   accepting, for a load balancer to notice.
public struct ServiceSettings: Sendable {
    /// The service: `task`.
    public let service: String
    /// What it shares with the others.
    public let installation: InstallationSettings
    /// Its schema in Postgres.
    public let database: PostgresConfiguration
    /// Where it listens.
    public let listenHost: String
    /// Where it listens; 0 for any free port.
    public let listenPort: Int
    /// How long it goes on accepting after it was told to stop.
    public let drain: Duration

    /// The origin under which clients reach the gateway, in links and `iss`.
    public var publicURL: String { installation.publicURL }
    /// Where Redis is.
    public var redisURL: String { installation.redisURL }
    /// How long an access token lives.
    public var accessTokenLifetime: Duration { installation.accessTokenLifetime }
    /// The keys derived from the installation's secret.
    public var secrets: DerivedSecrets { installation.secrets }

    /// Reads and checks the settings; throws ``SettingError`` with one line for the operator.
    public init(service: String, _ config: ConfigReader) throws {
        self.service = service
        installation = try InstallationSettings(config)
        let prefix = "TASKFLOW_\(service.uppercased())"
        let url = try config.required(
            "\(prefix)_DATABASE_URL",
            secret: true,
            "the URL of Postgres for the role \(service)_app: postgres://\(service)_app:password@host:5432/taskflow"
        )
        let direct = config.text("\(prefix)_DIRECT_DATABASE_URL", secret: true)
        for (key, url) in [("DATABASE_URL", url), ("DIRECT_DATABASE_URL", direct ?? url)] {
            guard url.hasPrefix("postgres://") || url.hasPrefix("postgresql://") || url.contains("=") else {
                throw SettingError(
                    "\(prefix)_\(key) is not a URL of Postgres; give postgres://\(service)_app:password@host/taskflow."
                )
            }
        }
        database = PostgresConfiguration(
            url: url,
            directURL: direct,
            schema: service,
            maximumConnections: try config.number("\(prefix)_POOL", default: 10, in: 1...200)
        )
        (listenHost, listenPort) = try InstallationSettings.listen(service, config)
        drain = try config.seconds("TASKFLOW_DRAIN", default: 0, in: 0...30)
    }

    /// Where a neighbour is found: `http://127.0.0.1:7001`.
    public func url(of service: String) -> String { installation.url(of: service) }
}

extension ConfigReader {
    /// The URL of a Redis, nil if it is not set; throws ``SettingError`` if it is none.
    public func redisURL(_ name: String) throws -> String? {
        guard let url = text(name, secret: true) else { return nil }
        guard RedisClient.isValid(url: url) else {
            throw SettingError("\(name) is not a URL of Redis; give redis://host:6379/0 or unix:///path.")
        }
        return url
    }
}
