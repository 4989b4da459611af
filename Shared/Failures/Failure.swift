/// How a rule says no: a kind that HTTP knows, a stable slug, and the fields concerned.
///
/// Domain code throws it; ServiceKit turns it into a problem answer in exactly one place. `detail` is shown to
/// clients: no SQL, host name or secret in it.
public struct Failure: Error, Sendable, Hashable {
    /// What went wrong, in the order in which a request is judged.
    public enum Kind: Sendable, Hashable {
        /// 400: the form of the request, broken JSON, an unknown parameter.
        case badRequest
        /// 401.
        case unauthenticated
        /// 404: not there, or not to be seen; the two look alike.
        case notFound
        /// 403: readable, but not to be done by this person.
        case forbidden
        /// 412: `If-Match` names another version.
        case preconditionFailed
        /// 413.
        case tooLarge
        /// 415.
        case unsupportedMediaType
        /// 422: fields of the body.
        case invalidFields
        /// 409.
        case conflict
        /// 429, with `Retry-After`.
        case tooManyRequests
        /// 503, with `Retry-After`.
        case unavailable
    }

    /// What went wrong.
    public var kind: Kind
    /// Stable slug for programs: `last-admin`.
    public var code: String
    /// One sentence for people.
    public var detail: String
    /// The fields or parameters concerned; may be empty.
    public var fields: [FieldFailure]
    /// Seconds after which to try again, for 429 and 503.
    public var retryAfter: Int?

    /// A failure with these values.
    public init(
        _ kind: Kind,
        _ code: String,
        _ detail: String,
        fields: [FieldFailure] = [],
        retryAfter: Int? = nil
    ) {
        self.kind = kind
        self.code = code
        self.detail = detail
        self.fields = fields
        self.retryAfter = retryAfter
    }

    /// 404 `not-found`, the same for what is not there and what may not be seen.
    public static let notFound = Failure(.notFound, "not-found", "There is nothing here that you may see.")
    /// 403 `forbidden`.
    public static let forbidden = Failure(.forbidden, "forbidden", "You may see this but not do that.")
    /// 412 `precondition-failed`.
    public static let preconditionFailed = Failure(
        .preconditionFailed,
        "precondition-failed",
        "It has changed since the version named by If-Match."
    )

    /// 422 `invalid-fields` with these fields.
    public static func invalid(_ fields: [FieldFailure]) -> Failure {
        Failure(.invalidFields, "invalid-fields", "Some fields cannot be accepted.", fields: fields)
    }

    /// 422 `invalid-fields` with one field.
    public static func invalid(_ pointer: String, _ code: String, _ detail: String) -> Failure {
        .invalid([FieldFailure(pointer: pointer, code, detail)])
    }

    /// 400 `bad-parameter` naming one query parameter.
    public static func badParameter(_ name: String, _ code: String, _ detail: String) -> Failure {
        Failure(
            .badRequest,
            "bad-parameter",
            "A query parameter cannot be accepted.",
            fields: [FieldFailure(parameter: name, code, detail)]
        )
    }

    /// 409 with a slug.
    public static func conflict(_ code: String, _ detail: String) -> Failure { Failure(.conflict, code, detail) }

    /// 503 with a slug and a `Retry-After`.
    public static func unavailable(_ code: String, _ detail: String, retryAfter: Int = 1) -> Failure {
        Failure(.unavailable, code, detail, retryAfter: retryAfter)
    }
}

/// What is wrong with one field of a body or one parameter of a query.
public struct FieldFailure: Sendable, Hashable {
    /// JSON pointer (RFC 6901) into the body: `/due_date`; or nil.
    public var pointer: String?
    /// Name of the query parameter; or nil.
    public var parameter: String?
    /// Stable slug: `before-start`.
    public var code: String
    /// One sentence for people.
    public var detail: String

    /// Wrong field of the body.
    public init(pointer: String, _ code: String, _ detail: String) {
        self.pointer = pointer
        self.code = code
        self.detail = detail
    }

    /// Wrong parameter of the query.
    public init(parameter: String, _ code: String, _ detail: String) {
        self.parameter = parameter
        self.code = code
        self.detail = detail
    }
}
