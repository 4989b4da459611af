import Identity
import Logging
import ServiceLifecycle

/// Marks tasks whose due moment has passed, every so often. Any number of replicas may run it.
final class OverdueClock: Service, CustomStringConvertible {
    private let board: TaskBoard
    private let interval: Duration
    private let logger: Logger

    init(board: TaskBoard, interval: Duration, logger: Logger) {
        self.board = board
        self.interval = interval
        self.logger = logger
    }

    var description: String { "overdue clock" }

    /// Ticks until graceful shutdown. A tick that fails is tried again with the next one.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.tick()
                // A due date passes without an event.
                try? await Task.sleep(for: self.interval)
            }
        }
    }

    /// One look at every organization, each in transactions of its own.
    func tick() async {
        let organizations: [OrganizationID]
        do {
            organizations = try await board.organizations()
        } catch {
            report(error)
            return
        }
        for organization in organizations {
            if Task.isCancelled { return }
            do {
                let marked = try await board.markOverdue(in: organization)
                if marked > 0 {
                    logger.info(
                        "marked tasks as overdue",
                        metadata: ["organization": "\(organization)", "tasks": "\(marked)"]
                    )
                }
            } catch {
                report(error, organization)
            }
        }
    }

    private func report(_ error: any Error, _ organization: OrganizationID? = nil) {
        if Task.isCancelled { return }
        logger.error(
            "the overdue clock missed a turn",
            metadata: [
                "organization": "\(organization?.description ?? "all")", "error": "\(String(reflecting: error))",
            ]
        )
    }
}
