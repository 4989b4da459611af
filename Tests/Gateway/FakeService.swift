import NIOCore
import NIOPosix
import Synchronization

@testable import GatewayService

/// A request as a service behind the gateway sees it.
struct SeenRequest: Sendable {
    var head: RequestHead
    var body: [UInt8]
}

/// What a fake service does with a request.
enum FakeAnswer: Sendable {
    case bytes(String)
    case after(Duration, String)
    case close
    /// These bytes, and the connection is reset.
    case broken(String)
    /// So many bytes, in chunks.
    case stream(Int)

    static func ok(_ body: String = "{}", _ fields: String = "") -> FakeAnswer {
        .bytes(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
    }
}

/// A service behind the gateway that answers what the test says and remembers what it was asked.
final class FakeService: Sendable {
    private final class Log: Sendable {
        let seen = Mutex<[SeenRequest]>([])
    }
    private let channel: any Channel
    private let log: Log
    let port: Int

    private init(channel: any Channel, log: Log, port: Int) {
        self.channel = channel
        self.log = log
        self.port = port
    }

    /// What came in, health checks and key fetches left out.
    var requests: [SeenRequest] { log.seen.withLock { $0 } }

    static func start(_ answer: @escaping @Sendable (SeenRequest) -> FakeAnswer) async throws -> FakeService {
        let log = Log()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler { request in
                            if request.head.target == "/health/ready" { return .ok() }
                            if request.head.target != "/.well-known/jwks.json" {
                                log.seen.withLock { $0.append(request) }
                            }
                            return answer(request)
                        }
                    )
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return FakeService(channel: channel, log: log, port: channel.localAddress?.port ?? 0)
    }

    func stop() async throws { try await channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let answer: (SeenRequest) -> FakeAnswer
        private var parser = RequestParser(
            limits: {
                var limits = FrontLimits()
                limits.headerBytes = 65_536
                limits.headerCount = 200
                return limits
            }()
        )
        private var buffer = ByteBuffer()
        private var head: RequestHead?
        private var body: [UInt8] = []

        init(_ answer: @escaping (SeenRequest) -> FakeAnswer) { self.answer = answer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var part = unwrapInboundIn(data)
            buffer.writeBuffer(&part)
            while true {
                switch parser.next(&buffer) {
                case .head(let head): (self.head, body) = (head, [])
                case .body(let part): body += Array(buffer: part)
                case .end:
                    if let head { send(answer(SeenRequest(head: head, body: body)), context) }
                case .more: return
                case .failure:
                    context.close(promise: nil)
                    return
                }
            }
        }

        private func send(_ answer: FakeAnswer, _ context: ChannelHandlerContext) {
            let channel = context.channel
            switch answer {
            case .bytes(let text): channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
            case .after(let time, let text):
                channel.eventLoop.scheduleTask(in: time.amount) {
                    channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
                }
            case .close: context.close(promise: nil)
            case .broken(let text):
                // Closing with this option set sends a reset once everything before it is out.
                channel.writeAndFlush(ByteBuffer(string: text))
                    .flatMap {
                        (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
                            ?? channel.eventLoop.makeSucceededVoidFuture()
                    }
                    .whenComplete { _ in channel.close(promise: nil) }
            case .stream(let count):
                channel.write(ByteBuffer(string: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), promise: nil)
                for start in stride(from: 0, to: count, by: 65_536) {
                    let size = min(65_536, count - start)
                    channel.write(ByteBuffer(string: String(size, radix: 16) + "\r\n"), promise: nil)
                    channel.write(ByteBuffer(repeating: 0x78, count: size), promise: nil)
                    channel.write(ByteBuffer(string: "\r\n"), promise: nil)
                }
                channel.writeAndFlush(ByteBuffer(string: "0\r\n\r\n"), promise: nil)
            }
        }
    }
}
