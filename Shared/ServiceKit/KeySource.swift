public import Chronology
import Crypto
import Failures
public import Identity
public import Logging
import Metrics
public import ServiceLifecycle
import Synchronization

/// The keys that tokens are checked with: fetched from Auth's `/.well-known/jwks.json`, cached 300 s, a new `kid` asked
/// for at most once in 10 s, stale ones served up to 24 h while Auth is down.
///
/// Tokens that have passed are remembered (about ten thousand), since checking a signature costs more than the rest of
/// many a request. A remembered token is still judged by its expiry, and forgotten when its key leaves the key set.
public final class KeySource: Service, Sendable {
    /// Fetches a JWK set; throws where there is none.
    typealias Fetch = @Sendable () async throws -> [UInt8]

    private struct State {
        var keys: VerificationKeys?
        var keyIDs: Set<String> = []
        var fetchedAt: ContinuousClock.Instant?
        var triedAt: ContinuousClock.Instant?
        var fetching: Task<Void, Never>?
        var failuresInARow = 0
    }

    private static let freshFor = Duration.seconds(300)
    private static let staleFor = Duration.seconds(24 * 3600)
    private static let betweenUnknown = Duration.seconds(10)
    private static let betweenTries = Duration.seconds(1)
    private static let betweenFirstTries = Duration.milliseconds(50)
    /// Everything starts together, and Auth is asked a moment before it can answer: that is no news for 5 s.
    private static let firstTries = 100

    private let fetch: Fetch
    private let clock: WallClock
    private let logger: Logger
    private let state = Mutex(State())
    private let verified = VerifiedTokens()
    private let failures = Counter(label: "taskflow_jwks_failures_total")

    /// Keys from a URL.
    public convenience init(url: String, logger: Logger) {
        self.init(urls: [url], clock: .system, logger: logger)
    }

    /// Keys from the first of some URLs that gives them, tokens judged by a clock.
    public convenience init(urls: [String], clock: WallClock, logger: Logger) {
        self.init(clock: clock, logger: logger) {
            try await KeySource.first(of: urls) {
                try await InternalHTTP.get($0, timeout: .seconds(1), limit: 1_048_576)
            }
        }
    }

    /// What the first URL that can be read says; throws what the last one threw.
    static func first(of urls: [String], _ get: (String) async throws -> [UInt8]) async throws -> [UInt8] {
        for url in urls.dropLast() {
            if let bytes = try? await get(url) { return bytes }
        }
        return try await get(urls.last ?? "")
    }

    init(clock: WallClock, logger: Logger, fetch: @escaping Fetch) {
        self.fetch = fetch
        self.clock = clock
        self.logger = logger
    }

