import Chronology
import Failures
import Identity
import Synchronization

/// How often one session may be refreshed: thirty times in any minute.
///
/// Counted here and not at the gateway, to which refresh tokens are opaque; by each process for itself.
final class RefreshLimiter: Sendable {
    private static let limit = 30
    private static let window = Duration.seconds(60)
    /// Sessions remembered at once; those that were silent for a minute are forgotten when there are more.
    private static let capacity = 50_000

    /// When a session was refreshed within the last minute, oldest first.
    private let moments = Mutex<[SessionID: [Timestamp]]>([:])

    /// Counts a refresh; throws 429 `too-many-requests` if it is one too many.
    func count(_ session: SessionID, at now: Timestamp) throws {
        let wait = moments.withLock { moments -> Duration? in
            let start = now - RefreshLimiter.window
            if moments.count >= RefreshLimiter.capacity {
                moments = moments.filter { $0.value.last.map { $0 > start } ?? false }
            }
            var recent = moments[session, default: []]
            recent.removeAll { $0 <= start }
            if recent.count >= RefreshLimiter.limit { return recent[0] - start }
            recent.append(now)
            moments[session] = recent
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
