import Chronology
import Failures
import Foundation
import Identity
import Messaging
import Postgres
import Redis
import Testing

@testable import AuthService

/// What the gateways are told. The suite is serial: its tests empty the gate's keys.
@Suite(.serialized) struct GateDatabaseTests {
    /// Runs the gate until a condition holds.
    private func withGate(_ world: AuthWorld, until condition: () async throws -> Bool) async throws {
        let running = Task { try await world.gate.run() }
        defer { running.cancel() }
        for _ in 0..<200 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(25))
        }
        Issue.record("it never came to hold")
    }

    @Test func whatRedisHasLostIsWrittenAgainBeforeItIsConfirmed() async throws {
        let world = try await AuthWorld()
        let (grant, _) = try await world.signUp()
        try await world.accounts.logout(grant.principal, client: world.client) { nil }
        let (other, _) = try await world.signUp()
        _ = try await world.redis.send(RedisCommand("DEL", GateKey.session(grant.session.id), GateKey.confirmed))
        try await withGate(world) {
            try await world.redis.send(RedisCommand("GET", GateKey.confirmed)).string == world.redis.serverRunID
        }
        #expect(try await world.mark(grant.session.id) == "ended")
        #expect(try await world.mark(other.session.id) == nil)
        let left = try await world.redis.send(RedisCommand("PTTL", GateKey.session(grant.session.id)))
        guard case .integer(let milliseconds) = left else {
            Issue.record("no time to live")
            return
        }
        #expect((1...360_000).contains(milliseconds))
    }

    @Test func aChangeThatRedisCannotBeToldIsKeptAndToldLater() async throws {
        let away = try await AuthWorld(redisURL: "redis://127.0.0.1:1/0")
        let (grant, _) = try await away.signUp()
        #expect(
            await code { try await away.accounts.logout(grant.principal, client: away.client) { nil } }
                == "revocation-pending"
        )
        #expect(try await away.store.liveAccount(of: grant.principal) == nil, "the change is kept")
        let world = try await AuthWorld()
        try await world.gate.publishPending()
        #expect(try await world.mark(grant.session.id) == "ended")
        #expect(try await world.store.unpublishedRevocations(limit: 500).allSatisfy { $0.session != grant.session.id })
    }

    @Test func aMarkOnlyRises() async throws {
        let world = try await AuthWorld()
        let session = SessionID.make(milliseconds: 1)
        let expiry = world.clock.now + .seconds(300)
        func tell(_ generation: Int64) async throws {
            try await world.gate.publish([Revocation(session: session, lowestGeneration: generation, expiresAt: expiry)]
            )
        }
        try await tell(3)
        try await tell(2)
        #expect(try await world.mark(session) == "3")
        try await tell(10)
        #expect(try await world.mark(session) == "10")
        try await tell(Revocation.ended)
        try await tell(11)
        #expect(try await world.mark(session) == "ended")
    }

    @Test func confirmingNeedsTheMarkThatWasPutDown() async throws {
        let world = try await AuthWorld()
        let mark = GateKey.mark(UUID().uuidString)
        let confirmed = "{auth}:test:\(UUID().uuidString)"
        let confirm = RedisCommand("EVAL", GateScript.confirm, "2", confirmed, mark, "run-1")
        #expect(try await world.redis.send(confirm) == .integer(0))
        #expect(try await world.redis.send(RedisCommand("GET", confirmed)) == .null)
        _ = try await world.redis.send(RedisCommand("SET", mark, "run-1"))
        #expect(try await world.redis.send(confirm) == .integer(1))
        #expect(try await world.redis.send(RedisCommand("GET", confirmed)).string == "run-1")
    }

    @Test func keysRotateAndAreRevoked() async throws {
        let world = try await AuthWorld()
        let principal = try await world.signUp().grant.principal
        func signingKey() async throws -> String {
            let keys = try await VerificationKeys(jwks: world.ring.keySet(now: world.clock.now))
            let token = try await world.ring.sign(principal, now: world.clock.now)
            return try await AccessTokenVerifier(issuer: "https://tasks.example")
                .verify(token, with: keys, now: world.clock.now).keyID
        }
        let old = try await signingKey()
        let next = try await world.keys.rotate(immediately: false)
        try await world.ring.refresh()
        #expect(try await signingKey() == old, "announced, not yet used")
        let published = try await VerificationKeys(jwks: world.ring.keySet(now: world.clock.now)).keyIDs
        #expect(published.isSuperset(of: [old, next]))
        world.clock.advance(KeySchedule.announcement)
        #expect(try await signingKey() == next)
        #expect(try await VerificationKeys(jwks: world.ring.keySet(now: world.clock.now)).keyIDs.contains(old))

        #expect(try await world.keys.revoke(next))
        #expect(try await !world.keys.revoke("no-such-key"))
        try await withGate(world) {
            try await world.redis.send(RedisCommand("GET", GateKey.key(next))).string == "revoked"
        }
        #expect(try await signingKey() != next)
        #expect(try await !VerificationKeys(jwks: world.ring.keySet(now: world.clock.now)).keyIDs.contains(next))
    }

    @Test func theSweepRemovesOnlyWhatHasRunOut() async throws {
        let world = try await AuthWorld()
        let (grant, tokens) = try await world.signUp()
        try await world.store.sweep()
        #expect(try await world.isAlive(grant))
        _ = try await world.accounts.refresh(tokens.refresh, client: world.client)
    }

    @Test func theAuditEndsAfterAYear() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let account = try await world.signUp(email).grant.session.account
        _ = try await world.logIn(email)
        func actions() async throws -> [String] {
            let rows = try await world.database.pool.query(
                "SELECT action FROM audit WHERE account_id = \(account) AND action IN ('sign-up', 'login') ORDER BY at"
            )
            return try rows.map { try $0.get("action", as: String.self) }
        }
        // Rows are moved and not the clock: a sweep is for everybody, and what other tests keep has to stay.
        let year = Duration.seconds(365 * 86_400)
        for (action, age) in [("sign-up", year + .seconds(60)), ("login", year - .seconds(60))] {
            _ = try await world.database.pool.query(
                "UPDATE audit SET at = \(world.clock.now - age) WHERE account_id = \(account) AND action = \(action)"
            )
        }
        #expect(try await actions() == ["sign-up", "login"])
        try await world.store.sweep()
        #expect(try await actions() == ["login"])
    }
}
