import Chronology
import Logging
import Messaging
import Postgres
import ServiceLifecycle

/// Removes what has run out, every ten minutes; several replicas doing so disturb each other in nothing.
struct Housekeeping: Service {
    let store: AuthStore
    let logger: Logger

    /// Sweeps until graceful shutdown.
    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while true {
                // Spread, so that replicas started together do not sweep together.
                try await Task.sleep(for: .seconds(600) * Double.random(in: 0.9...1.1))
                do { try await store.sweep() } catch let error as PostgresError {
                    logger.warning("sweeping failed", metadata: ["error": "\(String(reflecting: error))"])
                }
            }
        }
    }
}

extension AuthStore {
    /// How long something is kept after its use.
    private enum Retention {
        static let endedSession = Duration.seconds(30 * 86_400)
        static let link = Duration.seconds(30 * 86_400)
        static let throttle = Duration.seconds(86_400)
        static let knownAddress = Duration.seconds(180 * 86_400)
        static let audit = Duration.seconds(365 * 86_400)
        static let revokedKey = Duration.seconds(30 * 86_400)
    }

    /// Removes what has run out.
    func sweep() async throws {
        let now = database.clock.now
        let statements: [SQL] = [
            "DELETE FROM revocation WHERE expires_at < \(now)",
            "DELETE FROM session WHERE ended_at < \(now - Retention.endedSession)",
            "DELETE FROM session WHERE expires_at < \(now - Retention.endedSession)",
            "DELETE FROM link_request WHERE expires_at < \(now - Retention.link)",
            "DELETE FROM pending_signup WHERE expires_at < \(now)",
            """
            DELETE FROM login_throttle WHERE updated_at < \(now - Retention.throttle)
              AND (succeeded_at IS NULL OR updated_at < \(now - Retention.knownAddress))
            """,
            "DELETE FROM mail_throttle WHERE updated_at < \(now - Retention.throttle)",
            "DELETE FROM audit WHERE at < \(now - Retention.audit)",
            "DELETE FROM signing_key WHERE revoked_at < \(now - Retention.revokedKey)",
        ]
        for statement in statements { _ = try await database.pool.query(statement) }
    }
}
