public import Chronology
public import Configuration
import Identity
public import Logging
import Redis
public import ServiceKit
public import ServiceLifecycle

/// The gateway ready to run.
public struct GatewayAssembly: Sendable {
    /// Everything that runs, in dependency order; the public server last.
    public let services: [any Service]
    /// The public port, once it is bound.
    public let boundPort: BoundPort
    /// The admin port, once it is bound; nil if there is none.
    public let adminPort: BoundPort?
    /// How long it goes on accepting after it was told to stop.
    public let drain: Duration
    private let reloader: Reloader

    init(
        services: [any Service],
        boundPort: BoundPort,
        adminPort: BoundPort?,
        drain: Duration,
        reloader: Reloader
    ) {
        self.services = services
        self.drain = drain
        self.boundPort = boundPort
        self.adminPort = adminPort
        self.reloader = reloader
    }

    /// Reads the configuration again, as SIGHUP does; false if it is not good and the old one stays.
    @discardableResult
    public func reload() -> Bool { reloader.reload() }
}

/// The front door: verifies tokens, limits, routes, forwards.
public enum GatewayApp {
    /// The gateway's own part of the API's document, as embedded YAML bytes.
    public static var openAPI: [UInt8] { PackageResources.openapi_yaml }

    /// Puts the gateway together.
    ///
    /// - Parameters:
    ///   - openAPI: the services' documents, YAML, by service.
    ///   - upstreamOverrides: servers (`host:port`) of upstreams, by name, stronger than settings and configuration.
    ///   - local: services of this process, called without a socket where an upstream names their address.
    public static func assemble(
        _ config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger,
        openAPI: [String: [UInt8]],
        upstreamOverrides: [String: [String]] = [:],
        local: [LocalService] = []
    ) throws -> GatewayAssembly {
        let settings = try GatewaySettings(config, upstreamOverrides: upstreamOverrides)
        let meters = Meters()
        let reloader = Reloader(settings: settings, meters: meters, logger: logger)
        let table = try reloader.makeTable(after: nil)
        let configuration = table.configuration
        if !settings.limitsRates { logger.warning("TASKFLOW_RATE_LIMITS is off: nothing limits how often anyone asks") }
        if settings.failsOpen {
            logger.warning("TASKFLOW_GATEWAY_FAIL_OPEN is on: ended sessions go on while Redis is away")
        }

        let keys = KeySource(urls: jwksURLs(configuration), clock: clock, logger: logger)
        let redis = redisClient(settings.installation.redisURL, logger)
        let gateRedis = settings.gateRedisURL.map { redisClient($0, logger) }
        let gate = Gate(
            settings: Gate.Settings(failsOpen: settings.failsOpen, limitsRates: settings.limitsRates),
            keys: keys,
            gateRedis: gateRedis ?? redis,
            rateRedis: redis,
            seal: PositionSeal(key: settings.installation.secrets.positionKey),
            clock: clock,
            logger: logger
        )
        let documents = try Documents(
            openAPI: OpenAPIDocument.merge(
                own: try YAMLDocument.read(PackageResources.openapi_yaml, name: "gateway"),
                services: openAPI.sorted { $0.key < $1.key }
                    .map { ($0.key, try YAMLDocument.read($0.value, name: $0.key)) },
                publicURL: settings.installation.publicURL,
                routes: configuration.routeRules
            ),
            asyncAPI: PackageResources.asyncapi_yaml
        )
        let front = Front(
            table: table,
            gate: gate,
            clock: clock,
            crossOrigin: settings.crossOrigin,
            isSecure: settings.installation.publicURL.hasPrefix("https://"),
            credential: settings.installation.secrets.serviceCredential,
            documents: documents,
            local: local,
            meters: meters,
            logger: logger
        )
        reloader.serve(front)

        let boundPort = BoundPort()
        var services: [any Service] = [redis]
        if let gateRedis { services.append(gateRedis) }
        services += [keys, HealthChecks(front: front), reloader] as [any Service]
        var adminPort: BoundPort?
        if let admin = configuration.admin {
            let port = BoundPort()
            adminPort = port
            services.append(
                AdminServer(front: front, redis: gateRedis ?? redis, listen: admin, boundPort: port, logger: logger)
            )
        }
        services.append(
            FrontServer(
                front: front,
                listen: configuration.listen,
                drain: settings.drain,
                boundPort: boundPort,
                logger: logger
            )
        )
        return GatewayAssembly(
            services: services,
            boundPort: boundPort,
            adminPort: adminPort,
            drain: settings.drain,
            reloader: reloader
        )
    }

    /// Requests are judged on the event loops of their clients, so each loop has a connection of its own.
    private static func redisClient(_ url: String, _ logger: Logger) -> RedisClient {
        RedisClient(url: url, commandTimeout: .seconds(1), connectsEachLoop: true, logger: logger)
    }

    /// Any of Auth's servers has the same keys.
    private static func jwksURLs(_ configuration: GatewayConfiguration) -> [String] {
        if let url = configuration.token.jwks { return [url] }
        let servers = configuration.upstreams.first { $0.name == "auth" }?.servers.map(\.description) ?? []
        return (servers.isEmpty ? ["127.0.0.1:7001"] : servers).map { "http://\($0)/.well-known/jwks.json" }
    }
}
