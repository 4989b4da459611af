import Chronology
import Identity
import Logging
import Messaging
import Redis
import ServiceLifecycle
import Synchronization

/// Tells the gateways, through Redis, which access tokens are dead.
///
/// Postgres holds the truth (`revocation`, `signing_key`); Redis holds a copy that the gateways ask with every request
/// and that may be lost at any time. Whoever kills a token writes Postgres in the transaction, then Redis, then answers.
/// What Redis could not be told stays unpublished in Postgres and is told within half a second of its being back.
///
/// `{auth}:confirmed` holds the `run_id` of the server that has been told everything; the gateways serve nobody while
/// it is missing or names another server. How it is set, so that no logged-out token comes back to life:
///
/// - A revocation committed before the scan is in the scan. One committed after it is written by its own request, to
///   the server that is there by then; if that fails, the request does not answer 200 and the row stays unpublished.
/// - The server can be emptied while we write. So we first put down a mark of our own, and the script that confirms
///   does so only where the mark still is.
/// - The server can be replaced while we write. The value that is set names the one we began with: on any other it
///   confirms nothing.
/// - Two replicas can write at once. A key only ever rises, to a higher generation or to `ended`, whatever the order.
final class RevocationGate: Service, Sendable {
    /// How often the copy is looked at.
    private static let interval = Duration.milliseconds(500)
    private static let page = 500

    private let store: AuthStore
    private let keys: KeyStore
    private let ring: KeyRing
    private let redis: RedisClient
    private let clock: WallClock
    private let logger: Logger
    /// The server that this process has told everything. A connection to another one, even a confirmed one, is told
    /// again: what we wrote to the one before may have been lost with it.
    private let told = Mutex<String?>(nil)
    private let complained = Mutex<Timestamp?>(nil)

    init(store: AuthStore, keys: KeyStore, ring: KeyRing, redis: RedisClient, logger: Logger) {
        self.store = store
        self.keys = keys
        self.ring = ring
        self.redis = redis
        clock = store.database.clock
        self.logger = logger
    }

    // MARK: For those who kill tokens

    /// Tells Redis; throws 503 if it cannot be told now. Then it is told later, and the change is kept.
    func publish(_ revocations: [Revocation]) async throws {
        guard !revocations.isEmpty else { return }
        do {
            try await write(revocations)
        } catch {
            logger.warning(
                "Redis could not be told of a revocation",
                metadata: ["error": "\(String(reflecting: error))"]
            )
            throw Sessions.notPublished
        }
        // Telling twice does no harm, so a failure here is none of the caller's.
        try? await store.markPublished(revocations)
    }

    /// The same after an event, where nobody waits for an answer.
    func publishQuietly(_ revocations: [Revocation]) async { try? await publish(revocations) }

    /// Tells Redis all that it has not been told; throws 503 if it cannot be told now.
    func publishPending() async throws {
        while true {
            let pending = try await store.unpublishedRevocations(limit: RevocationGate.page)
            try await publish(pending)
            if pending.count < RevocationGate.page { return }
        }
    }

    // MARK: The copy

    /// Looks after the copy until graceful shutdown.
    func run() async throws {
        let (wakeUps, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        redis.onConnect { _ in wake.yield() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    wake.yield()
                    // What others have written raises no signal here.
                    try? await Task.sleep(for: RevocationGate.interval)
                }
                wake.finish()
            }
            for await _ in wakeUps.cancelOnGracefulShutdown() { await look() }
            group.cancelAll()
        }
    }

    private func look() async {
        do {
            try await ring.refresh()
            try await publishRevokedKeys()
            try await publishPending()
            if let server = redis.serverRunID, try await !isConfirmed(server) { try await tellEverything(to: server) }
        } catch {
            complain(error)
        }
    }

    private func complain(_ error: any Error) {
        let now = clock.now
        let isDue = complained.withLock { last in
            guard last.map({ now > $0 + .seconds(10) }) ?? true else { return false }
            last = now
            return true
        }
        guard isDue else { return }
        logger.warning("revocations are not up to date in Redis", metadata: ["error": "\(String(reflecting: error))"])
    }

    private func isConfirmed(_ server: String) async throws -> Bool {
        guard told.withLock({ $0 == server }) else { return false }
        return try await redis.send(RedisCommand("GET", GateKey.confirmed)).string == server
    }

    private func tellEverything(to server: String) async throws {
        var generator = SystemRandomNumberGenerator()
        let mark = GateKey.mark(String(UInt64.random(in: .min ... .max, using: &generator), radix: 16))
        _ = try await redis.send(RedisCommand("SET", mark, server, "EX", "600"))
        var last: SessionID?
        var count = 0
        while true {
            let page = try await store.liveRevocations(after: last, limit: RevocationGate.page)
            try await write(page)
            count += page.count
            last = page.last?.session
            guard redis.serverRunID == server else { return }
            if page.count < RevocationGate.page { break }
        }
        try await write(keys: try await keys.revokedKeys(unpublished: false))
        let answer = try await redis.send(
            RedisCommand("EVAL", GateScript.confirm, "2", GateKey.confirmed, mark, server)
        )
        guard answer == .integer(1), redis.serverRunID == server else { return }
        told.withLock { $0 = server }
        logger.info("Redis has been told every revocation", metadata: ["revocations": "\(count)"])
    }

    private func publishRevokedKeys() async throws {
        let pending = try await keys.revokedKeys(unpublished: true)
        guard !pending.isEmpty else { return }
        try await write(keys: pending)
        try await keys.markPublished(pending.map(\.keyID))
    }

    private func write(_ revocations: [Revocation]) async throws {
        let now = clock.now
        try await send(
            revocations.compactMap { revocation in
                let milliseconds = (revocation.expiresAt - now).wholeMicroseconds / 1000
                guard milliseconds > 0 else { return nil }
                return RedisCommand(
                    "EVAL",
                    GateScript.raise,
                    "1",
                    GateKey.session(revocation.session),
                    revocation.mark,
                    String(milliseconds)
                )
            }
        )
    }

    private func write(keys: [(keyID: String, expiresAt: Timestamp)]) async throws {
        let now = clock.now
        try await send(
            keys.compactMap { key in
                let milliseconds = (key.expiresAt - now).wholeMicroseconds / 1000
                guard milliseconds > 0 else { return nil }
                return RedisCommand("SET", GateKey.key(key.keyID), "revoked", "PX", String(milliseconds))
            }
        )
    }

    private func send(_ commands: [RedisCommand]) async throws {
        guard !commands.isEmpty else { return }
        for case .error(let message) in try await redis.send(commands) {
            throw RedisError(.server, message: message)
        }
    }
}
