import Events
import Synchronization

/// What the parts of a process tell each other about the log: hints that save waiting, never the only way to know.
final class LogSignals: Sendable {
    private struct State {
        var committed: [Shard: Int64] = [:]
        var observers: [@Sendable (Position) -> Void] = []
    }

    private let state = Mutex(State())

    /// Rings when a writer of this process has committed events, or something else asks the relay to look.
    let relayBell = Bell()

    /// Events of this process's own log were committed.
    func committed(_ position: Position) {
        state.withLock { state in
            let shard = position.stream.shard
            state.committed[shard] = max(state.committed[shard] ?? 0, position.sequence)
        }
        relayBell.ring()
    }

    /// The newest events committed since the last call.
    func takeCommitted() -> [Shard: Int64] {
        state.withLock { state in
            defer { state.committed.removeAll(keepingCapacity: true) }
            return state.committed
        }
    }

    /// This process's reader has applied a stream up to there, actions after the commit included.
    func settled(_ position: Position) {
        for observer in state.withLock({ $0.observers }) { observer(position) }
    }

    /// Calls `observer` for every position from now on.
    func observeSettled(_ observer: @escaping @Sendable (Position) -> Void) {
        state.withLock { $0.observers.append(observer) }
    }
}

/// Wakes one waiter; rung while nobody waits, it wakes the next one at once.
final class Bell: Sendable {
    private struct State {
        var isRung = false
        var waiter: (id: UInt64, continuation: CheckedContinuation<Void, Never>)?
        var lastID: UInt64 = 0
        /// A wait that was over before it had begun to wait.
        var over: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Wakes the waiter, or the next one.
    func ring() {
        let waiter = state.withLock { state in
            guard let waiter = state.waiter else {
                state.isRung = true
                return nil as CheckedContinuation<Void, Never>?
            }
            state.waiter = nil
            return waiter.continuation
        }
        waiter?.resume()
    }

    /// Waits until it is rung, the time has passed or the task is cancelled. For one task at a time.
    func wait(atMost limit: Duration) async {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let timer = Task {
            try? await Task.sleep(for: limit)
            wake(id)
        }
        defer { timer.cancel() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isRung || state.over == id {
                        state.isRung = false
                        return true
                    }
                    state.waiter = (id, continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            wake(id)
        }
    }

    private func wake(_ id: UInt64) {
        let waiter = state.withLock { state in
            guard let waiter = state.waiter, waiter.id == id else {
                state.over = id
                return nil as CheckedContinuation<Void, Never>?
            }
            state.waiter = nil
            return waiter.continuation
        }
        waiter?.resume()
    }
}
