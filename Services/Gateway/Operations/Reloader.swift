// A dispatch source may be cancelled from any thread, which its type does not say yet.
@preconcurrency import Dispatch
import Foundation
import Identity
import Logging
import Metrics
import ServiceKit
import ServiceLifecycle
import Synchronization

/// Reads the configuration: at the start, and again on SIGHUP. A file that is not good changes nothing.
final class Reloader: Service, CustomStringConvertible {
    private let settings: GatewaySettings
    private let meters: Meters
    private let logger: Logger
    private let front = Mutex<Front?>(nil)

    var description: String { "gateway reload" }

    init(settings: GatewaySettings, meters: Meters, logger: Logger) {
        self.settings = settings
        self.meters = meters
        self.logger = logger
    }

    func serve(_ front: Front) { self.front.withLock { $0 = front } }

    /// The table that the configuration says, after another one or as the first.
    func makeTable(after earlier: GatewayTable?) throws -> GatewayTable {
        let configuration = settings.applied(to: try read())
        let verifier = AccessTokenVerifier(
            issuer: configuration.token.issuer ?? settings.installation.publicURL,
            audience: configuration.token.audience,
            maximumLifetime: settings.installation.accessTokenLifetime,
            leeway: configuration.token.leeway
        )
        return GatewayTable(configuration, after: earlier, meters: meters, verifier: verifier, logger: logger)
    }

    private func read() throws -> GatewayConfiguration {
        guard let path = settings.configurationPath else { return try .load(GatewayConfiguration.embedded) }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw SettingError("TASKFLOW_GATEWAY_CONFIG is \"\(path)\"; there is no such file, or it cannot be read.")
        }
        return try .load(GatewayConfiguration.text(of: data, file: path), file: path)
    }

    /// Whether a new table is in force.
    @discardableResult
    func reload() -> Bool {
        guard let front = front.withLock({ $0 }) else { return false }
        do {
            let earlier = front.table
            let table = try makeTable(after: earlier)
            let old = earlier.configuration
            let new = table.configuration
            if old.listen != new.listen || old.admin != new.admin || old.token.jwks != new.token.jwks {
                logger.warning("listen, admin and jwks change only with a restart")
            }
            front.replaceTable(table)
            if old.token != new.token { front.gate.forgetTokens() }
            meters.reloads.increment()
            logger.info("configuration reloaded", metadata: ["routes": "\(table.routes.count)"])
            return true
        } catch let error as GatewayConfigurationError {
            for line in error.lines { logger.error("configuration not reloaded: \(line)") }
        } catch {
            logger.error("configuration not reloaded: \(error)")
        }
        return false
    }

    func run() async throws {
        let hangups = AsyncStream<Void> { continuation in
            signal(SIGHUP, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: .global())
            source.setEventHandler { continuation.yield() }
            continuation.onTermination = { _ in source.cancel() }
            source.resume()
        }
        await cancelWhenGracefulShutdown {
            for await _ in hangups { self.reload() }
        }
    }
}
