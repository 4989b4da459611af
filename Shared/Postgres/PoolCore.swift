import CoreMetrics
import Glibc
import Logging
import Poller
import Synchronization

/// The pool on the poller's thread: does what ``PoolState`` says.
@PollerActor
final class PoolCore {
    private let target: Result<ConnectionTarget, PostgresError>
    private let directTarget: Result<ConnectionTarget, PostgresError>
    private let mode: Connection.Mode
    private let schema: String
    private let checkoutTimeout: Duration
    private let logger: Logger
    private let metrics: PoolMetrics
    private var state: PoolState
    private var connections: [Int: Connection] = [:]
    private var waiters: [Int: Waiter] = [:]
    private var lastRefusal: PostgresError?
    private var isTicking = false
    private var emptyWaiter: CheckedContinuation<Void, Never>?

    private struct Waiter {
        let completion: (Result<Connection, PostgresError>) -> Void
        let timer: PollerTimer
        let since: UInt64
    }

    /// Idle connections are closed after this; a burst's connections need not stay for long.
    private static let idleLimit: UInt64 = 300 * 1_000_000_000
    /// Connections are replaced at this age, so that the server's memory for them does not grow for ever.
    private static let ageLimit: UInt64 = 1800 * 1_000_000_000
    private let silenceLimit: UInt64
    /// The same for connections outside the pool, which ask nothing that takes time.
    private static let dedicatedSilenceLimit: UInt64 = 5 * 1_000_000_000

    nonisolated init(_ configuration: PostgresConfiguration, logger: Logger) {
        let isPooled = configuration.directURL != nil
        mode = isPooled ? .pooled : .pipeline
        target = Result { () throws(PostgresError) in
            try Self.target(configuration.url, for: configuration, isPooler: isPooled)
        }
        directTarget = Result { () throws(PostgresError) in
            try Self.target(configuration.directURL ?? configuration.url, for: configuration)
        }
        schema = configuration.schema
        checkoutTimeout = configuration.checkoutTimeout
        silenceLimit = UInt64(configuration.answerTimeout.components.seconds) * 1_000_000_000
        self.logger = logger
        metrics = PoolMetrics(schema: configuration.schema)
        state = PoolState(maximum: configuration.maximumConnections)
    }

    /// A pooler takes no settings of the session: they are the role's.
    nonisolated static func target(
        _ url: String,
        for configuration: PostgresConfiguration,
        isPooler: Bool = false
    ) throws(PostgresError) -> ConnectionTarget {
        var target = try ConnectionTarget(url)
        target["client_encoding"] = "UTF8"
        target["application_name"] = "taskflow-\(configuration.schema)"
        // Over TCP a peer that vanished is noticed within half a minute; sockets in the file system ignore these.
        for (keyword, value) in [("keepalives_idle", "10"), ("keepalives_interval", "3"), ("keepalives_count", "3")]
        where target[keyword] == nil { target[keyword] = value }
        if target["tcp_user_timeout"] == nil { target["tcp_user_timeout"] = "15000" }
        if isPooler { return target }
        target.addOptions([("search_path", identifier(configuration.schema))] + SessionSettings.all)
        target.addOptions([
            // The server's side of the same: by default it takes two hours to miss a client whose machine is gone, and
            // until then holds whatever that had locked.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "3"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "15000"),
        ])
        return target
    }

    // MARK: Checkout

    /// Asks for a connection in good order, to be given to ``release(_:)``; `completion` gets it at once or later.
    /// Gives the number to ``giveUp(_:_:)`` with, if it is to be waited for.
    @discardableResult
    func checkout(_ completion: @escaping (Result<Connection, PostgresError>) -> Void) -> Int? {
        let start = monotonicNanoseconds()
        while true {
            switch state.checkout() {
            case .refused:
                completion(.failure(PostgresError(.unavailable, message: "the pool is shut down")))
                return nil
            case .lease(let id):
                guard let connection = connections[id] else { continue }
                // Whatever was used a moment ago is alive; asking the kernel each time would cost more than it brings.
                if start - connection.idleSince > 1_000_000, !connection.probe() { continue }
                metrics.checkout.recordNanoseconds(Int64(monotonicNanoseconds() - start))
                completion(.success(connection))
                return nil
            case .wait(let waiter, let action):
                let timer = Poller.shared.schedule(after: checkoutTimeout) { [weak self] in
                    guard let self else { return }
                    giveUp(waiter, timeoutError())
                }
                waiters[waiter] = Waiter(completion: completion, timer: timer, since: start)
                if let action { perform(action) }
                return waiter
            }
        }
    }

