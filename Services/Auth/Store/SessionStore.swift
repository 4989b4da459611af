import Chronology
import Events
import Failpoints
import Foundation
import Identity
import Lists
import Messaging
import Postgres

/// Sessions: how they begin, go on and end.
extension AuthStore {
    // MARK: Login

    /// The account of an address.
    func account(key: String) async throws -> Account? {
        try await database.pool.query("SELECT \(Account.columns) FROM account WHERE email_key = \(key)")
            .first.map(Account.init)
    }

    /// A login whose password has been found right.
    struct Login: Sendable {
        var account: Account
        /// The hash that the password was found to match; another one by now means that it was changed meanwhile.
        var verifiedHash: String
        /// The password at today's cost, if the kept one is cheaper.
        var newHash: String?
        var throttle: ThrottleKey
        var organization: OrganizationID?
        var client: Client
    }

    /// Begins a session; nil if there is nothing to enter, or tries are turned away by now.
    ///
    /// The account's row is held so that no change of password slips in between, the membership's so that no change of
    /// role or deactivation does: it comes before, and is seen, or after, and finds this session.
    func login(_ login: Login) async throws -> Grant? {
        try await database.write(of: login.account.id) { transaction in
            let now = transaction.now
            func refused() -> Grant? {
                transaction.send(audit(.loginFailed, at: now, account: login.account.id, client: login.client))
                return nil
            }
            if try await isLocked(login.throttle, at: now, in: transaction) { return refused() }
            let rows = try await transaction.query(
                """
                SELECT password_hash, last_organization_id FROM account WHERE id = \(login.account.id)
                FOR NO KEY UPDATE
                """
            )
            guard let row = rows.first, try row.get("password_hash") == login.verifiedHash else { return refused() }
            let last: OrganizationID? = try row.get("last_organization_id")
            guard
                let membership = try await lockMembership(
                    of: login.account.id,
                    wanted: login.organization,
                    preferred: last,
                    in: transaction
                )
            else { return refused() }
            let grant = try await open(membership, client: login.client, in: transaction)
            recordSuccess(login.throttle, at: now, in: transaction)
            if let newHash = login.newHash {
                transaction.send("UPDATE account SET password_hash = \(newHash) WHERE id = \(login.account.id)")
            }
            enter(membership.organization, account: login.account.id, last: last, in: transaction)
            transaction.send(
                audit(
                    .login,
                    at: now,
                    account: login.account.id,
                    principal: grant.principal,
                    client: login.client
                )
            )
            return grant
        }
    }

    /// The membership that is entered, held against changes.
    private func lockMembership(
        of account: AccountID,
        wanted: OrganizationID?,
        preferred: OrganizationID?,
        in transaction: WriteTransaction
    ) async throws -> Membership? {
        // A row that was changed while we waited for it is looked at again, but no other one in its place: so ask twice.
        for _ in 0..<2 {
            let rows = try await transaction.query(
                """
                SELECT \(Membership.columns) FROM membership m
                WHERE m.account_id = \(account) AND m.is_active
                  AND (\(wanted)::uuid IS NULL OR m.organization_id = \(wanted)::uuid)
                  AND EXISTS (SELECT 1 FROM organization o WHERE o.organization_id = m.organization_id)
                ORDER BY m.organization_id = \(preferred)::uuid DESC NULLS LAST, m.created_at, m.organization_id
                LIMIT 1 FOR SHARE OF m
                """
            )
            if let row = rows.first { return try Membership(row) }
        }
        return nil
    }

    private func enter(
        _ organization: OrganizationID,
        account: AccountID,
        last: OrganizationID?,
        in transaction: WriteTransaction
    ) {
        guard organization != last else { return }
        transaction.send("UPDATE account SET last_organization_id = \(organization) WHERE id = \(account)")
    }

