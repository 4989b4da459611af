import Chronology
import Failures
import Foundation

/// Failed tries to log in to one account: from one address, or (for the account as a whole) from all of them.
struct ThrottleState: Sendable, Hashable {
    /// Failures in a row.
    var failures: Int
    /// Until when no try is judged.
    var lockedUntil: Timestamp?
    /// Whether somebody has logged in from this address before.
    var hasSucceeded: Bool

    /// Nothing has happened yet.
    static let fresh = ThrottleState(failures: 0, lockedUntil: nil, hasSucceeded: false)

    /// Whether tries are turned away at a moment.
    func isLocked(at now: Timestamp) -> Bool { lockedUntil.map { now < $0 } ?? false }

    /// Throws 429 `too-many-tries` while tries are turned away.
    func requireUnlocked(at now: Timestamp) throws {
        guard let lockedUntil, isLocked(at: now) else { return }
        throw Failure(
            .tooManyRequests,
            "too-many-tries",
            "Too many wrong passwords; wait a little.",
            retryAfter: Int((lockedUntil - now).components.seconds) + 1
        )
    }

    /// After a failure from one address: five cost nothing, the next ones 1, 2, 4 ... 900 seconds.
    func failedFromAddress(at now: Timestamp) -> ThrottleState {
        var next = self
        next.failures = min(failures + 1, 1_000_000)
        let beyond = next.failures - LoginThrottle.freeFailures - 1
        if beyond >= 0 {
            let seconds = min(LoginThrottle.longestDelay, 1 << min(beyond, 20))
            next.lockedUntil = now + .seconds(seconds)
        }
        return next
    }

    /// After a failure, for the account over all addresses: a hundred are free, then one a minute.
    func failedOverall(at now: Timestamp) -> ThrottleState {
        var next = self
        next.failures = min(failures + 1, 1_000_000)
        if next.failures >= LoginThrottle.freeFailuresOverall {
            next.lockedUntil = now + .seconds(LoginThrottle.delayOverall)
        }
        return next
    }

    /// After a success.
    func succeeded() -> ThrottleState { ThrottleState(failures: 0, lockedUntil: nil, hasSucceeded: true) }
}

/// The two rules together: one address is slowed down quickly, all addresses together slowly, so that nobody can lock
/// somebody else out for long and nobody gets more than a hundred free tries. An address from which the account was
/// entered before is outside the second rule.
struct LoginThrottle: Sendable, Hashable {
    static let freeFailures = 5
    static let longestDelay = 900
    static let freeFailuresOverall = 100
    static let delayOverall = 60

    var address: ThrottleState
    var overall: ThrottleState

    /// Whether a try is turned away, unjudged and uncounted, at a moment.
    func isLocked(at now: Timestamp) -> Bool {
        address.isLocked(at: now) || (!address.hasSucceeded && overall.isLocked(at: now))
    }

    /// After a failure. One from an address that is known does not count against the others.
    func failed(at now: Timestamp) -> LoginThrottle {
        LoginThrottle(
            address: address.failedFromAddress(at: now),
            overall: address.hasSucceeded ? overall : overall.failedOverall(at: now)
        )
    }

    /// The name under which an address is counted: itself for IPv4, its /64 for IPv6, since whoever has one address of
    /// a /64 has all of them.
    static func bucket(of address: String?) -> String {
        guard let address else { return "unknown" }
        var bytes = in6_addr()
        guard inet_pton(AF_INET6, address, &bytes) == 1 else { return String(address.prefix(64)) }
        let octets = withUnsafeBytes(of: bytes) { Array($0) }
        if octets.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]) {
            return octets[12...].map(String.init).joined(separator: ".")
        }
        return octets[..<8].map { byte in
            let digits = String(byte, radix: 16)
            return digits.utf8.count == 1 ? "0" + digits : digits
        }.joined() + "/64"
    }
}
