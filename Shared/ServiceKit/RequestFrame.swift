import Failures
import HTTPTypes
import Hummingbird
import Identity
import Logging
import Messaging
import Metrics
import NIOHTTP1

/// The outermost middleware of every service: gives a request its id, trace, log and scope, turns errors into problem
/// answers, and says in one log line and three metrics how it went.
struct RequestFrame: RouterMiddleware {
    let service: String
    let routes: RouteTable
    let credential: ExpectedSecret
    let logger: Logger
    private let inFlight: Meter
    private let meters: RequestMeters

    init(service: String, routes: RouteTable, credential: String, logger: Logger) {
        self.service = service
        self.routes = routes
        self.credential = ExpectedSecret(credential)
        self.logger = logger
        inFlight = Meter(label: "http_requests_in_flight", dimensions: [("service", service)])
        meters = RequestMeters(service: service)
    }

    func handle(
        _ request: Request,
        context: AppContext,
        next: (Request, AppContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        inFlight.increment()
        defer { inFlight.decrement() }
        let context = prepare(context, for: request)
        let scope = RequestScope(
            actor: nil,
            requestID: context.requestID,
            traceparent: context.trace.description
        )
        var response: Response
        do {
            response = try await RequestScope.$current.withValue(scope) { try await next(request, context) }
            response.addPositions(scope.positions)
        } catch let error as HTTPParserError {
            // Broken HTTP in the body: the server answers 400 and closes, since nothing that follows can be read.
            throw error
        } catch {
            response = answer(error, request, context)
        }
        response.headers[.requestID] = context.requestID
        report(request, context, response.status, since: start)
        return response
    }

    private func prepare(_ context: AppContext, for request: Request) -> AppContext {
        var context = context
        let fields = FrameFields(request.headers)
        context.requestID = RequestIdentifier.accept(fields.requestID)
        let parent = fields.traceparent.flatMap(TraceContext.init(traceparent:))
        context.trace = parent?.child() ?? TraceContext()
        context.userAgent = fields.userAgent.map { String(decoding: $0.utf8.prefix(512), as: UTF8.self) }
        context.isFromWithin = fields.credential.map(credential.matches) ?? false
        if context.isFromWithin { context.statedAddress = fields.clientAddress }
        // Ours, not the server's, which is told to be quiet.
        context.logger = logger
        return context
    }

    private func answer(_ error: any Error, _ request: Request, _ context: AppContext) -> Response {
        if let replay = error as? IdempotentReplay { return Reply.replay(replay.reply) }
        var problem = Problem(error: error)
        if Problem.isUnexpected(error) {
            context.logger.log(
                // A store that is away is no fault of ours, and says so with every request.
                level: problem.status == .serviceUnavailable ? .warning : .error,
                "request failed",
                metadata: context.logDetails.merging([
                    "method": "\(request.method)", "route": "\(route(of: context))",
                    "error": "\(String(reflecting: error))",
                ]) { $1 }
            )
        }
        if problem.status == .notFound, context.endpointPath == RequestFrame.noRoute,
            let methods = allowed(request, context)
        {
            problem = Problem(
                .methodNotAllowed,
                "method-not-allowed",
                "This path does not know this method.",
                headers: [.allow: methods.joined(separator: ", ")]
            )
        }
        return problem.response(instance: request.uri.path, requestID: context.requestID)
    }

    /// What the path would know; nobody without the credential learns what is under `/internal`.
    private func allowed(_ request: Request, _ context: AppContext) -> [String]? {
        if request.uri.path.hasPrefix("/internal"), !context.isFromWithin { return nil }
        return routes.methods(of: request.uri.path)
    }

    private func report(
        _ request: Request,
        _ context: AppContext,
        _ status: HTTPResponse.Status,
        since start: ContinuousClock.Instant
    ) {
        let elapsed = ContinuousClock.now - start
        let route = route(of: context)
        meters.note(request.method.rawValue, route, status: status.code, after: elapsed)
        // The probes of load balancers and of the metrics collector would drown everything else.
        let isProbe = route.hasPrefix("/health/") || route == "/internal/metrics"
        let level: Logger.Level = isProbe ? .debug : .info
        guard context.logger.logLevel <= level else { return }
        let details: Logger.Metadata = [
            "method": "\(request.method)", "route": "\(route)", "status": "\(status.code)",
            "ms": "\(milliseconds(elapsed))",
        ]
        context.logger.log(level: level, "request", metadata: context.logDetails.merging(details) { $1 })
    }

    /// The route's template, never the path itself: paths hold the tokens of mailed links.
    private func route(of context: AppContext) -> String {
        guard let path = context.endpointPath, path != RequestFrame.noRoute else { return "none" }
        return path
    }

    /// What Hummingbird's router calls the absence of a route.
    private static let noRoute = "NotFound"
}

/// What the frame reads of a request's fields, found in one walk over them; asked for by name each costs one or two.
private struct FrameFields {
    var requestID: String?
    var traceparent: String?
    var userAgent: String?
    var credential: String?
    var clientAddress: String?

    init(_ fields: HTTPFields) {
        for field in fields {
            switch field.name {
            case .requestID: FrameFields.add(field.value, to: &requestID)
            case .traceparent: FrameFields.add(field.value, to: &traceparent)
            case .userAgent: FrameFields.add(field.value, to: &userAgent)
            case .internalCredential: FrameFields.add(field.value, to: &credential)
            case .internalClientAddress: FrameFields.add(field.value, to: &clientAddress)
            default: break
            }
        }
    }

    /// Several fields of one name are one list (RFC 9110, section 5.3), which none of these may be.
    private static func add(_ value: String, to known: inout String?) {
        known = known.map { "\($0), \(value)" } ?? value
    }
}

/// A duration in milliseconds with two digits of fraction.
func milliseconds(_ duration: Duration) -> String {
    let hundredths = duration.components.seconds * 100_000 + duration.components.attoseconds / 10_000_000_000_000
    let rest = hundredths % 100
    return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
}
