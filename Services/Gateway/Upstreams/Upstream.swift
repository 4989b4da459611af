import Logging
import NIOCore
import Synchronization

/// A service behind the gateway as all event loops see it: which servers are well, how much is in flight.
final class Upstream: Sendable {
    struct Server: Sendable {
        let address: ListenAddress
        var breaker: CircuitBreaker
        var inFlight = 0
        /// What the last health check said; nil before the first.
        var isReady: Bool?
    }

    private struct State {
        var servers: [Server]
        var bulkhead: Bulkhead
        var next = 0
        var retries = 0
    }

    enum Choice: Sendable {
        case server(Int)
        /// Every circuit is open; seconds until one may be tried again.
        case none(retryAfter: Int)
    }

    let rule: UpstreamRule
    private let logger: Logger
    private let state: Mutex<State>

    /// Whether a server is ready is kept of one that an earlier table knew; its circuit is closed again.
    init(_ rule: UpstreamRule, after earlier: Upstream?, logger: Logger) {
        self.rule = rule
        self.logger = logger
        let known = earlier?.snapshot ?? []
        let servers = rule.servers.map { address in
            var server = Server(address: address, breaker: CircuitBreaker(rule))
            if let old = known.first(where: { $0.address == address }) { server.isReady = old.isReady }
            return server
        }
        state = Mutex(
            State(servers: servers, bulkhead: Bulkhead(limit: rule.maximumInFlight, queueLimit: rule.queue))
        )
    }

    var snapshot: [Server] { state.withLock { $0.servers } }

    var load: (inFlight: Int, queued: Int) { state.withLock { ($0.bulkhead.inFlight, $0.bulkhead.queued) } }

    func enter(_ owner: Bulkhead.Owner, _ resume: @escaping @Sendable () -> Void) -> Bulkhead.Entry {
        state.withLock { $0.bulkhead.enter(owner, resume) }
    }

    func abandon(_ number: Int) -> Bool { state.withLock { $0.bulkhead.abandon(number) } }

    func leave(_ owner: Bulkhead.Owner) {
        let resume = state.withLock { $0.bulkhead.leave(owner) }
        resume?()
    }

    /// The server with the least in flight among those that are ready, in turn where equal. A server that says it is
    /// not ready is still better than none.
    func choose(avoiding tried: Int?, now: NIODeadline) -> Choice {
        state.withLock { state in
            let count = state.servers.count
            state.next = (state.next + 1) % count
            var best: (index: Int, rank: (Int, Int))?
            for offset in 0..<count {
                let index = (state.next + offset) % count
                let server = state.servers[index]
                guard server.breaker.isPassable(now: now) else { continue }
                let unready = server.isReady == false ? 1 : 0
                let rank = (unready + (index == tried ? 2 : 0), server.inFlight)
                if let known = best, known.rank <= rank { continue }
                best = (index, rank)
            }
            guard let best else {
                return .none(retryAfter: state.servers.map { $0.breaker.retryAfter(now: now) }.min() ?? 1)
            }
            state.servers[best.index].breaker.pass(now: now)
            state.servers[best.index].inFlight += 1
            return .server(best.index)
        }
    }

    enum Outcome: Sendable {
        case answered
        case failed
        /// The client left, or a kept connection turned out to be closed: says nothing of the server.
        case unknown
    }

    /// Every chosen server is reported on exactly once; `sent` is the moment it was chosen.
    func report(_ index: Int, _ outcome: Outcome, sent: NIODeadline, now: NIODeadline) {
        let opened: ListenAddress? = state.withLock { state in
            state.servers[index].inFlight -= 1
            switch outcome {
            case .answered: state.servers[index].breaker.succeeded(now: now)
            case .unknown: break
            case .failed:
                if state.servers[index].breaker.failed(sent: sent, now: now) { return state.servers[index].address }
            }
            return nil
        }
        if let opened {
            logger.warning(
                "a server is left alone for a while",
                metadata: ["upstream": "\(rule.name)", "server": "\(opened)"]
            )
        }
    }

    func noteHealth(_ index: Int, isReady: Bool) {
        let before = state.withLock { state in
            defer { state.servers[index].isReady = isReady }
            return state.servers[index].isReady
        }
        if before != isReady {
            logger.log(
                // Not ready yet is how every server starts; not ready any more is what an operator wants to hear.
                level: before == true ? .warning : .info,
                "health of a server changed",
                metadata: ["upstream": "\(rule.name)", "server": "\(rule.servers[index])", "ready": "\(isReady)"]
            )
        }
    }

    /// Second tries are at most a fifth of what is in flight, and three where little is: repeating must not add to a
    /// service's trouble.
    func beginRetry() -> Bool {
        state.withLock { state in
            guard state.retries < max(3, state.bulkhead.inFlight / 5) else { return false }
            state.retries += 1
            return true
        }
    }

    func endRetry() { state.withLock { $0.retries -= 1 } }
}