    /// A new session in a membership that is held.
    func open(_ membership: Membership, client: Client, in transaction: WriteTransaction) async throws -> Grant {
        let now = transaction.now
        let session = Session(
            id: .make(milliseconds: now.microseconds / 1000),
            account: membership.account,
            organization: membership.organization,
            user: membership.profile.user,
            generation: 1,
            refresh: .started(at: now)
        )
        transaction.send(
            """
            INSERT INTO session (id, account_id, organization_id, user_id, generation, counter, rotated_at, created_at,
                last_used_at, idle_expires_at, expires_at, ip, user_agent)
            VALUES (\(session.id), \(session.account), \(session.organization), \(session.user), \(session.generation),
                \(session.refresh.counter), \(now), \(now), \(now), \(session.refresh.idleExpiresAt),
                \(session.refresh.expiresAt), \(client.address), \(client.userAgent))
            """
        )
        return try await grant(session, membership, in: transaction)
    }

    private func grant(_ session: Session, _ membership: Membership, in transaction: WriteTransaction)
        async throws -> Grant
    {
        let rows = try await transaction.query([
            "SELECT \(OrganizationRecord.columns) FROM organization WHERE organization_id = \(session.organization)",
            """
            SELECT o.organization_id, o.name, m.role FROM membership m
            JOIN organization o ON o.organization_id = m.organization_id
            WHERE m.account_id = \(session.account) AND m.is_active
            ORDER BY lower(o.name) COLLATE "C", o.organization_id
            """,
        ])
        guard let organization = try rows[0].first.map(OrganizationRecord.init) else { throw AccountGone() }
        let choices = try rows[1].map { row in
            OrganizationChoice(id: try row.get("organization_id"), name: try row.get("name"), role: try row.get("role"))
        }
        return Grant(session: session, membership: membership, organization: organization, choices: choices)
    }

    // MARK: Refresh

    /// What became of a refresh.
    enum RefreshOutcome: Sendable {
        /// New tokens for this.
        case granted(Grant)
        /// No session, or one that had ended before.
        case refused
        /// It has ended now.
        case ended(Revocation, wasReused: Bool)
    }

    /// Judges a refresh token whose seal is ours, under the lock of its session: of many at once, one advances.
    func refresh(_ claim: AuthSecrets.RefreshClaim, client: Client) async throws -> RefreshOutcome {
        for _ in 0..<3 {
            let found = try await database.pool.query(
                "SELECT \(Session.columns) FROM session WHERE id = \(claim.session)"
            )
            guard let session = try found.first.map(Session.init) else { return .refused }
            if let outcome = try await refresh(claim, of: session, client: client) {
                if case .granted = outcome { try await Failpoint.hit(.refreshAfterStep) }
                return outcome
            }
        }
        // Switched to another organization three times while we looked; whoever does that can ask again.
        return .refused
    }

    /// Nil if the session was switched to another organization meanwhile.
    private func refresh(_ claim: AuthSecrets.RefreshClaim, of seen: Session, client: Client) async throws
        -> RefreshOutcome?
    {
        try await database.write(of: seen.account) { transaction in
            let now = transaction.now
            let rows = try await transaction.query([
                """
                SELECT \(Membership.columns) FROM membership m
                WHERE m.organization_id = \(seen.organization) AND m.user_id = \(seen.user) FOR SHARE
                """,
                "SELECT \(Session.columns) FROM session WHERE id = \(seen.id) FOR UPDATE",
            ])
            guard let stored = try rows[1].first.map(Session.init) else { return .refused }
            guard stored.organization == seen.organization, stored.user == seen.user else { return nil }
            var session = stored
            switch session.refresh.judge(claim.counter, at: now) {
            case .ended, .unknown: return .refused
            case .expired:
                let ended = try await end("id = \(session.id)", .expired, in: transaction)
                return ended.first.map { .ended($0, wasReused: false) } ?? .refused
            case .reused:
                let ended = try await end("id = \(session.id)", .reuse, in: transaction)
                transaction.send(
                    audit(.refreshReused, at: now, account: session.account, session: session.id, client: client)
                )
                return ended.first.map { .ended($0, wasReused: true) } ?? .refused
            case .repeatNewest: break
            case .advance(let next): session.refresh = next
            }
            guard let membership = try rows[0].first.map(Membership.init), membership.profile.isActive else {
                let ended = try await end("id = \(session.id)", .deactivated, in: transaction)
                return ended.first.map { .ended($0, wasReused: false) } ?? .refused
            }
            if session.refresh != stored.refresh {
                transaction.send(
                    """
                    UPDATE session SET counter = \(session.refresh.counter), rotated_at = \(session.refresh.rotatedAt),
                        idle_expires_at = \(session.refresh.idleExpiresAt), last_used_at = \(now),
                        ip = \(client.address), user_agent = \(client.userAgent)
                    WHERE id = \(session.id)
                    """
                )
            }
            return .granted(try await grant(session, membership, in: transaction))
        }
    }

