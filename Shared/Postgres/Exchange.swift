import Poller

/// One question to the poller's thread and the wait for its answer.
///
/// On that thread everything works by callbacks: a Swift continuation that is awaited there is resumed on a thread of
/// the pool first, only to be sent back. This way a statement costs one change of thread there and one back.
@PollerActor
final class Exchange<Value: Sendable> {
    /// Set by whoever works on the answer, to stop doing so; what it leaves unanswered is answered here.
    var whenCancelled: (() -> Void)?
    private(set) var isFinished = false
    private var isCancelled = false
    private var continuation: CheckedContinuation<Value, any Error>?

    nonisolated init() {}

    func begin(_ continuation: CheckedContinuation<Value, any Error>, _ start: (Exchange<Value>) -> Void) {
        self.continuation = continuation
        if isCancelled { finish(.failure(.cancelled)) } else { start(self) }
    }

    /// Answers; only the first time counts.
    func finish(_ result: Result<Value, PostgresError>) {
        guard !isFinished, let continuation else { return }
        isFinished = true
        self.continuation = nil
        whenCancelled = nil
        continuation.resume(with: result.mapError { $0 as any Error })
    }

    func cancel() {
        if isFinished { return }
        isCancelled = true
        let stop = whenCancelled
        whenCancelled = nil
        stop?()
        finish(.failure(.cancelled))
    }
}

extension PostgresError {
    static let cancelled = PostgresError(.cancelled, message: "the task was cancelled")
}

/// Starts something on the poller's thread and waits until it has finished the exchange, or the task is cancelled.
nonisolated(nonsending) func exchange<Value: Sendable>(
    _ start: @escaping @PollerActor @Sendable (Exchange<Value>) -> Void
) async throws -> Value {
    let exchange = Exchange<Value>()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            Poller.shared.execute { exchange.begin(continuation, start) }
        }
    } onCancel: {
        Poller.shared.execute { exchange.cancel() }
    }
}

/// The same, but not to be cancelled: whoever waits is to learn the answer.
nonisolated(nonsending) func shieldedExchange<Value: Sendable>(
    _ start: @escaping @PollerActor @Sendable (Exchange<Value>) -> Void
) async throws -> Value {
    let exchange = Exchange<Value>()
    return try await withCheckedThrowingContinuation { continuation in
        Poller.shared.execute { exchange.begin(continuation, start) }
    }
}
