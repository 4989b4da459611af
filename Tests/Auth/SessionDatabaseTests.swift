import Chronology
import Events
import Failures
import Foundation
import Identity
import Messaging
import Postgres
import Redis
import Testing

@testable import AuthService

@Suite struct SessionDatabaseTests {
    @Test func signUpFoundsAnOrganization() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let (grant, tokens) = try await world.signUp(email)
        #expect(grant.membership.role == .admin)
        #expect(grant.choices.map(\.id) == [grant.organization.id])
        let keys = try await VerificationKeys(jwks: world.ring.keySet(now: world.clock.now))
        let token = try await AccessTokenVerifier(issuer: "https://tasks.example")
            .verify(tokens.access, with: keys, now: world.clock.now)
        #expect(token.principal == grant.principal)
        let founded = try await world.events(OrganizationFounded.self, mentioning: email)
        #expect(founded.map(\.user) == [grant.membership.user])
        #expect(await code { try await world.signUp(email.uppercased()) } == "account-exists")
    }

    @Test func fiftySignUpsOfOneAddressMakeOneAccount() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let codes = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<50 { group.addTask { await code { try await world.signUp(email) } } }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(codes.filter { $0 == nil }.count == 1)
        #expect(codes.filter { $0 == "account-exists" }.count == 49)
        #expect(try await world.events(OrganizationFounded.self, mentioning: email).count == 1)
    }

    @Test func twentyRefreshesAtOnceGiveOneSuccessor() async throws {
        let world = try await AuthWorld()
        let (grant, tokens) = try await world.signUp()
        let successors = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<20 {
                group.addTask { try await world.accounts.refresh(tokens.refresh, client: world.client).refresh }
            }
            return try await group.reduce(into: [String]()) { $0.append($1) }
        }
        #expect(successors.count == 20)
        #expect(Set(successors).count == 1)
        #expect(successors.first != tokens.refresh)
        let rows = try await world.database.pool.query("SELECT counter FROM session WHERE id = \(grant.session.id)")
        #expect(try rows.first?.get("counter", as: Int64.self) == 2)
    }

    @Test func anOlderRefreshTokenEndsTheSession() async throws {
        let world = try await AuthWorld()
        let (grant, first) = try await world.signUp()
        let second = try await world.accounts.refresh(first.refresh, client: world.client)
        #expect(try await world.accounts.refresh(first.refresh, client: world.client).refresh == second.refresh)
        let third = try await world.accounts.refresh(second.refresh, client: world.client)
        #expect(
            await code { try await world.accounts.refresh(first.refresh, client: world.client) } == "refresh-reused"
        )
        #expect(
            await code { try await world.accounts.refresh(third.refresh, client: world.client) } == "invalid-refresh"
        )
        #expect(try await world.mark(grant.session.id) == "ended")
        let events = try await world.events(SessionRevoked.self, mentioning: "\(grant.session.id)")
        #expect(events.map(\.reason) == [.reuse])
    }

    /// A refresh that waits for another one judges by what that one has left behind.
    @Test func aRefreshIsJudgedUnderTheLockOfItsSession() async throws {
        let world = try await AuthWorld()
        let (grant, tokens) = try await world.signUp()
        let late = try await world.database.write(of: grant.session.account) { transaction in
            _ = try await transaction.query("UPDATE session SET counter = 3 WHERE id = \(grant.session.id)")
            let late = Task { await code { try await world.accounts.refresh(tokens.refresh, client: world.client) } }
            try await Task.sleep(for: .milliseconds(200))
            return late
        }
        #expect(await late.value == "refresh-reused")
        let rows = try await world.database.pool.query("SELECT counter FROM session WHERE id = \(grant.session.id)")
        #expect(try rows.first?.get("counter", as: Int64.self) == 3)
    }

    @Test func theTokenJustReplacedIsGoodForThirtySeconds() async throws {
        let world = try await AuthWorld()
        let (grant, first) = try await world.signUp()
        let second = try await world.accounts.refresh(first.refresh, client: world.client)
        world.clock.advance(.seconds(30))
        #expect(try await world.accounts.refresh(first.refresh, client: world.client).refresh == second.refresh)
        world.clock.advance(.seconds(1))
        #expect(
            await code { try await world.accounts.refresh(first.refresh, client: world.client) } == "refresh-reused"
        )
        #expect(try await !world.isAlive(grant))
    }

    @Test func sessionsRunOut() async throws {
        let world = try await AuthWorld()
        let (_, first) = try await world.signUp()
        world.clock.advance(.seconds(13 * 86_400))
        let second = try await world.accounts.refresh(first.refresh, client: world.client)
        world.clock.advance(.seconds(14 * 86_400))
        #expect(
            await code { try await world.accounts.refresh(second.refresh, client: world.client) } == "invalid-refresh"
        )
    }

    @Test func logoutEndsThisSessionAlone() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let (grant, tokens) = try await world.signUp(email)
        let other = try await world.logIn(email)
        for wrong in [other.tokens.refresh, "garbage", tokens.access] {
            #expect(
                await code {
                    try await world.accounts.logout(grant.principal, client: world.client) { wrong }
                } == "invalid"
            )
        }
        #expect(try await world.isAlive(grant))
        try await world.accounts.logout(grant.principal, client: world.client) { tokens.refresh }
        #expect(try await !world.isAlive(grant))
        #expect(try await world.isAlive(other.grant))
        #expect(
            await code { try await world.accounts.refresh(tokens.refresh, client: world.client) } == "invalid-refresh"
        )
        #expect(
            await code { try await world.accounts.logout(grant.principal, client: world.client) { nil } }
                == "session-changed"
        )
    }

    @Test func oneEndsOnlyOnesOwnSessions() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let mine = try await world.signUp(email)
        let alsoMine = try await world.logIn(email)
        let third = try await world.logIn(email)
        let stranger = try await world.signUp()
        let me = mine.grant.principal
        #expect(
            await code {
                try await world.accounts.endSession(stranger.grant.session.id, principal: me, client: world.client)
            } == "not-found"
        )
        try await world.accounts.endSession(alsoMine.grant.session.id, principal: me, client: world.client)
        #expect(
            await code {
                try await world.accounts.endSession(alsoMine.grant.session.id, principal: me, client: world.client)
            } == "not-found"
        )
        #expect(try await !world.isAlive(alsoMine.grant))
        try await world.accounts.endOtherSessions(me, client: world.client)
        #expect(try await !world.isAlive(third.grant))
        #expect(try await world.isAlive(mine.grant))
        #expect(try await world.isAlive(stranger.grant))
    }

    @Test func switchingKillsTheOldAccessToken() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let home = try await world.signUp(email)
        let host = try await world.signUp()
        _ = try await world.invite(email, to: host.grant.organization.id, role: .manager)
        let target = host.grant.organization.id
        let (moved, tokens) = try await world.accounts.switchOrganization(
            home.grant.principal,
            client: world.client
        ) { target.description }
        #expect(moved.session.id == home.grant.session.id)
        #expect(moved.membership.role == .manager)
        #expect(moved.choices.count == 2)
        #expect(try await !world.isAlive(home.grant))
        #expect(try await world.isAlive(moved))
        // The refresh token from before was just replaced, and gives the same successor.
        #expect(try await world.accounts.refresh(home.tokens.refresh, client: world.client).refresh == tokens.refresh)
        #expect(try await world.logIn(email).grant.organization.id == target, "the one last used")
        #expect(try await world.logIn(email, organization: home.grant.organization.id).grant.membership.role == .admin)
        for wrong in [OrganizationID.make(milliseconds: 0).description, "nonsense"] {
            #expect(
                await code {
                    try await world.accounts.switchOrganization(moved.principal, client: world.client) { wrong }
                } == "not-found"
            )
        }
    }
}

