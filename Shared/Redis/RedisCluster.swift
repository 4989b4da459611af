import Synchronization

/// The connections to the masters of a cluster, one each, and which of them to ask for what.
///
/// Commands of one key keep their order; there is none between keys of different masters. When a connection breaks, or
/// the master of the home key changes, the whole is of no more use and the client makes a new one.
final class RedisCluster: Sendable {
    private struct State {
        var slots: SlotMap
        var links: [ClusterNode: RedisLink]
        var isOver = false
        var whenOver: [CheckedContinuation<Void, Never>] = []
    }

    /// The server that holds this key is the one that ``RedisClient/serverRunID`` names.
    static let homeKey = Array("{auth}".utf8)

    private let address: RedisAddress
    private let timeout: Duration
    private let seed: String
    private let home: ClusterNode
    private let state: Mutex<State>

    /// Connects to every master that the server at the other end of `link` knows of.
    static func open(_ address: RedisAddress, through link: RedisLink, timeout: Duration) async throws -> RedisCluster {
        let seed = address.host
        let answer = try await link.send([RedisCommand("CLUSTER", "SLOTS")], timeout: timeout)[0]
        guard let slots = SlotMap(answer, seed: seed), let home = slots.node(of: KeySlot.slot(of: homeKey)) else {
            throw RedisError(.unavailable, message: "a cluster without masters: \(answer.errorMessage ?? "no slots")")
        }
        var links: [ClusterNode: RedisLink] = [:]
        do {
            for node in slots.nodes { links[node] = try await RedisLink.open(address.at(node), timeout: timeout) }
        } catch {
            for link in links.values { link.close() }
            throw error
        }
        let cluster = RedisCluster(address, timeout, seed, home, State(slots: slots, links: links))
        for link in links.values { cluster.watch(link) }
        return cluster
    }

    private init(_ address: RedisAddress, _ timeout: Duration, _ seed: String, _ home: ClusterNode, _ state: State) {
        self.address = address
        self.timeout = timeout
        self.seed = seed
        self.home = home
        self.state = Mutex(state)
    }

    /// The connection to the server that holds the home key.
    var homeLink: RedisLink? { state.withLock { $0.links[home] } }

    /// The masters, to begin with when this is over.
    var nodes: [ClusterNode] { state.withLock { Array($0.links.keys) } }

    /// Several commands, each sent to where its key is.
    func send(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        var replies = [RedisValue](repeating: .null, count: commands.count)
        var pending: [(index: Int, node: ClusterNode?)] = commands.indices.map { ($0, nil) }
        for attempt in 0..<6 where !pending.isEmpty {
            if attempt > 1 { try await Task.sleep(for: .milliseconds(20 << attempt)) }
            let answers = try await ask(pending.map { ($0.index, commands[$0.index], $0.node) })
            pending = []
            var hasMoved = false
            for (index, reply) in answers {
                replies[index] = reply
                guard let message = reply.errorMessage, let other = Redirection(message, seed: seed) else { continue }
                switch other {
                case .moved(let node):
                    hasMoved = true
                    pending.append((index, node))
                case .ask(let node):
                    let answers = try await link(to: node).send(
                        [RedisCommand("ASKING"), commands[index]],
                        timeout: timeout
                    )
                    replies[index] = answers[1]
                    if Redirection(answers[1].errorMessage ?? "", seed: seed) != nil { pending.append((index, nil)) }
                case .later: pending.append((index, nil))
                }
            }
            pending.sort { $0.index < $1.index }
            if hasMoved { try await learnSlots() }
        }
        return replies
    }

    /// The same question to every master.
    func sendToAll(_ command: RedisCommand) async throws -> [RedisValue] {
        var replies: [RedisValue] = []
        for link in state.withLock({ Array($0.links.values) }) {
            replies += try await link.send([command], timeout: timeout)
        }
        return replies
    }

    /// Returns when a connection is lost or the home key has moved; cancelling the task closes all.
    func waitUntilOver() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if !state.isOver { state.whenOver.append(continuation) }
                    return state.isOver
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            end()
        }
        close()
    }

    /// Closes all connections; it is of no more use then.
    func close() {
        for link in state.withLock({ Array($0.links.values) }) { link.close() }
    }

    private func end() {
        let waiting = state.withLock { state in
            state.isOver = true
            defer { state.whenOver = [] }
            return state.whenOver
        }
        for continuation in waiting { continuation.resume() }
    }

    private func watch(_ link: RedisLink) {
        Task {
            await link.waitUntilClosed()
            self.end()
        }
    }

    /// One round: each server gets its commands in one write, all servers at once.
    private func ask(
        _ questions: [(index: Int, command: RedisCommand, node: ClusterNode?)]
    ) async throws -> [(Int, RedisValue)] {
        var groups: [ClusterNode: [(index: Int, command: RedisCommand)]] = [:]
        for (index, command, node) in questions {
            groups[try node ?? self.node(for: command), default: []].append((index, command))
        }
        var answers: [(Int, RedisValue)] = []
        try await withThrowingTaskGroup(of: [(Int, RedisValue)].self) { tasks in
            for (node, group) in groups {
                tasks.addTask {
                    let replies = try await self.link(to: node).send(group.map(\.command), timeout: self.timeout)
                    return Array(zip(group.map(\.index), replies))
                }
            }
            for try await part in tasks { answers += part }
        }
        return answers
    }

    private func node(for command: RedisCommand) throws -> ClusterNode {
        guard let key = KeySlot.key(of: command) else { return home }
        guard let node = state.withLock({ $0.slots.node(of: KeySlot.slot(of: key)) }) else {
            throw RedisError(.unavailable, message: "nobody in the cluster has the slot")
        }
        return node
    }

    private func link(to node: ClusterNode) async throws -> RedisLink {
        if let link = state.withLock({ $0.links[node] }) { return link }
        let link = try await RedisLink.open(address.at(node), timeout: timeout)
        let (kept, isOver) = state.withLock { state in
            if state.links[node] == nil { state.links[node] = link }
            return (state.links[node] ?? link, state.isOver)
        }
        if kept !== link || isOver { link.close() } else { watch(link) }
        return kept
    }

    private func learnSlots() async throws {
        guard let link = homeLink else { return }
        let answer = try await link.send([RedisCommand("CLUSTER", "SLOTS")], timeout: timeout)[0]
        guard let slots = SlotMap(answer, seed: seed) else { return }
        state.withLock { $0.slots = slots }
        if slots.node(of: KeySlot.slot(of: Self.homeKey)) != home { end() }
    }
}

extension RedisAddress {
    /// The host that the URL names; this machine for a socket.
    var host: String { if case .tcp(let host, _) = endpoint { host } else { "127.0.0.1" } }

    /// Another server of the same cluster, with the same credentials.
    func at(_ node: ClusterNode) -> RedisAddress {
        var copy = self
        copy.endpoint = .tcp(host: node.host, port: node.port)
        return copy
    }
}
