import NIOCore
import NIOPosix
import ServiceKit

/// What one event loop has: kept connections to the servers, and the client connections whose deadlines it watches.
///
/// Everything here runs on that loop alone, so nothing is locked, and a request never changes threads on its way.
final class LoopPool {
    private static let idlePerServer = 64
    private static let idleFor = TimeAmount.seconds(30)

    let loop: any EventLoop
    /// For tasks that are to run on the loop.
    let executor: LoopExecutor
    private var idle: [ListenAddress: [UpstreamConnection]] = [:]
    private var clients: [ObjectIdentifier: ClientConnection] = [:]
    private var isStopped = false
    private var date: (second: Int64, text: String) = (0, "")

    init(loop: any EventLoop) {
        self.loop = loop
        executor = LoopExecutor(loop)
    }

    /// A quarter of a second is as exact as timeouts of seconds need to be, and spares two timers for every request.
    func start() {
        loop.assumeIsolated().scheduleTask(in: .milliseconds(250)) { [self] in
            guard !isStopped else { return }
            tick()
            start()
        }
    }

    /// The gateway has stopped: nothing is kept any longer.
    func stop() {
        isStopped = true
        for connection in idle.values.joined() { connection.close() }
        for client in Array(clients.values) { client.stop() }
        idle = [:]
    }

    private func tick() {
        let now = NIODeadline.now()
        for client in Array(clients.values) { client.tick(now) }
        for (server, connections) in idle {
            for connection in connections where now - connection.idleSince > Self.idleFor { connection.close() }
            idle[server] = connections.filter { !$0.isBroken }
        }
    }

    func add(_ client: ClientConnection) { clients[ObjectIdentifier(client)] = client }

    func remove(_ client: ClientConnection) { clients[ObjectIdentifier(client)] = nil }

    /// A kept connection, the most recently used first: it is the least likely to have been closed meanwhile.
    func take(_ server: ListenAddress) -> UpstreamConnection? {
        while let connection = idle[server]?.popLast() {
            if !connection.isBroken { return connection }
        }
        return nil
    }

    func keep(_ connection: UpstreamConnection) {
        var kept = idle[connection.server] ?? []
        if kept.count >= Self.idlePerServer { kept.removeFirst().close() }
        kept.append(connection)
        idle[connection.server] = kept
    }

    func forget(_ connection: UpstreamConnection) {
        idle[connection.server]?.removeAll { $0 === connection }
    }

    func connect(
        to server: ListenAddress,
        timeout: Duration,
        _ done: @escaping (UpstreamConnection?) -> Void
    ) {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let future = ClientBootstrap(group: loop)
            .connectTimeout(timeout.amount)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 4)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = UpstreamConnection(server: server, pool: bound.value, channel: channel)
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
            .connect(host: server.host, port: server.port)
        future.assumeIsolated().whenComplete { result in
            switch result {
            case .failure: done(nil)
            case .success(let channel):
                done(try? channel.pipeline.syncOperations.handler(type: UpstreamConnection.self))
            }
        }
    }

    /// `Date`, made once a second.
    func dateText(_ second: Int64) -> String {
        if date.second != second { date = (second, HTTPDate.text(second)) }
        return date.text
    }
}

/// The date format of HTTP (RFC 9110, section 5.6.7).
enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    static func text(_ second: Int64) -> String {
        let day = Int(second / 86_400)
        let rest = Int(second % 86_400)
        // Civil date from a count of days: the algorithm of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(days[day % 7]), \(two(dayOfYear - (153 * part + 2) / 5 + 1)) \(months[month - 1]) \(year) "
            + "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)) GMT"
    }
}
