import Chronology
import Logging
import Postgres
import ServiceLifecycle

/// Asks every interval whose daily reminder is due; any number of processes may ask at once.
struct ReminderClock: Service {
    let desk: NotificationDesk
    let interval: Duration
    let clock: WallClock
    let logger: Logger

    func run() async throws {
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            do {
                try await desk.remind(at: clock.now) { organization, error in
                    logger.error(
                        "reminders cannot be judged",
                        metadata: ["organization": "\(organization)", "error": "\(String(reflecting: error))"]
                    )
                }
            } catch let error as PostgresError where error.isUnavailability {
                logger.debug("no database, reminders wait")
            } catch {
                logger.error("reminders cannot be judged", metadata: ["error": "\(String(reflecting: error))"])
            }
            // Told to stop, the clock stops waiting at once.
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: interval) }
        }
    }
}
