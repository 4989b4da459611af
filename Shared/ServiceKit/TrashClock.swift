public import Configuration
public import Identity
public import Logging
public import ServiceLifecycle

/// Empties the trash of what has been in it for longer than it can be restored. Any number of replicas may run it: what
/// one is at work on, the others pass over.
public final class TrashClock: Service, CustomStringConvertible {
    private let interval: Duration
    private let logger: Logger
    private let organizations: @Sendable () async throws -> [OrganizationID]
    private let purge: @Sendable (OrganizationID) async throws -> Int

    /// - Parameters:
    ///   - organizations: all that may have something in the trash.
    ///   - purge: removes what is due in one of them; gives how many things it removed.
    public init(
        interval: Duration,
        logger: Logger,
        organizations: @escaping @Sendable () async throws -> [OrganizationID],
        purge: @escaping @Sendable (OrganizationID) async throws -> Int
    ) {
        self.interval = interval
        self.logger = logger
        self.organizations = organizations
        self.purge = purge
    }

    /// `TASKFLOW_TRASH_INTERVAL`: seconds, 1...86400, 3600; how often the clock looks.
    public static func interval(_ config: ConfigReader) throws -> Duration {
        try config.seconds("TASKFLOW_TRASH_INTERVAL", default: 3600, in: 1...86_400)
    }

    /// For the logs.
    public var description: String { "trash clock" }

    /// Ticks until graceful shutdown. What fails is tried again with the next tick.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.tick()
                // The pause between two looks; nothing is waited for.
                try? await Task.sleep(for: self.interval)
            }
        }
    }

    private func tick() async {
        do {
            for organization in try await organizations() {
                if Task.isCancelled { return }
                let gone = try await purge(organization)
                guard gone > 0 else { continue }
                logger.info("emptied the trash", metadata: ["organization": "\(organization)", "things": "\(gone)"])
            }
        } catch {
            if Task.isCancelled { return }
            logger.error("the trash was not emptied", metadata: ["error": "\(String(reflecting: error))"])
        }
    }
}
