import Failures
import HTTPTypes
public import Hummingbird
import Logging
public import NIOCore

/// A service of this process as a gateway beside it calls it: its routes and middleware, without a socket in between.
public struct LocalService: Sendable {
    /// `host:port` of its own server; a gateway whose upstream names this address may call the service directly.
    public let address: String

    private let responder: RouterResponder<AppContext>
    private let logger: Logger

    init(address: String, responder: RouterResponder<AppContext>, logger: Logger) {
        self.address = address
        self.responder = responder
        self.logger = logger
    }

    /// Answers a request that came in on `channel`. Throws what the service's server would answer by closing the
    /// connection.
    public func respond(to request: Request, from channel: any Channel) async throws -> Response {
        try await responder.respond(
            to: request,
            context: AppContext(source: ApplicationRequestContextSource(channel: channel, logger: logger))
        )
    }
}
