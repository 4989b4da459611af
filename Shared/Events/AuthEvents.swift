public import Chronology
public import Identity

/// A sign-up was accepted: a new organization with its first admin. Every service materializes both from it.
public struct OrganizationFounded: Event {
    public static let type = "organization.founded"
    public static let version = 1
    public static let producer = Producer.auth
    public var subject: String { "organization" }

    public var account: AccountID
    public var user: UserID
    public var email: String
    public var firstName: String
    public var lastName: String
    public var organizationName: String

    public init(
        account: AccountID, user: UserID, email: String, firstName: String, lastName: String, organizationName: String
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
    public static let type = "account.link-requested"
    public static let version = 1
    public static let producer = Producer.auth
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

    public var account: AccountID
    public var email: String
    public var firstName: String?
    public var purpose: Purpose
    public var request: EventID
    public var expiresAt: Timestamp

    public init(
        account: AccountID, email: String, firstName: String?, purpose: Purpose, request: EventID, expiresAt: Timestamp
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
    public static let type = "account.signup-repeated"
    public static let version = 1
    public static let producer = Producer.auth
    public var subject: String { "account/\(account)" }

    public var account: AccountID
    public var email: String

    public init(account: AccountID, email: String) {
        self.account = account
        self.email = email
    }
}

/// A user created by an admin now has an account behind it: time for the welcome mail.
public struct MembershipAttached: Event {
    public static let type = "membership.attached"
    public static let version = 1
    public static let producer = Producer.auth
    public var subject: String { "user/\(user)" }

    public var account: AccountID
    public var user: UserID
    public var email: String
    public var firstName: String
    public var organizationName: String
    /// The request behind the link that sets the first password; nil if the account has a password already.
    public var activation: EventID?
    public var activationExpiresAt: Timestamp?

    public init(
        account: AccountID, user: UserID, email: String, firstName: String, organizationName: String,
        activation: EventID?, activationExpiresAt: Timestamp?
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
    public static let type = "account.password-changed"
    public static let version = 1
    public static let producer = Producer.auth
    public var subject: String { "account/\(account)" }

    public var account: AccountID
    public var email: String
    public var firstName: String?
    /// True when a mailed link set it, false when the owner changed it while logged in.
    public var byLink: Bool

    public init(account: AccountID, email: String, firstName: String?, byLink: Bool) {
        self.account = account
        self.email = email
        self.firstName = firstName
        self.byLink = byLink
    }
}

/// A session ended other than by running out.
public struct SessionRevoked: Event {
    public static let type = "session.revoked"
    public static let version = 1
    public static let producer = Producer.auth
    public var subject: String { "account/\(account)" }

    /// Why.
    public enum Reason: String, Codable, Sendable {
        case logout
        case revoked
        case passwordChange = "password-change"
        case passwordReset = "password-reset"
        /// A refresh token older than the last one was used: the owner is told.
        case reuse
        case deactivated
        case organizationDeleted = "organization-deleted"
    }

    public var account: AccountID
    public var email: String
    public var session: SessionID
    public var reason: Reason

    public init(account: AccountID, email: String, session: SessionID, reason: Reason) {
        self.account = account
        self.email = email
        self.session = session
        self.reason = reason
    }
}
