public import Chronology
public import Configuration
public import Events
public import Hummingbird
import Identity
public import Logging
public import Messaging
public import Postgres
public import Redis
public import ServiceLifecycle

/// What a data-keeping service is put together from; made once by ``init(service:producer:schema:config:clock:logger:)``,
/// used by each `App.swift`.
///
/// Holds pool, tenant database, Redis, relay, reader, cursor watch and the router with the middleware that every
/// service has: request id and trace, log, metrics, problem answers, token verification, read-your-writes, position of
/// writes, `/health/live`, `/health/ready`; and below `/internal/`, all guarded by the service credential, `events`
/// (replay), `log/status`, `log/origin`, `log/parked` with `retry` and `drop`, and `metrics`.
public struct ServiceFoundation: Sendable {
    /// The settings of the service.
    public let settings: ServiceSettings
    /// Its logger, named after it.
    public let logger: Logger
    /// Its connections to Postgres.
    public let pool: PostgresPool
    /// Its schema, one organization at a time.
    public let database: TenantDatabase
    /// Its connection to Redis.
    public let redis: RedisClient
    /// The other services.
    public let neighbours: NeighbourClient
    /// The keys that access tokens are checked with.
    public let keys: KeySource
    /// Waits for what the other services have said; usable in routes.
    public let watch: PositionWatch

    private let producer: Producer?
    private let schema: SchemaDefinition

    /// `schema` is the service's own migrations; the log's tables come before them.
    public init(
        service: String,
        producer: Producer?,
        schema: SchemaDefinition,
        config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger
    ) throws {
        settings = try ServiceSettings(service: service, config)
        var logger = logger
        logger[metadataKey: "service"] = "\(service)"
        self.logger = logger
        self.producer = producer
        self.schema = ServiceFoundation.withLog(schema)
        pool = PostgresPool(settings.database, logger: logger)
        database = TenantDatabase(pool: pool, producer: producer, clock: clock)
        redis = RedisClient(url: settings.redisURL, logger: logger)
        neighbours = NeighbourClient(settings.installation)
        keys = KeySource(
            urls: [settings.url(of: "auth") + "/.well-known/jwks.json"],
            clock: clock,
            logger: logger
        )
        watch = PositionWatch()
    }

    /// A service's schema with the tables of the log before its own.
    public static func withLog(_ schema: SchemaDefinition) -> SchemaDefinition {
        SchemaDefinition(
            service: schema.service,
            migrations: MessagingSchema.migrations + schema.migrations + DrillMigration.all(of: schema.service),
            provision: schema.provision
        )
    }

