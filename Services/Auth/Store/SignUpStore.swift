import Chronology
import Events
import Failures
import Foundation
import Identity
import Messaging
import Postgres

/// New accounts and their organizations.
extension AuthStore {
    /// What somebody signs up with.
    struct SignUp: Sendable {
        var email: EmailAddress
        var passwordHash: String
        var firstName: String
        var lastName: String
        var organizationName: String
    }

    /// Founds account, organization and first admin at once, and begins a session. Throws 409 `account-exists`.
    func signUp(_ signUp: SignUp, client: Client) async throws -> Grant {
        let milliseconds = database.clock.now.microseconds / 1000
        let account = AccountID.make(milliseconds: milliseconds)
        return try await database.write(in: .make(milliseconds: milliseconds)) { transaction in
            let inserted = try await transaction.query(
                """
                INSERT INTO account (id, email, email_key, password_hash, password_changed_at, last_organization_id,
                    created_at)
                VALUES (\(account), \(signUp.email.text), \(signUp.email.key), \(signUp.passwordHash),
                    \(transaction.now), \(transaction.organization), \(transaction.now))
                ON CONFLICT (email_key) DO NOTHING
                """
            )
            guard inserted.affected == 1 else { throw SignUps.exists }
            return try await found(signUp, account: account, client: client, in: transaction)
        }
    }

    /// Organization, first admin and session for an account that is there, in the transaction of the new organization.
    private func found(
        _ signUp: SignUp,
        account: AccountID,
        client: Client,
        in transaction: WriteTransaction
    ) async throws -> Grant {
        guard let organization = transaction.organization else { throw AccountGone() }
        let now = transaction.now
        let user = UserID.make(milliseconds: now.microseconds / 1000)
        let record = OrganizationRecord.founded(organization, name: signUp.organizationName, at: now)
        let membership = Membership(
            organization: organization,
            account: account,
            profile: UserProfile(
                user: user,
                revision: 1,
                email: signUp.email.text,
                firstName: signUp.firstName,
                lastName: signUp.lastName,
                role: .admin,
                department: nil,
                departmentName: nil,
                isActive: true,
                profileImage: nil,
                createdAt: now,
                updatedAt: now
            )
        )
        transaction.send(
            """
            INSERT INTO organization (organization_id, revision, name, time_zone, reminder_hour, created_at, updated_at)
            VALUES (\(record.id), 1, \(record.name), \(record.timeZone), \(record.reminderHour), \(now), \(now))
            """
        )
        transaction.send(AuthStore.insert(membership))
        try transaction.publish(
            OrganizationFounded(
                account: account,
                user: user,
                email: signUp.email.text,
                firstName: signUp.firstName,
                lastName: signUp.lastName,
                organizationName: signUp.organizationName
            )
        )
        let grant = try await open(membership, client: client, in: transaction)
        transaction.send(
            audit(.signUp, at: now, account: account, principal: grant.principal, client: client)
        )
        return grant
    }

    /// Keeps a sign-up until its address is proved, and asks for the mail; or asks for the mail that says there is an
    /// account. Neither shows in the answer. `isLimited` is off where rate limits are.
    func requestSignUp(_ signUp: SignUp, nameHash: [UInt8], isLimited: Bool, client: Client) async throws {
        let existing = try await account(key: signUp.email.key)
        let pending = AccountID.make(milliseconds: database.clock.now.microseconds / 1000)
        try await database.write(of: existing?.id ?? pending) { transaction in
            let now = transaction.now
            transaction.send(audit(.signUp, at: now, account: existing?.id, client: client, detail: "unverified"))
            guard try await allowMail(to: nameHash, isLimited: isLimited, at: now, transaction.query) else { return }
            if let existing {
                try transaction.publish(SignUpRepeated(account: existing.id, email: existing.email))
                return
            }
            let expiresAt = Links.expiry(Links.verificationLifetime, from: now)
            transaction.send(
                """
                INSERT INTO pending_signup (account_id, email, email_key, password_hash, first_name, last_name,
                    organization_name, created_at, expires_at)
                VALUES (\(pending), \(signUp.email.text), \(signUp.email.key), \(signUp.passwordHash),
                    \(signUp.firstName), \(signUp.lastName), \(signUp.organizationName), \(now), \(expiresAt))
                """
            )
            let request = requestLink(.verifyEmail, of: pending, expiresAt: expiresAt, in: transaction)
            try transaction.publish(
                LinkRequested(
                    account: pending,
                    email: signUp.email.text,
                    firstName: signUp.firstName,
                    purpose: .verifyEmail,
                    request: request,
                    expiresAt: expiresAt
                )
            )
        }
    }

