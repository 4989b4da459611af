import Chronology

/// How long sessions and their refresh tokens last.
enum SessionLimits {
    /// A session that nobody refreshes ends.
    static let idle = Duration.seconds(14 * 86_400)
    /// No session lasts longer.
    static let absolute = Duration.seconds(60 * 86_400)
    /// For how long the token just replaced still gives its successor: a reply may have been lost.
    static let grace = Duration.seconds(30)
    /// By how much a revocation outlives the tokens it kills; more than the leeway of any verifier.
    static let revocationMargin = Duration.seconds(60)
}

/// The refresh tokens of one session: a counter of which only the newest value, and for a moment the one before it,
/// is good. The token is an HMAC over session and counter, so the same counter always gives the same token, and nothing
/// secret is kept.
struct RefreshState: Sendable, Hashable {
    /// The newest token's number; 1 and up.
    var counter: Int64
    /// When it was made.
    var rotatedAt: Timestamp
    /// The session ends then unless it is refreshed before.
    var idleExpiresAt: Timestamp
    /// The session ends then.
    var expiresAt: Timestamp
    /// Whether the session has ended otherwise.
    var isEnded: Bool

    /// What a token gets.
    enum Decision: Sendable, Hashable {
        /// The newest token: the next one is made, with this state.
        case advance(RefreshState)
        /// The one before it, within the grace: the newest one is given again, nothing moves.
        case repeatNewest
        /// An older one: somebody else has been refreshing. The session must end.
        case reused
        /// The session has run out. It must be marked so.
        case expired
        /// The session has ended.
        case ended
        /// A number never given out, as after a restore from a backup: not to be trusted, and nobody's fault.
        case unknown
    }

    /// A new session's state.
    static func started(at now: Timestamp) -> RefreshState {
        RefreshState(
            counter: 1,
            rotatedAt: now,
            idleExpiresAt: now + SessionLimits.idle,
            expiresAt: now + SessionLimits.absolute,
            isEnded: false
        )
    }

    /// Judges a token of this session by its number.
    func judge(_ presented: Int64, at now: Timestamp) -> Decision {
        if isEnded { return .ended }
        if now >= expiresAt || now >= idleExpiresAt { return .expired }
        if presented == counter { return .advance(advanced(at: now)) }
        if presented > counter { return .unknown }
        let isJustReplaced = presented == counter - 1 && now <= rotatedAt + SessionLimits.grace
        return isJustReplaced ? .repeatNewest : .reused
    }

    /// The state after one more token.
    func advanced(at now: Timestamp) -> RefreshState {
        var next = self
        next.counter += 1
        next.rotatedAt = now
        next.idleExpiresAt = min(now + SessionLimits.idle, expiresAt)
        return next
    }
}