    /// The running parts: Redis, pool, keys, watch, relay, reader of `consuming`, `services`, and the HTTP server with
    /// `routes`. All but the first three and the server wait until Postgres is there and migrated, and Redis is there.
    ///
    /// - Parameters:
    ///   - consuming: whose events are read; none, and there is no reader.
    ///   - handlers: what is done on hearing them.
    ///   - services: loops of the service's own; stopped before the reader and the relay.
    ///   - onTakeover: run whenever this process takes streams over, see ``Messaging/EventReader``.
    ///   - routes: adds the service's routes, each with its full path: no group has a prefix. Routes of
    ///     `authenticated` need an access token, those of `open` do not, those of `internal` (paths below
    ///     `/internal/`) need the service credential.
    public func assemble(
        consuming: [Producer],
        handlers: EventHandlers,
        services: [any Service] = [],
        onTakeover: (@Sendable () async throws -> Void)? = nil,
        routes: (
            _ authenticated: RouterGroup<AppContext>, _ open: RouterGroup<AppContext>,
            _ internal: RouterGroup<AppContext>
        ) -> Void
    ) throws -> ServiceAssembly {
        let readiness = Readiness()
        var parts: [any Service] = [redis, pool, keys, StartUp(foundation: self, readiness: readiness)]
        var waiting: [any Service] = []
        if !consuming.isEmpty {
            let cursors = CursorWatch(
                database: database,
                producers: consuming,
                replay: HTTPReplaySource(neighbours: neighbours),
                logger: logger
            )
            watch.use(cursors)
            waiting.append(cursors)
        }
        if producer != nil { waiting.append(EventRelay(database: database, redis: redis, logger: logger)) }
        if !consuming.isEmpty {
            let reader = EventReader(
                name: settings.service,
                producers: consuming,
                handlers: handlers,
                database: database,
                redis: redis,
                replay: HTTPReplaySource(neighbours: neighbours),
                logger: logger
            )
            if let onTakeover { reader.onTakeover(onTakeover) }
            waiting.append(reader)
        }
        parts += (waiting + services).map { WhenReady(readiness: readiness, base: $0) }
        let router = ServiceRouter(
            service: settings.service,
            credential: settings.secrets.serviceCredential,
            keys: keys,
            verifier: AccessTokenVerifier(issuer: settings.publicURL, maximumLifetime: settings.accessTokenLifetime),
            readiness: readiness,
            watch: watch,
            logger: logger
        )
        HealthRoutes(readiness: readiness, pool: pool, redis: redis, keys: keys).add(to: router.bare)
        let administration = EventLogAdministration(database: database, redis: redis, logger: logger)
        LogRoutes(producer: producer, administration: administration).add(to: router.inside)
        routes(router.authenticated, router.open, router.inside)
        let boundPort = BoundPort()
        let responder = router.router.buildResponder()
        let server = HTTPServerService(
            router: responder,
            settings: settings,
            readiness: readiness,
            boundPort: boundPort,
            logger: logger
        )
        let local = LocalService(
            address: "\(settings.listenHost):\(settings.listenPort)",
            responder: responder,
            logger: logger
        )
        return ServiceAssembly(
            name: settings.service,
            services: parts + [server],
            boundPort: boundPort,
            local: local,
            drain: settings.drain
        )
    }

    /// Waits for Postgres, the migrations and Redis, then lets the rest of the service start.
    private struct StartUp: Service, CustomStringConvertible {
        let foundation: ServiceFoundation
        let readiness: Readiness

        var description: String { "start of \(foundation.settings.service)" }

        func run() async throws {
            do {
                try await cancelWhenGracefulShutdown {
                    try await waitForStores()
                    try await noteLineage()
                }
                readiness.becomeReady()
                foundation.logger.info("ready")
            } catch is CancellationError {
                // Told to stop before everything was there; fall through to the end of the group.
            }
            try? await gracefulShutdown()
        }

        /// Before the first write: a log that was restored must know where its new part begins.
        private func noteLineage() async throws {
            while true {
                do {
                    try await Lineage.note(in: foundation.pool)
                    return
                } catch let error as PostgresError where error.isUnavailability {
                    try await Task.sleep(for: .milliseconds(500))
                }
            }
        }

        private func waitForStores() async throws {
            var hasSaid = false
            while true {
                do {
                    try await foundation.pool.waitUntilMigrated(foundation.schema)
                    break
                } catch let error as PostgresError where error.isUnavailability || error.code == .cancelled {
                    try Task.checkCancellation()
                    if !hasSaid {
                        foundation.logger.warning(
                            "waiting for Postgres",
                            metadata: ["error": "\(String(reflecting: error))"]
                        )
                        hasSaid = true
                    }
                    try await Task.sleep(for: .milliseconds(500))
                }
            }
            hasSaid = false
            while foundation.redis.serverRunID == nil {
                try await Task.sleep(for: .milliseconds(50))
                if !hasSaid, foundation.redis.serverRunID == nil {
                    foundation.logger.info("waiting for Redis")
                    hasSaid = true
                }
            }
        }
    }
}

/// A service ready to run.
public struct ServiceAssembly: Sendable {
    /// `task`.
    public let name: String
    /// Everything that runs, in dependency order; the HTTP server last.
    public let services: [any Service]
    /// The port the HTTP server is bound to, once it is.
    public let boundPort: BoundPort
    /// The same routes for a gateway of this process.
    public let local: LocalService
    /// How long it goes on accepting after it was told to stop.
    public let drain: Duration

    init(name: String, services: [any Service], boundPort: BoundPort, local: LocalService, drain: Duration) {
        self.name = name
        self.services = services
        self.boundPort = boundPort
        self.local = local
        self.drain = drain
    }
}
