import Logging
import NIOCore
import NIOPosix
import ServiceKit
import ServiceLifecycle

/// Listens, and drains when it is told to stop.
final class FrontServer: Service, CustomStringConvertible {
    /// How long requests may take to end once no more are accepted.
    private static let patience = Duration.seconds(30)

    private let front: Front
    private let listen: ListenAddress
    private let drain: Duration
    private let boundPort: BoundPort
    private let logger: Logger

    var description: String { "gateway" }

    init(front: Front, listen: ListenAddress, drain: Duration, boundPort: BoundPort, logger: Logger) {
        self.front = front
        self.listen = listen
        self.drain = drain
        self.boundPort = boundPort
        self.logger = logger
    }

    func run() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        var pools: [ObjectIdentifier: NIOLoopBound<LoopPool>] = [:]
        for loop in group.makeIterator() {
            pools[ObjectIdentifier(loop)] = try await loop.submit {
                let pool = LoopPool(loop: loop)
                pool.start()
                return NIOLoopBound(pool, eventLoop: loop)
            }.get()
        }
        let server: any Channel
        do {
            server = try await bind(group, pools)
        } catch {
            let reason = (error as? IOError)?.systemReason ?? "\(error)"
            throw SettingError(
                "The gateway cannot listen on \(listen) (\(reason)); change TASKFLOW_GATEWAY_LISTEN."
            )
        }
        if let port = server.localAddress?.port {
            logger.info("listening", metadata: ["host": "\(listen.host)", "port": "\(port)"])
            boundPort.set(port)
        }
        try? await gracefulShutdown()
        await stop(server, pools)
    }

    private func bind(
        _ group: MultiThreadedEventLoopGroup,
        _ pools: [ObjectIdentifier: NIOLoopBound<LoopPool>]
    ) async throws -> any Channel {
        let front = front
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .writeBufferWaterMark,
                value: ChannelOptions.Types.WriteBufferWaterMark(low: 65_536, high: 262_144)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let peer = channel.remoteAddress.flatMap { NetworkAddress($0) }
                    guard let pool = pools[ObjectIdentifier(channel.eventLoop)], front.connectionOpened(peer) else {
                        throw ChannelError.connectPending
                    }
                    let connection = ClientConnection(front: front, pool: pool.value, peer: peer)
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
            .bind(host: listen.host, port: listen.port).get()
    }

    /// Ready off at once; accepts on, so that whoever balances load notices; then accepts no more and lets the running
    /// requests end.
    private func stop(_ server: any Channel, _ pools: [ObjectIdentifier: NIOLoopBound<LoopPool>]) async {
        front.enter(.announcing)
        logger.info("draining", metadata: ["connections": "\(front.connections)"])
        // Nothing tells when load balancers have read that this gateway is not ready any more.
        try? await Task.sleep(for: drain)
        try? await server.close()
        front.enter(.closing)
        let deadline = ContinuousClock.now + Self.patience
        // Looked at only while stopping: connections are counted, and nobody is told when the last one goes.
        while front.connections > 0, .now < deadline, !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(50))
        }
        for pool in pools.values {
            pool.eventLoop.execute { pool.value.stop() }
        }
        logger.info("stopped")
    }
}
