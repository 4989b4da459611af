import Chronology
import Events
public import Failures
import HTTPTypes
import Hummingbird
public import Identity
import Logging
import Messaging

/// Nothing is asked of the database before the service is ready.
struct ReadyOnly: RouterMiddleware {
    let readiness: Readiness

    func handle(
        _ request: Request,
        context: AppContext,
        next: (Request, AppContext) async throws -> Response
    ) async throws -> Response {
        guard readiness.state != .starting else {
            throw Failure.unavailable("starting", "This service is starting.")
        }
        return try await next(request, context)
    }
}

/// Lets requests with a good access token pass, and says in their scope who acts.
struct TokenAuthentication: RouterMiddleware {
    let keys: KeySource
    let verifier: AccessTokenVerifier

    func handle(
        _ request: Request,
        context: AppContext,
        next: (Request, AppContext) async throws -> Response
    ) async throws -> Response {
        let token = try bearerToken(request)
        let principal: Principal
        do {
            principal = try await keys.verify(token, by: verifier).principal
        } catch let error as AccessTokenError {
            context.logger.debug(
                "access token refused",
                metadata: context.logDetails.merging(["reason": "\(error)"]) { $1 }
            )
            throw Failure.refusedToken(error)
        }
        var context = context
        context.principal = principal
        let scope = RequestScope(
            actor: principal.user,
            requestID: context.requestID,
            traceparent: RequestScope.current?.traceparent
        )
        let inner = context
        var response = try await RequestScope.$current.withValue(scope) { try await next(request, inner) }
        response.addPositions(scope.positions)
        return response
    }

    private func bearerToken(_ request: Request) throws -> String {
        guard let header = request.headers[.authorization] else { throw Failure.unauthenticated }
        let parts = header.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts[0].lowercased() == "bearer" else { throw Failure.unauthenticated }
        guard parts.count == 2 else { throw Failure.refusedToken(.malformed) }
        return String(parts[1])
    }
}

extension Failure {
    /// 401 for a token that was refused: `token-expired`, else `invalid-token`.
    public static func refusedToken(_ error: AccessTokenError) -> Failure {
        error == .expired
            ? Failure(.unauthenticated, "token-expired", "The access token has expired; refresh it.")
            : Failure(.unauthenticated, "invalid-token", "The access token is not valid.")
    }
}

/// Waits until this service has applied what the client has already seen (`X-Internal-Position`).
struct ReadYourWrites: RouterMiddleware {
    let watch: PositionWatch

    func handle(
        _ request: Request,
        context: AppContext,
        next: (Request, AppContext) async throws -> Response
    ) async throws -> Response {
        // From anybody else it would be a way to make requests wait here.
        if context.isFromWithin, let header = request.headers[.internalPosition] {
            let positions = header.split(separator: ",").compactMap { Position(trimmed($0)) }
            if !positions.isEmpty {
                try await watch.wait(for: positions, organization: context.principal?.organization)
            }
        }
        return try await next(request, context)
    }
}

/// Lets only other parts of the installation pass; to anyone else there is nothing here.
struct InternalOnly: RouterMiddleware {
    func handle(
        _ request: Request,
        context: AppContext,
        next: (Request, AppContext) async throws -> Response
    ) async throws -> Response {
        guard context.isFromWithin else { throw Failure.notFound }
        return try await next(request, context)
    }
}
