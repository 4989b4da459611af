import Identity
import Synchronization

/// What this gateway remembers of each session's newest positions, so that a client reads its own writes even while
/// Redis is away.
final class PositionMemory: Sendable {
    private struct Store {
        var newer: [SessionID: PositionSet] = [:]
        var older: [SessionID: PositionSet] = [:]
        var turnedAt: Int64 = 0
    }
    /// Two generations of at most so many sessions each.
    private let capacity: Int
    private let store = Mutex(Store())

    init(capacity: Int = 50_000) { self.capacity = capacity }

    func positions(of session: SessionID, now: Int64) -> PositionSet {
        store.withLock { store in
            var positions = store.newer[session] ?? PositionSet()
            if let older = store.older[session] { positions.merge(older) }
            positions.dropExpired(now: now)
            return positions
        }
    }

    func merge(_ positions: PositionSet, into session: SessionID, now: Int64) {
        store.withLock { store in
            // A generation lives one lifetime as the newer and one as the older, so nothing is dropped before its time
            // unless there are too many.
            if now - store.turnedAt >= PositionSet.lifetime || store.newer.count >= capacity {
                store.older = store.newer
                store.newer = [:]
                store.turnedAt = now
            }
            store.newer[session, default: PositionSet()].merge(positions)
        }
    }
}
