import AuthService
import Messaging
import NotificationService
import OrganizationService
import Postgres
import ProjectService
import TaskService
import TestSupport
import Testing

/// What `pg_catalog` says of the migrated schemas: TEN-1, TEN-2, TEN-3, TEN-4.
@Suite struct CatalogueDatabaseTests {
    /// The tables that belong to no organization, each with its reason in its service's README.
    static let global: [String: Set<String>] = [
        "auth": [
            "account", "organization", "membership", "session", "revocation", "link_request", "pending_signup",
            "login_throttle", "mail_throttle", "signing_key", "audit",
        ],
        "organization": ["loose_media"],
        "project": ["deleted_organization"],
        "task": ["known_organization"],
        "notification": ["known_organization", "mail_queue", "account_mail"],
    ]
    /// The log's own tables, in every schema.
    static let log: Set<String> = ["migration", "event_log", "outbox", "cursor", "parked"]

    static let schemas = [
        AuthApp.schema, OrganizationApp.schema, ProjectApp.schema, TaskApp.schema, NotificationApp.schema,
    ]

    static let policy =
        "(organization_id = ( SELECT (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid "
        + "AS \"nullif\"))"

    private func catalogue(of schema: SchemaDefinition) async throws -> PostgresPool {
        let whole = SchemaDefinition(
            service: schema.service,
            migrations: MessagingSchema.migrations + schema.migrations
        )
        let database = try await TestDatabase.shared(for: whole)
        return PostgresPool(
            PostgresConfiguration(url: database.administratorURL, schema: schema.service, maximumConnections: 2),
            logger: TestDatabase.logger
        )
    }

    private func tenantTables(_ schema: SchemaDefinition, _ pool: PostgresPool) async throws -> [String] {
        let rows = try await pool.query(
            """
            SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = \(schema.service) AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
            """
        )
        let names = try rows.map { try $0.get("name", as: String.self) }
        #expect(names.count > Self.log.count)
        let global = Self.global[schema.service] ?? []
        return names.filter { !global.contains($0) && !Self.log.contains($0) && !$0.hasPrefix("outbox_") }
    }

    @Test(arguments: 0..<5) func everyTenantTableIsKeyedByItsOrganization(_ index: Int) async throws {
        let schema = Self.schemas[index]
        let pool = try await catalogue(of: schema)
        for table in try await tenantTables(schema, pool) {
            let name = "\(schema.service).\(table)"
            let column = try await pool.query(
                """
                SELECT format_type(atttypid, atttypmod) AS type, attnotnull, atthasdef FROM pg_attribute
                WHERE attrelid = \(name)::regclass AND attname = 'organization_id'
                """
            )
            guard let row = column.first else {
                Issue.record("\(name) has no organization_id and is not on the list of global tables")
                continue
            }
            #expect(try row.get("type", as: String.self) == "uuid", "\(name)")
            #expect(try row.get("attnotnull", as: Bool.self), "\(name)")
            #expect(try !row.get("atthasdef", as: Bool.self), "\(name)")
            let keys = try await pool.query(
                """
                SELECT i.relname AS name, pg_get_indexdef(x.indexrelid, 1, true) AS first FROM pg_index x
                JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = \(name)::regclass AND x.indisunique
                """
            )
            #expect(!keys.isEmpty, "\(name) has no key")
            for key in keys {
                let index = try key.get("name", as: String.self)
                let first = try key.get("first", as: String.self)
                #expect(first == "organization_id", "\(name): \(index)")
            }
            let references = try await pool.query(
                """
                SELECT k.conname AS name, a.attname AS first FROM pg_constraint k
                JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
                WHERE k.conrelid = \(name)::regclass AND k.contype = 'f'
                """
            )
            for reference in references {
                #expect(try reference.get("first", as: String.self) == "organization_id", "\(name)")
            }
        }
    }

    @Test(arguments: 0..<5) func everyTenantTableIsUnderForcedRowSecurity(_ index: Int) async throws {
        let schema = Self.schemas[index]
        let pool = try await catalogue(of: schema)
        for table in try await tenantTables(schema, pool) {
            let name = "\(schema.service).\(table)"
            let state = try await pool.query(
                "SELECT relrowsecurity AND relforcerowsecurity AS forced FROM pg_class WHERE oid = \(name)::regclass"
            )
            #expect(try state.first?.get("forced", as: Bool.self) == true, "\(name)")
            let policies = try await pool.query(
                """
                SELECT polcmd = '*' AND polpermissive AS whole, pg_get_expr(polqual, polrelid) AS reading,
                       pg_get_expr(polwithcheck, polrelid) AS writing
                FROM pg_policy WHERE polrelid = \(name)::regclass
                """
            )
            #expect(policies.count == 1, "\(name)")
            for row in policies {
                #expect(try row.get("whole", as: Bool.self), "\(name)")
                #expect(try row.get("reading", as: String.self) == Self.policy, "\(name)")
                #expect(try row.get("writing", as: String.self) == Self.policy, "\(name)")
            }
        }
    }

    @Test(arguments: 0..<5) func theServiceMayOnlyWhatItNeeds(_ index: Int) async throws {
        let schema = Self.schemas[index]
        let pool = try await catalogue(of: schema)
        let role = schema.appRole
        let rights = try await pool.query(
            """
            SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb AS strong,
                   pg_has_role(rolname, \(schema.ownerRole)::name, 'MEMBER') AS owns,
                   has_schema_privilege(rolname, 'public', 'CREATE') AS public,
                   (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = \(schema.service) AND c.relkind IN ('r', 'p')
                      AND has_table_privilege(\(role)::name, c.oid, 'TRUNCATE, REFERENCES, TRIGGER')) AS odd
            FROM pg_roles WHERE rolname = \(role)
            """
        )
        let row = try #require(rights.first)
        #expect(try !row.get("strong", as: Bool.self))
        #expect(try !row.get("owns", as: Bool.self))
        #expect(try !row.get("public", as: Bool.self))
        #expect(try row.get("odd", as: Int.self) == 0)
        let loopholes = try await pool.query(
            """
            SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = \(schema.service) AND (c.relkind = 'm'
              OR (c.relkind = 'v' AND NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'], false)))
            UNION ALL
            SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = \(schema.service) AND p.prosecdef AND NOT (
              p.proname = 'outbox_retire' AND array_to_string(p.proconfig, ' ') LIKE '%search_path%')
            """
        )
        let names = try loopholes.map { try $0.get("name", as: String.self) }
        #expect(names == [])
    }
}
