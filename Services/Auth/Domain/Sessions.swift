import Events
import Failures

/// What is said about sessions and tokens that are no good.
enum Sessions {
    /// 401: the session behind the access token has ended, or has moved on.
    static let changed = Failure(
        .unauthenticated,
        "session-changed",
        "The session has ended or changed; refresh it, or log in again."
    )
    /// 401: the refresh token is none, or its session has ended.
    static let invalidRefresh = Failure(
        .unauthenticated,
        "invalid-refresh",
        "This refresh token is no longer good; log in again."
    )
    /// 401: an older refresh token was used; the session has been ended.
    static let refreshReused = Failure(
        .unauthenticated,
        "refresh-reused",
        "This refresh token was replaced before; the session has ended."
    )
    /// 401, the same for everything that can be wrong with a login.
    static let invalidCredentials = Failure(
        .unauthenticated,
        "invalid-credentials",
        "E-mail address and password do not fit."
    )
    /// 503: the change is kept, but the gateways could not be told yet.
    static let notPublished = Failure.unavailable(
        "revocation-pending",
        "The change is kept; the gateways are told as soon as they can be reached."
    )
}

/// Why a session ended; the raw value is what the table holds.
enum SessionEnd: String, Sendable {
    case logout
    case revoked
    case passwordChange = "password-change"
    case passwordReset = "password-reset"
    case reuse
    case deactivated
    case organizationDeleted = "organization-deleted"
    case expired

    /// What the log is told. Nothing of a session that has run out; nor of one whose organization is gone, since the
    /// event would put the address back where everything about the organization is just being removed.
    var event: SessionRevoked.Reason? {
        switch self {
        case .logout: .logout
        case .revoked: .revoked
        case .passwordChange: .passwordChange
        case .passwordReset: .passwordReset
        case .reuse: .reuse
        case .deactivated: .deactivated
        case .organizationDeleted, .expired: nil
        }
    }
}
