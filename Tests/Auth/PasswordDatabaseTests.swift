import Chronology
import Events
import Failures
import Foundation
import Identity
import Messaging
import Postgres
import Testing

@testable import AuthService

@Suite struct LinkDatabaseTests {
    private let new = "another-secret-99"

    private func reset(
        _ world: AuthWorld,
        _ link: (uid: String, token: String),
        _ password: String? = nil,
        _ repeated: String? = nil
    ) async throws {
        let password1 = password ?? new
        let password2 = repeated ?? password1
        try await world.accounts.resetPassword(uid: link.uid, token: link.token, client: world.client) {
            (password1: password1, password2: password2)
        }
    }

    @Test func aResetIsGoodOnceOfFiftyAtOnce() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let (grant, _) = try await world.signUp(email)
        try await world.accounts.requestReset(try #require(EmailAddress(email)), client: world.client)
        let link = try await world.link(of: grant.session.account)
        let codes = await withTaskGroup(of: String?.self) { group in
            for number in 0..<50 {
                group.addTask { await code { try await reset(world, link, "another-secret-\(100 + number)") } }
            }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(codes.filter { $0 == nil }.count == 1)
        #expect(codes.filter { $0 == "invalid-link" }.count == 49)
        #expect(try await !world.isAlive(grant))
        #expect(await code { try await world.logIn(email) } == "invalid-credentials")
        #expect(try await world.events(PasswordChanged.self, mentioning: email).map(\.byLink) == [true])
    }

    /// Two processes do not share a queue; the rows decide.
    @Test func aResetIsGoodOnceOverTwoProcesses() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let (grant, _) = try await world.signUp(email)
        try await world.accounts.requestReset(try #require(EmailAddress(email)), client: world.client)
        let (uid, token) = try await world.link(of: grant.session.account)
        let link = try await world.accounts.link(uid: uid, token: token, for: Links.passwordPurposes)
        let codes = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    await code {
                        try await world.store.resetPassword(link, hash: "x", nameHash: [1], client: world.client)
                    }
                }
            }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(codes.filter { $0 == nil }.count == 1)
    }

    @Test func theNewestReplacesOlderOnesAndAMistakeUsesNoneUp() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let (grant, _) = try await world.signUp(email)
        let address = try #require(EmailAddress(email.uppercased()))
        try await world.accounts.requestReset(address, client: world.client)
        let first = try await world.link(of: grant.session.account)
        world.clock.advance(.milliseconds(2))
        try await world.accounts.requestReset(address, client: world.client)
        let second = try await world.link(of: grant.session.account)
        #expect(first.token != second.token)
        #expect(await code { try await reset(world, first) } == "invalid-link")
        #expect(await code { try await reset(world, second, new, new + "x") } == "mismatch")
        #expect(await code { try await reset(world, second, "short") } == "too-short")
        #expect(await code { try await reset(world, second, "Ada.Lovelace.1815") } == "too-common")
        let stranger = try await world.signUp()
        #expect(
            await code { try await reset(world, ("\(stranger.grant.session.account)", second.token)) } == "invalid-link"
        )
        #expect(
            await code { try await reset(world, (second.uid, String(second.token.dropLast()) + "!")) } == "invalid-link"
        )
        world.clock.advance(.seconds(599))
        try await reset(world, second)
        #expect(await code { try await reset(world, second) } == "invalid-link")
        #expect(try await world.logIn(email, password: new).grant.session.account == grant.session.account)
    }

    @Test func linksExpire() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let (grant, _) = try await world.signUp(email)
        try await world.accounts.requestReset(try #require(EmailAddress(email)), client: world.client)
        let link = try await world.link(of: grant.session.account)
        world.clock.advance(.seconds(600))
        #expect(await code { try await reset(world, link) } == "invalid-link")
    }

    @Test func anAddressGetsThreeMailsAnHour() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        _ = try await world.signUp(email)
        let address = try #require(EmailAddress(email))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<10 { group.addTask { try? await world.accounts.requestReset(address, client: world.client) } }
        }
        #expect(try await world.events(LinkRequested.self, mentioning: email).count == 3)
        world.clock.advance(.seconds(3601))
        try await world.accounts.requestReset(address, client: world.client)
        #expect(try await world.events(LinkRequested.self, mentioning: email).count == 4)
    }

    @Test func anUnknownAddressGetsNothing() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        try await world.accounts.requestReset(try #require(EmailAddress(email)), client: world.client)
        #expect(try await world.events(LinkRequested.self, mentioning: email).isEmpty)
    }

    @Test func anInvitationLeadsToAPassword() async throws {
        let world = try await AuthWorld()
        let host = try await world.signUp()
        let email = AuthWorld.email()
        let profile = try await world.invite(email, to: host.grant.organization.id)
        let attached = try #require(try await world.events(MembershipAttached.self, mentioning: email).first)
        #expect(attached.user == profile.user)
        #expect(attached.activation != nil)
        #expect(await code { try await world.logIn(email) } == "invalid-credentials")
        world.clock.advance(.seconds(6 * 86_400))
        let activation = try await world.link(of: attached.account)
        // A reset asked for meanwhile does not void the welcome, but using one voids the other.
        try await world.accounts.requestReset(try #require(EmailAddress(email)), client: world.client)
        let reset = try await world.link(of: attached.account)
        try await self.reset(world, activation)
        #expect(await code { try await self.reset(world, reset) } == "invalid-link")
        #expect(try await world.logIn(email, password: new).grant.organization.id == host.grant.organization.id)
        // Somebody who has a password gets a welcome without a link.
        let second = try await world.signUp()
        _ = try await world.invite(email, to: second.grant.organization.id)
        let events = try await world.events(MembershipAttached.self, mentioning: email)
        #expect(events.count == 2)
        #expect(events.contains { $0.activation == nil })
    }

    @Test func aSignUpProvesItsAddressFirst() async throws {
        let world = try await AuthWorld(verifiesEmail: true)
        let email = AuthWorld.email()
        // Who looked for an account there in vain was mailed nothing.
        for _ in 0..<3 {
            try await world.accounts.requestReset(try #require(EmailAddress(email)), client: world.client)
        }
        try await world.accounts.requestSignUp(try world.form(email), client: world.client)
        #expect(try await world.store.account(key: email) == nil)
        let request = try #require(try await world.events(LinkRequested.self, mentioning: email).first)
        #expect(request.purpose == .verifyEmail)
        let link = try await world.link(of: request.account)
        #expect(await code { try await reset(world, link) } == "invalid-link", "another kind of link")
        let results = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    await code {
                        try await world.accounts.verifySignUp(
                            uid: link.uid,
                            token: link.token,
                            client: world.client,
                            fields: { nil }
                        )
                    }
                }
            }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(results.filter { $0 == nil }.count == 1)
        #expect(results.filter { $0 == "invalid-link" }.count == 9)
        #expect(try await world.logIn(email).grant.membership.role == .admin)
        #expect(try await world.events(OrganizationFounded.self, mentioning: email).count == 1)
        // Once more: the owner is told, nobody else is.
        try await world.accounts.requestSignUp(try world.form(email), client: world.client)
        #expect(try await world.events(SignUpRepeated.self, mentioning: email).count == 1)
    }

    @Test func whoHasTheLinkOfASignUpChoosesThePassword() async throws {
        let world = try await AuthWorld(verifiesEmail: true)
        let email = AuthWorld.email()
        try await world.accounts.requestSignUp(try world.form(email), client: world.client)
        let request = try #require(try await world.events(LinkRequested.self, mentioning: email).first)
        let link = try await world.link(of: request.account)
        func verify(_ password1: String, _ password2: String) async -> String? {
            await code {
                try await world.accounts.verifySignUp(
                    uid: link.uid,
                    token: link.token,
                    client: world.client,
                    fields: { (password1: password1, password2: password2) }
                )
            }
        }
        // What is refused does not use the link up.
        #expect(await verify(new, new + "x") == "mismatch")
        #expect(await verify("password1234", "password1234") == "too-common")
        #expect(await verify(email, email) == "too-common")
        #expect(await verify(new, new) == nil)
        #expect(await verify(new, new) == "invalid-link")
        #expect(await code { try await world.logIn(email) } == "invalid-credentials")
        #expect(try await world.logIn(email, password: new).grant.membership.role == .admin)
    }

    @Test func changingThePasswordEndsTheOthers() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let mine = try await world.signUp(email)
        let other = try await world.logIn(email)
        func change(_ old: String, _ new: String) async -> String? {
            await code {
                try await world.accounts.changePassword(mine.grant.principal, client: world.client) {
                    (old: old, new: new)
                }
            }
        }
        #expect(await change("wrong-password-1", new) == "wrong-password")
        #expect(await change(AuthWorld.password, AuthWorld.password) == "same-password")
        #expect(await change(AuthWorld.password, "password1234") == "too-common")
        #expect(await change(AuthWorld.password, new) == nil)
        #expect(try await world.isAlive(mine.grant))
        #expect(try await !world.isAlive(other.grant))
        #expect(await code { try await world.logIn(email) } == "invalid-credentials")
        #expect(try await world.events(PasswordChanged.self, mentioning: email).map(\.byLink) == [false])
        for _ in 0..<6 { #expect(await change("wrong-password-1", AuthWorld.password) == "wrong-password") }
        #expect(await change(new, AuthWorld.password) == "too-many-tries")
        world.clock.advance(.seconds(1))
        #expect(await change(new, AuthWorld.password) == nil)
    }
}

