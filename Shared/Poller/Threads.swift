import Glibc
import Synchronization

/// A thread of its own for calls that block: resolving a name, cancelling a query.
///
/// At most `limit` at once; the rest waits in order. Threads end when there is nothing to do.
public enum BlockingCalls {
    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var running = 0
    }

    private static let limit = 8
    private static let state = Mutex(State())

    /// Runs `call` off every executor and returns what it returns.
    public static func run<Result: Sendable>(_ call: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            start { continuation.resume(returning: call()) }
        }
    }

    /// Runs `call` off every executor; nobody waits for it.
    public static func start(_ call: @escaping @Sendable () -> Void) {
        let needsThread = state.withLock { state in
            state.waiting.append(call)
            if state.running == limit { return false }
            state.running += 1
            return true
        }
        guard needsThread else { return }
        startThread {
            while let next = nextCall() { next() }
        }
    }

    private static func nextCall() -> (@Sendable () -> Void)? {
        state.withLock { state in
            if state.waiting.isEmpty {
                state.running -= 1
                return nil
            }
            return state.waiting.removeFirst()
        }
    }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Starts a detached thread that takes no signals; those are for the main thread.
func startThread(_ body: @escaping @Sendable () -> Void) {
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(ThreadBody(body)).toOpaque()
    let status = pthread_create(
        &thread,
        nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
            return nil
        },
        argument
    )
    precondition(status == 0, "no thread to be had")
    pthread_detach(thread)
    pthread_sigmask(SIG_SETMASK, &before, nil)
}