    /// Sends a round on a connection of its own.
    func run(_ prefix: [Statement], _ statements: [Statement], _ exchange: Exchange<[Rows]>) {
        let waiter = checkout { result in
            switch result {
            case .failure(let error): exchange.finish(.failure(error))
            case .success(let connection): self.run(prefix, statements, exchange, on: connection)
            }
        }
        if let waiter {
            exchange.whenCancelled = { [weak self] in self?.giveUp(waiter, .cancelled) }
        }
    }

    private func run(
        _ prefix: [Statement],
        _ statements: [Statement],
        _ exchange: Exchange<[Rows]>,
        on connection: Connection
    ) {
        let round = connection.send(prefix: prefix, statements) { result in
            // Given back first: whoever waits for it is served before this answer has found its way.
            self.release(connection)
            if case .failure(let error) = result { self.count(error) }
            exchange.finish(result)
        }
        if round.isDrained { return }
        exchange.whenCancelled = {
            connection.abandon(round)
            self.release(connection)
        }
    }

    private func timeoutError() -> PostgresError {
        guard state.isDisconnected else {
            return PostgresError(.poolExhausted, message: "no connection came free in \(checkoutTimeout)")
        }
        return lastRefusal ?? PostgresError(.unavailable, message: "no connection in \(checkoutTimeout)")
    }

    /// Waits no longer for a connection; no harm if it has come.
    func giveUp(_ waiter: Int, _ error: PostgresError) {
        if state.stopWaiting(waiter) { settle(waiter, .failure(error)) }
    }

    private func settle(_ waiter: Int, _ result: Result<Connection, PostgresError>) {
        guard let entry = waiters.removeValue(forKey: waiter) else { return }
        Poller.shared.cancel(entry.timer)
        if case .failure(let error) = result { metrics.count(error) }
        metrics.checkout.recordNanoseconds(Int64(monotonicNanoseconds() - entry.since))
        entry.completion(result)
    }

    /// Takes a connection back, at once or, if an abandoned statement is still running on it, when that has ended.
    func release(_ connection: Connection) {
        guard connection.isOpen.load(ordering: .relaxed) else { return }
        guard connection.isDrained else {
            connection.onIdle = { [weak self, weak connection] in
                if let connection { self?.release(connection) }
            }
            return
        }
        let now = monotonicNanoseconds()
        guard connection.isReusable, now - connection.openedAt < Self.ageLimit else { return connection.close() }
        connection.idleSince = now
        if let action = state.release(connection.id, at: now) { perform(action) }
    }

    func count(_ error: PostgresError) { metrics.count(error) }

    // MARK: Connections

    private func perform(_ action: PoolState.Action) {
        switch action {
        case .connect(let id):
            Task { await connect(id) }
        case .close(let id):
            connections[id]?.close()
        case .serve(let waiter, let id):
            guard let connection = connections[id] else { return }
            settle(waiter, .success(connection))
        case .fail(let waiter):
            settle(waiter, .failure(lastRefusal ?? PostgresError(.unavailable, message: "no connection")))
        case .refuse(let waiter):
            settle(waiter, .failure(PostgresError(.unavailable, message: "the pool is shut down")))
        }
    }

