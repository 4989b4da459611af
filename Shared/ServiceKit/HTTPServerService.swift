import Glibc
import Hummingbird
import HummingbirdCore
import Logging
public import NIOCore
import ServiceLifecycle

/// The HTTP server of a service.
///
/// Told to stop, it first says "not ready" and goes on accepting for as long as `drain` says, so that whoever balances
/// load notices; then it accepts no more, lets the running requests finish and ends.
struct HTTPServerService: Service, CustomStringConvertible {
    let router: RouterResponder<AppContext>
    let settings: ServiceSettings
    let readiness: Readiness
    let boundPort: BoundPort
    let logger: Logger

    var description: String { "HTTP server of \(settings.service)" }

    func run() async throws {
        // A group of its own, run by a detached task: the outer group's shutdown must not reach it before the drain.
        let group = ServiceGroup(configuration: .init(services: [application()], logger: quietLogger))
        let running = Task.detached {
            do {
                try await group.run()
            } catch let error as IOError {
                throw SettingError(
                    "\(settings.service) cannot listen on \(settings.listenHost):\(settings.listenPort) "
                        + "(\(error.systemReason)); change TASKFLOW_\(settings.service.uppercased())_LISTEN."
                )
            }
        }
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                try await running.value
            } onGracefulShutdown: {
                readiness.stop()
                Task {
                    try? await Task.sleep(for: settings.drain)
                    await group.triggerGracefulShutdown()
                }
            }
        } onCancel: {
            // Another part has failed. A server that is cancelled while it binds ends the process with a trap of NIO's, so
            // it is told to stop like at any other time, but not waited for.
            readiness.stop()
            Task {
                await group.triggerGracefulShutdown()
                try? await Task.sleep(for: HTTPServerService.patience)
                running.cancel()
            }
        }
    }

    /// How long requests may go on when the process ends because a part of it has failed.
    private static let patience = Duration.seconds(3)

    private func application() -> some ApplicationProtocol {
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        // The gateway lets through 16 KiB in 100 fields and adds its own.
        decoder.maxHeaderFieldSize = 32 * 1024
        decoder.maxHeaderListSize = 32 * 1024
        decoder.maxHeaderFieldCount = 200
        let configuration = HTTP1Channel.Configuration(
            idleTimeout: .seconds(90),
            httpDecoderConfiguration: decoder
        )
        let server = HTTPServerBuilder { responder in
            LoopBoundChannel(base: HTTP1Channel(responder: responder, configuration: configuration))
        }
        return Application(
            responder: router,
            server: server,
            configuration: ApplicationConfiguration(
                address: .hostname(settings.listenHost, port: settings.listenPort),
                serverName: nil,
                backlog: 1024
            ),
            onServerRunning: { channel in
                guard let port = channel.localAddress?.port else { return }
                logger.info("listening", metadata: ["host": "\(settings.listenHost)", "port": "\(port)"])
                boundPort.set(port)
            },
            logger: quietLogger
        )
    }

    /// Hummingbird tells of its own start and stop; ours is said above.
    private var quietLogger: Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}

extension IOError {
    /// What the system says of it: `Address already in use`. Its description names functions of NIO instead.
    public var systemReason: String { String(cString: strerror(errnoCode)) }
}
