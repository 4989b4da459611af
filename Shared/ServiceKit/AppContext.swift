public import Failures
public import Hummingbird
public import Identity
import Logging
import NIOCore
import Synchronization

/// The context of a request in every service.
public struct AppContext: RequestContext {
    /// What Hummingbird keeps for a request.
    public var coreContext: CoreRequestContextStorage
    /// `X-Request-Id`, taken over or made.
    public var requestID: String
    /// Who is asking; nil on routes without a token.
    public var principal: Principal? {
        didSet { record.principal = principal }
    }
    /// The client's address: as the gateway says where it has shown the service credential, else the peer's.
    public var clientAddress: String? { statedAddress ?? channel.remoteAddress?.ipAddress }
    /// What the gateway says of it.
    var statedAddress: String?
    private let channel: any Channel
    /// `User-Agent`, cut at 512 bytes.
    public var userAgent: String?
    /// The request came through the gateway or from another part of the installation, and what it says of itself in
    /// `X-Internal-` fields is believed.
    var isFromWithin = false
    /// The trace this request belongs to, this service's own span in it.
    public var trace = AppContext.unknownTrace
    /// Until the outermost middleware knows better; to make one up for each request would cost as much again.
    private static let unknownTrace = TraceContext()
    /// What the outermost middleware wants to know when all is done.
    let record = RequestRecord()

    /// The context of a request as it comes from the socket.
    public init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        requestID = ""
        channel = source.channel
    }

    /// What a line of the log says of the request. Put together when one is written: a logger of one's own for each
    /// request costs more than finding its route.
    var logDetails: Logger.Metadata {
        var details: Logger.Metadata = ["request_id": "\(requestID)", "trace_id": "\(trace.traceID)"]
        if let principal = record.principal {
            details["organization"] = "\(principal.organization)"
            details["user"] = "\(principal.user)"
        }
        return details
    }

    /// Who is asking; throws 401 if nobody is.
    public func requirePrincipal() throws -> Principal {
        guard let principal else { throw Failure.unauthenticated }
        return principal
    }

    /// Who is asking, if they have one of these roles; throws 403 `forbidden` otherwise.
    public func requireRole(_ roles: Role...) throws -> Principal {
        let principal = try requirePrincipal()
        guard roles.contains(principal.role) else { throw Failure.forbidden }
        return principal
    }

    /// The path parameter as a number; throws 404 if it is not a positive 63-bit integer.
    public func number<ID: NumberIdentifier>(_ name: String, as type: ID.Type = ID.self) throws -> ID {
        guard let id = ID(try text(name)) else { throw Failure.notFound }
        return id
    }

    /// The path parameter as a UUID; throws 404 if it is none.
    public func uuid<ID: UUIDIdentifier>(_ name: String, as type: ID.Type = ID.self) throws -> ID {
        guard let id = ID(try text(name)) else { throw Failure.notFound }
        return id
    }

    /// The path parameter percent-decoded; throws 404 if it is not UTF-8.
    public func text(_ name: String) throws -> String {
        guard
            let raw = parameters[name[...]], let text = PercentCoding.decode(raw),
            // Postgres keeps no U+0000 in texts, so nothing can be named by it.
            !text.utf8.contains(0)
        else { throw Failure.notFound }
        return text
    }
}

extension Failure {
    /// 401 `unauthenticated`: no token.
    public static let unauthenticated = Failure(.unauthenticated, "unauthenticated", "Show an access token.")
}

/// What inner layers tell the outermost middleware; a context is a value, so they need a place in common.
final class RequestRecord: Sendable {
    private let state = Mutex<Principal?>(nil)

    var principal: Principal? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}
