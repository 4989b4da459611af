import NIOCore
import ServiceKit

/// The head of an answer to a client, with what every answer carries.
struct AnswerHead {
    var status: Int
    var fields: HeaderFields

    /// What the whole gateway puts on every answer.
    struct Common: Sendable {
        /// Whether clients reach us over TLS.
        var isSecure: Bool
        /// Whether answers differ by `Origin`.
        var variesByOrigin: Bool
    }

    mutating func complete(_ common: Common, cache: String, requestID: String, date: String) {
        if !fields.contains("date") { fields.append("date", date) }
        fields.append("x-request-id", requestID)
        addUnlessSet("cache-control", cache)
        addUnlessSet("x-content-type-options", "nosniff")
        addUnlessSet("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
        addUnlessSet("referrer-policy", "no-referrer")
        if common.isSecure { fields.set("strict-transport-security", "max-age=31536000; includeSubDomains") }
        if common.variesByOrigin, !fields.elements(of: "vary").contains("origin") { fields.append("vary", "Origin") }
    }

    private mutating func addUnlessSet(_ name: String, _ value: String) {
        if !fields.contains(name) { fields.append(name, value) }
    }

    /// Status line and fields as bytes; `framing` and `keepsAlive` become the fields that belong to the connection.
    func bytes(framing: BodyFraming, keepsAlive: Bool, minorVersion: Int, _ allocator: ByteBufferAllocator)
        -> ByteBuffer
    {
        var buffer = allocator.buffer(capacity: 512)
        buffer.writeString("HTTP/1.1 ")
        buffer.writeString(String(status))
        buffer.writeString(" ")
        buffer.writeString(StatusPhrase.text(status))
        buffer.writeString("\r\n")
        fields.write(into: &buffer)
        switch framing {
        case .length(let length):
            buffer.writeString("content-length: ")
            buffer.writeString(String(length))
            buffer.writeString("\r\n")
        case .chunked: buffer.writeString("transfer-encoding: chunked\r\n")
        case .none, .untilClose: break
        }
        if !keepsAlive {
            buffer.writeString("connection: close\r\n")
        } else if minorVersion == 0 {
            buffer.writeString("connection: keep-alive\r\n")
        }
        buffer.writeString("\r\n")
        return buffer
    }
}

/// Reason phrases of the statuses that occur.
enum StatusPhrase {
    static func text(_ status: Int) -> String { phrases[status] ?? "Status" }

    private static let phrases: [Int: String] = [
        200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
        302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
        400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
        406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required",
        412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type",
        416: "Range Not Satisfiable", 417: "Expectation Failed", 421: "Misdirected Request",
        422: "Unprocessable Content",
        425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
        431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
        502: "Bad Gateway",
        503: "Service Unavailable", 504: "Gateway Timeout", 507: "Insufficient Storage",
    ]
}

extension Rejection {
    /// The body, RFC 9457; the same members in the same order as the services'.
    func body(instance: String, requestID: String) -> [UInt8] {
        JSON.object([
            ("type", .string("about:blank")), ("title", .string(StatusPhrase.text(status))),
            ("status", .integer(Int64(status))), ("detail", .string(detail)), ("instance", .string(instance)),
            ("code", .string(code)), ("request_id", .string(requestID)),
        ]).encoded()
    }
}
