import Postgres
import ServiceKit

/// Whether this program knows all that a database has run: what a newer one has made can neither be read nor be changed
/// safely.
enum KnownMigrations {
    /// By schema, what the database has run.
    static func recorded(in transaction: PostgresTransaction) async throws -> [String: [String]] {
        var recorded: [String: [String]] = [:]
        for name in ServiceName.keeping {
            let rows = try await transaction.query(
                "SELECT name FROM \(unsafe: name.rawValue).migration ORDER BY name"
            )
            recorded[name.rawValue] = try rows.map { try $0.get("name") }
        }
        return recorded
    }

    /// Refuses a database that a newer program has migrated.
    static func refuseNewer(_ pool: PostgresPool) async throws {
        try refuseNewer(try await pool.transaction(in: nil) { try await recorded(in: $0) })
    }

    /// The same of what it has run.
    static func refuseNewer(_ recorded: [String: [String]]) throws {
        if let unknown = unknown(recorded) { throw StartError(newer(unknown)) }
    }

    /// The line for it.
    static func newer(_ what: String) -> String {
        "the database is of a newer Taskflow (\(what)): use that version or a newer one"
    }

    /// What of it this program does not know, for a message: `auth has run V0999_future`; nil if it knows all.
    static func unknown(_ recorded: [String: [String]]) -> String? {
        let unknown = recorded.keys.sorted().compactMap { service -> String? in
            guard let schema = ServiceName(rawValue: service)?.schema else { return "it has a service \(service)" }
            let known = Set(ServiceFoundation.withLog(schema).migrations.map(\.name))
            let names = (recorded[service] ?? []).filter { !known.contains($0) }
            return names.isEmpty ? nil : "\(service) has run \(names.joined(separator: ", "))"
        }
        return unknown.isEmpty ? nil : unknown.joined(separator: "; ")
    }
}
