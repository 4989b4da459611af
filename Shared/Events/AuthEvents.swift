public import Chronology
public import Identity

/// A sign-up was accepted: a new organization with its first admin. Every service materializes both from it.
public struct OrganizationFounded: Event {
    /// The CloudEvents `type`.
    public static let type = "organization.founded"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.auth
    /// The aggregate it is about.
    public var subject: String { "organization" }

    /// The account.
    public var account: AccountID
    /// The user.
    public var user: UserID
    /// The address, as its owner wrote it.
    public var email: String
    /// First name.
    public var firstName: String
    /// Last name.
    public var lastName: String
    /// The organization's name.
    public var organizationName: String

    /// An event with these values.
    public init(
        account: AccountID,
        user: UserID,
        email: String,
        firstName: String,
        lastName: String,
        organizationName: String
    ) {
        self.account = account
        self.user = user
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.organizationName = organizationName
    }
}

/// Someone asked for a link by mail that proves the address or sets a password. The link's token is derived from
/// `request` by whoever writes the mail; it never travels.
public struct LinkRequested: Event {
    /// The CloudEvents `type`.
    public static let type = "account.link-requested"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.auth
    /// The aggregate it is about.
    public var subject: String { "account/\(account)" }

    /// What the link is for.
    public enum Purpose: String, Codable, Sendable {
        /// Proves the address of a sign-up: `/api/account/verify-email/{uid}/{token}/`.
        case verifyEmail = "verify-email"
        /// Sets a new password: `/api/account/request-reset-password/{uid}/{token}/`, 10 minutes.
        case resetPassword = "reset-password"
        /// Sets the first password of an invited person, same path, 7 days.
        case activate
    }

    /// The account.
    public var account: AccountID
    /// The address, as its owner wrote it.
    public var email: String
    /// First name.
    public var firstName: String?
    /// What the link is for.
    public var purpose: Purpose
    /// The request behind the link; its token is derived from it.
    public var request: EventID
    /// Until when the link is good.
    public var expiresAt: Timestamp

    /// An event with these values.
    public init(
        account: AccountID,
        email: String,
        firstName: String?,
        purpose: Purpose,
        request: EventID,
        expiresAt: Timestamp
    ) {
        self.account = account
        self.email = email
        self.firstName = firstName
        self.purpose = purpose
        self.request = request
        self.expiresAt = expiresAt
    }
}

/// A sign-up named an address that has an account: its owner is told so, the one who signed up is not.
public struct SignUpRepeated: Event {
    /// The CloudEvents `type`.
    public static let type = "account.signup-repeated"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.auth
    /// The aggregate it is about.
    public var subject: String { "account/\(account)" }

    /// The account.
    public var account: AccountID
    /// The address, as its owner wrote it.
    public var email: String

    /// An event with these values.
    public init(account: AccountID, email: String) {
        self.account = account
        self.email = email
    }
}

/// A user created by an admin now has an account behind it: time for the welcome mail.
public struct MembershipAttached: Event {
    /// The CloudEvents `type`.
    public static let type = "membership.attached"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.auth
    /// The aggregate it is about.
    public var subject: String { "user/\(user)" }

    /// The account.
    public var account: AccountID
    /// The user.
    public var user: UserID
    /// The address, as its owner wrote it.
    public var email: String
    /// First name.
    public var firstName: String
    /// The organization's name.
    public var organizationName: String
    /// The request behind the link that sets the first password; nil if the account has a password already.
    public var activation: EventID?
    /// Until when that link is good.
    public var activationExpiresAt: Timestamp?

    /// An event with these values.
    public init(
        account: AccountID,
        user: UserID,
        email: String,
        firstName: String,
        organizationName: String,
        activation: EventID?,
        activationExpiresAt: Timestamp?
    ) {
        self.account = account
        self.user = user
        self.email = email
        self.firstName = firstName
        self.organizationName = organizationName
        self.activation = activation
        self.activationExpiresAt = activationExpiresAt
    }
}

/// An account's password was changed or set by a link; its owner is told by mail.
public struct PasswordChanged: Event {
    /// The CloudEvents `type`.
    public static let type = "account.password-changed"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.auth
    /// The aggregate it is about.
    public var subject: String { "account/\(account)" }

    /// The account.
    public var account: AccountID
    /// The address, as its owner wrote it.
    public var email: String
    /// First name.
    public var firstName: String?
    /// True when a mailed link set it, false when the owner changed it while logged in.
    public var byLink: Bool

    /// An event with these values.
    public init(account: AccountID, email: String, firstName: String?, byLink: Bool) {
        self.account = account
        self.email = email
        self.firstName = firstName
        self.byLink = byLink
    }
}

/// A session ended other than by running out.
public struct SessionRevoked: Event {
    /// The CloudEvents `type`.
    public static let type = "session.revoked"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.auth
    /// The aggregate it is about.
    public var subject: String { "account/\(account)" }

    /// Why.
    public enum Reason: String, Codable, Sendable {
        /// Its owner logged out.
        case logout
        /// Its owner ended it from another session.
        case revoked
        /// The password was changed in another session.
        case passwordChange = "password-change"
        /// The password was set by a mailed link.
        case passwordReset = "password-reset"
        /// A refresh token older than the last one was used: the owner is told.
        case reuse
        /// The person was deactivated in the organization it was in.
        case deactivated
        /// The organization it was in was deleted.
        case organizationDeleted = "organization-deleted"
    }

    /// The account.
    public var account: AccountID
    /// The address, as its owner wrote it.
    public var email: String
    /// The session that ended.
    public var session: SessionID
    /// Why.
    public var reason: Reason

    /// An event with these values.
    public init(account: AccountID, email: String, session: SessionID, reason: Reason) {
        self.account = account
        self.email = email
        self.session = session
        self.reason = reason
    }
}