@Suite struct ThrottleDatabaseTests {
    /// A pause is kept by tries that were under way when it began, the right one among them.
    @Test func aBurstOfChangesIsWorthNoMore() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let grant = try await world.signUp(email).grant
        let principal = grant.principal
        @Sendable func change(_ old: String, _ new: String) async -> String? {
            await code {
                try await world.accounts.changePassword(principal, client: world.client) { (old: old, new: new) }
            }
        }
        let new = "another-secret-99"
        for _ in 0..<5 { #expect(await change("wrong-password-1", new) == "wrong-password") }
        let key = AuthStore.ThrottleKey(
            name: AuthSecrets(AuthWorld.secrets).nameHash("change-password/\(grant.session.account)"),
            address: principal.session.description
        )
        // All have passed the first look; they come to the lock one by one, and get it in that order.
        let burst = try await world.database.pool.transaction(in: nil) { transaction in
            _ = try await transaction.query("SELECT pg_advisory_xact_lock(\(key.lock)::bigint)::text")
            var burst: [Task<String?, Never>] = []
            for old in ["wrong-password-2", "wrong-password-3", AuthWorld.password] {
                burst.append(Task { await change(old, new) })
                // Who does not come there within three seconds is not held up by it.
                let deadline = ContinuousClock.now + .seconds(3)
                var waiting = 0
                while waiting < burst.count, ContinuousClock.now < deadline {
                    waiting =
                        try await transaction.query(
                            """
                            SELECT count(*) AS count FROM pg_locks l
                            WHERE NOT l.granted AND pg_backend_pid() = ANY(pg_blocking_pids(l.pid))
                            """
                        ).first?.get("count") ?? 0
                }
            }
            return burst
        }
        var codes: [String?] = []
        for task in burst { codes.append(await task.value) }
        #expect(codes == ["wrong-password", "too-many-tries", "too-many-tries"])
        // Nor does it tell whether a password is right that is to stay.
        world.clock.advance(.seconds(1))
        #expect(await change("another-secret-98", "another-secret-98") == "same-password")
        #expect(await change(AuthWorld.password, new) == nil)
    }

