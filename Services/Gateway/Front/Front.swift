import Chronology
import Identity
import Logging
import Metrics
import NIOCore
import ServiceKit
import Synchronization

/// What all connections share.
final class Front: Sendable {
    enum Stage: Int, Sendable {
        /// Servers have not all been seen yet.
        case starting
        case serving
        /// Still accepting, but every answer asks the client to connect anew.
        case announcing
        /// No more connections; those without a request are closed.
        case closing
    }

    private struct State {
        var table: GatewayTable
        var stage = Stage.starting
        var connections = 0
        var byAddress: [String: Int] = [:]
    }

    let gate: Gate
    let clock: WallClock
    let crossOrigin: CrossOrigin
    let common: AnswerHead.Common
    let credential: String
    let documents: Documents
    /// The services of this process, by the address that an upstream would name.
    let local: [ListenAddress: LocalService]
    let meters: Meters
    let logger: Logger
    private let state: Mutex<State>

    init(
        table: GatewayTable,
        gate: Gate,
        clock: WallClock,
        crossOrigin: CrossOrigin,
        isSecure: Bool,
        credential: String,
        documents: Documents,
        local: [LocalService],
        meters: Meters,
        logger: Logger
    ) {
        self.gate = gate
        self.clock = clock
        self.crossOrigin = crossOrigin
        common = AnswerHead.Common(isSecure: isSecure, variesByOrigin: !crossOrigin.origins.isEmpty)
        self.credential = credential
        self.documents = documents
        self.local = Dictionary(
            local.compactMap { service in ListenAddress(service.address).map { ($0, service) } },
            uniquingKeysWith: { first, _ in first }
        )
        self.meters = meters
        self.logger = logger
        state = Mutex(State(table: table))
    }

    /// The table in force; a request keeps the one it began with.
    var table: GatewayTable { state.withLock { $0.table } }

    func replaceTable(_ table: GatewayTable) { state.withLock { $0.table = table } }

    var stage: Stage { state.withLock { $0.stage } }

    /// Stages only go forward.
    func enter(_ stage: Stage) {
        state.withLock { state in
            if stage.rawValue > state.stage.rawValue { state.stage = stage }
        }
    }

    var isServing: Bool { stage == .serving }

    /// Whether connections are to be given up after the present answer.
    var isDraining: Bool { stage.rawValue >= Stage.announcing.rawValue }

    /// Whether connections without a request are closed.
    var isClosing: Bool { stage == .closing }

    // MARK: Connections

    /// Counts a connection in; false if there are too many, of this peer or at all.
    func connectionOpened(_ peer: NetworkAddress?) -> Bool {
        let count: Int? = state.withLock { state in
            let configuration = state.table.configuration
            guard state.connections < configuration.limits.connections else { return nil }
            if let peer, !configuration.trustedProxies.contains(where: { $0.contains(peer) }) {
                guard state.byAddress[peer.countedAs, default: 0] < configuration.limits.connectionsPerAddress else {
                    return nil
                }
            }
            state.connections += 1
            if let peer { state.byAddress[peer.countedAs, default: 0] += 1 }
            return state.connections
        }
        guard let count else {
            meters.rejectedConnections.increment()
            return false
        }
        meters.connections.record(count)
        return true
    }

    func connectionClosed(_ peer: NetworkAddress?) {
        let count = state.withLock { state in
            state.connections -= 1
            if let peer, let known = state.byAddress[peer.countedAs] {
                state.byAddress[peer.countedAs] = known > 1 ? known - 1 : nil
            }
            return state.connections
        }
        meters.connections.record(count)
    }

    var connections: Int { state.withLock { $0.connections } }
}
