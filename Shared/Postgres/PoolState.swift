/// Who has which connection and who waits, without a socket or a clock: every method says what is to be done.
///
/// A connection is *connecting* until it is established, then *leased* or *idle*. Whoever waits is served in order, by
/// the first connection that comes free or is established. While the server does not answer, one attempt at a time is
/// made, on behalf of all who wait, and its failure is the answer to all of them.
struct PoolState {
    typealias ConnectionID = Int
    typealias WaiterID = Int

    enum Action: Hashable {
        /// Start to connect; ends in ``connected(_:at:)`` or ``connectFailed(_:)``.
        case connect(ConnectionID)
        /// Close the connection; it is already forgotten.
        case close(ConnectionID)
        /// Hand the connection over.
        case serve(WaiterID, ConnectionID)
        /// The last attempt to connect has failed, and nobody else's connection will come free.
        case fail(WaiterID)
        /// The pool is shut down.
        case refuse(WaiterID)
    }

    enum Checkout: Hashable {
        case lease(ConnectionID)
        case wait(WaiterID, Action?)
        case refused
    }

    private struct Idle {
        let id: ConnectionID
        let since: UInt64
    }

    let maximum: Int
    /// Idle ones, the one used last at the end: it is taken first, so that surplus ones grow old.
    private var idle: [Idle] = []
    private var leased: Set<ConnectionID> = []
    private var connecting: Set<ConnectionID> = []
    private var waiting: [WaiterID] = []
    private var lastConnection = 0
    private var lastWaiter = 0
    private var isServerAway = false
    private(set) var isShutDown = false

    init(maximum: Int) { self.maximum = max(1, maximum) }

    var idleCount: Int { idle.count }
    var leasedCount: Int { leased.count }
    var connectingCount: Int { connecting.count }
    var waitingCount: Int { waiting.count }
    /// True once nothing is open and nobody waits.
    var isEmpty: Bool { idle.isEmpty && leased.isEmpty && connecting.isEmpty && waiting.isEmpty }
    /// True while no connection is established.
    var isDisconnected: Bool { idle.isEmpty && leased.isEmpty }

    /// Someone wants a connection.
    mutating func checkout() -> Checkout {
        if isShutDown { return .refused }
        if let last = idle.popLast() {
            leased.insert(last.id)
            return .lease(last.id)
        }
        lastWaiter += 1
        waiting.append(lastWaiter)
        return .wait(lastWaiter, connectIfUseful())
    }

    /// A connection is established.
    mutating func connected(_ id: ConnectionID, at now: UInt64) -> [Action] {
        guard connecting.remove(id) != nil else { return [.close(id)] }
        isServerAway = false
        leased.insert(id)
        var actions = [release(id, at: now)].compactMap { $0 }
        while let next = connectIfUseful() { actions.append(next) }
        return actions
    }

    /// A connection could not be established.
    mutating func connectFailed(_ id: ConnectionID) -> [Action] {
        guard connecting.remove(id) != nil else { return [] }
        isServerAway = true
        // Those who hold a connection will give it back; only without any there is nothing to wait for.
        guard leased.isEmpty, connecting.isEmpty else { return [] }
        defer { waiting = [] }
        return waiting.map { .fail($0) }
    }

    /// A connection is given back in good order.
    mutating func release(_ id: ConnectionID, at now: UInt64) -> Action? {
        guard leased.contains(id) else { return nil }
        if isShutDown {
            leased.remove(id)
            return .close(id)
        }
        if waiting.isEmpty {
            leased.remove(id)
            idle.append(Idle(id: id, since: now))
            return nil
        }
        return .serve(waiting.removeFirst(), id)
    }

    /// A connection has broken or was closed, whoever had it.
    mutating func lost(_ id: ConnectionID) -> Action? {
        if leased.remove(id) == nil { idle.removeAll { $0.id == id } }
        return waiting.isEmpty ? nil : connectIfUseful()
    }

    /// Someone no longer waits; false if that one had been served.
    mutating func stopWaiting(_ waiter: WaiterID) -> Bool {
        guard let index = waiting.firstIndex(of: waiter) else { return false }
        waiting.remove(at: index)
        return true
    }

    /// Forgets connections that have been idle since before a moment.
    mutating func closeIdle(before moment: UInt64) -> [Action] {
        let old = idle.prefix { $0.since < moment }
        idle.removeFirst(old.count)
        return old.map { .close($0.id) }
    }

    /// Makes one connection ready if there is none.
    mutating func warmUp() -> Action? {
        guard !isShutDown, idle.isEmpty, leased.isEmpty, connecting.isEmpty else { return nil }
        return connect()
    }

    /// Closes what is idle now and the rest when it comes back.
    mutating func shutDown() -> [Action] {
        isShutDown = true
        let actions: [Action] = idle.map { .close($0.id) } + waiting.map { .refuse($0) }
        idle = []
        waiting = []
        return actions
    }

    private mutating func connectIfUseful() -> Action? {
        let total = idle.count + leased.count + connecting.count
        guard !isShutDown, total < maximum, connecting.count < waiting.count else { return nil }
        guard !isServerAway || connecting.isEmpty else { return nil }
        return connect()
    }

    private mutating func connect() -> Action {
        lastConnection += 1
        connecting.insert(lastConnection)
        return .connect(lastConnection)
    }
}
