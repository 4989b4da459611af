import Glibc
import NIOCore
import NIOPosix

/// One connection: any thread may ask, the work is done on the connection's event loop, answers come in order. Of no more
/// use once closed.
final class RedisLink: Sendable {
    /// The loop whose thread needs no other one to ask.
    let eventLoop: any EventLoop

    private let channel: any Channel
    private let handler: NIOLoopBound<RedisLinkHandler>

    private init(_ channel: any Channel, _ handler: NIOLoopBound<RedisLinkHandler>) {
        eventLoop = channel.eventLoop
        self.channel = channel
        self.handler = handler
    }

    /// Connects and introduces itself; each of the two may take `timeout`. Without a loop, one of the process.
    static func open(
        _ address: RedisAddress,
        on eventLoop: (any EventLoop)? = nil,
        timeout: Duration
    ) async throws -> RedisLink {
        let link = try await connect(
            to: address.endpoint,
            on: eventLoop ?? MultiThreadedEventLoopGroup.singleton.next(),
            timeout: timeout
        )
        for (command, answer) in zip(address.handshake, try await link.send(address.handshake, timeout: timeout)) {
            guard let message = answer.errorMessage else { continue }
            link.close()
            throw RedisError(.server, message: "\(String(decoding: command.arguments[0], as: UTF8.self)): \(message)")
        }
        return link
    }

    private static func connect(
        to endpoint: RedisAddress.Endpoint,
        on eventLoop: any EventLoop,
        timeout: Duration
    ) async throws -> RedisLink {
        let made = try await eventLoop.submit {
            ReplyParser().map { NIOLoopBound(RedisLinkHandler($0), eventLoop: eventLoop) }
        }.get()
        guard let handler = made else { throw RedisError(.unavailable, message: "out of memory") }
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(timeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
        do {
            switch endpoint {
            case .unix(let path):
                return RedisLink(try await bootstrap.connect(unixDomainSocketPath: path).get(), handler)
            case .tcp(let host, let port):
                return RedisLink(try await configured(bootstrap).connect(host: host, port: Int(port)).get(), handler)
            }
        } catch let error as NIOConnectionError {
            let reason = error.connectionErrors.last.map { self.reason(of: $0.error) } ?? "cannot resolve \(error.host)"
            throw RedisError(.unavailable, message: "connect: \(reason)")
        } catch {
            throw RedisError(.unavailable, message: "connect: \(reason(of: error))")
        }
    }

    /// What the system says, without the functions of NIO in which it was found.
    private static func reason(of error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }

    /// Small requests leave at once, and a peer that vanished without a word is noticed within half a minute.
    private static func configured(_ bootstrap: ClientBootstrap) -> ClientBootstrap {
        bootstrap
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(NIOBSDSocket.Option(rawValue: TCP_KEEPIDLE)), value: 10)
            .channelOption(.tcpOption(NIOBSDSocket.Option(rawValue: TCP_KEEPINTVL)), value: 5)
            .channelOption(.tcpOption(NIOBSDSocket.Option(rawValue: TCP_KEEPCNT)), value: 3)
    }

    /// Sends commands and waits for all their answers. With a timeout the connection is closed when it has passed:
    /// a late answer must never be taken for that of another command.
    func send(_ commands: [RedisCommand], timeout: Duration?) async throws -> [RedisValue] {
        if commands.isEmpty { return [] }
        var bytes: [UInt8] = []
        for command in commands { command.encode(into: &bytes) }
        let request = bytes
        let deadline = timeout.map { NIODeadline.now() + TimeAmount($0) }
        return try await withCheckedThrowingContinuation { caller in
            run { $0.ask(request, count: commands.count, deadline: deadline, caller) }
        }
    }

    /// From now on every answer is a message that nobody asked for.
    func receivePushes(_ receiver: @escaping @Sendable (RedisValue) -> Void) { run { $0.pushes = receiver } }

    /// Returns when the connection is closed, whoever did it; closes it if the task is cancelled.
    func waitUntilClosed() async {
        await withTaskCancellationHandler {
            // How it ended was told to those who waited for an answer.
            try? await channel.closeFuture.get()
        } onCancel: {
            close()
        }
    }

    /// Closes the connection; who still waits gets `.unavailable`.
    func close() { run { $0.close(RedisError(.unavailable, message: "connection closed")) } }

    /// At once on the connection's own loop, else as soon as it comes to it, in the order of the calls.
    private func run(_ work: @escaping @Sendable (RedisLinkHandler) -> Void) {
        if eventLoop.inEventLoop {
            work(handler.value)
        } else {
            eventLoop.execute { [handler] in work(handler.value) }
        }
    }
}

/// What happens on the loop: writes commands in batches, cuts what comes in into answers, and watches their deadlines.
final class RedisLinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    typealias Caller = CheckedContinuation<[RedisValue], any Error>

    /// Takes what nobody has asked for.
    var pushes: ((RedisValue) -> Void)?

    private let parser: ReplyParser
    private var context: ChannelHandlerContext?
    private var outgoing = ByteBuffer()
    private var flushIsDue = false
    private var waiting = ReplyQueue<Caller>()
    private var timer: Scheduled<Void>?
    private var closed: RedisError?

    init(_ parser: ReplyParser) { self.parser = parser }

    func ask(_ request: [UInt8], count: Int, deadline: NIODeadline?, _ caller: Caller) {
        guard closed == nil, let context else {
            caller.resume(throwing: closed ?? RedisError(.unavailable, message: "not connected"))
            return
        }
        outgoing.writeBytes(request)
        waiting.append(caller, count: count, deadline: deadline)
        startTimer(context)
        // What is asked for in the same round of the loop leaves in one write.
        guard !flushIsDue else { return }
        flushIsDue = true
        context.eventLoop.assumeIsolated().execute { [self] in flush() }
    }

    private func flush() {
        flushIsDue = false
        guard closed == nil, let context, outgoing.readableBytes > 0 else { return }
        let bytes = outgoing
        outgoing = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Closes the connection; who still waits is told why.
    func close(_ error: RedisError) {
        guard closed == nil else { return }
        closed = error
        timer?.cancel()
        timer = nil
        outgoing = ByteBuffer()
        pushes = nil
        for caller in waiting.removeAll() { caller.resume(throwing: error) }
        context?.close(promise: nil)
    }

    private func deliver(_ reply: RedisValue) throws {
        if let pushes, waiting.isEmpty {
            pushes(reply)
            return
        }
        switch waiting.receive(reply) {
        case .taken: break
        case .complete(let caller, let replies): caller.resume(returning: replies)
        case .unasked: throw RedisError(.unavailable, message: "an answer that nobody asked for")
        }
    }

    /// One timer for the oldest question: answers come in the order of the questions.
    private func startTimer(_ context: ChannelHandlerContext) {
        guard timer == nil, let deadline = waiting.nextDeadline else { return }
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
            timer = nil
            guard let context = self.context else { return }
            if let oldest = waiting.nextDeadline, oldest <= .now() {
                close(RedisError(.timeout, message: "no answer in time"))
            } else {
                startTimer(context)
            }
        }
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard closed == nil else { return }
        do {
            try unwrapInboundIn(data).withUnsafeReadableBytes { try parser.feed($0) }
            while closed == nil, let reply = try parser.next() { try deliver(reply) }
        } catch let error as RedisError {
            close(error)
        } catch {
            close(RedisError(.unavailable, message: "\(error)"))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        close(RedisError(.unavailable, message: "the server closed the connection"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        close(RedisError(.unavailable, message: "\(error)"))
    }
}
