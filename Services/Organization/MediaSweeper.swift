import Logging
import ServiceLifecycle

/// Runs the sweep of pictures every half minute, and at once when one was replaced.
struct MediaSweeper: Service {
    let sweep: MediaSweep
    let bell: SweepBell
    let logger: Logger

    /// How often it looks without being called.
    static let interval = Duration.seconds(30)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !Task.isCancelled {
                        bell.ring()
                        // Pictures that other processes left behind ring no bell.
                        try? await Task.sleep(for: MediaSweeper.interval)
                    }
                }
                for await _ in bell.strokes {
                    do {
                        try await sweep.run()
                    } catch is CancellationError {
                        break
                    } catch {
                        logger.warning(
                            "pictures could not be swept",
                            metadata: ["error": "\(String(reflecting: error))"]
                        )
                    }
                }
                group.cancelAll()
            }
        }
    }
}

/// Calls the sweep; several strokes while it runs are one.
struct SweepBell: Sendable {
    let strokes: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (strokes, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func ring() { continuation.yield() }
}