    @Test func failuresSlowOneAddressDown() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        _ = try await world.signUp(email)
        for _ in 0..<5 {
            #expect(await code { try await world.logIn(email, password: "wrong") } == "invalid-credentials")
        }
        _ = try await world.logIn(email)
        for _ in 0..<6 {
            #expect(await code { try await world.logIn(email, password: "wrong") } == "invalid-credentials")
        }
        #expect(await code { try await world.logIn(email) } == "invalid-credentials", "locked")
        // It is kept in the database, and another address is not concerned.
        let later = try await AuthWorld(clock: world.clock)
        #expect(await code { try await later.logIn(email, from: world.client) } == "invalid-credentials")
        _ = try await world.logIn(email, from: Client(address: "2001:db8::1", userAgent: nil))
        world.clock.advance(.seconds(1))
        _ = try await world.logIn(email)
    }

    @Test func unknownNamesAreCountedAsWell() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        for _ in 0..<6 { #expect(await code { try await world.logIn(email) } == "invalid-credentials") }
        // The name is kept as a keyed hash: who reads the table learns no address that somebody tried.
        let rows = try await world.database.pool.query(
            "SELECT row_to_json(t)::text AS row, name_hash FROM login_throttle t"
        )
        let hash = SQLBytes(AuthSecrets(AuthWorld.secrets).nameHash(email))
        #expect(try rows.contains { try $0.get("name_hash", as: SQLBytes.self) == hash })
        let name = try #require(email.split(separator: "@").first)
        #expect(try !rows.contains { try $0.get("row", as: String.self).contains(name) })
        _ = try await world.signUp(email)
        #expect(await code { try await world.logIn(email) } == "invalid-credentials", "locked before it existed")
    }

    /// Tries under way when the lock falls are not judged, so a burst is worth no more than the free tries.
    @Test func aBurstOfGuessesIsWorthNoMore() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        _ = try await world.signUp(email)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<40 { group.addTask { _ = await code { try await world.logIn(email, password: "wrong") } } }
        }
        let key = AuthStore.ThrottleKey(
            name: AuthSecrets(AuthWorld.secrets).nameHash(email),
            address: LoginThrottle.bucket(of: world.client.address)
        )
        let throttle = try await world.store.throttle(key)
        #expect(throttle.address.failures == 6)
        #expect(throttle.overall.failures == 6)
        #expect(await code { try await world.logIn(email) } == "invalid-credentials")
    }

    @Test func manyRightOnesAtOnceAreFine() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        _ = try await world.signUp(email)
        let codes = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<20 { group.addTask { await code { try await world.logIn(email) } } }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(codes.allSatisfy { $0 == nil })
    }
}