    private func connect(_ id: Int) async {
        do {
            let connection = try await Connector.connect(target.get(), id: id, mode: mode)
            connections[id] = connection
            connection.onClose = { [weak self] in self?.closed(id) }
            lastRefusal = nil
            startTicking()
            for action in state.connected(id, at: monotonicNanoseconds()) { perform(action) }
        } catch {
            let refusal = error as? PostgresError ?? PostgresError(.unavailable, message: "\(error)")
            if lastRefusal == nil {
                var metadata: Logger.Metadata = ["error": "\(refusal.debugDescription)"]
                if refusal.message.contains("unsupported startup parameter") {
                    let service = schema.uppercased()
                    metadata["hint"] = "behind a pooler set TASKFLOW_\(service)_DIRECT_DATABASE_URL too"
                }
                logger.warning("no connection to Postgres", metadata: metadata)
            }
            lastRefusal = refusal
            for action in state.connectFailed(id) { perform(action) }
            wakeIfEmpty()
        }
    }

    private func closed(_ id: Int) {
        connections[id] = nil
        if let action = state.lost(id) { perform(action) }
        wakeIfEmpty()
    }

    /// A connection outside the pool's count, ended by the server when its owner has said nothing for ten seconds.
    func openDedicated() async throws -> Connection {
        var target = try directTarget.get()
        target.addOptions([("idle_session_timeout", "10000")])
        let connection = try await Connector.connect(target, id: 0, mode: .pipeline)
        watch(connection)
        return connection
    }

    private func watch(_ connection: Connection) {
        connection.closeIfSilent(for: Self.dedicatedSilenceLimit)
        guard connection.isOpen.load(ordering: .relaxed) else { return }
        Poller.shared.schedule(after: .seconds(1)) { [weak self, weak connection] in
            if let connection { self?.watch(connection) }
        }
    }

    // MARK: Housekeeping

    private func startTicking() {
        if isTicking { return }
        isTicking = true
        tick()
    }

    private func tick() {
        let now = monotonicNanoseconds()
        for connection in connections.values { connection.closeIfSilent(for: silenceLimit) }
        if now > Self.idleLimit {
            for action in state.closeIdle(before: now - Self.idleLimit) { perform(action) }
        }
        metrics.record(state)
        isTicking = !connections.isEmpty
        if isTicking {
            Poller.shared.schedule(after: .seconds(1)) { [weak self] in self?.tick() }
        }
    }

    /// Makes the first connection before somebody waits for it.
    func warmUp() {
        if let action = state.warmUp() { perform(action) }
    }

    /// Closes what is idle and refuses whoever comes.
    func shutDown() {
        for action in state.shutDown() { perform(action) }
        wakeIfEmpty()
    }

    /// Waits until the last connection has come back, but not for ever.
    func drain(within limit: Duration) async {
        if state.isEmpty { return }
        Poller.shared.schedule(after: limit) { [weak self] in
            guard let self else { return }
            for connection in connections.values { connection.close() }
            emptyWaiter?.resume()
            emptyWaiter = nil
        }
        await withCheckedContinuation { emptyWaiter = $0 }
    }

    private func wakeIfEmpty() {
        guard state.isEmpty else { return }
        emptyWaiter?.resume()
        emptyWaiter = nil
    }
}

/// What is told about a pool.
struct PoolMetrics: Sendable {
    private let schema: String
    private let inUse: Gauge
    private let idle: Gauge
    private let connecting: Gauge
    private let waiting: Gauge
    let checkout: Timer

    init(schema: String) {
        self.schema = schema
        func gauge(_ state: String) -> Gauge {
            Gauge(label: "postgres_connections", dimensions: [("schema", schema), ("state", state)])
        }
        inUse = gauge("in_use")
        idle = gauge("idle")
        connecting = gauge("connecting")
        waiting = Gauge(label: "postgres_waiting", dimensions: [("schema", schema)])
        checkout = Timer(label: "postgres_checkout", dimensions: [("schema", schema)])
    }

    func record(_ state: PoolState) {
        inUse.record(state.leasedCount)
        idle.record(state.idleCount)
        connecting.record(state.connectingCount)
        waiting.record(state.waitingCount)
    }

    /// By kind and class of SQLSTATE, so that the number of series stays small.
    func count(_ error: PostgresError) {
        let state = error.sqlState.map { String($0.prefix(2)) } ?? ""
        Counter(
            label: "postgres_errors",
            dimensions: [("schema", schema), ("code", error.code.description), ("class", state)]
        ).increment()
    }
}
