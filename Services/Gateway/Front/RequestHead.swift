/// How long a message's body is.
enum BodyFraming: Sendable, Hashable {
    case none
    case length(Int)
    case chunked
    /// Up to the end of the connection; answers only.
    case untilClose
}

/// The head of a request, syntactically sound.
struct RequestHead: Sendable, Hashable {
    var method: String
    /// As received.
    var target: String
    /// The digit after `HTTP/1.`.
    var minorVersion: Int
    var headers: HeaderFields
    var framing: BodyFraming

    /// Whether the client wants to keep the connection.
    var keepsAlive: Bool {
        let options = headers.elements(of: "connection")
        return minorVersion == 1 ? !options.contains("close") : options.contains("keep-alive")
    }
}

/// Why a request is answered without asking any service.
struct Rejection: Error, Sendable, Hashable {
    var status: Int
    var code: String
    var detail: String
    var headers: [HeaderFields.Field] = []
    /// Whether the connection cannot go on, since it is not certain where the next request begins.
    var closes = false

    static func malformed(_ detail: String) -> Rejection {
        Rejection(status: 400, code: "bad-request", detail: detail, closes: true)
    }

    /// 400 for a request whose end is certain.
    static func refused(_ detail: String, code: String = "bad-request") -> Rejection {
        Rejection(status: 400, code: code, detail: detail)
    }

    static func timeout(_ what: String) -> Rejection {
        Rejection(status: 408, code: "timeout", detail: "\(what) did not arrive in time.", closes: true)
    }

    static let tooLarge = Rejection(status: 413, code: "too-large", detail: "The body is too large.", closes: true)

    static func unavailable(_ code: String, _ detail: String, after seconds: Int = 1) -> Rejection {
        Rejection(
            status: 503,
            code: code,
            detail: detail,
            headers: [HeaderFields.Field(name: "retry-after", value: String(max(1, seconds)))]
        )
    }
}
