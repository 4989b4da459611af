import CEpoll
import Glibc
import Synchronization

/// The isolation of everything that runs on the poller's thread.
///
/// Mark a class that owns a socket with `@PollerActor`: its methods then run on the one thread that also watches the
/// socket, calls between such classes need no `await`, and the compiler keeps everybody else out.
///
/// ```swift
/// @PollerActor final class Connection {
///     func start() throws {
///         try Poller.shared.register(fd, interest: .readable) { [weak self] ready in self?.advance(ready) }
///     }
/// }
/// ```
/// Nothing isolated to it may block: it would stop every connection of the process.
@globalActor
public actor PollerActor {
    /// The one instance.
    public static let shared = PollerActor()

    private init() {}

    /// The poller's thread.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { Poller.shared.asUnownedSerialExecutor() }

    /// Runs `operation` at once if this is the poller's thread; traps on any other.
    ///
    /// For an actor of one's own whose `unownedExecutor` is the poller's, and for callbacks out of C.
    public static func assumeIsolated<Result: Sendable>(
        _ operation: @PollerActor () throws -> Result
    ) rethrows -> Result {
        precondition(Poller.shared.isCurrentThread, "not on the poller's thread")
        // What MainActor.assumeIsolated does: the isolation is not part of a function's representation, and the check
        // above has shown that it holds.
        return try withoutActuallyEscaping(operation) { try unsafeBitCast($0, to: (() throws -> Result).self)() }
    }
}

/// What a file descriptor is watched for, and what it is ready for.
public struct Readiness: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: UInt8
    /// A set of these bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Reading does not block; also said when the other side has closed or the descriptor has an error.
    public static let readable = Readiness(rawValue: 1)
    /// Writing does not block; also said when the descriptor has an error.
    public static let writable = Readiness(rawValue: 2)
}

/// The system refused to watch a descriptor.
public struct PollerError: Error, Sendable, Hashable {
    /// The value of `errno`.
    public let errno: Int32
}

/// One thread over epoll that watches the sockets of a C client and runs Swift code as a serial executor.
///
/// libpq says which descriptor to wait for and must be called again when it is ready. Here both happen on one thread,
/// so a connection needs no lock and an answer costs no change of thread until it goes to its caller.
public final class Poller: SerialExecutor, Sendable {
    /// The poller of this process; its thread starts with the first use and never ends.
    public static let shared = Poller()

    private struct Inbox {
        var items: [Item] = []
        var isAsleep = false
    }

    enum Item: Sendable {
        case job(UnownedJob)
        case work(@PollerActor @Sendable () -> Void)
    }

    private let inbox = Mutex(Inbox())
    private let threadID = Atomic<UInt>(0)
    private let wakeUp: Int32
    private let loop: EventLoop

    private init() {
        let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeUp = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        // Without descriptors at the very start of a process there is nothing sensible left to do.
        precondition(epoll >= 0 && wakeUp >= 0, "no descriptors for the poller")
        loop = EventLoop(epoll: epoll, wakeUp: wakeUp)
        // Started from here so that nobody can enqueue before it is there; it asks for `shared` only later, which
        // waits until this initializer has returned.
        startThread {
            let poller = Poller.shared
            poller.threadID.store(UInt(pthread_self()), ordering: .relaxed)
            PollerActor.assumeIsolated { poller.loop.run(poller) }
        }
    }

    /// True on the poller's own thread.
    public var isCurrentThread: Bool { threadID.load(ordering: .relaxed) == UInt(pthread_self()) }

    // MARK: Work from any thread

    /// Runs `work` on the thread, after what was enqueued before it.
    public func execute(_ work: @escaping @PollerActor @Sendable () -> Void) { put(.work(work)) }

    /// Runs a piece of a Swift task on the thread; called by the runtime.
    public func enqueue(_ job: consuming ExecutorJob) { put(.job(UnownedJob(job))) }

    /// The form of an executor that an actor answers with.
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    /// Traps on any other thread; called by the runtime.
    public func checkIsolated() { precondition(isCurrentThread, "not on the poller's thread") }

    private func put(_ item: Item) {
        let mustWake = inbox.withLock { inbox in
            inbox.items.append(item)
            defer { inbox.isAsleep = false }
            return inbox.isAsleep
        }
        if mustWake {
            var one: UInt64 = 1
            // The counter cannot overflow: it is written at most once per sleep.
            _ = write(wakeUp, &one, 8)
        }
    }

    /// Exchanges what has come in for the emptied array of the last round.
    func takeItems(into items: inout [Item]) {
        inbox.withLock { swap(&$0.items, &items) }
    }

    /// True if nothing has come in; whoever puts something in from now on wakes the thread.
    func fallAsleep() -> Bool {
        inbox.withLock { inbox in
            inbox.isAsleep = inbox.items.isEmpty
            return inbox.isAsleep
        }
    }

    func haveWoken() {
        inbox.withLock { $0.isAsleep = false }
    }

    // MARK: Descriptors and timers, on the thread

    /// Watches a descriptor, level-triggered; `handler` is called for as long as it is ready for what is of interest.
    ///
    /// Deregister it before you close it. With an interest of `[]` it is not watched at all, errors included.
    @PollerActor
    public func register(
        _ descriptor: Int32,
        interest: Readiness,
        _ handler: @escaping @PollerActor (Readiness) -> Void
    ) throws(PollerError) {
        try loop.register(descriptor, interest: interest, handler)
    }

    /// Changes what a registered descriptor is watched for; costs nothing if that is the same.
    @PollerActor
    public func modify(_ descriptor: Int32, interest: Readiness) throws(PollerError) {
        try loop.modify(descriptor, interest: interest)
    }

    /// Forgets a descriptor; its handler is not called again, not even for what is already known. No harm if unknown.
    @PollerActor
    public func deregister(_ descriptor: Int32) {
        loop.deregister(descriptor)
    }

    /// Calls `work` once on the thread, not before `delay` has passed.
    @PollerActor
    @discardableResult
    public func schedule(after delay: Duration, _ work: @escaping @PollerActor () -> Void) -> PollerTimer {
        let (seconds, attoseconds) = delay.components
        let nanoseconds = max(0, min(seconds, 1_000_000_000)) * 1_000_000_000 + max(0, attoseconds) / 1_000_000_000
        return PollerTimer(id: loop.timers.add(at: EventLoop.now() + UInt64(nanoseconds), work))
    }

    /// Cancels a timer; no harm if it has fired.
    @PollerActor
    public func cancel(_ timer: PollerTimer) {
        loop.timers.cancel(timer.id)
    }
}

/// A timer that was set, to cancel it.
public struct PollerTimer: Sendable, Hashable {
    let id: UInt64
}
