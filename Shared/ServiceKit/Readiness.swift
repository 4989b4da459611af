import ServiceLifecycle
import Synchronization

/// Whether a service can serve: not before its database is migrated, not once it was told to stop.
final class Readiness: Sendable {
    enum State: String {
        case starting
        case ready
        case stopping
    }

    private struct Storage {
        var state = State.starting
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Bool, Never>] = [:]
    }

    private let storage = Mutex(Storage())

    var state: State { storage.withLock { $0.state } }

    /// Serves from now on, unless it was told to stop meanwhile.
    func becomeReady() { move(to: .ready, from: [.starting]) }

    /// Serves no more.
    func stop() { move(to: .stopping, from: [.starting, .ready]) }

    private func move(to state: State, from allowed: [State]) {
        let waiters = storage.withLock { storage in
            guard allowed.contains(storage.state) else { return [CheckedContinuation<Bool, Never>]() }
            storage.state = state
            defer { storage.waiters = [:] }
            return Array(storage.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: state == .ready) }
    }

    /// True when ready; false if it is told to stop, or the task cancelled, before.
    func wait() async -> Bool {
        let number = storage.withLock { storage in
            storage.nextWaiter += 1
            return storage.nextWaiter
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = storage.withLock { storage in
                    switch storage.state {
                    case .ready: return true
                    case .stopping: return false
                    case .starting:
                        if Task.isCancelled { return false }
                        storage.waiters[number] = continuation
                        return nil
                    }
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = storage.withLock { $0.waiters.removeValue(forKey: number) }
            waiter?.resume(returning: false)
        }
    }
}

/// A part of a service that must not start before the service is ready.
struct WhenReady: Service, CustomStringConvertible {
    let readiness: Readiness
    let base: any Service

    var description: String { "\(type(of: base))" }

    func run() async throws {
        // Told to stop while waiting: leave quietly, since a service that ends by itself stops the whole group.
        let isReady = await cancelWhenGracefulShutdown { await readiness.wait() }
        guard isReady else {
            try? await gracefulShutdown()
            return
        }
        try await base.run()
    }
}

/// A port known only when the server is up.
public final class BoundPort: Sendable {
    private struct Storage {
        var port: Int?
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Int?, Never>] = [:]
    }

    private let storage = Mutex(Storage())

    /// Not bound yet.
    public init() {}

    /// Waits for the server; throws `CancellationError` if the waiting task is cancelled.
    public var value: Int {
        get async throws {
            let number = storage.withLock { storage in
                storage.nextWaiter += 1
                return storage.nextWaiter
            }
            let port = await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let (port, resumes): (Int?, Bool) = storage.withLock { storage in
                        if let port = storage.port { return (port, true) }
                        if Task.isCancelled { return (nil, true) }
                        storage.waiters[number] = continuation
                        return (nil, false)
                    }
                    if resumes { continuation.resume(returning: port) }
                }
            } onCancel: {
                let waiter = storage.withLock { $0.waiters.removeValue(forKey: number) }
                waiter?.resume(returning: nil)
            }
            guard let port else { throw CancellationError() }
            return port
        }
    }

    /// Called by the server.
    public func set(_ port: Int) {
        let waiters = storage.withLock { storage in
            storage.port = port
            defer { storage.waiters = [:] }
            return Array(storage.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: port) }
    }
}
