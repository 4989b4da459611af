import CLibPQ
import Failpoints
import Logging
import Poller

/// One administrator's connection while it migrates.
@PollerActor
final class MigrationSession {
    /// Any number will do as long as nothing else in the database takes it: `taskflow` in ASCII.
    private static let lockKey = 0x7461_736B_666C_6F77

    private let connection: Connection
    private let logger: Logger

    private init(connection: Connection, logger: Logger) {
        self.connection = connection
        self.logger = logger
    }

    static func open(_ url: String, logger: Logger) async throws -> MigrationSession {
        var target = try ConnectionTarget(url)
        target["client_encoding"] = "UTF8"
        target["application_name"] = "taskflow-migrate"
        target.addOptions([("timezone", "UTC"), ("datestyle", "ISO"), ("statement_timeout", "0")])
        let connection = try await Connector.connect(target, id: 0, mode: .script)
        return MigrationSession(connection: connection, logger: logger)
    }

    func close() { connection.close() }

    private func run(_ script: String) async throws -> Rows { try await connection.runScript(script) }

    /// Runs what touches the catalogue of the whole server, where migrators of other databases get in the way.
    private func runAgainstOthers(_ script: String) async throws {
        // Duplicate roles, and "tuple concurrently updated", which has no state of its own.
        let states: Set = ["23505", "42710", "XX000"]
        for attempt in 1...20 {
            do {
                _ = try await run(script)
                return
            } catch let error as PostgresError where states.contains(error.sqlState ?? "") && attempt < 20 {
                try await Task.sleep(for: .milliseconds(Int.random(in: 5...50)))
            }
        }
    }