    /// Who is about to sign up, as they said; nil if the sign-up is gone.
    func signingUp(_ pending: AccountID) async throws -> PasswordRule.Person? {
        let rows = try await database.pool.query(
            """
            SELECT email, first_name, last_name, organization_name FROM pending_signup WHERE account_id = \(pending)
            """
        )
        return try rows.first.map { row in
            PasswordRule.Person(
                email: try row.get("email"),
                names: [try row.get("first_name"), try row.get("last_name")],
                organizations: [try row.get("organization_name")]
            )
        }
    }

    /// Founds what a sign-up asked for, its address being proved by the link. Throws 400 `invalid-link`; 409
    /// `account-exists` if the address has got an account with a password meanwhile.
    ///
    /// - Parameter newHash: of a password chosen by whoever has the link; nil for the one that came with the sign-up.
    ///
    /// An account without a password, of somebody invited meanwhile, is taken over: its address has just been proved.
    func verifySignUp(_ link: LinkRecord, newHash: String?, client: Client) async throws -> Grant {
        let milliseconds = database.clock.now.microseconds / 1000
        return try await database.write(in: .make(milliseconds: milliseconds)) { transaction in
            let now = transaction.now
            guard
                let row = try await transaction.query(
                    """
                    SELECT email, email_key, password_hash, first_name, last_name, organization_name
                    FROM pending_signup WHERE account_id = \(link.account) FOR UPDATE
                    """
                ).first, let email = EmailAddress(try row.get("email"))
            else { throw Links.invalid }
            let signUp = SignUp(
                email: email,
                passwordHash: try newHash ?? row.get("password_hash"),
                firstName: try row.get("first_name"),
                lastName: try row.get("last_name"),
                organizationName: try row.get("organization_name")
            )
            let taken = try await transaction.query([
                """
                INSERT INTO account (id, email, email_key, password_hash, password_changed_at, created_at)
                VALUES (\(link.account), \(email.text), \(email.key), \(signUp.passwordHash), \(now), \(now))
                ON CONFLICT (email_key) DO NOTHING
                """,
                "SELECT \(Account.columns) FROM account WHERE email_key = \(email.key) FOR NO KEY UPDATE",
            ])
            guard let account = try taken[1].first.map(Account.init) else { throw AccountGone() }
            try await use(link, in: transaction)
            if taken[0].affected == 0 {
                guard account.passwordHash == nil else { throw SignUps.exists }
                transaction.send(
                    """
                    UPDATE account SET password_hash = \(signUp.passwordHash), password_changed_at = \(now)
                    WHERE id = \(account.id)
                    """
                )
            }
            transaction.send(
                """
                UPDATE account SET last_organization_id = \(transaction.organization) WHERE id = \(account.id)
                """
            )
            transaction.send(
                """
                UPDATE link_request SET void_at = \(now) WHERE used_at IS NULL AND void_at IS NULL AND (account_id =
                    \(account.id) OR account_id IN (SELECT account_id FROM pending_signup WHERE email_key = \(email.key)))
                """
            )
            transaction.send("DELETE FROM pending_signup WHERE email_key = \(email.key)")
            return try await found(signUp, account: account.id, client: client, in: transaction)
        }
    }

    /// The insert of a membership that is not there.
    static func insert(_ membership: Membership) -> SQL {
        let profile = membership.profile
        return """
            INSERT INTO membership (organization_id, user_id, account_id, revision, email, first_name, last_name, role,
                department_id, department_name, is_active, profile_img, created_at, updated_at)
            VALUES (\(membership.organization), \(profile.user), \(membership.account), \(profile.revision),
                \(profile.email), \(profile.firstName), \(profile.lastName), \(profile.role), \(profile.department),
                \(profile.departmentName), \(profile.isActive), \(profile.profileImage), \(profile.createdAt),
                \(profile.updatedAt))
            """
    }
}
