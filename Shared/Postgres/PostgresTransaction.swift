public import Identity
import Poller
import Synchronization

/// A transaction under way. Not to be used after the closure that got it has returned.
///
/// It takes a connection with its first statement: a closure that only looks at something else costs nothing.
public final class PostgresTransaction: Sendable {
    /// BEGIN, `set_config` and what was queued by `send`: travels with the next statement.
    private let queue: Mutex<[Statement]>
    private let progress: TransactionProgress

    init(core: PoolCore, organization: OrganizationID?) {
        progress = TransactionProgress(core: core)
        var first = [Statement("BEGIN")]
        if let organization { first.append(.enter(organization)) }
        queue = Mutex(first)
    }

    /// Sends a statement and waits for its answer.
    nonisolated(nonsending) public func query(_ sql: SQL) async throws -> Rows {
        try await run([sql.statement])[0]
    }

    /// Sends several statements at once and waits for all answers: one round trip.
    nonisolated(nonsending) public func query(_ statements: [SQL]) async throws -> [Rows] {
        try await run(statements.map(\.statement))
    }

    /// Queues a statement whose answer nobody needs; it travels with the next one or the commit, and an error of it
    /// fails that.
    public func send(_ sql: SQL) {
        let statement = sql.statement
        queue.withLock { $0.append(statement) }
    }

    /// Changes the organization for what follows, as a reader does from event to event.
    public func enter(_ organization: OrganizationID?) {
        queue.withLock { $0.append(.enter(organization)) }
    }

    /// Sends the statements with COMMIT behind them and gives their answers: the last round trip of the transaction.
    ///
    /// When it returns the transaction is over, and what `body` does afterwards cannot undo it; when it throws, nothing
    /// was saved unless the error is `.connectionLost`, and `transaction` throws the same.
    nonisolated(nonsending) public func commit(with statements: [SQL]) async throws -> [Rows] {
        let statements = statements.map(\.statement)
        return try await shieldedExchange { self.progress.commit(statements, $0) { self.takeQueue() } }
    }

    nonisolated(nonsending) private func run(_ statements: [Statement]) async throws -> [Rows] {
        // What is queued is taken when the connection is there and sent at once, so that of two child tasks the one
        // that comes first sends BEGIN.
        try await exchange { self.progress.run(statements, $0) { self.takeQueue() } }
    }

    /// Commits unless that has been done, or nothing was ever asked.
    nonisolated(nonsending) func commit() async throws {
        let hasQueuedWork = queue.withLock { $0.contains(where: \.isEffect) }
        let _: [Rows] = try await shieldedExchange { exchange in
            self.progress.commitIfNeeded(hasQueuedWork, exchange) { self.takeQueue() }
        }
    }

    /// Ends the transaction without a trace, whatever state it is in. Does nothing if it is over.
    nonisolated(nonsending) func rollBack() async {
        // If this fails the connection breaks, and the server rolls back by itself.
        let _: [Rows]? = try? await shieldedExchange { self.progress.rollBack($0) }
    }

    private func takeQueue() -> Result<[Statement], PostgresError> {
        queue.withLock { queue in
            Result { () throws(PostgresError) in
                for statement in queue { try statement.check() }
                defer { queue = [] }
                return queue
            }
        }
    }
}

/// How far a transaction has come.
@PollerActor
final class TransactionProgress {
    private typealias Use = (Result<Connection, PostgresError>) -> Void

    private let core: PoolCore
    private var connection: Connection?
    private var isOver = false
    /// Those who need the connection while it is waited for; child tasks of the body may come together.
    private var waiting: [Use] = []
    private var waiter: Int?
    /// Why it cannot be committed any more, whatever the body made of the error.
    private var failure: PostgresError?
    /// The last error of the server; with a savepoint one can go on after it.
    private var lastError: PostgresError?

    nonisolated init(core: PoolCore) { self.core = core }

