import Chronology
import Events
import Identity

/// One e-mail address with its password, installation-wide.
struct Account: Sendable, Hashable {
    var id: AccountID
    /// As typed.
    var email: String
    /// PHC string; nil until an invited person has set a password.
    var passwordHash: String?
}

/// An account's membership of one organization, as Organization last told it.
struct Membership: Sendable, Hashable {
    var organization: OrganizationID
    var account: AccountID
    var profile: UserProfile

    var user: UserID { profile.user }
    var version: Int64 { profile.revision }
    var email: String { profile.email }
    var firstName: String { profile.firstName }
    var lastName: String { profile.lastName }
    var role: Role { profile.role }
    var department: DepartmentID? { profile.department }
    var departmentName: String? { profile.departmentName }
    var isActive: Bool { profile.isActive }
    var profileImage: String? { profile.profileImage }
    var createdAt: Timestamp { profile.createdAt }
    var updatedAt: Timestamp { profile.updatedAt }

    /// First and last name, as people read them.
    var name: String { lastName.isEmpty ? firstName : "\(firstName) \(lastName)" }
}

/// What is kept of an organization.
struct OrganizationRecord: Sendable, Hashable {
    var id: OrganizationID
    var name: String
    var timeZone: String
    var reminderHour: Int
    var createdAt: Timestamp
    var updatedAt: Timestamp

    /// What a new organization starts with; every service assumes the same on hearing of a sign-up.
    static func founded(_ id: OrganizationID, name: String, at moment: Timestamp) -> OrganizationRecord {
        OrganizationRecord(
            id: id,
            name: name,
            timeZone: "UTC",
            reminderHour: 9,
            createdAt: moment,
            updatedAt: moment
        )
    }
}

/// One of the organizations that a person can enter.
struct OrganizationChoice: Sendable, Hashable {
    var id: OrganizationID
    var name: String
    var role: Role
}

/// A session as it is kept.
struct Session: Sendable, Hashable {
    var id: SessionID
    var account: AccountID
    var organization: OrganizationID
    var user: UserID
    var generation: Int64
    var refresh: RefreshState
}

/// Which of an account's sessions are meant.
enum SessionChoice: Sendable, Hashable {
    case one(SessionID)
    case allBut(SessionID)
}

/// A session as its owner sees it in the list.
struct SessionSummary: Sendable, Hashable {
    var id: SessionID
    var createdAt: Timestamp
    var lastUsedAt: Timestamp
    var ip: String?
    var userAgent: String?
}

/// Everything an answer with tokens is made of, read under the locks that make it true.
struct Grant: Sendable, Hashable {
    var session: Session
    var membership: Membership
    var organization: OrganizationRecord
    var choices: [OrganizationChoice]

    var principal: Principal {
        Principal(
            user: session.user,
            organization: session.organization,
            role: membership.profile.role,
            session: session.id,
            generation: session.generation
        )
    }
}

/// The tokens of an answer.
struct TokenPair: Sendable, Hashable {
    var access: String
    var refresh: String
    var expiresIn: Int64
    var session: SessionID
    var organization: OrganizationID
}

/// Which of a session's access tokens are dead from now on.
struct Revocation: Sendable, Hashable {
    var session: SessionID
    /// The lowest generation that lives; ``ended`` for none.
    var lowestGeneration: Int64
    /// When no dead token can be shown any more, since it has expired.
    var expiresAt: Timestamp

    /// The generation that no token reaches.
    static let ended = Int64.max

    /// The value of the gate's key.
    var mark: String { lowestGeneration == Revocation.ended ? "ended" : String(lowestGeneration) }
}

/// Where a request comes from, for sessions, throttling and audit.
struct Client: Sendable, Hashable {
    /// The address as the gateway saw it.
    var address: String?
    /// `User-Agent`.
    var userAgent: String?
}

/// What is written down about security; the raw value is what the table holds.
enum AuditAction: String, Sendable {
    case signUp = "sign-up"
    case login
    case loginFailed = "login-failed"
    case refreshReused = "refresh-reused"
    case logout
    case sessionRevoked = "session-revoked"
    case switchOrganization = "switch-organization"
    case passwordChanged = "password-changed"
    case passwordChangeFailed = "password-change-failed"
    case resetRequested = "reset-requested"
    case passwordReset = "password-reset"
    case roleChanged = "role-changed"
    case deactivated
    case membershipAttached = "membership-attached"
    case organizationDeleted = "organization-deleted"
}
