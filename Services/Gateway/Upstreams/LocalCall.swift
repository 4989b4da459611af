import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

/// A request to a service of this process. Lives on one event loop, on which the service handles the request, too.
///
/// A call whose client has left goes on to its end, as it does over a socket: a logout that is cut off between its
/// commit and the news to the other gateways would leave the token alive.
final class LocalCall: UpstreamTransport {
    /// How much of a request's body may wait for the service to read it; shorter ones are collected first.
    private static let bodyWindow = 65_536

    private let service: LocalService
    private let channel: any Channel
    private let executor: LoopExecutor
    private var user: (any UpstreamUser)?
    private var request: ForwardedRequest?
    private var collected: ByteBuffer?
    private var stream: AsyncThrowingStream<ByteBuffer, any Error>.Continuation?
    private var unread = 0
    private var isHeld = false
    private var whenReleased: CheckedContinuation<Void, Never>?

    /// `executor` is that of the channel's event loop.
    init(_ service: LocalService, channel: any Channel, executor: LoopExecutor) {
        self.service = service
        self.channel = channel
        self.executor = executor
    }

    private var bound: NIOLoopBound<LocalCall> { NIOLoopBound(self, eventLoop: channel.eventLoop) }

    // MARK: The request

    /// There is no connection that could have grown old.
    let isStale = false
    /// An answer comes with its whole head.
    let hasAnswerBytes = false

    var isWritable: Bool { unread < Self.bodyWindow }

    func begin(_ request: ForwardedRequest, user: any UpstreamUser) {
        self.user = user
        switch request.framing {
        case .none, .untilClose: start(request, RequestBody(buffer: ByteBuffer()))
        case .length(let length) where length <= Self.bodyWindow:
            self.request = request
            collected = ByteBuffer()
        case .length, .chunked:
            let (parts, stream) = AsyncThrowingStream<ByteBuffer, any Error>.makeStream()
            self.stream = stream
            let bound = bound
            start(
                request,
                RequestBody(
                    asyncSequence: parts.map { part in
                        let count = part.readableBytes
                        bound.eventLoop.execute { bound.value.hasRead(count) }
                        return part
                    }
                )
            )
        }
    }

    func writeBody(_ part: ByteBuffer) {
        if let stream {
            unread += part.readableBytes
            stream.yield(part)
        } else {
            collected?.writeImmutableBuffer(part)
        }
    }

    func endBody() {
        stream?.finish()
        stream = nil
        if let request, let collected {
            self.collected = nil
            start(request, RequestBody(buffer: collected))
        }
    }

    func flush() {}

    private func hasRead(_ count: Int) {
        let wasWritable = isWritable
        unread -= count
        if !wasWritable, isWritable { user?.upstreamBecameWritable() }
    }

    private func start(_ request: ForwardedRequest, _ body: RequestBody) {
        self.request = nil
        let (service, channel, bound) = (service, channel, bound)
        let request = Request(head: request.httpRequest, body: body)
        Task(executorPreference: executor) {
            do {
                let response = try await service.respond(to: request, from: channel)
                bound.value.answered(response)
                try await response.body.write(AnswerWriter(call: bound))
            } catch {
                bound.value.fail()
            }
        }
    }

    // MARK: The answer

    private func answered(_ response: Response) {
        user?.upstreamAnswered(ResponseHead(response))
    }

    private struct AnswerWriter: ResponseBodyWriter {
        let call: NIOLoopBound<LocalCall>

        func write(_ buffer: ByteBuffer) async throws {
            let call = call.value
            try await call.waitUntilReleased()
            call.user?.upstreamSent(buffer)
            call.user?.upstreamPaused()
        }

        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {
            let call = call.value
            try await call.waitUntilReleased()
            call.user?.upstreamFinished()
        }
    }

    /// Throws when nobody wants the answer any more.
    private func waitUntilReleased() async throws {
        if isHeld { await withCheckedContinuation { whenReleased = $0 } }
        if user == nil { throw CancellationError() }
    }

    func hold() { isHeld = true }

    func release() {
        isHeld = false
        whenReleased?.resume()
        whenReleased = nil
    }

    func finish(reusable: Bool) { close() }

    func close() {
        user = nil
        stream?.finish(throwing: CancellationError())
        stream = nil
        release()
    }

    private func fail() {
        let user = user
        close()
        user?.upstreamBroke()
    }
}

extension ForwardedRequest {
    /// The request as Hummingbird knows it.
    fileprivate var httpRequest: HTTPRequest {
        var fields = HTTPFields()
        for field in self.fields.fields {
            if let name = HTTPField.Name(field.name) { fields.append(HTTPField(name: name, value: field.value)) }
        }
        return HTTPRequest(
            method: HTTPRequest.Method(method) ?? .get,
            scheme: "http",
            authority: nil,
            path: target,
            headerFields: fields
        )
    }
}

extension ResponseHead {
    /// An answer that did not travel.
    fileprivate init(_ response: Response) {
        var fields = HeaderFields()
        for field in response.headers { fields.append(field.name.canonicalName, field.value) }
        let status = response.status.code
        let framing: BodyFraming
        if status == 204 || status == 304 {
            framing = .none
        } else {
            framing = response.headers[.contentLength].flatMap { Int($0) }.map { .length($0) } ?? .chunked
        }
        self.init(status: status, headers: fields, framing: framing, keepsAlive: true)
    }
}