@Suite struct RightsDatabaseTests {
    @Test func aChangeOfRoleKillsAccessTokensAndRefreshGivesTheNewOne() async throws {
        let world = try await AuthWorld()
        let founder = try await world.signUp()
        var profile = founder.grant.membership.profile
        profile.revision = 2
        profile.role = .developer
        try await world.hear(profile, in: founder.grant.organization.id)
        #expect(try await !world.isAlive(founder.grant))
        let tokens = try await world.accounts.refresh(founder.tokens.refresh, client: world.client)
        let keys = try await VerificationKeys(jwks: world.ring.keySet(now: world.clock.now))
        let token = try await AccessTokenVerifier(issuer: "https://tasks.example")
            .verify(tokens.access, with: keys, now: world.clock.now)
        #expect(token.principal.role == .developer)
        #expect(token.principal.generation == 2)
        // The same event again, or an older one, changes nothing.
        try await world.hear(profile, in: founder.grant.organization.id)
        #expect(try await world.mark(founder.grant.session.id) == "2")
        // A change of name kills nothing.
        profile.revision = 3
        profile.firstName = "Countess"
        try await world.hear(profile, in: founder.grant.organization.id)
        #expect(try await world.mark(founder.grant.session.id) == "2")
    }

    @Test func deactivationEndsSessionsThereAndNowhereElse() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let home = try await world.signUp(email)
        let host = try await world.signUp()
        var profile = try await world.invite(email, to: host.grant.organization.id)
        let away = try await world.logIn(email, organization: host.grant.organization.id)
        profile.revision = 2
        profile.isActive = false
        try await world.hear(profile, in: host.grant.organization.id)
        #expect(try await !world.isAlive(away.grant))
        #expect(
            await code { try await world.accounts.refresh(away.tokens.refresh, client: world.client) }
                == "invalid-refresh"
        )
        #expect(try await world.isAlive(home.grant))
        let again = try await world.logIn(email)
        #expect(again.grant.organization.id == home.grant.organization.id)
        #expect(again.grant.choices.count == 1)
        let there = host.grant.organization.id
        #expect(await code { try await world.logIn(email, organization: there) } == "invalid-credentials")
    }

    /// Whichever comes first: either the login sees the change, or the change finds the session.
    @Test func noLoginSlipsPastADeactivation() async throws {
        let world = try await AuthWorld()
        for _ in 0..<10 {
            let email = AuthWorld.email()
            let founder = try await world.signUp(email)
            var profile = founder.grant.membership.profile
            profile.revision = 2
            profile.isActive = false
            let gone = profile
            let organization = founder.grant.organization.id
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<8 { group.addTask { _ = try? await world.logIn(email) } }
                for _ in 0..<4 {
                    group.addTask {
                        _ = try? await world.accounts.refresh(founder.tokens.refresh, client: world.client)
                    }
                }
                group.addTask { try? await world.hear(gone, in: organization) }
            }
            let rows = try await world.database.pool.query(
                "SELECT id FROM session WHERE organization_id = \(organization) AND ended_at IS NULL"
            )
            #expect(rows.isEmpty)
        }
    }

    @Test func aDeletedOrganizationLeavesNothing() async throws {
        let world = try await AuthWorld()
        let email = AuthWorld.email()
        let founder = try await world.signUp(email)
        let organization = founder.grant.organization.id
        let guest = try await world.signUp()
        _ = try await world.invite(guest.grant.membership.email, to: organization)
        try await world.database.write(in: organization) { try await world.members.removeOrganization(in: $0) }
        #expect(try await world.mark(founder.grant.session.id) == "ended")
        #expect(await code { try await world.logIn(email) } == "invalid-credentials")
        #expect(try await world.isAlive(guest.grant))
        for table in ["membership", "organization", "session", "audit"] {
            let rows = try await world.database.pool.query(
                "SELECT 1 AS one FROM \(unsafe: table) WHERE organization_id = \(organization)"
            )
            #expect(rows.isEmpty, "\(table)")
        }
        _ = try await world.signUp(email)
    }
}
