public import NIOCore

/// Runs Swift tasks on an event loop's thread.
///
/// A request that prefers the loop of its connection changes threads only where it waits for something that happens
/// elsewhere: the same work on the shared executor is woken on another thread at each step.
///
/// ```swift
/// await withTaskExecutorPreference(LoopExecutor(channel.eventLoop)) { await handle(request) }
/// ```
/// What runs on it must not block: it would stop every connection of that loop.
public final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    /// An executor of this loop; any number of them may stand for the same one.
    public init(_ loop: any EventLoop) { self.loop = loop }

    /// Runs a piece of a task on the loop; called by the runtime.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // Holds on to the executor: the last piece of a task may be what lets go of it.
        loop.execute { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
}
