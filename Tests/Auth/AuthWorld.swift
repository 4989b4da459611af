import Chronology
import Events
import Failures
import Foundation
import Identity
import Logging
import Messaging
import Postgres
import Redis
import ServiceKit
import Synchronization
import TestSupport
import Testing

@testable import AuthService

/// A clock that a test moves.
final class TestClock: Sendable {
    private let moment: Mutex<Timestamp>

    init() { moment = Mutex(WallClock.system.now) }

    var now: Timestamp { moment.withLock { $0 } }
    var wallClock: WallClock { WallClock { self.now } }

    func advance(_ duration: Duration) { moment.withLock { $0 = $0 + duration } }
}

/// Auth on the run's own Postgres and Redis, without HTTP; every test signs up people of its own.
struct AuthWorld: Sendable {
    static let password = "correct-horse-battery"
    static let secrets = DerivedSecrets(secret: "auth-tests-auth-tests-auth-tests-auth")

    let clock: TestClock
    let database: TenantDatabase
    let store: AuthStore
    let keys: KeyStore
    let ring: KeyRing
    let redis: RedisClient
    let gate: RevocationGate
    let accounts: Accounts
    let members: Members
    let client = Client(address: "192.0.2.\(Int.random(in: 1...254))", userAgent: "test")

    /// `redisURL` other than the run's own makes a world that cannot reach Redis.
    init(verifiesEmail: Bool = false, redisURL: String? = nil, clock: TestClock = TestClock()) async throws {
        self.clock = clock
        let test = try await TestDatabase.shared(for: ServiceFoundation.withLog(AuthApp.schema))
        database = test.tenant(producer: .auth, clock: clock.wallClock)
        let secrets = AuthSecrets(Self.secrets)
        store = AuthStore(database: database, tokenLifetime: .seconds(300))
        keys = KeyStore(pool: test.pool, secrets: secrets, clock: clock.wallClock)
        let logger = TestDatabase.logger
        ring = KeyRing(store: keys, issuer: "https://tasks.example", lifetime: .seconds(300), logger: logger)
        redis = try await RunningRedis.shared.client(redisURL)
        gate = RevocationGate(store: store, keys: keys, ring: ring, redis: redis, logger: logger)
        accounts = Accounts(
            store: store,
            // What a hash costs is tested elsewhere.
            hasher: try PasswordHasher(cost: .init(memory: 64, passes: 1, lanes: 1), queue: 64),
            issuer: TokenIssuer(ring: ring, secrets: secrets, lifetime: .seconds(300), clock: clock.wallClock),
            gate: gate,
            secrets: secrets,
            rule: PasswordRule(minimum: 12),
            policy: SignUpPolicy(isOpen: true, verifiesEmail: verifiesEmail),
            isLimited: true,
            clock: clock.wallClock
        )
        members = Members(store: store, gate: gate)
        try await ring.refresh()
    }

    func form(_ email: String) throws -> Accounts.SignUpForm {
        Accounts.SignUpForm(
            email: try #require(EmailAddress(email)),
            password: Self.password,
            firstName: "Ada",
            lastName: "Lovelace",
            organizationName: "Engine"
        )
    }

    static func email() -> String { "ada-\(UUID().uuidString.lowercased())@example.com" }

    func signUp(_ email: String = email()) async throws -> (grant: Grant, tokens: TokenPair) {
        let (grant, tokens) = try await accounts.signUp(try form(email), client: client)
        return (grant, tokens)
    }

    func logIn(
        _ email: String,
        password: String = password,
        organization: OrganizationID? = nil,
        from client: Client? = nil
    ) async throws -> (grant: Grant, tokens: TokenPair) {
        let (grant, tokens) = try await accounts.login(
            email: email,
            password: password,
            organization: organization?.description,
            client: client ?? self.client
        )
        return (grant, tokens)
    }

    /// What Organization says of a user, applied as the reader does.
    func hear(_ profile: UserProfile, in organization: OrganizationID, created: Bool = false) async throws {
        try await database.write(in: organization) { transaction in
            if created {
                try await members.attach(profile, in: transaction)
            } else {
                try await members.update(profile, in: transaction)
            }
        }
    }

    func invite(_ email: String, to organization: OrganizationID, role: Role = .developer) async throws -> UserProfile {
        let profile = UserProfile(
            user: .make(milliseconds: clock.now.microseconds / 1000),
            revision: 1,
            email: email,
            firstName: "Grace",
            lastName: "Hopper",
            role: role,
            department: nil,
            departmentName: nil,
            isActive: true,
            profileImage: nil,
            createdAt: clock.now,
            updatedAt: clock.now
        )
        try await hear(profile, in: organization, created: true)
        return profile
    }

    /// The payloads of one type of event about an account or in an organization, oldest first.
    func events<E: Event>(_ type: E.Type, mentioning text: String) async throws -> [E] {
        let rows = try await database.pool.query(
            "SELECT payload::text AS payload FROM outbox WHERE type = \(E.type) AND payload::text LIKE \("%\(text)%") ORDER BY shard, seq"
        )
        return try rows.map { row in
            let payload: String = try row.get("payload")
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(E.self, from: Data(payload.utf8))
        }
    }

    /// uid and token of the newest mailed link of an account.
    func link(of account: AccountID) async throws -> (uid: String, token: String) {
        let rows = try await database.pool.query(
            """
            SELECT \(LinkRecord.columns) FROM link_request WHERE account_id = \(account)
            ORDER BY created_at DESC, id DESC LIMIT 1
            """
        )
        let link = try #require(try rows.first.flatMap(LinkRecord.init))
        return (
            account.description,
            LinkToken.make(
                key: Self.secrets.linkKey,
                purpose: link.purpose.rawValue,
                request: link.id,
                expiresAt: link.expiresAt.seconds
            )
        )
    }

    /// What the gateways are told about a session.
    func mark(_ session: SessionID) async throws -> String? {
        try await redis.send(RedisCommand("GET", GateKey.session(session))).string
    }

    /// Whether access tokens of a grant still pass: as the gateway judges, and as Auth does.
    func isAlive(_ grant: Grant) async throws -> Bool {
        let isKnown = try await store.liveAccount(of: grant.principal) != nil
        let mark = try await mark(grant.session.id)
        let passes = mark.map { $0 != "ended" && (Int64($0) ?? .max) <= grant.principal.generation } ?? true
        #expect(isKnown == passes, "Redis and Postgres differ on \(grant.session.id)")
        return isKnown && passes
    }
}

/// The code of the failure that work throws; nil if it does not.
func code(_ work: () async throws -> some Any) async -> String? {
    do {
        _ = try await work()
        return nil
    } catch let failure as Failure {
        return failure.fields.first?.code ?? failure.code
    } catch {
        Issue.record("\(String(reflecting: error))")
        return nil
    }
}

/// Connections to Redis that run as long as the tests do.
actor RunningRedis {
    static let shared = RunningRedis()
    private var clients: [String: RedisClient] = [:]

    func client(_ url: String?) async throws -> RedisClient {
        let own = ProcessInfo.processInfo.environment["TASKFLOW_TEST_REDIS_URL"]
        guard let url = url ?? own else { throw MissingServer(variable: "TASKFLOW_TEST_REDIS_URL") }
        if let client = clients[url] { return client }
        let client = RedisClient(url: url, commandTimeout: .seconds(2), logger: TestDatabase.logger)
        clients[url] = client
        Task { try await client.run() }
        guard url == own else { return client }
        for _ in 0..<500 where client.serverRunID == nil { try await Task.sleep(for: .milliseconds(10)) }
        return client
    }
}
