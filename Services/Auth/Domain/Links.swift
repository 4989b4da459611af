import Chronology
import Events
import Failures
import Identity

/// A mailed link as it is kept: what it is for and until when; its token is derived from it and kept nowhere.
struct LinkRecord: Sendable, Hashable {
    var id: EventID
    var account: AccountID
    var purpose: LinkRequested.Purpose
    var expiresAt: Timestamp
    /// Used, or replaced by a newer one, or void because another link of the account was used.
    var isSpent: Bool

    /// Whether it still opens anything.
    func isLive(at now: Timestamp) -> Bool { !isSpent && now < expiresAt }
}

/// How long links last and what is said of those that do not.
enum Links {
    static let resetLifetime = Duration.seconds(600)
    static let activationLifetime = Duration.seconds(7 * 86_400)
    static let verificationLifetime = Duration.seconds(86_400)

    /// 400: used, expired, replaced or forged; which of them is nobody's business.
    static let invalid = Failure(
        .badRequest,
        "invalid-link",
        "This link has been used or replaced, has expired, or never was one."
    )

    /// What sets a password: the link of a reset and the one of a welcome are of one kind and share a path.
    static let passwordPurposes: Set<LinkRequested.Purpose> = [.resetPassword, .activate]

    /// What proves the address of a sign-up.
    static let verificationPurposes: Set<LinkRequested.Purpose> = [.verifyEmail]

    /// An expiry in whole seconds, as the link's token has it.
    static func expiry(_ lifetime: Duration, from now: Timestamp) -> Timestamp {
        Timestamp(seconds: (now + lifetime).seconds)
    }
}
