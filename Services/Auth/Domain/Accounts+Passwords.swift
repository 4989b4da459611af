import Chronology
import Events
import Failures
import Foundation
import Identity

/// Sign-ups, links and passwords.
extension Accounts {
    // MARK: Sign-up

    /// What somebody fills in to sign up.
    struct SignUpForm: Sendable {
        var email: EmailAddress
        var password: String
        var firstName: String
        var lastName: String
        var organizationName: String

        var person: PasswordRule.Person {
            PasswordRule.Person(email: email.text, names: [firstName, lastName], organizations: [organizationName])
        }
    }

    /// Throws 403 `signup-closed` where nobody may.
    func requireOpenSignUp() throws {
        guard policy.isOpen else { throw SignUps.closed }
    }

    /// Founds an organization at once. Throws 409 `account-exists`.
    func signUp(_ form: SignUpForm, client: Client) async throws -> (Grant, TokenPair) {
        guard try await store.account(key: form.email.key) == nil else { throw SignUps.exists }
        let grant = try await store.signUp(try await hashed(form), client: client)
        return (grant, try await issuer.issue(grant))
    }

    /// Asks for the mail that proves the address, or says that there is an account. Hashes in either case, so that the
    /// two take the same time.
    func requestSignUp(_ form: SignUpForm, client: Client) async throws {
        try await store.requestSignUp(
            try await hashed(form),
            nameHash: secrets.nameHash(form.email.key),
            isLimited: isLimited,
            client: client
        )
    }

    /// Founds what the sign-up behind a link asked for. The fields are judged once the link has been found good, and a
    /// refused password does not use it up.
    ///
    /// Anybody can sign up with anybody's address. A password given here takes the place of the one that came with the
    /// sign-up, so that whoever follows the link need not go on with a stranger's.
    func verifySignUp(
        uid: String,
        token: String,
        client: Client,
        fields: @Sendable () throws -> NewPassword?
    ) async throws -> (Grant, TokenPair) {
        let claimed = try await link(uid: uid, token: token, for: Links.verificationPurposes)
        let grant = try await linkQueue.run(claimed.id) {
            let link = try await link(uid: uid, token: token, for: Links.verificationPurposes)
            var hash: String?
            if let chosen = try fields() {
                guard let person = try await store.signingUp(link.account) else { throw Links.invalid }
                hash = try await hasher.hash(try checked(chosen, for: person))
            }
            return try await store.verifySignUp(link, newHash: hash, client: client)
        }
        return (grant, try await issuer.issue(grant))
    }

    /// A password as the pages of links ask for it.
    typealias NewPassword = (password1: String, password2: String)

    /// The password, if it was given twice the same and can be one; throws 422 at the field that is wrong.
    private func checked(_ chosen: NewPassword, for person: PasswordRule.Person) throws -> String {
        guard chosen.password1.utf8.elementsEqual(chosen.password2.utf8) else {
            throw Failure.invalid("/password2", "mismatch", "The two passwords differ.")
        }
        if let failure = rule.failure(chosen.password1, of: person, at: "/password1") {
            throw Failure.invalid([failure])
        }
        return chosen.password1
    }

    private func hashed(_ form: SignUpForm) async throws -> AuthStore.SignUp {
        AuthStore.SignUp(
            email: form.email,
            passwordHash: try await hasher.hash(form.password),
            firstName: form.firstName,
            lastName: form.lastName,
            organizationName: form.organizationName
        )
    }

    // MARK: Links

    /// The live link of an account that a token is of; throws 400 `invalid-link` for whatever is wrong with it.
    func link(uid: String, token: String, for purposes: Set<LinkRequested.Purpose>) async throws -> LinkRecord {
        guard
            let account = AccountID(uid), let request = secrets.linkRequest(of: token),
            let link = try await store.link(request),
            secrets.isLink(token, of: link), link.account == account, purposes.contains(link.purpose),
            link.isLive(at: clock.now)
        else { throw Links.invalid }
        return link
    }

    /// Asks for the mail with a reset link, if there is such an account. Answers no sooner for an unknown one.
    func requestReset(_ email: EmailAddress, client: Client) async throws {
        let start = ContinuousClock.now
        try await store.requestReset(
            key: email.key,
            nameHash: secrets.nameHash(email.key),
            isLimited: isLimited,
            client: client
        )
        // Both ways write a few rows in a millisecond or two; the floor hides which ones.
        try await Task.sleep(until: start + .milliseconds(50))
    }

    /// Sets a password by a link. The fields are judged once the link has been found good, and a refused password does
    /// not use it up.
    func resetPassword(
        uid: String,
        token: String,
        client: Client,
        fields: @Sendable () throws -> NewPassword
    ) async throws {
        let claimed = try await link(uid: uid, token: token, for: Links.passwordPurposes)
        let ended = try await linkQueue.run(claimed.id) {
            let link = try await link(uid: uid, token: token, for: Links.passwordPurposes)
            let chosen = try fields()
            guard let account = try await store.account(link.account) else { throw Links.invalid }
            let password = try checked(chosen, for: try await store.person(account))
            return try await store.resetPassword(
                link,
                hash: try await hasher.hash(password),
                nameHash: secrets.nameHash(account.email.lowercased()),
                client: client
            )
        }
        try await gate.publish(ended)
    }

    // MARK: Change

    /// Changes the password of whoever knows the old one; every other session of the account ends.
    func changePassword(
        _ principal: Principal,
        client: Client,
        fields: () throws -> (old: String, new: String)
    ) async throws {
        let account = try await account(of: principal)
        let (old, new) = try fields()
        if let failure = rule.failure(new, of: try await store.person(account), at: "/new_password") {
            throw Failure.invalid([failure])
        }
        // Whoever finds an open session must not be able to try passwords at leisure.
        let throttle = AuthStore.ThrottleKey(
            name: secrets.nameHash("change-password/\(account.id)"),
            address: principal.session.description
        )
        try await store.throttle(throttle).address.requireUnlocked(at: clock.now)
        // Before the old one is judged: the answer is not to tell whether it was right.
        guard !old.utf8.elementsEqual(new.utf8) else {
            throw Failure.invalid("/new_password", "same-password", "The new password is the old one.")
        }
        let wrong = Failure.invalid("/old_password", "wrong-password", "This is not the present password.")
        guard try await hasher.verify(old, against: account.passwordHash).matches else {
            let throttled = try await store.recordFailure(
                throttle,
                action: .passwordChangeFailed,
                account: account.id,
                principal: principal,
                client: client
            )
            // Of many tries at once those that come after the pause has begun learn nothing.
            try throttled.address.requireUnlocked(at: clock.now)
            throw wrong
        }
        guard
            let ended = try await store.changePassword(
                account,
                principal: principal,
                hash: try await hasher.hash(new),
                throttle: throttle,
                client: client
            )
        else { throw wrong }
        try await gate.publish(ended)
    }
}
