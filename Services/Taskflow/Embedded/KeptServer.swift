import Foundation
import Logging
import ServiceLifecycle
import Synchronization

/// A server of the installation, up; while it is run as a service it is started again whenever it ends by itself, killed
/// by the kernel for want of memory, say.
final class KeptServer: Service {
    private let child: Mutex<ChildProcess>
    private let start: @Sendable () async throws -> ChildProcess
    private let stopSignal: Int32
    private let seconds: Int
    private let firstPause: Duration
    private let logger: Logger

    /// So many starts may fail in a row; somebody has to look at it then.
    static let patience = 5
    private static let longestPause = Duration.seconds(30)
    /// Whatever has run for so long is not what keeps ending at once.
    private static let steady = Duration.seconds(60)

    /// Starts the server with `start`, which returns when it is ready; the same starts it again.
    init(
        stopSignal: Int32,
        seconds: Int,
        firstPause: Duration = .seconds(1),
        logger: Logger,
        start: @escaping @Sendable () async throws -> ChildProcess
    ) async throws {
        child = Mutex(try await start())
        self.start = start
        self.stopSignal = stopSignal
        self.seconds = seconds
        self.firstPause = firstPause
        self.logger = logger
    }

    /// Its process, until it is started again.
    var pid: pid_t { child.withLock { $0.pid } }

    /// Until the installation is told to stop: what ends after that was stopped by ``stop()``.
    func run() async throws {
        try await cancelWhenGracefulShutdown {
            try await self.keep()
        }
        try? await gracefulShutdown()
    }

    /// Stops it and waits; the data stays.
    func stop() async {
        await child.withLock { $0 }.stop(signal: stopSignal, within: seconds)
    }

    private func keep() async throws {
        var pause = firstPause
        while true {
            let since = ContinuousClock.now
            guard let reason = await child.withLock({ $0 }).waitForEnd(), !Task.isCancelled else { return }
            if ContinuousClock.now - since > KeptServer.steady { pause = firstPause }
            do {
                try await startAgain(reason, &pause)
            } catch is CancellationError {
                return
            }
        }
    }

    private func startAgain(_ reason: String, _ pause: inout Duration) async throws {
        let name = child.withLock { $0.name }
        logger.error("\(name) has ended by itself (\(reason)); it is started again")
        for attempt in 1... {
            // What took its memory or its disk is likely to be there still.
            try await Task.sleep(for: pause)
            pause = min(pause * 2, KeptServer.longestPause)
            do {
                let new = try await start()
                child.withLock { $0 = new }
                logger.notice("\(name) runs again")
                return
            } catch let error as StartError {
                guard attempt < KeptServer.patience else {
                    throw StartError("\(name) cannot be started again: \(error.description)")
                }
                logger.error("\(name) could not be started again", metadata: ["error": "\(error.description)"])
            }
        }
    }
}

/// Both servers, up.
struct RunningServers {
    let postgres: KeptServer
    let redis: KeptServer

    /// To be run for as long as the installation runs.
    var services: [any Service] { [postgres, redis] }

    /// Stops both and waits; the data stays.
    func stop() async {
        await redis.stop()
        await postgres.stop()
    }
}
