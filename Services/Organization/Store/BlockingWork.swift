import Failures
import Foundation
import Synchronization

/// Runs calls that block (files, libcurl) on threads of their own, so that they never hold one of Swift concurrency's.
final class BlockingWork: Sendable {
    private let queue: OperationQueue
    private let waiting = Mutex(0)
    private let maximumWaiting: Int

    /// `threads` calls at once; what comes when `maximumWaiting` are running or waiting is refused.
    init(name: String, threads: Int, maximumWaiting: Int) {
        queue = OperationQueue()
        queue.name = name
        queue.maxConcurrentOperationCount = threads
        self.maximumWaiting = maximumWaiting
    }

    /// What `body` returns; throws ``Failures/Failure`` 503 `busy` if too much is waiting already.
    func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        let isAdmitted = waiting.withLock { count in
            guard count < maximumWaiting else { return false }
            count += 1
            return true
        }
        guard isAdmitted else { throw Failure.unavailable("busy", "Too many pictures are on their way at once.") }
        defer { waiting.withLock { $0 -= 1 } }
        return try await withCheckedThrowingContinuation { continuation in
            queue.addOperation { continuation.resume(with: Swift.Result { try body() }) }
        }
    }
}
