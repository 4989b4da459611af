import Chronology
import Events
import Foundation
import Identity
import Messaging
import Postgres

/// What Organization tells about organizations and their users; each method runs in the transaction of the event.
extension AuthStore {
    /// A user was created: attaches them to the account of their address, which is made if there is none, and asks for
    /// the welcome mail, with a link if the account has no password yet.
    func attach(_ profile: UserProfile, in transaction: WriteTransaction) async throws {
        guard let organization = transaction.organization else { return }
        let now = transaction.now
        let (account, isNew) = try await findOrMakeAccount(of: profile.email, in: transaction)
        let membership = Membership(organization: organization, account: account.id, profile: profile)
        let inserted = try await transaction.query([
            "\(AuthStore.insert(membership)) ON CONFLICT (organization_id, user_id) DO NOTHING",
            "SELECT name FROM organization WHERE organization_id = \(organization)",
        ])
        // A user who is here already is one that signed up; they need no welcome.
        guard inserted[0].affected == 1 else { return }
        var activation: EventID?
        var expiresAt: Timestamp?
        if account.passwordHash == nil {
            let expiry = Links.expiry(Links.activationLifetime, from: now)
            activation = requestLink(.activate, of: account.id, expiresAt: expiry, in: transaction)
            expiresAt = expiry
        }
        try transaction.publish(
            MembershipAttached(
                account: account.id,
                user: profile.user,
                email: profile.email,
                firstName: profile.firstName,
                organizationName: try inserted[1].first?.get("name") ?? "",
                activation: activation,
                activationExpiresAt: expiresAt
            )
        )
        transaction.send(
            audit(.membershipAttached, at: now, account: account.id, detail: isNew ? "new account" : nil)
        )
    }

    private func findOrMakeAccount(of email: String, in transaction: WriteTransaction) async throws -> (Account, Bool) {
        let id = AccountID.make(milliseconds: transaction.now.microseconds / 1000)
        let key = email.lowercased()
        let rows = try await transaction.query([
            """
            INSERT INTO account (id, email, email_key, created_at)
            VALUES (\(id), \(email), \(key), \(transaction.now)) ON CONFLICT (email_key) DO NOTHING
            """,
            "SELECT \(Account.columns) FROM account WHERE email_key = \(key) FOR NO KEY UPDATE",
        ])
        guard let account = try rows[1].first.map(Account.init) else { throw AccountGone() }
        return (account, account.id == id)
    }

    /// A user changed. A change of role raises the generation of their sessions in this organization, deactivation ends
    /// them; sessions in other organizations go on.
    func update(_ profile: UserProfile, in transaction: WriteTransaction) async throws -> [Revocation] {
        guard let organization = transaction.organization else { return [] }
        let now = transaction.now
        // The row's lock comes first: a login that holds it has made its session before, one that waits sees the change.
        let rows = try await transaction.query(
            """
            SELECT \(Membership.columns) FROM membership m
            WHERE m.organization_id = \(organization) AND m.user_id = \(profile.user) FOR UPDATE
            """
        )
        guard let before = try rows.first.map(Membership.init) else {
            // Unheard of until now; nothing about them can be in use, so this is as good as their creation.
            try await attach(profile, in: transaction)
            return []
        }
        guard profile.revision > before.profile.revision else { return [] }
        transaction.send(
            """
            UPDATE membership SET revision = \(profile.revision), email = \(profile.email),
                first_name = \(profile.firstName), last_name = \(profile.lastName), role = \(profile.role),
                department_id = \(profile.department), department_name = \(profile.departmentName),
                is_active = \(profile.isActive), profile_img = \(profile.profileImage), updated_at = \(profile.updatedAt)
            WHERE organization_id = \(organization) AND user_id = \(profile.user)
            """
        )
        let theirs: SQL = "organization_id = \(organization) AND user_id = \(profile.user)"
        if !profile.isActive {
            if before.profile.isActive {
                transaction.send(audit(.deactivated, at: now, account: before.account, detail: "\(profile.user)"))
            }
            return try await end(theirs, .deactivated, in: transaction)
        }
        guard profile.role != before.profile.role else { return [] }
        transaction.send(
            audit(
                .roleChanged,
                at: now,
                account: before.account,
                detail: "\(profile.user) \(before.profile.role.rawValue) to \(profile.role.rawValue)"
            )
        )
        return try await raise(theirs, in: transaction)
    }

    /// An organization's settings changed.
    func update(_ event: OrganizationUpdated, in transaction: WriteTransaction) async throws {
        guard let organization = transaction.organization else { return }
        transaction.send(
            """
            UPDATE organization SET revision = \(event.revision), name = \(event.name), time_zone = \(event.timeZone),
                reminder_hour = \(event.reminderHour), updated_at = \(event.updatedAt)
            WHERE organization_id = \(organization) AND revision < \(event.revision)
            """
        )
    }

    /// An organization is gone: its sessions end, its memberships and whatever else names it are removed, and accounts
    /// that belong nowhere any more go with it, so that their owners can sign up again.
    func removeOrganization(in transaction: WriteTransaction) async throws -> [Revocation] {
        guard let organization = transaction.organization else { return [] }
        let locked = try await transaction.query([
            """
            SELECT id FROM account
            WHERE id IN (SELECT account_id FROM membership WHERE organization_id = \(organization))
            ORDER BY id FOR UPDATE
            """,
            "SELECT user_id FROM membership WHERE organization_id = \(organization) ORDER BY user_id FOR UPDATE",
        ])
        let accounts: [AccountID] = try locked[0].map { try $0.get("id") }
        let ended = try await end("organization_id = \(organization)", .organizationDeleted, in: transaction)
        transaction.send("DELETE FROM session WHERE organization_id = \(organization)")
        transaction.send("DELETE FROM membership WHERE organization_id = \(organization)")
        transaction.send("DELETE FROM organization WHERE organization_id = \(organization)")
        transaction.send("DELETE FROM audit WHERE organization_id = \(organization)")
        transaction.send(
            "UPDATE account SET last_organization_id = NULL WHERE last_organization_id = \(organization)"
        )
        // Sessions of such an account elsewhere cannot be: there is no elsewhere.
        transaction.send(
            """
            DELETE FROM link_request WHERE account_id IN (SELECT a.id FROM account a
                WHERE a.id = ANY(\(accounts)::uuid[])
                  AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.account_id = a.id))
            """
        )
        let removed = try await transaction.query(
            """
            DELETE FROM account a WHERE a.id = ANY(\(accounts)::uuid[])
              AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.account_id = a.id) RETURNING a.id
            """
        ).map { try $0.get("id", as: AccountID.self) }
        transaction.erase(removed)
        try transaction.eraseOrganization()
        transaction.send(audit(.organizationDeleted, at: transaction.now, detail: "\(organization)"))
        return ended
    }
}