    // MARK: Switch of organization

    /// Moves a session into another organization of its account; nil if there is no such membership. The old access
    /// tokens are of a lower generation and dead once the revocation is published.
    func switchOrganization(_ principal: Principal, account: AccountID, to target: OrganizationID, client: Client)
        async throws -> (Grant, Revocation)?
    {
        try await database.write(of: account) { transaction in
            let now = transaction.now
            let rows = try await transaction.query(
                "SELECT last_organization_id FROM account WHERE id = \(account) FOR NO KEY UPDATE"
            )
            guard
                let membership = try await lockMembership(
                    of: account,
                    wanted: target,
                    preferred: nil,
                    in: transaction
                )
            else { return nil }
            let found = try await transaction.query(
                "SELECT \(Session.columns) FROM session WHERE id = \(principal.session) FOR UPDATE"
            )
            guard var session = try found.first.map(Session.init), !session.refresh.isEnded,
                session.generation == principal.generation
            else { throw Sessions.changed }
            session.organization = membership.organization
            session.user = membership.profile.user
            session.generation += 1
            session.refresh = session.refresh.advanced(at: now)
            transaction.send(
                """
                UPDATE session SET organization_id = \(session.organization), user_id = \(session.user),
                    generation = \(session.generation), counter = \(session.refresh.counter), rotated_at = \(now),
                    idle_expires_at = \(session.refresh.idleExpiresAt), last_used_at = \(now)
                WHERE id = \(session.id)
                """
            )
            let revocation = revoke([session.id], below: session.generation, in: transaction)
            enter(target, account: account, last: try rows.first?.get("last_organization_id"), in: transaction)
            let grant = try await grant(session, membership, in: transaction)
            transaction.send(
                audit(
                    .switchOrganization,
                    at: now,
                    account: account,
                    principal: grant.principal,
                    client: client
                )
            )
            return revocation.first.map { (grant, $0) }
        }
    }

    // MARK: The owner's view

    /// The account behind a token, if its session still lives as the token says. The gateway asks Redis the same; here
    /// the truth is at hand, and a request that reached this port directly is judged too.
    func liveAccount(of principal: Principal) async throws -> Account? {
        let now = database.clock.now
        let rows = try await database.pool.query(
            """
            SELECT a.id, a.email, a.password_hash FROM session s JOIN account a ON a.id = s.account_id
            WHERE s.id = \(principal.session) AND s.organization_id = \(principal.organization)
              AND s.user_id = \(principal.user) AND s.generation = \(principal.generation)
              AND s.ended_at IS NULL AND s.idle_expires_at > \(now) AND s.expires_at > \(now)
            """
        )
        return try rows.first.map(Account.init)
    }

    /// A page of an account's live sessions.
    func sessions(of account: AccountID, as principal: Principal, _ request: ListRequest) async throws
        -> Page<SessionSummary>
    {
        let now = database.clock.now
        return try await request.run(
            in: principal.organization,
            on: database,
            select: "s.id, s.created_at, s.last_used_at, s.ip, s.user_agent",
            from: "session s",
            visible: """
                s.account_id = \(account) AND s.ended_at IS NULL AND s.idle_expires_at > \(now)
                AND s.expires_at > \(now)
                """
        ) { row in
            SessionSummary(
                id: try row.get("id"),
                createdAt: try row.get("created_at"),
                lastUsedAt: try row.get("last_used_at"),
                ip: try row.get("ip"),
                userAgent: try row.get("user_agent")
            )
        }
    }
}

/// The account or organization was removed in between; answered like a session that has ended.
struct AccountGone: Error, Sendable {}
