import Chronology
import Events
import Foundation
import Identity
import Messaging
import Postgres

/// Which tokens are dead, for as long as they could be shown.
extension AuthStore {
    private static let revocationColumns: SQL = "session_id, lowest_generation, expires_at"

    private func revocationExpiry(_ now: Timestamp) -> Timestamp {
        now + tokenLifetime + SessionLimits.revocationMargin
    }

    /// Ends the sessions that a condition on `session` names and that live, and says so.
    func end(
        _ condition: SQL,
        _ reason: SessionEnd,
        in transaction: WriteTransaction
    ) async throws -> [Revocation] {
        let rows = try await transaction.query(
            """
            SELECT id, account_id, (SELECT email FROM account WHERE account.id = account_id) AS email FROM session
            WHERE ended_at IS NULL AND \(condition) ORDER BY id FOR UPDATE OF session
            """
        )
        let sessions: [SessionID] = try rows.map { try $0.get("id") }
        guard !sessions.isEmpty else { return [] }
        let now = transaction.now
        transaction.send(
            """
            UPDATE session SET ended_at = \(now), ended_reason = \(reason.rawValue) WHERE id = ANY(\(sessions)::uuid[])
            """
        )
        if let announced = reason.event {
            for row in rows {
                try transaction.publish(
                    SessionRevoked(
                        account: try row.get("account_id"),
                        email: try row.get("email"),
                        session: try row.get("id"),
                        reason: announced
                    )
                )
            }
        }
        return revoke(sessions, below: Revocation.ended, in: transaction)
    }

    /// Raises the generation of the live sessions that a condition names, so that their access tokens die and a refresh
    /// gives new ones.
    func raise(_ condition: SQL, in transaction: WriteTransaction) async throws -> [Revocation] {
        let locked = try await transaction.query(
            "SELECT id FROM session WHERE ended_at IS NULL AND \(condition) ORDER BY id FOR UPDATE"
        )
        let sessions: [SessionID] = try locked.map { try $0.get("id") }
        guard !sessions.isEmpty else { return [] }
        let raised = try await transaction.query(
            """
            UPDATE session SET generation = generation + 1 WHERE id = ANY(\(sessions)::uuid[]) RETURNING id, generation
            """
        )
        return try raised.flatMap { row in
            revoke([try row.get("id")], below: try row.get("generation"), in: transaction)
        }
    }

    /// Writes down that the sessions' tokens below a generation are dead.
    func revoke(_ sessions: [SessionID], below generation: Int64, in transaction: WriteTransaction) -> [Revocation] {
        let expiresAt = revocationExpiry(transaction.now)
        transaction.send(
            """
            INSERT INTO revocation (session_id, lowest_generation, expires_at)
            SELECT id, \(generation)::bigint, \(expiresAt)::timestamptz FROM unnest(\(sessions)::uuid[]) AS id
            ON CONFLICT (session_id) DO UPDATE
            SET lowest_generation = greatest(revocation.lowest_generation, excluded.lowest_generation),
                expires_at = greatest(revocation.expires_at, excluded.expires_at), published_at = NULL
            """
        )
        return sessions.map { Revocation(session: $0, lowestGeneration: generation, expiresAt: expiresAt) }
    }

    /// What Redis has not been told for certain.
    func unpublishedRevocations(limit: Int) async throws -> [Revocation] {
        try await database.pool.query(
            """
            SELECT \(AuthStore.revocationColumns) FROM revocation
            WHERE published_at IS NULL AND expires_at > \(database.clock.now) ORDER BY expires_at LIMIT \(limit)
            """
        ).map(AuthStore.revocation)
    }

    /// Everything that Redis has to know, page by page in the order of session ids.
    func liveRevocations(after session: SessionID?, limit: Int) async throws -> [Revocation] {
        try await database.pool.query(
            """
            SELECT \(AuthStore.revocationColumns) FROM revocation
            WHERE expires_at > \(database.clock.now) AND (\(session)::uuid IS NULL OR session_id > \(session)::uuid)
            ORDER BY session_id LIMIT \(limit)
            """
        ).map(AuthStore.revocation)
    }

    /// Remembers that Redis has been told. One that was raised meanwhile stays to be told again.
    func markPublished(_ revocations: [Revocation]) async throws {
        let values = revocations.map { $0.lowestGeneration }
        _ = try await database.pool.query(
            """
            UPDATE revocation SET published_at = \(database.clock.now)
            FROM unnest(\(revocations.map(\.session))::uuid[], \(values)::bigint[]) AS told (id, generation)
            WHERE session_id = told.id AND lowest_generation = told.generation
            """
        )
    }

    private static func revocation(_ row: Row) throws -> Revocation {
        Revocation(
            session: try row.get("session_id"),
            lowestGeneration: try row.get("lowest_generation"),
            expiresAt: try row.get("expires_at")
        )
    }
}
