import NIOCore

/// The way of one request to its service and back: a connection, or a call within the process. Used on one event loop.
protocol UpstreamTransport: AnyObject {
    /// Whether more of the request's body can be taken.
    var isWritable: Bool { get }
    /// Whether a failure may mean no more than that the other side had closed before the request came.
    var isStale: Bool { get }
    /// Whether anything of the present answer has come: the service has had the request.
    var hasAnswerBytes: Bool { get }

    /// Sends a request's head; the answer goes to `user`.
    func begin(_ request: ForwardedRequest, user: any UpstreamUser)
    func writeBody(_ part: ByteBuffer)
    func endBody()
    func flush()
    /// Stops handing over until ``release()``.
    func hold()
    func release()
    /// Ends its use; `reusable` if request and answer were complete.
    func finish(reusable: Bool)
    /// Lets go of it, whatever is under way.
    func close()
}

/// A request's head as a service gets to see it.
struct ForwardedRequest: Sendable {
    var method: String
    var target: String
    var fields: HeaderFields
    var framing: BodyFraming

    /// The head as it travels, the body's length as the gateway itself says it.
    func encoded() -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: 1024)
        buffer.writeString(method)
        buffer.writeString(" ")
        buffer.writeString(target)
        buffer.writeString(" HTTP/1.1\r\n")
        fields.write(into: &buffer)
        switch framing {
        case .length(let length): buffer.writeString("content-length: \(length)\r\n")
        case .chunked: buffer.writeString("transfer-encoding: chunked\r\n")
        case .none, .untilClose:
            if method != "GET", method != "HEAD" { buffer.writeString("content-length: 0\r\n") }
        }
        buffer.writeString("\r\n")
        return buffer
    }
}
