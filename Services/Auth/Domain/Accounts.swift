import Chronology
import Events
import Failures
import Foundation
import Identity
import Lists

/// What can be done with accounts, sessions and passwords. Routes come in here.
///
/// Where something has killed access tokens, the gateways are told before the method returns; if they cannot be told,
/// it throws 503 and the change stays.
struct Accounts: Sendable {
    let store: AuthStore
    let hasher: PasswordHasher
    let issuer: TokenIssuer
    let gate: RevocationGate
    let secrets: AuthSecrets
    let rule: PasswordRule
    let policy: SignUpPolicy
    /// Whether mails that anyone can trigger, and refreshes, are limited.
    let isLimited: Bool
    let clock: WallClock
    /// One at a time for each link: of fifty at once, one is hashed and the others find the link used.
    let linkQueue = KeyedQueue<EventID>()
    let refreshLimiter = RefreshLimiter()

    // MARK: Login

    /// Begins a session. Whatever is wrong, it is the same 401, after one hash and one transaction.
    func login(email: String, password: String, organization: String?, client: Client) async throws
        -> (Grant, TokenPair)
    {
        // What is no address is nobody's; it is counted under what was typed.
        let key = EmailAddress(email)?.key ?? email
        let throttle = AuthStore.ThrottleKey(
            name: secrets.nameHash(key),
            address: LoginThrottle.bucket(of: client.address)
        )
        let account = try await store.account(key: key)
        let isLocked = try await store.throttle(throttle).isLocked(at: clock.now)
        let verdict = try await hasher.verify(password, against: isLocked ? nil : account?.passwordHash)
        guard let account, let hash = account.passwordHash, verdict.matches else {
            try await store.recordFailure(throttle, action: .loginFailed, account: account?.id, client: client)
            throw Sessions.invalidCredentials
        }
        let login = AuthStore.Login(
            account: account,
            verifiedHash: hash,
            newHash: verdict.isOutdated ? try await hasher.hash(password) : nil,
            throttle: throttle,
            // An id of the wrong form is an organization one does not belong to.
            organization: organization.map { OrganizationID($0) ?? OrganizationID(UUID()) },
            client: client
        )
        guard let grant = try await store.login(login) else { throw Sessions.invalidCredentials }
        return (grant, try await issuer.issue(grant))
    }

    /// New tokens for a refresh token.
    func refresh(_ token: String, client: Client) async throws -> TokenPair {
        guard let claim = secrets.refreshClaim(token) else { throw Sessions.invalidRefresh }
        if isLimited { try refreshLimiter.count(claim.session, at: clock.now) }
        switch try await store.refresh(claim, client: client) {
        case .granted(let grant): return try await issuer.issue(grant)
        case .refused: throw Sessions.invalidRefresh
        case .ended(let revocation, let wasReused):
            try await gate.publish([revocation])
            throw wasReused ? Sessions.refreshReused : Sessions.invalidRefresh
        }
    }

    // MARK: Sessions

    /// The account behind a token; throws 401 `session-changed` if its session does not live as the token says.
    func account(of principal: Principal) async throws -> Account {
        guard let account = try await store.liveAccount(of: principal) else { throw Sessions.changed }
        return account
    }

    /// Ends the session. `refresh` is judged once it is known who asks: one that is not of this session is refused, and
    /// nothing ends.
    func logout(_ principal: Principal, client: Client, refresh: () throws -> String?) async throws {
        let account = try await account(of: principal)
        if let token = try refresh() {
            guard secrets.refreshClaim(token)?.session == principal.session else {
                throw Failure.invalid("/refresh", "invalid", "This is not a refresh token of this session.")
            }
        }
        let ended = try await store.endSessions(
            of: account.id,
            .one(principal.session),
            .logout,
            principal: principal,
            client: client
        )
        try await gate.publish(ended)
    }

    /// A page of the caller's live sessions.
    func sessions(of principal: Principal, _ request: ListRequest) async throws -> Page<SessionSummary> {
        try await store.sessions(of: try await account(of: principal).id, as: principal, request)
    }

    /// Ends one of the caller's sessions; throws 404 if it is not theirs or has ended.
    func endSession(_ session: SessionID, principal: Principal, client: Client) async throws {
        let account = try await account(of: principal)
        let ended = try await store.endSessions(
            of: account.id,
            .one(session),
            .revoked,
            principal: principal,
            client: client
        )
        guard !ended.isEmpty else { throw Failure.notFound }
        try await gate.publish(ended)
    }

    /// Ends the caller's other sessions.
    func endOtherSessions(_ principal: Principal, client: Client) async throws {
        let account = try await account(of: principal)
        let ended = try await store.endSessions(
            of: account.id,
            .allBut(principal.session),
            .revoked,
            principal: principal,
            client: client
        )
        try await gate.publish(ended)
    }

    /// Moves the session into another organization of the caller's.
    func switchOrganization(_ principal: Principal, client: Client, to organization: () throws -> String) async throws
        -> (Grant, TokenPair)
    {
        let account = try await account(of: principal)
        guard
            let target = OrganizationID(try organization()),
            let (grant, revocation) = try await store.switchOrganization(
                principal,
                account: account.id,
                to: target,
                client: client
            )
        else { throw Failure.invalid("/organization", "not-found", "You do not belong to such an organization.") }
        try await gate.publish([revocation])
        return (grant, try await issuer.issue(grant))
    }
}

/// Lets one caller at a time through for each key, in order.
actor KeyedQueue<Key: Hashable & Sendable> {
    private var waiting: [Key: [CheckedContinuation<Void, Never>]] = [:]

    /// Runs work when everyone before has finished.
    nonisolated func run<Result: Sendable>(_ key: Key, _ work: () async throws -> Result) async throws -> Result {
        await enter(key)
        do {
            let result = try await work()
            await leave(key)
            return result
        } catch {
            await leave(key)
            throw error
        }
    }

    private func enter(_ key: Key) async {
        if waiting[key] == nil {
            waiting[key] = []
        } else {
            await withCheckedContinuation { waiting[key]?.append($0) }
        }
    }

    private func leave(_ key: Key) {
        guard var queue = waiting[key], !queue.isEmpty else {
            waiting[key] = nil
            return
        }
        let next = queue.removeFirst()
        waiting[key] = queue
        next.resume()
    }
}
