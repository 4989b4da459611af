import NIOCore

/// Whoever waits for a service's answer; called on the event loop.
protocol UpstreamUser: AnyObject {
    func upstreamAnswered(_ head: ResponseHead)
    func upstreamSent(_ body: ByteBuffer)
    func upstreamFinished()
    /// All that had come in one go has been handed over.
    func upstreamPaused()
    func upstreamBroke()
    func upstreamBecameWritable()
}

/// A kept connection to one server, used by one request at a time; lives on one event loop.
final class UpstreamConnection: ChannelInboundHandler, UpstreamTransport {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let server: ListenAddress
    private let pool: LoopPool
    private let channel: any Channel
    private var parser = ResponseParser()
    private var buffer = ByteBuffer()
    private var user: (any UpstreamUser)?
    private var isReading = false
    private var isDelivering = false
    private var isFinished = false
    /// Set while the user cannot take more.
    private var isHeld = false
    private(set) var isBroken = false
    private(set) var idleSince = NIODeadline.now()
    /// How many requests it has served.
    private var uses = 0
    private(set) var hasAnswerBytes = false
    /// Whether it broke off, so that where its answer ends is not known.
    private var endedInError = false
    private var sendsChunks = false

    init(server: ListenAddress, pool: LoopPool, channel: any Channel) {
        self.server = server
        self.pool = pool
        self.channel = channel
    }

    var isWritable: Bool { channel.isWritable }

    /// A kept connection that the server has closed meanwhile says nothing of the server.
    var isStale: Bool { uses > 1 && !hasAnswerBytes }

    func begin(_ request: ForwardedRequest, user: any UpstreamUser) {
        self.user = user
        uses += 1
        parser = ResponseParser(isHead: request.method == "HEAD")
        hasAnswerBytes = false
        isFinished = false
        isHeld = false
        sendsChunks = request.framing == .chunked
        channel.write(request.encoded(), promise: nil)
        read()
    }

    func writeBody(_ part: ByteBuffer) {
        guard sendsChunks else { return channel.write(part, promise: nil) }
        channel.write(ByteBuffer(string: String(part.readableBytes, radix: 16) + "\r\n"), promise: nil)
        channel.write(part, promise: nil)
        channel.write(ByteBuffer(string: "\r\n"), promise: nil)
    }

    func endBody() {
        if sendsChunks { channel.write(ByteBuffer(string: "0\r\n\r\n"), promise: nil) }
    }

    func flush() { channel.flush() }

    func hold() { isHeld = true }

    func release() {
        guard isHeld else { return }
        isHeld = false
        deliver()
        read()
    }

    func finish(reusable: Bool) {
        user = nil
        if reusable, isFinished, !isBroken, buffer.readableBytes == 0, channel.isActive {
            idleSince = .now()
            pool.keep(self)
        } else {
            close()
        }
    }

    func close() {
        user = nil
        isBroken = true
        channel.close(promise: nil)
    }

    private func read() {
        // The pending read on an idle connection is what notices its end.
        guard !isReading, !isHeld, !isBroken else { return }
        isReading = true
        channel.read()
    }

    private func deliver() {
        guard !isDelivering else { return }
        isDelivering = true
        defer { isDelivering = false }
        while let user, !isHeld, !isFinished {
            switch parser.next(&buffer) {
            case .head(let head): user.upstreamAnswered(head)
            case .body(let part): user.upstreamSent(part)
            case .end:
                isFinished = true
                user.upstreamFinished()
            case .more:
                user.upstreamPaused()
                if isBroken { atEnd() }
                return
            case .failure:
                fail()
                return
            }
        }
    }

    /// The connection has ended and everything it brought is handed over.
    private func atEnd() {
        guard let user, !isFinished else { return }
        if parser.endsWithConnection, !endedInError {
            isFinished = true
            user.upstreamFinished()
        } else {
            fail()
        }
    }

    private func fail() {
        let user = user
        close()
        user?.upstreamBroke()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        guard user != nil else {
            // Nobody asked: whatever it is, this connection is out of step.
            close()
            return
        }
        hasAnswerBytes = true
        if buffer.readableBytes == 0 { buffer = part } else { buffer.writeBuffer(&part) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        deliver()
        read()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isBroken = true
        isReading = false
        if user == nil { pool.forget(self) } else if !isHeld { deliver() }
        if user != nil, !isHeld { atEnd() }
        context.fireChannelInactive()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { user?.upstreamBecameWritable() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isBroken = true
        endedInError = true
        context.close(promise: nil)
    }
}
