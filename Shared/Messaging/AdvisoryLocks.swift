import Logging
import Postgres

/// Names of which only one process of an installation holds each: session-level advisory locks of one connection.
///
/// Lost with the connection; what is done under them must stand a second holder for the moment until that is noticed.
struct AdvisoryLocks {
    private let pool: PostgresPool
    private let names: [String]
    private var connection: DedicatedConnection?
    /// What is held.
    private(set) var held: Set<String> = []

    init(pool: PostgresPool, names: [String]) {
        self.pool = pool
        self.names = names
    }

    /// Tries for what is missing, and finds out whether the rest is still held. Throws if the server is not there;
    /// nothing is held then.
    mutating func refresh() async throws {
        do {
            if connection?.isOpen != true {
                held = []
                connection = try await pool.dedicatedConnection()
            }
            let missing = names.filter { !held.contains($0) }
            let rows = try await connection?.query(
                """
                SELECT name FROM unnest(\(missing)::text[]) AS name
                WHERE pg_try_advisory_lock(hashtextextended('taskflow:' || name, 0))
                """
            )
            for row in rows.map(Array.init) ?? [] { held.insert(try row.get("name")) }
        } catch {
            release()
            throw error
        }
    }

    /// Lets everything go.
    mutating func release() {
        connection?.close()
        connection = nil
        held = []
    }
}
