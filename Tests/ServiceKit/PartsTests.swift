import Chronology
import Crypto
import Failures
import HTTPTypes
import Hummingbird
import Identity
import Logging
import Synchronization
import Testing

@testable import ServiceKit

@Suite struct KeySourceTests {
    private struct Down: Error {}

    /// Auth, as a key source sees it.
    private final class FakeAuth: Sendable {
        struct State {
            var jwks: [String] = []
            var isDown = false
            var fetches = 0
        }
        let state = Mutex(State())

        func answer() throws -> [UInt8] {
            try state.withLock { state in
                state.fetches += 1
                if state.isDown { throw Down() }
                return Array("{\"keys\":[\(state.jwks.joined(separator: ","))]}".utf8)
            }
        }

        func publish(_ key: SigningKey) {
            state.withLock { $0.jwks.append(SigningKey.publicJWK(keyID: key.keyID, publicKey: key.publicKey)) }
        }

        var fetches: Int { state.withLock { $0.fetches } }
    }

    private static let issuer = "http://127.0.0.1:8080"
    private let auth = FakeAuth()
    private let key = SigningKey()
    private let verifier = AccessTokenVerifier(issuer: issuer)
    private let principal = Principal(
        user: .make(milliseconds: 1),
        organization: .make(milliseconds: 2),
        role: .admin,
        session: .make(milliseconds: 3),
        generation: 1
    )

    private func source(clock: WallClock = .system) -> KeySource {
        KeySource(clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) { [auth] in
            try auth.answer()
        }
    }

    private func token(_ key: SigningKey) async throws -> String {
        let signer = await AccessTokenSigner(key: key, issuer: Self.issuer, lifetime: .seconds(300))
        return try await signer.sign(principal, now: WallClock.system.now)
    }

    @Test func manyAsksMakeOneFetch() async throws {
        auth.publish(key)
        let source = source()
        let token = try await token(key)
        try await withThrowingTaskGroup(of: VerifiedAccessToken.self) { group in
            for _ in 0..<50 { group.addTask { try await source.verify(token, by: verifier) } }
            for try await verified in group { #expect(verified.principal == principal) }
        }
        #expect(auth.fetches == 1)
    }

    @Test func unknownKeysAreAskedForOnce() async throws {
        auth.publish(key)
        let source = source()
        _ = try await source.verify(try await token(key), by: verifier)
        for _ in 0..<20 {
            let stranger = try await token(SigningKey())
            await #expect(throws: AccessTokenError.self) { try await source.verify(stranger, by: verifier) }
        }
        #expect(auth.fetches == 1)
    }

    @Test func withoutAnyKeysItIsUnavailable() async throws {
        auth.state.withLock { $0.isDown = true }
        let source = source()
        let token = try await token(key)
        for _ in 0..<100 {
            let failure = await #expect(throws: Failure.self) { try await source.verify(token, by: verifier) }
            #expect(failure?.kind == .unavailable)
        }
        // Tries of those who ask are a second apart.
        #expect(auth.fetches < 50)
    }

    @Test func aStartIsNoNewsAndAnOutageIsOnce() async throws {
        let lines = Lines()
        let logger = Logger(label: "test") { label in JSONLogHandler(label: label, level: .info) { lines.add($0) } }
        let source = KeySource(clock: .system, logger: logger) { [auth] in try auth.answer() }
        auth.publish(key)
        auth.state.withLock { $0.isDown = true }
        // A twentieth of a second lies between the first tries: nothing is said for five seconds, then once.
        for _ in 0..<99 { await source.fetchKeys() }
        #expect(lines.all == [])
        for _ in 0..<19 { await source.fetchKeys() }
        #expect(lines.all.count == 1)
        auth.state.withLock { $0.isDown = false }
        await source.fetchKeys()
        auth.state.withLock { $0.isDown = true }
        for _ in 0..<30 { await source.fetchKeys() }
        #expect(lines.all.count == 2)
    }

    @Test func anotherServerIsAskedWhereOneIsGone() async throws {
        struct Gone: Error {}
        let asked = Mutex<[String]>([])
        let keys = try await KeySource.first(of: ["a", "b", "c"]) { url in
            asked.withLock { $0.append(url) }
            guard url == "b" else { throw Gone() }
            return [1]
        }
        #expect(keys == [1])
        #expect(asked.withLock { $0 } == ["a", "b"])
        await #expect(throws: Gone.self) { _ = try await KeySource.first(of: ["a", "c"]) { _ in throw Gone() } }
    }

    @Test func tokensAreJudgedAnewByOtherRules() async throws {
        auth.publish(key)
        let source = source()
        let token = try await token(key)
        _ = try await source.verify(token, by: verifier)
        source.forgetTokens()
        await #expect(throws: AccessTokenError.self) {
            try await source.verify(token, by: AccessTokenVerifier(issuer: "http://elsewhere"))
        }
    }