    /// Keeps the keys fresh until graceful shutdown, so that hardly a request waits for them.
    public func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.refresh(unless: { $0.fetchedAt.map { .now - $0 < KeySource.freshFor * 0.8 } ?? false })
                let pause: Duration = self.state.withLock { state in
                    if state.keys == nil, state.failuresInARow < KeySource.firstTries {
                        return KeySource.betweenFirstTries
                    }
                    return state.failuresInARow > 0 ? KeySource.betweenTries : .seconds(10)
                }
                try await Task.sleep(for: pause)
            }
        }
    }

    /// Whether there is anything to check a token with.
    var hasKeys: Bool { state.withLock { $0.keys != nil } }

    /// Verifies with the right keys, from a cache of verified tokens where possible. Throws ``Identity/AccessTokenError``,
    /// or ``Failures/Failure`` 503 while there are no keys at all. With another verifier, ``forgetTokens()`` first.
    public func verify(_ token: String, by verifier: AccessTokenVerifier) async throws -> VerifiedAccessToken {
        let digest = SHA256.hash(data: Array(token.utf8))
        if let known = verified[digest], state.withLock({ $0.keyIDs.contains(known.keyID) }) {
            guard clock.now < known.expiresAt + verifier.leeway else { throw AccessTokenError.expired }
            return known
        }
        let keys = try await currentKeys()
        let result: VerifiedAccessToken
        do {
            result = try await verifier.verify(token, with: keys, now: clock.now)
        } catch AccessTokenError.unknownKey(let id) {
            await refresh(unless: { state in
                state.keyIDs.contains(id) || state.triedAt.map { .now - $0 < KeySource.betweenUnknown } ?? false
            })
            guard let newer = state.withLock({ $0.keyIDs.contains(id) ? $0.keys : nil }) else {
                throw AccessTokenError.unknownKey(id)
            }
            result = try await verifier.verify(token, with: newer, now: clock.now)
        }
        verified[digest] = result
        return result
    }

    /// Forgets which tokens have passed: they are judged by other rules from now on.
    public func forgetTokens() { verified.removeAll() }

    private func currentKeys() async throws -> VerificationKeys {
        let (keys, age) = state.withLock { state in
            (state.keys, state.fetchedAt.map { ContinuousClock.now - $0 } ?? KeySource.staleFor)
        }
        let isRecent: @Sendable (borrowing State) -> Bool = { state in
            state.triedAt.map { .now - $0 < KeySource.betweenTries } ?? false
        }
        if let keys, age < KeySource.staleFor {
            // Old ones will do until newer ones are there: nobody waits for an Auth that does not answer.
            if age >= KeySource.freshFor { Task { await refresh(unless: isRecent) } }
            return keys
        }
        await refresh(unless: isRecent)
        guard
            let keys = state.withLock({ state in
                state.fetchedAt.map { .now - $0 < KeySource.staleFor } ?? false ? state.keys : nil
            })
        else {
            throw Failure.unavailable("no-keys", "Access tokens cannot be checked at the moment.")
        }
        return keys
    }

    /// Fetches once however many ask at the same time; a fetch under way is always waited for.
    private func refresh(unless isGoodEnough: @Sendable (borrowing State) -> Bool) async {
        let fetching: Task<Void, Never>? = state.withLock { state in
            if let fetching = state.fetching { return fetching }
            if isGoodEnough(state) { return nil }
            state.triedAt = .now
            let fetching = Task { await self.fetchKeys() }
            state.fetching = fetching
            return fetching
        }
        await fetching?.value
    }

    func fetchKeys() async {
        do {
            let bytes = try await fetch()
            let keys = try VerificationKeys(jwks: bytes)
            state.withLock { state in
                state.keys = keys
                state.keyIDs = keys.keyIDs
                state.fetchedAt = .now
                state.fetching = nil
                state.failuresInARow = 0
            }
        } catch {
            failures.increment()
            let isNews = state.withLock { state in
                state.fetching = nil
                state.failuresInARow += 1
                return state.failuresInARow == (state.keys == nil ? KeySource.firstTries : 1)
            }
            // Said once per outage; the metric counts the attempts.
            if isNews {
                logger.warning("no keys from Auth, trying on", metadata: ["error": "\(String(reflecting: error))"])
            }
        }
    }
}

/// Tokens that have passed, by digest. Two generations: when the young one is full it becomes the old one, and what was
/// not asked for since is forgotten.
final class VerifiedTokens: Sendable {
    private struct State {
        var young: [SHA256Digest: VerifiedAccessToken] = [:]
        var old: [SHA256Digest: VerifiedAccessToken] = [:]
    }

    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int = 5000) { self.capacity = capacity }

    subscript(_ digest: SHA256Digest) -> VerifiedAccessToken? {
        get {
            state.withLock { state in
                if let known = state.young[digest] { return known }
                guard let known = state.old[digest] else { return nil }
                insert(known, digest, &state)
                return known
            }
        }
        set {
            guard let newValue else { return }
            state.withLock { insert(newValue, digest, &$0) }
        }
    }

    func removeAll() { state.withLock { $0 = State() } }

    var count: Int { state.withLock { $0.young.count + $0.old.count } }

    private func insert(_ token: VerifiedAccessToken, _ digest: SHA256Digest, _ state: inout State) {
        if state.young.count >= capacity {
            state.old = state.young
            state.young = [:]
        }
        state.young[digest] = token
    }
}
