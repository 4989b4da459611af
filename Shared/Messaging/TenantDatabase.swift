public import Chronology
public import Events
import Failpoints
public import Identity
public import Postgres

/// A service's schema, seen one organization at a time; what it writes, it can tell the other services in the same
/// transaction.
public struct TenantDatabase: Sendable {
    /// The connections.
    public let pool: PostgresPool
    /// Whose log its events go to.
    public let producer: Producer?
    /// Where the time of events comes from.
    public let clock: WallClock

    /// What writers, relay, reader and watch of this process tell each other.
    let signals = LogSignals()

    /// A database whose events go to `producer`'s log; nil for a service that says nothing.
    public init(pool: PostgresPool, producer: Producer?, clock: WallClock = .system) {
        self.pool = pool
        self.producer = producer
        self.clock = clock
    }

    /// One statement as seen by an organization, in one round trip.
    public func read(in organization: OrganizationID, _ sql: SQL) async throws -> Rows {
        try await pool.read(in: organization, sql)
    }

    /// Several statements as seen by an organization, in one round trip.
    public func read(in organization: OrganizationID, _ statements: [SQL]) async throws -> [Rows] {
        try await pool.read(in: organization, statements)
    }

    /// Runs `body` in a transaction of an organization. The events it published get their numbers and are inserted
    /// last, in the same round trip as COMMIT; then the relay is woken, `afterCommit` actions run, and the position
    /// is recorded in the current ``RequestScope``. With an idempotency claim in the scope that `body` has claimed, the
    /// answer made of the returned value is stored in the same transaction.
    ///
    /// A transaction that lost a deadlock is run again, `body` and all, up to three times.
    public nonisolated(nonsending) func write<Result: Sendable>(
        in organization: OrganizationID,
        _ body: (WriteTransaction) async throws -> Result
    ) async throws -> Result {
        try await write(organization: organization, shard: Shard(of: organization), body)
    }

    /// The same for what belongs to an account and no organization: its events take the account's shard.
    public nonisolated(nonsending) func write<Result: Sendable>(
        of account: AccountID,
        _ body: (WriteTransaction) async throws -> Result
    ) async throws -> Result {
        try await write(organization: nil, shard: Shard(of: account), body)
    }

    private nonisolated(nonsending) func write<Result: Sendable>(
        organization: OrganizationID?,
        shard: Shard,
        _ body: (WriteTransaction) async throws -> Result
    ) async throws -> Result {
        var attempt = 1
        while true {
            do {
                return try await writeOnce(organization: organization, shard: shard, body)
            } catch let error as PostgresError where error.isRetryable && attempt <= 3 {
                try await Task.sleep(for: .milliseconds(5 << attempt) * Double.random(in: 0.5...1.5))
                attempt += 1
            }
        }
    }

    private nonisolated(nonsending) func writeOnce<Result: Sendable>(
        organization: OrganizationID?,
        shard: Shard,
        _ body: (WriteTransaction) async throws -> Result
    ) async throws -> Result {
        let (result, ledger, last) = try await pool.transaction(in: organization) { connection in
            let ledger = WriteLedger(connection, producer: producer, shard: shard, clock: clock)
            let transaction = WriteTransaction(ledger, organization: organization, now: clock.now)
            let result = try await body(transaction)
            if let organization { try ledger.keepAnswer(result, in: organization) }
            try await Failpoint.hit(.requestBeforeCommit)
            return (result, ledger, try await ledger.commit())
        }
        try await Failpoint.hit(.requestAfterCommit)
        if let last { signals.committed(last) }
        await ledger.runActions()
        if let last { RequestScope.current?.record(last) }
        return result
    }
}