    @Test func aRememberedTokenExpiresToo() async throws {
        auth.publish(key)
        let now = Mutex(WallClock.system.now)
        let source = source(clock: WallClock { now.withLock { $0 } })
        let token = try await token(key)
        _ = try await source.verify(token, by: verifier)
        now.withLock { $0 = $0 + .seconds(305) }
        _ = try await source.verify(token, by: verifier)
        now.withLock { $0 = $0 + .seconds(10) }
        await #expect(throws: AccessTokenError.expired) { try await source.verify(token, by: verifier) }
    }

    @Test func theMemoryOfTokensIsBounded() {
        let tokens = VerifiedTokens(capacity: 10)
        let verified = VerifiedAccessToken(
            principal: principal,
            keyID: "k",
            tokenID: "t",
            issuedAt: .earliest,
            expiresAt: .latest
        )
        let kept = SHA256.hash(data: [0xFF])
        tokens[kept] = verified
        for number in 0..<1000 {
            tokens[SHA256.hash(data: withUnsafeBytes(of: number) { Array($0) })] = verified
            #expect(tokens[kept] != nil)
        }
        #expect(tokens.count <= 21)
    }
}

@Suite struct ReadinessTests {
    @Test func waitersAreTold() async {
        let readiness = Readiness()
        async let first = readiness.wait()
        async let second = readiness.wait()
        readiness.becomeReady()
        #expect(await first)
        #expect(await second)
        #expect(await readiness.wait())
        readiness.stop()
        #expect(readiness.state == .stopping)
        #expect(await readiness.wait() == false)
    }

    @Test func stoppingComesFirst() async {
        let readiness = Readiness()
        readiness.stop()
        readiness.becomeReady()
        #expect(readiness.state == .stopping)
        #expect(await readiness.wait() == false)
    }

    @Test func aCancelledWaitEnds() async {
        let readiness = Readiness()
        let waiting = Task { await readiness.wait() }
        waiting.cancel()
        #expect(await waiting.value == false)
        let port = BoundPort()
        let asking = Task { try await port.value }
        asking.cancel()
        await #expect(throws: CancellationError.self) { try await asking.value }
        port.set(7)
        #expect((try? await port.value) == 7)
    }
}

@Suite struct RouteTableTests {
    @Test func literalsComeBeforeParameters() {
        let table = RouteTable()
        table.add("/api/project/tasks/{id}", .get)
        table.add("/api/project/tasks/{id}", .delete)
        table.add("/api/project/{project}/tasks", .post)
        table.add("/api/project/trash", .get)
        table.add("/media/**", .get)
        #expect(table.methods(of: "/api/project/tasks/7/") == ["DELETE", "GET", "HEAD"])
        #expect(table.methods(of: "/api/project/tasks/tasks") == ["DELETE", "GET", "HEAD"])
        #expect(table.methods(of: "/api/project/7/tasks") == ["POST"])
        #expect(table.methods(of: "/api/project/trash") == ["GET", "HEAD"])
        #expect(table.methods(of: "/media/a/b.png") == ["GET", "HEAD"])
        #expect(table.methods(of: "/media") == nil)
        #expect(table.methods(of: "/api") == nil)
    }
}
