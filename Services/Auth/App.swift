public import Chronology
public import Configuration
import Events
import Lists
public import Logging
import Messaging
public import Postgres
import Redis
public import ServiceKit
import ServiceLifecycle

/// The auth service: accounts, passwords, sessions, tokens and the keys they are signed with.
public enum AuthApp {
    /// The service's own tables, oldest migration first.
    public static let schema = SchemaDefinition(
        service: "auth",
        migrations: [Migration("V0001_create_auth", PackageResources.V0001_create_auth_sql)]
    )

    /// The OpenAPI document of this service's part of the API, as embedded YAML bytes.
    public static var openAPI: [UInt8] { PackageResources.openapi_yaml }

    /// Puts the service together from its settings.
    public static func assemble(
        _ config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger
    ) throws -> ServiceAssembly {
        let settings = try AuthSettings(config)
        let foundation = try ServiceFoundation(
            service: "auth",
            producer: .auth,
            schema: schema,
            config: config,
            clock: clock,
            logger: logger
        )
        let lifetime = foundation.settings.accessTokenLifetime
        let secrets = AuthSecrets(foundation.settings.secrets)
        let store = AuthStore(database: foundation.database, tokenLifetime: lifetime)
        let keys = KeyStore(pool: foundation.pool, secrets: secrets, clock: clock)
        let ring = KeyRing(
            store: keys,
            issuer: foundation.settings.publicURL,
            lifetime: lifetime,
            logger: foundation.logger
        )

        var services: [any Service] = []
        var gateRedis = foundation.redis
        if let url = settings.gateRedisURL, url != foundation.settings.redisURL {
            gateRedis = RedisClient(url: url, logger: foundation.logger)
            services.append(gateRedis)
        }
        let gate = RevocationGate(store: store, keys: keys, ring: ring, redis: gateRedis, logger: foundation.logger)
        services += [gate, Housekeeping(store: store, logger: foundation.logger)]

        let accounts = Accounts(
            store: store,
            hasher: try PasswordHasher(),
            issuer: TokenIssuer(ring: ring, secrets: secrets, lifetime: lifetime, clock: clock),
            gate: gate,
            secrets: secrets,
            rule: PasswordRule(minimum: settings.passwordMinimum),
            policy: settings.signUp,
            isLimited: settings.isLimited,
            clock: clock
        )
        let routes = AccountRoutes(
            accounts: accounts,
            ring: ring,
            signer: CursorSigner(key: foundation.settings.secrets.cursorKey),
            clock: clock,
            pages: Pages(passwordMinimum: settings.passwordMinimum)
        )
        let handlers = OrganizationEventHandlers(members: Members(store: store, gate: gate)).handlers
        return try foundation.assemble(consuming: [.organization], handlers: handlers, services: services) {
            authenticated,
            open,
            inside in
            routes.add(authenticated: authenticated, open: open)
            InternalRoutes(watch: foundation.watch, gate: gate).add(to: inside)
        }
    }

    // MARK: The command line

    /// Makes the next signing key and returns its id. It is published at once and signs ten minutes later, when every
    /// verifier has seen it; with `immediately`, at once. Running services follow within a second.
    public static func rotateKeys(
        _ config: ConfigReader,
        immediately: Bool = false,
        clock: WallClock = .system,
        logger: Logger
    ) async throws -> String {
        try await withKeys(config, clock: clock, logger: logger) { try await $0.rotate(immediately: immediately) }
    }

    /// Revokes a signing key: tokens it signed are refused by every gateway within a second of a running Auth. If it was
    /// the one that signs, another one does from then on. False if there is no such key.
    public static func revokeKey(
        _ keyID: String,
        _ config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger
    ) async throws -> Bool {
        try await withKeys(config, clock: clock, logger: logger) { try await $0.revoke(keyID) }
    }

    /// The signing keys, oldest first.
    public static func listKeys(
        _ config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger
    ) async throws -> [SigningKeySummary] {
        try await withKeys(config, clock: clock, logger: logger) { store in
            let records = try await store.keys()
            let signing = KeySchedule(records).signing(at: clock.now)?.keyID
            return records.sorted { ($0.activeFrom, $0.keyID) < ($1.activeFrom, $1.keyID) }.map { record in
                SigningKeySummary(
                    keyID: record.keyID,
                    activeFrom: record.activeFrom,
                    revokedAt: record.revokedAt,
                    isSigning: record.keyID == signing
                )
            }
        }
    }

    private static func withKeys<Result: Sendable>(
        _ config: ConfigReader,
        clock: WallClock,
        logger: Logger,
        _ work: @Sendable (KeyStore) async throws -> Result
    ) async throws -> Result {
        let settings = try ServiceSettings(service: "auth", config)
        let pool = PostgresPool(settings.database, logger: logger)
        let store = KeyStore(pool: pool, secrets: AuthSecrets(settings.secrets), clock: clock)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await pool.run() }
            defer { group.cancelAll() }
            return try await work(store)
        }
    }
}

/// A signing key as the command line shows it.
public struct SigningKeySummary: Sendable, Hashable {
    /// `kid`.
    public let keyID: String
    /// Signs from here on, until a younger key does.
    public let activeFrom: Timestamp
    /// When it was revoked, if it was.
    public let revokedAt: Timestamp?
    /// Whether it signs now.
    public let isSigning: Bool
}
