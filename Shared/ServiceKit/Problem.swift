public import Failures
public import HTTPTypes
public import Hummingbird
import Logging
import Messaging
import NIOCore
import Postgres
import Redis

/// An error answer, RFC 9457 `application/problem+json`; every error of every service becomes HTTP here and nowhere
/// else.
public struct Problem: Sendable {
    /// The HTTP status.
    public var status: HTTPResponse.Status
    /// Stable slug for programs.
    public var code: String
    /// One sentence for people.
    public var detail: String
    /// Fields or parameters concerned.
    public var fields: [FieldFailure]
    /// `Allow`, `Retry-After`, `WWW-Authenticate` and the like.
    public var headers: HTTPFields

    /// A problem with these values.
    public init(
        _ status: HTTPResponse.Status,
        _ code: String,
        _ detail: String,
        fields: [FieldFailure] = [],
        headers: HTTPFields = [:]
    ) {
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields
        self.headers = headers
    }

    /// What a failure looks like.
    public init(_ failure: Failure) {
        self.init(Problem.status(of: failure.kind), failure.code, failure.detail, fields: failure.fields)
        switch failure.kind {
        case .unauthenticated:
            // Said of access tokens only (RFC 6750, section 3.1); a wrong password is refused with 401 too.
            let isOfToken = ["invalid-token", "token-expired", "session-changed"].contains(failure.code)
            headers[.wwwAuthenticate] =
                isOfToken ? "Bearer error=\"invalid_token\", error_description=\"\(failure.code)\"" : "Bearer"
        case .tooManyRequests, .unavailable:
            headers[.retryAfter] = String(max(1, failure.retryAfter ?? 1))
        default: break
        }
    }

    /// What an error thrown while a request was answered looks like. Says nothing of an error that is not known; the
    /// caller logs where ``isUnexpected`` says so.
    public init(error: any Error) {
        switch error {
        case let failure as Failure: self.init(failure)
        case let error as PostgresError
        where error.isUnavailability || error.code == .cancelled || error.isRetryable:
            self.init(.unavailable)
        case let error as RedisError where error.code == .unavailable || error.code == .timeout:
            self.init(.unavailable)
        case is CancellationError: self.init(.unavailable)
        case is DecodingError:
            self.init(.badRequest, "bad-json", "The body is not of the form that is expected here.")
        case is EventTooLarge:
            self.init(.contentTooLarge, "too-large", "The change is larger than can be told to other services.")
        case let error as any HTTPResponseError where error.status.code < 500: self.init(http: error)
        default: self.init(.internalServerError, "internal", "Something went wrong on our side.")
        }
    }

    /// Whether the error has to be logged in full, because the answer says nothing of it.
    public static func isUnexpected(_ error: any Error) -> Bool {
        switch error {
        case is Failure, is CancellationError, is IdempotentReplay, is EventTooLarge: false
        case let error as any HTTPResponseError: error.status.code >= 500
        default: true
        }
    }

    private init(http error: any HTTPResponseError) {
        switch error.status {
        case .notFound: self.init(.notFound)
        case .methodNotAllowed:
            self.init(.methodNotAllowed, "method-not-allowed", "This path does not know this method.")
        case .contentTooLarge: self.init(.contentTooLarge, "too-large", "The body is too large.")
        case .unsupportedMediaType:
            self.init(.unsupportedMediaType, "unsupported-media-type", "This content type is not known here.")
        case let status:
            self.init(status, Problem.slug(status), "The request cannot be answered.")
        }
        if let error = error as? HTTPError {
            for field in error.headers { headers.append(field) }
        }
    }

    /// The answer. `type` is `about:blank`: the code says which problem it is, the title is the status' own.
    public func response(instance: String, requestID: String) -> Response {
        var members: [(key: String, value: JSON)] = [
            ("type", .string("about:blank")),
            ("title", .string(status.reasonPhrase)),
            ("status", .integer(Int64(status.code))),
            ("detail", .string(detail)),
            ("instance", .string(instance)),
            ("code", .string(code)),
            ("request_id", .string(requestID)),
        ]
        if !fields.isEmpty {
            members.append(
                (
                    "errors",
                    .array(
                        fields.map { field in
                            var entry: [(key: String, value: JSON)] = []
                            if let pointer = field.pointer { entry.append(("pointer", .string(pointer))) }
                            if let parameter = field.parameter { entry.append(("parameter", .string(parameter))) }
                            entry.append(("code", .string(field.code)))
                            entry.append(("detail", .string(field.detail)))
                            return .object(entry)
                        }
                    )
                )
            )
        }
        var headers = headers
        headers[.contentType] = MediaType.problem
        headers[.cacheControl] = "no-store"
        let bytes = JSON.object(members).encoded()
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private static func status(of kind: Failure.Kind) -> HTTPResponse.Status {
        switch kind {
        case .badRequest: .badRequest
        case .unauthenticated: .unauthorized
        case .notFound: .notFound
        case .forbidden: .forbidden
        case .preconditionFailed: .preconditionFailed
        case .tooLarge: .contentTooLarge
        case .unsupportedMediaType: .unsupportedMediaType
        case .invalidFields: .unprocessableContent
        case .conflict: .conflict
        case .tooManyRequests: .tooManyRequests
        case .unavailable: .serviceUnavailable
        }
    }

    /// `Bad Request` is `bad-request`.
    private static func slug(_ status: HTTPResponse.Status) -> String {
        status.reasonPhrase.lowercased().replacing(" ", with: "-")
    }
}

extension Failure {
    /// 503 `unavailable`: something this service needs is not there.
    public static let unavailable = Failure.unavailable("unavailable", "This is not available at the moment.")
}
