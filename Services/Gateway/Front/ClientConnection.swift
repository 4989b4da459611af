import NIOCore

/// A connection from outside: cuts its bytes into requests, one ``Exchange`` after the other, and watches its deadlines.
/// Lives on one event loop.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase {
        /// Between requests.
        case idle(since: NIODeadline)
        /// Some of a head has come.
        case head(since: NIODeadline)
        case exchange(Exchange)
        /// An answer was given before its request was complete; the rest is read and dropped.
        case discarding(rest: Int, since: NIODeadline)
        /// The last answer is sent; reads on a little, since closing at once would take the answer away from a client
        /// that is still sending.
        case lingering(until: NIODeadline, rest: Int)
        case closed
    }
    /// How much is read ahead of what can be used.
    private static let readAhead = 65_536

    let front: Front
    let pool: LoopPool
    let peer: NetworkAddress?
    private(set) var channel: (any Channel)?
    private var parser: RequestParser
    private var inbound = ByteBuffer()
    private var phase: Phase
    private var isReading = false
    private var isProcessing = false
    private var inputEnded = false
    /// The last answer is on its way, and the connection ends with its last byte.
    private var isSending = false
    /// What waits to be written with what comes next.
    private var outbound: ByteBuffer?
    /// Whether anything of the present answer is on its way.
    private var hasPassedOn = false
    /// Up to this size, head and body are copied into one buffer: one buffer is written by the plainer system call.
    private static let joined = 16_384

    init(front: Front, pool: LoopPool, peer: NetworkAddress?) {
        self.front = front
        self.pool = pool
        self.peer = peer
        parser = RequestParser(limits: front.table.configuration.limits)
        phase = .idle(since: .now())
    }

    // MARK: What an exchange asks for

    func write(_ part: ByteBuffer) {
        guard var waiting = outbound else {
            outbound = part
            return
        }
        outbound = nil
        if waiting.readableBytes + part.readableBytes <= Self.joined {
            waiting.writeImmutableBuffer(part)
            outbound = waiting
        } else {
            passOn(waiting)
            outbound = part
        }
    }

    private func passOn(_ part: ByteBuffer) {
        hasPassedOn = true
        channel?.write(part, promise: nil)
    }

    /// Drops what waits of the present answer; false if some of it is on its way.
    func takeBack() -> Bool {
        guard !hasPassedOn else { return false }
        outbound = nil
        return true
    }

    func flush() {
        if let waiting = outbound {
            outbound = nil
            passOn(waiting)
        }
        channel?.flush()
    }

    var isWritable: Bool { channel?.isWritable ?? false }

    /// More of the request's body can be taken.
    func bodyWanted() { process() }

    /// The answer is complete.
    func finished(_ exchange: Exchange, keepsAlive: Bool, requestIsComplete: Bool) {
        guard case .exchange(let current) = phase, current === exchange else { return }
        flush()
        guard keepsAlive else {
            return requestIsComplete || inputEnded ? closeWhenSent() : linger()
        }
        phase = requestIsComplete ? .idle(since: .now()) : .discarding(rest: Self.readAhead, since: .now())
        process()
    }

    /// The answer cannot be completed: the client must not take what it has for the whole.
    func abandon(_ exchange: Exchange) {
        guard case .exchange(let current) = phase, current === exchange else { return }
        close()
    }

    private func linger() {
        phase = .lingering(until: .now() + .seconds(3), rest: 16 * 1_048_576)
        inbound.clear()
        channel?.close(mode: .output, promise: nil)
        read()
    }

    /// Closing drops what is not yet in the socket's buffer, so it waits for the last byte; for a reader that stalls, as
    /// long as for one that says nothing.
    private func closeWhenSent() {
        guard let channel else { return }
        phase = .lingering(until: .now() + front.table.configuration.limits.idleTimeout.amount, rest: 1_048_576)
        isSending = true
        let sent = channel.eventLoop.makePromise(of: Void.self)
        channel.writeAndFlush(ByteBuffer(), promise: sent)
        sent.futureResult.assumeIsolated().whenComplete { [self] _ in
            isSending = false
            // Closing with bytes unread resets the connection, which takes away what the client has not read.
            if inbound.readableBytes > 0, !inputEnded, case .lingering = phase { linger() } else { close() }
        }
    }

    private func close() {
        phase = .closed
        channel?.close(promise: nil)
    }

    /// The gateway stops; whatever is still running has had its time.
    func stop() { channel?.close(promise: nil) }

    // MARK: Deadlines

    func tick(_ now: NIODeadline) {
        let limits = front.table.configuration.limits
        switch phase {
        case .idle(let since):
            // What was answered last may still be on its way to a slow reader.
            if front.isClosing || now - since > limits.idleTimeout.amount { closeWhenSent() }
        case .head(let since):
            if now - since > limits.headerTimeout.amount { reject(.timeout("The head of the request")) }
        case .exchange(let exchange): exchange.tick(now)
        case .discarding(_, let since):
            if now - since > limits.headerTimeout.amount { linger() }
        case .lingering(let until, _):
            if now > until { close() }
        case .closed: break
        }
    }

    // MARK: Bytes

    private func process() {
        guard !isProcessing else { return }
        isProcessing = true
        while step() {}
        isProcessing = false
        if inputEnded { endIfOver() }
        read()
    }

    /// A client may close its half behind complete requests and still wait for their answers; what is not complete by
    /// then never will be.
    private func endIfOver() {
        switch phase {
        case .exchange(let exchange) where !exchange.requestIsComplete && exchange.wantsBody:
            exchange.clientLeft()
            close()
        case .idle, .head, .discarding:
            // Unless there is a request that waits until the client has read more.
            if isWritable || inbound.readableBytes == 0 { closeWhenSent() }
        case .lingering where !isSending: close()
        case .exchange, .lingering, .closed: break
        }
    }

    /// Whether something was done and more may follow.
    private func step() -> Bool {
        switch phase {
        case .idle, .head:
            // A client that does not read is not answered ahead: its next request waits where it lies.
            guard isWritable else { return false }
            return stepHead()
        case .exchange(let exchange):
            guard exchange.wantsBody else { return false }
            switch parser.next(&inbound) {
            case .body(let part): exchange.received(part)
            case .end: exchange.receivedEnd()
            case .failure(let rejection): exchange.broke(rejection)
            case .more, .head: return false
            }
            return true
        case .discarding(let rest, let since):
            switch parser.next(&inbound) {
            case .body(let part):
                if part.readableBytes > rest {
                    linger()
                } else {
                    phase = .discarding(rest: rest - part.readableBytes, since: since)
                }
            case .end: phase = .idle(since: .now())
            case .failure: close()
            case .more, .head: return false
            }
            return true
        case .lingering, .closed: return false
        }
    }

    private func stepHead() -> Bool {
        switch parser.next(&inbound) {
        case .head(let head):
            let exchange = Exchange(head, connection: self)
            if head.framing == .none, case .end = parser.next(&inbound) { exchange.requestIsComplete = true }
            phase = .exchange(exchange)
            hasPassedOn = false
            exchange.begin()
            return true
        case .failure(let rejection):
            reject(rejection)
            return true
        case .more:
            switch (phase, parser.isInsideHead) {
            case (.idle, true): phase = .head(since: .now())
            case (.head, false): phase = .idle(since: .now())
            default: break
            }
            return false
        case .body, .end: return false
        }
    }

    /// Answers what never became a request.
    private func reject(_ rejection: Rejection) {
        let exchange = Exchange(
            RequestHead(method: "-", target: "-", minorVersion: 1, headers: HeaderFields(), framing: .none),
            connection: self
        )
        phase = .exchange(exchange)
        exchange.broke(rejection)
    }

    private func read() {
        guard !isReading, !inputEnded, inbound.readableBytes < Self.readAhead else { return }
        if case .closed = phase { return }
        isReading = true
        channel?.read()
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { channel = context.channel }

    func channelActive(context: ChannelHandlerContext) {
        pool.add(self)
        read()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        if case .lingering(let until, let rest) = phase {
            if part.readableBytes > rest {
                close()
            } else {
                phase = .lingering(until: until, rest: rest - part.readableBytes)
            }
            return
        }
        if inbound.readableBytes == 0 { inbound = part } else { inbound.writeBuffer(&part) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        process()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        if case .exchange(let exchange) = phase { exchange.clientBecameWritable() } else { process() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else { return }
        inputEnded = true
        isReading = false
        process()
    }

    func channelInactive(context: ChannelHandlerContext) {
        pool.remove(self)
        front.connectionClosed(peer)
        if case .exchange(let exchange) = phase { exchange.clientLeft() }
        phase = .closed
        channel = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
