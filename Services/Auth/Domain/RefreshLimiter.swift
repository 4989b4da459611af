import Chronology
import Failures
import Identity
import Synchronization

/// How often one session may be refreshed: thirty times at once, then one every two seconds.
///
/// Counted here and not at the gateway, to which refresh tokens are opaque; by each process for itself.
final class RefreshLimiter: Sendable {
    private static let burst: Int64 = 30
    private static let interval = Duration.seconds(2)
    /// Sessions remembered at once; those whose bucket is full again are forgotten when there are more.
    private static let capacity = 50_000

    /// When a session's bucket will be full again; nothing else has to be known of it.
    private let fullAt = Mutex<[SessionID: Timestamp]>([:])

    /// Counts a refresh; throws 429 `too-many-requests` if it is one too many.
    func count(_ session: SessionID, at now: Timestamp) throws {
        let wait = fullAt.withLock { fullAt -> Duration? in
            if fullAt.count >= RefreshLimiter.capacity { fullAt = fullAt.filter { $0.value > now } }
            let next = max(fullAt[session] ?? now, now) + RefreshLimiter.interval
            let excess = (next - now) - RefreshLimiter.interval * RefreshLimiter.burst
            guard excess <= .zero else { return excess }
            fullAt[session] = next
            return nil
        }
        guard let wait else { return }
        throw Failure(
            .tooManyRequests,
            "too-many-requests",
            "This session is refreshed too often.",
            retryAfter: Int((wait.wholeMicroseconds + 999_999) / 1_000_000)
        )
    }
}