    func run(
        _ statements: [Statement],
        _ exchange: Exchange<[Rows]>,
        takeQueue: @escaping () -> Result<[Statement], PostgresError>
    ) {
        withConnection { result in
            // Cancelled while the connection was waited for.
            if exchange.isFinished { return }
            do throws(PostgresError) {
                let connection = try result.get()
                for statement in statements { try statement.check() }
                let round = connection.send(prefix: try takeQueue().get(), statements) { result in
                    if case .failure(let error) = result { self.note(error) }
                    exchange.finish(result)
                }
                exchange.whenCancelled = {
                    // It is not known how far the server has come with BEGIN and the rest.
                    self.failure = .cancelled
                    connection.abandon(round)
                }
            } catch {
                exchange.finish(.failure(error))
            }
        }
    }

    private func note(_ error: PostgresError) {
        if error.code == .server { lastError = error } else { failure = error }
    }

    func commit(
        _ statements: [Statement],
        _ exchange: Exchange<[Rows]>,
        takeQueue: @escaping () -> Result<[Statement], PostgresError>
    ) {
        withConnection { result in
            do throws(PostgresError) {
                let connection = try result.get()
                for statement in statements { try statement.check() }
                if let failure = self.failure { throw failure }
                // COMMIT of a failed transaction succeeds, as a ROLLBACK; nobody may take that for success.
                if connection.isTransactionFailed { throw self.lastError ?? Self.rolledBackError }
                connection.send(prefix: try takeQueue().get(), statements + [Statement("COMMIT")]) { result in
                    self.committed(result, connection, exchange)
                }
            } catch {
                if !self.isOver { self.failure = self.failure ?? error }
                exchange.finish(.failure(error))
            }
        }
    }

    private func committed(
        _ result: Result<[Rows], PostgresError>,
        _ connection: Connection,
        _ exchange: Exchange<[Rows]>
    ) {
        switch result {
        case .success(let rows) where rows.last?.commandTag == "COMMIT":
            end(connection)
            exchange.finish(.success(rows.dropLast()))
        case .success:
            failure = Self.rolledBackError
            exchange.finish(.failure(Self.rolledBackError))
        case .failure(let error):
            failure = error
            exchange.finish(.failure(error))
        }
    }

    func commitIfNeeded(
        _ hasQueuedWork: Bool,
        _ exchange: Exchange<[Rows]>,
        takeQueue: @escaping () -> Result<[Statement], PostgresError>
    ) {
        if !isOver, let failure { return exchange.finish(.failure(failure)) }
        if isOver || (connection == nil && !hasQueuedWork) {
            isOver = true
            return exchange.finish(.success([]))
        }
        commit([], exchange, takeQueue: takeQueue)
    }

    func rollBack(_ exchange: Exchange<[Rows]>) {
        if let waiter { core.giveUp(waiter, .cancelled) }
        guard !isOver, let connection, connection.isOpen.load(ordering: .relaxed), !connection.isReusable else {
            if let connection { end(connection) }
            isOver = true
            return exchange.finish(.success([]))
        }
        isOver = true
        connection.send([Statement("ROLLBACK")]) { result in
            self.end(connection)
            exchange.finish(result)
        }
    }

    private func withConnection(_ use: @escaping Use) {
        if isOver { return use(.failure(Self.overError)) }
        if let connection { return use(.success(connection)) }
        waiting.append(use)
        guard waiting.count == 1 else { return }
        waiter = core.checkout { result in
            self.waiter = nil
            if case .success(let connection) = result { self.connection = connection }
            let waiting = self.waiting
            self.waiting = []
            for use in waiting { use(result) }
        }
    }

    private func end(_ connection: Connection) {
        isOver = true
        self.connection = nil
        core.release(connection)
    }

    private static let rolledBackError = PostgresError(
        .server,
        sqlState: "25P02",
        message: "the transaction was rolled back"
    )
    private static let overError = PostgresError(.server, sqlState: "25P01", message: "the transaction is over")
}

extension Statement {
    private static let enterText = "SELECT pg_catalog.set_config('app.organization_id', $1, true)"

    /// What shows the rows of an organization until the end of the transaction; those of none for nil.
    static func enter(_ organization: OrganizationID?) -> Statement {
        Statement(enterText, [SQLParameter(text: organization?.description ?? "")])
    }

    /// False for what only begins a transaction or names its organization.
    var isEffect: Bool { text != Self.enterText && !text.hasPrefix("BEGIN") }
}
