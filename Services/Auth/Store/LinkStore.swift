import Chronology
import Crypto
import Events
import Failures
import Foundation
import Identity
import Messaging
import Postgres

/// Mailed links and the passwords they set.
extension AuthStore {
    /// A link by the id in its token.
    func link(_ request: EventID) async throws -> LinkRecord? {
        try await database.pool.query("SELECT \(LinkRecord.columns) FROM link_request WHERE id = \(request)")
            .first.flatMap(LinkRecord.init)
    }

    /// Writes down a link that is about to be mailed.
    func requestLink(
        _ purpose: LinkRequested.Purpose,
        of account: AccountID,
        expiresAt: Timestamp,
        in transaction: WriteTransaction
    ) -> EventID {
        let request = EventID.make(milliseconds: transaction.now.microseconds / 1000)
        transaction.send(
            """
            INSERT INTO link_request (id, account_id, purpose, created_at, expires_at)
            VALUES (\(request), \(account), \(purpose.rawValue), \(transaction.now), \(expiresAt))
            """
        )
        return request
    }

    /// Marks a link as used, under its lock; throws 400 `invalid-link` if somebody was faster.
    func use(_ link: LinkRecord, in transaction: WriteTransaction) async throws {
        let used = try await transaction.query(
            """
            UPDATE link_request SET used_at = \(transaction.now)
            WHERE id = \(link.id) AND used_at IS NULL AND void_at IS NULL AND expires_at > \(transaction.now)
            """
        )
        guard used.affected == 1 else { throw Links.invalid }
    }

    /// Voids the links of an account that are left.
    private func voidLinks(
        of account: AccountID,
        _ condition: SQL = "true",
        in transaction: WriteTransaction
    ) {
        transaction.send(
            """
            UPDATE link_request SET void_at = \(transaction.now)
            WHERE account_id = \(account) AND used_at IS NULL AND void_at IS NULL AND \(condition)
            """
        )
    }

    /// Asks for the mail with a reset link, if there is such an account and its address has not had too many. An
    /// unknown name writes as much, though not among the mails of the address: none goes to it.
    func requestReset(key: String, nameHash: [UInt8], isLimited: Bool, client: Client) async throws {
        guard let account = try await account(key: key) else {
            let now = database.clock.now
            try await database.pool.transaction(in: nil) { transaction in
                let unmailed = Array(SHA256.hash(data: nameHash))
                _ = try await allowMail(to: unmailed, isLimited: isLimited, at: now, transaction.query)
                transaction.send(audit(.resetRequested, at: now, client: client))
            }
            return
        }
        try await database.write(of: account.id) { transaction in
            let now = transaction.now
            transaction.send(audit(.resetRequested, at: now, account: account.id, client: client))
            guard try await allowMail(to: nameHash, isLimited: isLimited, at: now, transaction.query) else { return }
            let firstName = try await firstName(of: account.id, lockingAccount: true, in: transaction)
            voidLinks(of: account.id, "purpose = 'reset-password'", in: transaction)
            let expiresAt = Links.expiry(Links.resetLifetime, from: now)
            let request = requestLink(.resetPassword, of: account.id, expiresAt: expiresAt, in: transaction)
            try transaction.publish(
                LinkRequested(
                    account: account.id,
                    email: account.email,
                    firstName: firstName,
                    purpose: .resetPassword,
                    request: request,
                    expiresAt: expiresAt
                )
            )
        }
    }

    /// How a mail addresses the account's owner.
    private func firstName(
        of account: AccountID,
        lockingAccount: Bool,
        in transaction: WriteTransaction
    ) async throws -> String? {
        let names: SQL = "SELECT first_name FROM membership WHERE account_id = \(account) ORDER BY created_at LIMIT 1"
        guard lockingAccount else { return try await transaction.query(names).first?.get("first_name") }
        let rows = try await transaction.query([
            "SELECT id FROM account WHERE id = \(account) FOR NO KEY UPDATE", names,
        ])
        return try rows[1].first?.get("first_name")
    }

