public import Identity
public import Logging
import Poller
public import ServiceLifecycle
import Synchronization

/// Where the server is and how to use it.
public struct PostgresConfiguration: Sendable {
    /// libpq connection string or URI.
    public var url: String
    /// The same past the pooler that `url` names, which hands a server's session from transaction to transaction
    /// (PgBouncer's transaction mode); nil without one. Behind a pooler no statement is prepared, sessions are set up by
    /// their role (see ``Migrator``), and ``PostgresPool/dedicatedConnection()`` goes here.
    public var directURL: String?
    /// Most connections at once; 1 and up.
    public var maximumConnections: Int
    /// How long a request waits for a free connection before it fails.
    public var checkoutTimeout: Duration
    /// How long the answers of one round are waited for, in whole seconds, before the connection is given up. The
    /// server's own `statement_timeout` is 20 s, so that of a single statement later none will come; and together with
    /// the time to connect anew it stays below the half minute in which everything has to be well after a fault.
    public var answerTimeout = Duration.seconds(22)
    /// `search_path` of every connection: the service's schema.
    public var schema: String

    /// A configuration; the schema is the service's own.
    public init(
        url: String,
        directURL: String? = nil,
        schema: String,
        maximumConnections: Int = 10,
        checkoutTimeout: Duration = .seconds(5)
    ) {
        self.url = url
        self.directURL = directURL
        self.schema = schema
        self.maximumConnections = maximumConnections
        self.checkoutTimeout = checkoutTimeout
    }
}

/// A bounded pool of pipelined libpq connections. Run it in the service group before whatever uses it.
///
/// It connects when it is first used and works without being run, too; running it makes the first connection early
/// and closes them all at shutdown.
public final class PostgresPool: Service, Sendable {
    /// What it was made from.
    public let configuration: PostgresConfiguration
    let logger: Logger
    private let core: PoolCore

    /// A pool that connects when it is first used.
    public init(_ configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        core = PoolCore(configuration, logger: logger)
    }

    deinit {
        let core = core
        Poller.shared.execute { core.shutDown() }
    }

    /// Keeps the pool healthy until graceful shutdown, then closes it.
    public func run() async throws {
        await core.warmUp()
        try? await gracefulShutdown()
        await core.shutDown()
        await core.drain(within: .seconds(5))
    }

    /// One statement, in a transaction of its own, outside any organization: for global tables only.
    nonisolated(nonsending) public func query(_ sql: SQL) async throws -> Rows {
        try await run([], [sql.statement])[0]
    }

    /// Several statements, all in one transaction and one round trip, outside any organization.
    nonisolated(nonsending) public func query(_ statements: [SQL]) async throws -> [Rows] {
        try await run([], statements.map(\.statement))
    }

    /// One statement as seen by an organization: `set_config` and the statement in one round trip.
    nonisolated(nonsending) public func read(in organization: OrganizationID, _ sql: SQL) async throws -> Rows {
        try await run([.enter(organization)], [sql.statement])[0]
    }

    /// Several statements as seen by an organization, all in one round trip; one result each.
    nonisolated(nonsending) public func read(in organization: OrganizationID, _ statements: [SQL]) async throws
        -> [Rows]
    {
        try await run([.enter(organization)], statements.map(\.statement))
    }

    nonisolated(nonsending) private func run(_ prefix: [Statement], _ statements: [Statement]) async throws -> [Rows] {
        let core = core
        return try await exchange { core.run(prefix, statements, $0) }
    }

    /// Runs `body` in a transaction (READ COMMITTED); commits when it returns, rolls back when it throws.
    ///
    /// BEGIN and `set_config` travel with the first statement. With nil for the organization only global tables
    /// can be used. Throws whatever `body` throws, or ``PostgresError`` when the commit fails: then nothing is said
    /// to have been saved.
    nonisolated(nonsending) public func transaction<Result: Sendable>(
        in organization: OrganizationID?,
        _ body: (PostgresTransaction) async throws -> Result
    ) async throws -> Result {
        let transaction = PostgresTransaction(core: core, organization: organization)
        do {
            let result = try await body(transaction)
            try await transaction.commit()
            return result
        } catch {
            await transaction.rollBack()
            if let error = error as? PostgresError { await core.count(error) }
            throw error
        }
    }

    /// A connection of its own, outside the pool's count, for session-level advisory locks; closed by `close()`.
    ///
    /// Use it every few seconds: the server ends it after ten seconds of silence, so that the locks of a process that
    /// was stopped, or whose machine has vanished, come free.
    public func dedicatedConnection() async throws -> DedicatedConnection {
        DedicatedConnection(try await core.openDedicated())
    }
}

/// A connection held for as long as its owner needs.
public final class DedicatedConnection: Sendable {
    private let connection: Connection

    init(_ connection: Connection) { self.connection = connection }

    deinit { close() }

    /// One statement, in a transaction of its own.
    nonisolated(nonsending) public func query(_ sql: SQL) async throws -> Rows {
        let (connection, statement) = (connection, sql.statement)
        let rows: [Rows] = try await exchange { exchange in
            let round = connection.send([statement]) { exchange.finish($0) }
            exchange.whenCancelled = { connection.abandon(round) }
        }
        return rows[0]
    }

    /// True until the connection breaks; session-level locks are gone with it.
    public var isOpen: Bool { connection.isOpen.load(ordering: .acquiring) }

    /// Closes the connection.
    public func close() {
        let connection = connection
        Poller.shared.execute { connection.close() }
    }
}
