public import Logging
import Metrics
public import ServiceLifecycle
import Synchronization

/// Redis over one connection on which commands are pipelined, or over one for each event loop; reconnects by itself. If
/// the server belongs to a cluster, there is one connection to each master, and every command goes to where its key is.
///
/// Run it in the service group. While there is no connection every command fails at once with `.unavailable`.
public final class RedisClient: Service, Sendable {
    private struct State {
        var links: RedisLinks?
        var cluster: RedisCluster?
        var isCluster = false
        /// Servers of the cluster that was seen last: any of them can tell of the others.
        var nodes: [ClusterNode] = []
        var runID: String?
        var handlers: [@Sendable (String) async -> Void] = []
    }

    private let address: RedisAddress?
    private let commandTimeout: Duration
    private let connectsEachLoop: Bool
    private let logger: Logger
    private let state = Mutex(State())
    private let connects = Counter(label: "taskflow_redis_connects_total")
    private let failures = Counter(label: "taskflow_redis_failures_total")

    /// A client for `redis://[[user]:password@]host[:port][/db]` or `unix:///path[?db=n]`.
    ///
    /// With `connectsEachLoop` there is a connection on each event loop of NIO's shared group: a task that prefers such a
    /// loop asks and is answered without a change of thread. Commands of different tasks then have no order.
    public init(
        url: String,
        commandTimeout: Duration = .seconds(2),
        connectsEachLoop: Bool = false,
        logger: Logger
    ) {
        address = RedisAddress(url)
        self.commandTimeout = commandTimeout
        self.connectsEachLoop = connectsEachLoop
        self.logger = logger
    }

    /// True if ``init(url:commandTimeout:logger:)`` can make something of it.
    public static func isValid(url: String) -> Bool { RedisAddress(url) != nil }