    /// Waits until no other migrator works on this database; asks again and again, so that nothing blocks.
    func lock() async throws {
        var hasSaid = false
        while true {
            let rows = try await run("SELECT pg_try_advisory_lock(\(Self.lockKey)) AS locked")
            if try rows.first?.get("locked") == true { return }
            if !hasSaid {
                hasSaid = true
                logger.notice("waiting for another migration to end")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Lets the next one in at once: the server notices only a moment later that a session was closed.
    func unlock() async throws {
        _ = try await run("SELECT pg_advisory_unlock(\(Self.lockKey))")
    }

    func createDatabase(_ name: String) async throws {
        let found = try await run("SELECT 1 FROM pg_database WHERE datname = \(literal(name))")
        guard found.isEmpty else { return }
        do {
            // lower() knows letters beyond ASCII only in a locale that does; C.UTF-8 is there on every Linux.
            _ = try await run(
                "CREATE DATABASE \(identifier(name)) TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"
            )
        } catch let error as PostgresError where error.sqlState == "42P04" || error.sqlState == "23505" {
            // Someone else was faster.
        }
    }

    func hasSchema(_ name: String) async throws -> Bool {
        try await !run("SELECT 1 FROM pg_namespace WHERE nspname = \(literal(name))").isEmpty
    }

    // MARK: Roles and schema

    func prepareRolesAndSchema(_ schema: SchemaDefinition, password: String) async throws {
        let (name, owner, app) = (
            identifier(schema.service), identifier(schema.ownerRole), identifier(schema.appRole)
        )
        let me = try await run(
            "SELECT rolsuper, quote_ident(current_database()) AS database FROM pg_roles WHERE rolname = current_user"
        )
        let isSuperuser: Bool = try me.first?.get("rolsuper") ?? false
        let database: String = try me.first?.get("database") ?? ""
        try await prepareRole(schema.ownerRole, "NOLOGIN")
        try await prepareRole(schema.appRole, "LOGIN")
        // Hashed here: the password itself would stand in the server's log.
        let hashed = try scramVerifier(for: password, role: schema.appRole)
        try await runAgainstOthers("ALTER ROLE \(app) PASSWORD \(literal(hashed))")
        if !isSuperuser {
            // Whoever creates a role may grant it, to itself as well, and needs to: for SET ROLE and CREATE SCHEMA.
            try await runAgainstOthers("GRANT \(owner) TO CURRENT_USER")
        }
        let schemaOwner = try await run(
            """
            SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = \(literal(schema.service))
            """
        )
        if let current: String = try schemaOwner.first?.get("owner") {
            if current != schema.ownerRole { _ = try await run("ALTER SCHEMA \(name) OWNER TO \(owner)") }
        } else {
            _ = try await run("CREATE SCHEMA \(name) AUTHORIZATION \(owner)")
        }
        let settings = SessionSettings.all.map { setting, value in
            "ALTER ROLE \(app) IN DATABASE \(database) SET \(setting) = \(literal(value));"
        }
        try await runAgainstOthers(
            """
            GRANT CONNECT ON DATABASE \(database) TO \(app);
            ALTER ROLE \(app) IN DATABASE \(database) SET search_path = \(name);
            \(settings.joined(separator: "\n"))
            """
        )
        if try await !run("SELECT 1 FROM pg_namespace WHERE nspname = 'public'").isEmpty {
            // Only a warning where the administrator does not own `public`.
            try await runAgainstOthers(
                "REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM \(app)"
            )
        }
        _ = try await run("SET ROLE \(owner); SET search_path = \(name)")
        _ = try await run(
            """
            REVOKE ALL ON SCHEMA \(name) FROM PUBLIC;
            GRANT USAGE ON SCHEMA \(name) TO \(app);
            ALTER DEFAULT PRIVILEGES IN SCHEMA \(name) GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO \(app);
            ALTER DEFAULT PRIVILEGES IN SCHEMA \(name) GRANT USAGE ON SEQUENCES TO \(app);
            CREATE TABLE IF NOT EXISTS migration (
                name text PRIMARY KEY,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            );
            REVOKE INSERT, UPDATE, DELETE ON migration FROM \(app);
            """
        )
    }

    private func prepareRole(_ role: String, _ login: String) async throws {
        let attributes = "\(login) NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION"
        let question = """
            SELECT rolcanlogin, rolsuper OR rolbypassrls OR rolreplication AS is_above, rolcreaterole OR rolcreatedb \
            AS is_creator FROM pg_roles WHERE rolname = \(literal(role))
            """
        if try await run(question).isEmpty {
            do {
                _ = try await run("CREATE ROLE \(identifier(role)) \(attributes)")
                return
            } catch let error as PostgresError where error.sqlState == "42710" || error.sqlState == "23505" {
                // Created meanwhile, for another database.
            }
        }
        guard let row = try await run(question).first else { return }
        // Naming some of these attributes takes a superuser, even where they do not change.
        if try row.get("is_above") {
            try await runAgainstOthers("ALTER ROLE \(identifier(role)) \(attributes)")
        } else if try row.get("is_creator") || row.get("rolcanlogin") != (login == "LOGIN") {
            try await runAgainstOthers("ALTER ROLE \(identifier(role)) \(login) NOCREATEROLE NOCREATEDB")
        }
    }

    private func scramVerifier(for password: String, role: String) throws -> String {
        guard let text = connection.encrypt(password: password, of: role) else {
            throw PostgresError(.server, message: "the password could not be hashed")
        }
        return text
    }

    // MARK: Files

    /// What the schema's ledger says: names and checksums.
    func recorded(in schema: SchemaDefinition) async throws -> [String: String] {
        var recorded: [String: String] = [:]
        for row in try await run("SELECT name, checksum FROM migration") {
            recorded[try row.get("name")] = try row.get("checksum", as: String.self)
        }
        return recorded
    }

    /// One file in one transaction, as the owner.
    func run(_ migration: Migration, of schema: SchemaDefinition) async throws {
        try await patiently(migration, of: schema) { try await self.runOnce(migration, of: schema) }
        logger.info("migrated", metadata: ["schema": "\(schema.service)", "migration": "\(migration.name)"])
    }

    /// What has to be there besides, in one transaction, as the administrator.
    func provide(_ provision: Migration, of schema: SchemaDefinition) async throws {
        let notices = try await patiently(provision, of: schema) {
            _ = try await self.run("RESET ROLE; BEGIN; SET LOCAL lock_timeout = '2s'")
            do {
                let rows = try await self.run(provision.sql)
                _ = try await self.run("COMMIT")
                return rows
            } catch {
                _ = try? await self.run("ROLLBACK")
                throw error
            }
        }
        if let notice = try notices.first?.get("notice", as: String?.self) {
            logger.notice("\(notice)", metadata: ["schema": "\(schema.service)"])
        }
    }

    /// A lock that others hold is waited for 2 s, so that requests do not pile up behind the migration, then asked for
    /// again a little later.
    private func patiently<Result>(
        _ migration: Migration,
        of schema: SchemaDefinition,
        _ body: () async throws -> Result
    ) async throws -> Result {
        let attempts = 10
        for attempt in 1..<attempts {
            do {
                return try await body()
            } catch let error as PostgresError where error.sqlState == "55P03" {
                logger.notice(
                    "a lock is held by others, trying again",
                    metadata: ["schema": "\(schema.service)", "migration": "\(migration.name)"]
                )
                try await Task.sleep(for: .milliseconds(200 * attempt))
            }
        }
        return try await body()
    }

    private func runOnce(_ migration: Migration, of schema: SchemaDefinition) async throws {
        _ = try await run("BEGIN; SET LOCAL lock_timeout = '2s'")
        do {
            _ = try await run(migration.sql)
            try await Failpoint.hit(.migrationMidStep)
            guard connection.isInTransaction else {
                throw MigrationError(.endsTransaction, "\(migration.name) of \(schema.service) ends its transaction")
            }
            _ = try await run(
                """
                INSERT INTO \(identifier(schema.service)).migration (name, checksum)
                VALUES (\(literal(migration.name)), \(literal(migration.checksum)));
                COMMIT
                """
            )
        } catch {
            _ = try? await run("ROLLBACK")
            throw error
        }
    }
}

/// A name in double quotes.
func identifier(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }

/// A text in single quotes, for a session with standard-conforming strings.
func literal(_ text: String) -> String {
    let quoted = "'\(text.replacing("'", with: "''"))'"
    return text.contains("\\") ? "E" + quoted.replacing("\\", with: "\\\\") : quoted
}