    /// What is known of an account's owner, for the rule of passwords.
    func person(_ account: Account) async throws -> PasswordRule.Person {
        let rows = try await database.pool.query(
            """
            SELECT m.first_name, m.last_name, o.name FROM membership m
            LEFT JOIN organization o ON o.organization_id = m.organization_id WHERE m.account_id = \(account.id)
            """
        )
        var person = PasswordRule.Person(email: account.email)
        for row in rows {
            person.names += [try row.get("first_name"), try row.get("last_name")]
            if let name: String = try row.get("name") { person.organizations.append(name) }
        }
        return person
    }

    /// An account by its id.
    func account(_ id: AccountID) async throws -> Account? {
        try await database.pool.query("SELECT \(Account.columns) FROM account WHERE id = \(id)").first.map(Account.init)
    }

    /// Sets a password by a link: the link and all others of the account are spent, every session ends.
    func resetPassword(_ link: LinkRecord, hash: String, nameHash: [UInt8], client: Client) async throws -> [Revocation]
    {
        try await database.write(of: link.account) { transaction in
            let now = transaction.now
            let rows = try await transaction.query(
                "SELECT \(Account.columns) FROM account WHERE id = \(link.account) FOR NO KEY UPDATE"
            )
            guard let account = try rows.first.map(Account.init) else { throw Links.invalid }
            try await use(link, in: transaction)
            voidLinks(of: account.id, in: transaction)
            let firstName = try await firstName(of: account.id, lockingAccount: false, in: transaction)
            transaction.send(
                """
                UPDATE account SET password_hash = \(hash), password_changed_at = \(now) WHERE id = \(account.id)
                """
            )
            forgetFailures(of: nameHash, in: transaction)
            let ended = try await end("account_id = \(account.id)", .passwordReset, in: transaction)
            try transaction.publish(
                PasswordChanged(account: account.id, email: account.email, firstName: firstName, byLink: true)
            )
            transaction.send(audit(.passwordReset, at: now, account: account.id, client: client))
            return ended
        }
    }

    /// Changes a password whose old one has been found right; every other session ends. Nil if it was changed by
    /// somebody else meanwhile; throws 429 `too-many-tries` if tries are turned away by now, right ones too.
    func changePassword(
        _ account: Account,
        principal: Principal,
        hash: String,
        throttle: ThrottleKey,
        client: Client
    ) async throws -> [Revocation]? {
        try await database.write(of: account.id) { transaction in
            let now = transaction.now
            try await lockedThrottle(throttle, in: transaction).address.requireUnlocked(at: now)
            let rows = try await transaction.query(
                "SELECT password_hash FROM account WHERE id = \(account.id) FOR NO KEY UPDATE"
            )
            guard let row = rows.first, try row.get("password_hash") == account.passwordHash else { return nil }
            let firstName = try await firstName(of: account.id, lockingAccount: false, in: transaction)
            voidLinks(of: account.id, in: transaction)
            transaction.send(
                """
                UPDATE account SET password_hash = \(hash), password_changed_at = \(now) WHERE id = \(account.id)
                """
            )
            let ended = try await end(
                "account_id = \(account.id) AND id <> \(principal.session)",
                .passwordChange,
                in: transaction
            )
            recordSuccess(throttle, at: now, in: transaction)
            try transaction.publish(
                PasswordChanged(account: account.id, email: account.email, firstName: firstName, byLink: false)
            )
            transaction.send(
                audit(.passwordChanged, at: now, account: account.id, principal: principal, client: client)
            )
            return ended
        }
    }

    /// Ends sessions of an account at its owner's wish.
    func endSessions(
        of account: AccountID,
        _ choice: SessionChoice,
        _ reason: SessionEnd,
        principal: Principal,
        client: Client
    ) async throws -> [Revocation] {
        try await database.write(of: account) { transaction in
            let condition: SQL =
                switch choice {
                case .one(let session): "account_id = \(account) AND id = \(session)"
                case .allBut(let session): "account_id = \(account) AND id <> \(session)"
                }
            let ended = try await end(condition, reason, in: transaction)
            for revocation in ended {
                transaction.send(
                    audit(
                        reason == .logout ? .logout : .sessionRevoked,
                        at: transaction.now,
                        account: account,
                        principal: principal,
                        session: revocation.session,
                        client: client
                    )
                )
            }
            return ended
        }
    }
}
