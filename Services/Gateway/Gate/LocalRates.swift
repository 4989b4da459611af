import Synchronization

/// The limits of this gateway alone, for the time while Redis is away: a limit is never off because a server is.
final class LocalRates: Sendable {
    private struct Store {
        var windows: [String: RateWindow] = [:]
        var sweptAt: Int64 = 0
    }
    private let capacity: Int
    private let store = Mutex(Store())

    init(capacity: Int = 50_000) { self.capacity = capacity }

    func take(_ rule: RateRule, key: String, now: Int64) -> RateWindow.Answer {
        store.withLock { store in
            if store.windows.count >= capacity || now - store.sweptAt > 60_000 {
                // Whoever was silent for an hour is not limited by anything any more.
                store.windows = store.windows.filter { now - $0.value.last < 3_600_000 }
                if store.windows.count >= capacity {
                    let newest = store.windows.sorted { $0.value.last > $1.value.last }.prefix(capacity / 2)
                    store.windows = Dictionary(uniqueKeysWithValues: newest.map { ($0.key, $0.value) })
                }
                store.sweptAt = now
            }
            return store.windows[key, default: RateWindow(rule, now: now)].take(rule, now: now)
        }
    }

    /// Takes back what was just taken and not let through.
    func giveBack(_ rule: RateRule, key: String) {
        store.withLock { $0.windows[key]?.giveBack(rule) }
    }
}
