import Crypto
public import Logging
import Poller

/// One numbered SQL file of a service.
public struct Migration: Sendable {
    /// The file's name without its ending: `V0001_create_tasks`.
    public let name: String
    /// The statements.
    public let sql: String

    /// A migration from the bytes embedded in the program.
    public init(_ name: String, _ bytes: [UInt8]) {
        self.name = name
        self.sql = String(decoding: bytes, as: UTF8.self)
    }

    /// SHA-256 in hexadecimal: tells an edited file from the one that was run.
    var checksum: String {
        SHA256.hash(data: Array(sql.utf8)).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}

/// The schema of one service: who owns it and what has to be run, in order.
public struct SchemaDefinition: Sendable {
    /// The service, also the schema's name and the prefix of its two roles: `task`, `task_owner`, `task_app`.
    public let service: String
    /// Every migration, oldest first; names sort in this order within their own prefix.
    public let migrations: [Migration]
    /// What the administrator runs after the migrations, every time, because it depends on what the server allows by
    /// then. It may find everything in place; a column `notice` of its last statement is for the operator.
    public let provision: Migration?

    /// A schema with these migrations.
    public init(service: String, migrations: [Migration], provision: Migration? = nil) {
        self.service = service
        self.migrations = migrations
        self.provision = provision
    }

    /// Owns the schema and its tables; nobody can log in as it.
    public var ownerRole: String { service + "_owner" }
    /// What the service logs in as.
    public var appRole: String { service + "_app" }

    /// Which migrations a database lacks that has run `recorded`; throws if the two do not fit.
    func missing(recorded: [String: String]) throws(MigrationError) -> [Migration] {
        let known = Set(migrations.map(\.name))
        let unknown = recorded.keys.filter { !known.contains($0) }.sorted()
        guard unknown.isEmpty else {
            throw MigrationError(.databaseIsNewer, "schema \(service) has run \(unknown.joined(separator: ", "))")
        }
        var missing: [Migration] = []
        for migration in migrations {
            switch recorded[migration.name] {
            case nil: missing.append(migration)
            case migration.checksum: break
            default: throw MigrationError(.fileChanged, "\(migration.name) of \(service) is not what was run")
            }
        }
        return missing
    }
}

/// Why a schema cannot be migrated, or not be used.
public struct MigrationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kinds.
    public struct Code: Sendable, Hashable {
        enum Base: Sendable, Hashable {
            case databaseIsNewer
            case fileChanged
            case endsTransaction
            case unsafeRole
        }
        let base: Base
        /// The database has run a migration that this program does not know.
        public static let databaseIsNewer = Code(base: .databaseIsNewer)
        /// A migration that was run has been edited since.
        public static let fileChanged = Code(base: .fileChanged)
        /// A file contains COMMIT or ROLLBACK.
        public static let endsTransaction = Code(base: .endsTransaction)
        /// The service would log in as a role that row level security does not hold.
        public static let unsafeRole = Code(base: .unsafeRole)
    }

    /// The kind.
    public let code: Code
    /// Names the schema and the files.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

/// Creates roles and schemas and brings them up to date, one file a transaction, under an advisory lock.
///
/// The administrator need not be superuser: CREATEROLE and CREATE on the database are enough, as managed servers give
/// them. Run as often as you like, also by several at once.
public struct Migrator: Sendable {
    private let administrator: String
    private let logger: Logger

    /// `administrator` is the URL of a role that may create roles and schemas.
    public init(administrator: String, logger: Logger) {
        self.administrator = administrator
        self.logger = logger
    }

    /// Runs what is missing. `password` is given to the `<service>_app` role. Refuses a database newer than the
    /// program, or a file whose checksum differs from the one that was run.
    public func migrate(_ schema: SchemaDefinition, password: String) async throws {
        let session = try await MigrationSession.open(administrator, logger: logger)
        do {
            try await session.lock()
            try await session.prepareRolesAndSchema(schema, password: password)
            let missing = try schema.missing(recorded: try await session.recorded(in: schema))
            for migration in missing { try await session.run(migration, of: schema) }
            if let provision = schema.provision { try await session.provide(provision, of: schema) }
            try await session.unlock()
        } catch {
            await session.close()
            throw error
        }
        await session.close()
    }

    /// Whether there is a schema of that name.
    public func hasSchema(_ name: String) async throws -> Bool {
        let session = try await MigrationSession.open(administrator, logger: logger)
        do {
            let answer = try await session.hasSchema(name)
            await session.close()
            return answer
        } catch {
            await session.close()
            throw error
        }
    }

    /// Creates the database that the administrator's URL names, if it is not there; connects to `postgres` for that.
    public func createDatabaseIfMissing() async throws {
        var target = try ConnectionTarget(administrator)
        guard let name = target["dbname"] ?? target["user"] else { return }
        target["dbname"] = "postgres"
        let session = try await MigrationSession.open(target.connectionString, logger: logger)
        do {
            try await session.createDatabase(name)
        } catch {
            await session.close()
            throw error
        }
        await session.close()
    }
}

extension PostgresPool {
    /// Waits until every migration of `schema` has been run, saying once that it waits; throws at once if the
    /// database is newer than the program, or if the role owns the schema, is superuser or bypasses row security.
    public func waitUntilMigrated(_ schema: SchemaDefinition) async throws {
        var hasSaid = false
        while true {
            var reason = "migrations are missing"
            do {
                try await refuseUnsafeRole(schema)
                let rows = try await query("SELECT name, checksum FROM migration")
                var recorded: [String: String] = [:]
                for row in rows { recorded[try row.get("name")] = try row.get("checksum", as: String.self) }
                if try schema.missing(recorded: recorded).isEmpty { return }
            } catch let error as PostgresError where error.code != .cancelled && error.code != .decoding {
                // No server, role, schema or table yet: all of that the migrator will bring.
                let states: Set = ["42P01", "3F000", "42501"]
                guard error.code != .server || error.isUnavailability || states.contains(error.sqlState ?? "") else {
                    throw error
                }
                reason = error.debugDescription
            }
            if !hasSaid {
                hasSaid = true
                logger.notice(
                    "waiting for the migrations",
                    metadata: ["schema": "\(schema.service)", "reason": "\(reason)"]
                )
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    private func refuseUnsafeRole(_ schema: SchemaDefinition) async throws {
        let rows = try await query(
            """
            SELECT rolsuper OR rolbypassrls AS is_above, coalesce(\
            (SELECT pg_has_role(current_user, nspowner, 'MEMBER') FROM pg_namespace WHERE nspname = \(schema.service)), \
            false) AS is_owner FROM pg_roles WHERE rolname = current_user
            """
        )
        guard let row = rows.first else { return }
        if try row.get("is_above") || row.get("is_owner") {
            throw MigrationError(
                .unsafeRole,
                "the role for schema \(schema.service) owns it, is superuser or bypasses row security"
            )
        }
    }
}