    /// Connects and reconnects until graceful shutdown. Throws at once if the URL is none.
    public func run() async throws {
        guard let address else { throw RedisError(.unavailable, message: "not the URL of a Redis server") }
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                await self.keepConnected(to: address, announcingIn: &group)
                group.cancelAll()
            }
        }
    }

    private func keepConnected(to address: RedisAddress, announcingIn group: inout DiscardingTaskGroup) async {
        var backOff = BackOff()
        var isDown = false
        while !Task.isCancelled {
            do {
                let (link, identity) = try await openAny(address)
                var (runID, isCluster) = identity
                var links = RedisLinks(link)
                var cluster: RedisCluster?
                if isCluster {
                    do {
                        cluster = try await RedisCluster.open(address, through: link, timeout: commandTimeout)
                    } catch {
                        link.close()
                        throw error
                    }
                    link.close()
                    do {
                        guard let home = cluster?.homeLink else { throw RedisError(.unavailable, message: "no home") }
                        runID = try await Self.identity(of: home, timeout: commandTimeout).runID
                    } catch {
                        // A master that hangs still takes connections; those to the others would stay for ever.
                        cluster?.close()
                        throw error
                    }
                } else if connectsEachLoop {
                    links = try await RedisLinks(link, onEachLoopTo: address, timeout: commandTimeout)
                    try await Self.checkIdentity(runID, of: links, timeout: commandTimeout)
                }
                let whole = cluster
                let (server, handlers) = state.withLock { [runID, links] state in
                    state.links = whole == nil ? links : nil
                    state.cluster = whole
                    state.isCluster = whole != nil
                    state.nodes = whole?.nodes ?? []
                    state.runID = runID
                    return (runID, state.handlers)
                }
                connects.increment()
                logger.info("connected to Redis", metadata: ["redis": "\(address.description)", "run_id": "\(server)"])
                isDown = false
                backOff.reset()
                group.addTask {
                    for handler in handlers { await handler(server) }
                }
                if let whole { await whole.waitUntilOver() } else { await links.waitUntilClosed() }
                state.withLock { state in
                    state.links = nil
                    state.cluster = nil
                    state.runID = nil
                }
                if !Task.isCancelled { logger.warning("lost the connection to Redis") }
            } catch {
                failures.increment()
                // Said once per outage; the metric counts the attempts.
                if !isDown, !Task.isCancelled {
                    logger.warning(
                        "no connection to Redis, trying on",
                        metadata: ["error": "\(String(reflecting: error))"]
                    )
                }
                isDown = true
            }
            try? await Task.sleep(for: backOff.next())
        }
    }

    /// The server that the URL names, or, when that is gone, another one of its cluster.
    private func openAny(_ address: RedisAddress) async throws -> (RedisLink, Identity) {
        do {
            return try await open(address)
        } catch {
            for node in state.withLock({ $0.nodes }) {
                if let answer = try? await open(address.at(node)) { return answer }
            }
            throw error
        }
    }

    /// A connection to a server that answers: one that hangs takes connections, too.
    private func open(_ address: RedisAddress) async throws -> (RedisLink, Identity) {
        let link = try await RedisLink.open(address, timeout: commandTimeout)
        do {
            return (link, try await Self.identity(of: link, timeout: commandTimeout))
        } catch {
            link.close()
            throw error
        }
    }

    private typealias Identity = (runID: String, isCluster: Bool)

    private static func identity(of link: RedisLink, timeout: Duration) async throws -> Identity {
        let answer = try await link.send([RedisCommand("INFO", "server")], timeout: timeout)[0]
        let lines = (answer.string ?? "").split(whereSeparator: \.isNewline)
        guard let line = lines.first(where: { $0.hasPrefix("run_id:") }) else {
            throw RedisError(.server, message: "INFO server: \(answer.errorMessage ?? "no run_id")")
        }
        return (String(line.dropFirst("run_id:".count)), lines.contains("redis_mode:cluster"))
    }

    /// A server that was replaced in between would make the one `run_id` wrong for some of the connections.
    private static func checkIdentity(_ runID: String, of links: RedisLinks, timeout: Duration) async throws {
        do {
            for link in links.all where link !== links.first {
                guard try await identity(of: link, timeout: timeout).runID == runID else {
                    throw RedisError(.unavailable, message: "two servers answer at one address")
                }
            }
        } catch {
            for link in links.all { link.close() }
            throw error
        }
    }

    /// One command; throws ``RedisError``, also for an error answer.
    public func send(_ command: RedisCommand) async throws -> RedisValue {
        try Self.single(await send([command]))
    }

    /// Several commands in one write; error answers come as values.
    public func send(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        let (links, cluster) = state.withLock { ($0.links, $0.cluster) }
        if let cluster { return try await cluster.send(commands) }
        guard let links else { throw RedisError(.unavailable, message: "not connected") }
        return try await links.nearest.send(commands, timeout: commandTimeout)
    }

    /// The same command to every server: to the one, or to each master of a cluster.
    public func sendToAll(_ command: RedisCommand) async throws -> [RedisValue] {
        if let cluster = state.withLock({ $0.cluster }) { return try await cluster.sendToAll(command) }
        return try await send([command])
    }

    /// True if the server, when it was last seen, was one of a cluster: a command then may name keys of one hash tag only.
    public var isCluster: Bool { state.withLock { $0.isCluster } }

    /// The `run_id` of the server of the present connection, learned on connect; nil while there is none. In a cluster
    /// it is that of the master which holds the keys with the tag `{auth}`.
    public var serverRunID: String? { state.withLock { $0.runID } }

    /// Called after each (re)connect with the server's `run_id`, in the order of registration; at once if there is a
    /// connection already. The task of a handler is cancelled when the client stops.
    public func onConnect(_ handler: @escaping @Sendable (String) async -> Void) {
        let runID = state.withLock { state in
            state.handlers.append(handler)
            return state.runID
        }
        if let runID {
            Task { await handler(runID) }
        }
    }

    /// A connection of its own for blocking reads (`XREAD BLOCK`) or subscriptions; no command timeout.
    /// Fails with `.unavailable` if the server is not there. In a cluster it is to any of the servers.
    public func dedicatedConnection() async throws -> RedisConnection {
        guard let address else { throw RedisError(.unavailable, message: "not the URL of a Redis server") }
        return RedisConnection(try await openAny(address).0)
    }

    /// The answer to one command, an error answer thrown.
    static func single(_ replies: [RedisValue]) throws -> RedisValue {
        guard let reply = replies.first else { throw RedisError(.unavailable, message: "no answer") }
        if let message = reply.errorMessage { throw RedisError(.server, message: message) }
        return reply
    }
}
