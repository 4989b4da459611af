import Chronology
import Foundation
import Identity
import Postgres

/// The keys that access tokens are signed with.
struct KeyStore: Sendable {
    let pool: PostgresPool
    let secrets: AuthSecrets
    let clock: WallClock

    /// The number of the lock under which keys change: two processes that find none must not both make one.
    private static let lock: SQL = "SELECT pg_advisory_xact_lock(7237954230000000001)::text"
    private static let columns: SQL = "kid, public_key, private_key, active_from, revoked_at"

    /// Every key there is.
    func keys() async throws -> [KeyRecord] {
        try await pool.query("SELECT \(KeyStore.columns) FROM signing_key").map(KeyStore.record)
    }

    /// Makes the first key, if there is none.
    func makeFirst() async throws {
        try await pool.transaction(in: nil) { transaction in
            let rows = try await transaction.query([KeyStore.lock, "SELECT \(KeyStore.columns) FROM signing_key"])
            let schedule = KeySchedule(try rows[1].map(KeyStore.record))
            if schedule.signing(at: clock.now) == nil { transaction.send(try insert(SigningKey(), from: clock.now)) }
        }
    }

    /// Makes the next key, which signs once every verifier has had time to see it, or at once. Its id.
    func rotate(immediately: Bool) async throws -> String {
        let key = SigningKey()
        try await pool.transaction(in: nil) { transaction in
            _ = try await transaction.query(KeyStore.lock)
            let now = clock.now
            transaction.send(try insert(key, from: immediately ? now : now + KeySchedule.announcement))
        }
        return key.keyID
    }

    /// Revokes a key; if it was the one that signs, another one does from now on. False if there is no such key.
    func revoke(_ keyID: String) async throws -> Bool {
        try await pool.transaction(in: nil) { transaction in
            let now = clock.now
            let rows = try await transaction.query([
                KeyStore.lock,
                """
                UPDATE signing_key SET revoked_at = coalesce(revoked_at, \(now)), revocation_published_at = NULL
                WHERE kid = \(keyID)
                """,
                "SELECT \(KeyStore.columns) FROM signing_key",
            ])
            guard rows[1].affected == 1 else { return false }
            if KeySchedule(try rows[2].map(KeyStore.record)).signing(at: now) == nil {
                transaction.send(try insert(SigningKey(), from: now))
            }
            return true
        }
    }

    /// Revoked keys that a verifier may still hold; with `unpublished`, those that Redis has not been told of.
    func revokedKeys(unpublished: Bool) async throws -> [(keyID: String, expiresAt: Timestamp)] {
        let since = clock.now - KeySchedule.revocationLifetime
        return try await pool.query(
            """
            SELECT kid, revoked_at FROM signing_key
            WHERE revoked_at > \(since) AND (NOT \(unpublished)::boolean OR revocation_published_at IS NULL)
            """
        ).map { row in
            let revokedAt: Timestamp = try row.get("revoked_at")
            return (try row.get("kid"), revokedAt + KeySchedule.revocationLifetime)
        }
    }

    /// Remembers that Redis has been told.
    func markPublished(_ keyIDs: [String]) async throws {
        _ = try await pool.query(
            "UPDATE signing_key SET revocation_published_at = \(clock.now) WHERE kid = ANY(\(keyIDs)::text[])"
        )
    }

    private func insert(_ key: SigningKey, from activeFrom: Timestamp) throws -> SQL {
        """
        INSERT INTO signing_key (kid, public_key, private_key, created_at, active_from)
        VALUES (\(key.keyID), \(SQLBytes(key.publicKey)), \(SQLBytes(try secrets.seal(key))), \(clock.now), \(activeFrom))
        """
    }

    private static func record(_ row: Row) throws -> KeyRecord {
        let publicKey: SQLBytes = try row.get("public_key")
        let sealedKey: SQLBytes = try row.get("private_key")
        return KeyRecord(
            keyID: try row.get("kid"),
            publicKey: publicKey.bytes,
            sealedKey: sealedKey.bytes,
            activeFrom: try row.get("active_from"),
            revokedAt: try row.get("revoked_at")
        )
    }
}
