import Chronology
import Foundation
import Identity
import Messaging
import Postgres

/// What is counted against guessing and flooding.
extension AuthStore {
    /// The name that tries are counted under and where they come from.
    struct ThrottleKey: Sendable, Hashable {
        /// Keyed hash of the name.
        var name: [UInt8]
        /// Bucket of the client's address.
        var address: String

        /// The number of the lock that serializes counting for this name.
        var lock: Int64 { Int64(bitPattern: name.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }) }
    }

    /// How tries of a name from an address stand.
    func throttle(_ key: ThrottleKey) async throws -> LoginThrottle {
        try AuthStore.throttle(await database.pool.query(AuthStore.throttleQuery(key)))
    }

    /// Counts a failure, unless tries are turned away by now: what is not judged is not counted. Gives how tries stood
    /// before.
    @discardableResult
    func recordFailure(
        _ key: ThrottleKey,
        action: AuditAction,
        account: AccountID?,
        principal: Principal? = nil,
        client: Client
    ) async throws -> LoginThrottle {
        let now = database.clock.now
        return try await database.pool.transaction(in: nil) { transaction in
            let rows = try await transaction.query([
                AuthStore.lockQuery(key), AuthStore.throttleQuery(key),
            ])
            let throttle = try AuthStore.throttle(rows[1])
            if !throttle.isLocked(at: now) {
                let next = throttle.failed(at: now)
                transaction.send(AuthStore.upsert(key, address: key.address, next.address, at: now))
                if next.overall != throttle.overall {
                    transaction.send(AuthStore.upsert(key, address: "", next.overall, at: now))
                }
            }
            transaction.send(audit(action, at: now, account: account, principal: principal, client: client))
            return throttle
        }
    }

    /// Takes the lock of a name and says whether tries are turned away by now.
    func isLocked(_ key: ThrottleKey, at now: Timestamp, in transaction: WriteTransaction) async throws -> Bool {
        try await lockedThrottle(key, in: transaction).isLocked(at: now)
    }

    /// Takes the lock of a name and says how its tries stand by now.
    func lockedThrottle(_ key: ThrottleKey, in transaction: WriteTransaction) async throws -> LoginThrottle {
        let rows = try await transaction.query([AuthStore.lockQuery(key), AuthStore.throttleQuery(key)])
        return try AuthStore.throttle(rows[1])
    }

    /// Forgets failures after a success.
    func recordSuccess(_ key: ThrottleKey, at now: Timestamp, in transaction: WriteTransaction) {
        transaction.send(AuthStore.upsert(key, address: key.address, ThrottleState.fresh.succeeded(), at: now))
        transaction.send("DELETE FROM login_throttle WHERE name_hash = \(SQLBytes(key.name)) AND address = ''")
    }

    /// Forgets every failure of a name, for its owner has proved who they are.
    func forgetFailures(of name: [UInt8], in transaction: WriteTransaction) {
        transaction.send(
            """
            UPDATE login_throttle SET failures = 0, locked_until = NULL WHERE name_hash = \(SQLBytes(name))
            """
        )
    }

    private static func lockQuery(_ key: ThrottleKey) -> SQL {
        "SELECT pg_advisory_xact_lock(\(key.lock)::bigint)::text"
    }

    private static func throttleQuery(_ key: ThrottleKey) -> SQL {
        """
        SELECT address, failures, locked_until, succeeded_at IS NOT NULL AS has_succeeded FROM login_throttle
        WHERE name_hash = \(SQLBytes(key.name)) AND address IN (\(key.address), '')
        """
    }

    private static func throttle(_ rows: Rows) throws -> LoginThrottle {
        var throttle = LoginThrottle(address: .fresh, overall: .fresh)
        for row in rows {
            let state = ThrottleState(
                failures: try row.get("failures"),
                lockedUntil: try row.get("locked_until"),
                hasSucceeded: try row.get("has_succeeded")
            )
            let address: String = try row.get("address")
            if address.isEmpty { throttle.overall = state } else { throttle.address = state }
        }
        return throttle
    }

    private static func upsert(_ key: ThrottleKey, address: String, _ state: ThrottleState, at now: Timestamp) -> SQL {
        """
        INSERT INTO login_throttle (name_hash, address, failures, locked_until, succeeded_at, updated_at)
        VALUES (\(SQLBytes(key.name)), \(address), \(state.failures), \(state.lockedUntil),
            \(state.hasSucceeded ? now : nil), \(now))
        ON CONFLICT (name_hash, address) DO UPDATE SET failures = excluded.failures,
            locked_until = excluded.locked_until,
            succeeded_at = coalesce(excluded.succeeded_at, login_throttle.succeeded_at), updated_at = excluded.updated_at
        """
    }

    /// Whether one more mail that anyone can trigger may go to an address: three an hour. Counts it if so.
    func allowMail(to name: [UInt8], isLimited: Bool, at now: Timestamp, _ query: (SQL) async throws -> Rows)
        async throws -> Bool
    {
        let recent: SQL = "SELECT array_agg(t) FROM unnest(mail_throttle.sent) t WHERE t > \(now - .seconds(3600))"
        let limit = isLimited ? 3 : 1_000_000
        let rows = try await query(
            """
            INSERT INTO mail_throttle (name_hash, sent, updated_at)
            VALUES (\(SQLBytes(name)), ARRAY[\(now)::timestamptz], \(now))
            ON CONFLICT (name_hash) DO UPDATE
            SET sent = array_append((\(recent)), \(now)::timestamptz), updated_at = excluded.updated_at
            WHERE (SELECT count(*) FROM unnest(mail_throttle.sent) t WHERE t > \(now - .seconds(3600))) < \(limit)
            RETURNING 1 AS allowed
            """
        )
        return !rows.isEmpty
    }
}
