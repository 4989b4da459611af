public import Events
public import Identity
import Messaging
import Synchronization

/// Waits until this service has applied positions of the streams it reads; at once if it reads none.
public final class PositionWatch: Sendable {
    private let cursors = Mutex<CursorWatch?>(nil)

    init() {}

    /// Set while the service is put together, before anything runs.
    func use(_ watch: CursorWatch) { cursors.withLock { $0 = watch } }

    /// Throws ``Failures/Failure`` 503 `not-caught-up` after `timeout`, or at once if too many are waiting.
    public func wait(
        for positions: [Position],
        organization: OrganizationID? = nil,
        timeout: Duration = .seconds(2)
    ) async throws {
        guard let watch = cursors.withLock({ $0 }) else { return }
        try await watch.wait(for: positions, organization: organization, timeout: timeout)
    }
}
