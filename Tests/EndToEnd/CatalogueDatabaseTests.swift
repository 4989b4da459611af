import AuthService
import NotificationService
import OrganizationService
import Postgres
import ProjectService
import ServiceKit
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
        "project": ["deleted_organization", "live_organization"],
        "task": ["known_organization"],
        "notification": ["known_organization", "mail_queue", "account_mail"],
    ]
    /// The log's own tables, in every schema.
    static let log: Set<String> = ["migration", "event_log", "outbox", "cursor", "parked", "lineage"]

    static let schemas = [
        AuthApp.schema, OrganizationApp.schema, ProjectApp.schema, TaskApp.schema, NotificationApp.schema,
    ]

    static let policy =
        "(organization_id = ( SELECT (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid "
        + "AS \"nullif\"))"

    private func catalogue(of schema: SchemaDefinition) async throws -> PostgresPool {
        // As whoever else asks for it: the first one's is what all of them get.
        let database = try await TestDatabase.shared(for: ServiceFoundation.withLog(schema))
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

    @Test("TEN-1: every tenant table is keyed by its organization", arguments: 0..<5)
    func everyTenantTableIsKeyedByItsOrganization(_ index: Int) async throws {
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
                SELECT k.conname AS name, a.attname AS first, b.attname AS there FROM pg_constraint k
                JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
                JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
                WHERE k.conrelid = \(name)::regclass AND k.contype = 'f'
                """
            )
            for reference in references {
                #expect(try reference.get("first", as: String.self) == "organization_id", "\(name)")
                #expect(try reference.get("there", as: String.self) == "organization_id", "\(name)")
            }
        }
    }

    @Test("TEN-2: every tenant table is under forced row security, by one policy for everything", arguments: 0..<5)
    func everyTenantTableIsUnderForcedRowSecurity(_ index: Int) async throws {
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

    @Test("TEN-3: the service's role may only what it needs, and owns nothing", arguments: 0..<5)
    func theServiceMayOnlyWhatItNeeds(_ index: Int) async throws {
        let schema = Self.schemas[index]
        let pool = try await catalogue(of: schema)
        let role = schema.appRole
        let rights = try await pool.query(
            """
            SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS strong,
                   EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS lent,
                   has_schema_privilege(rolname, 'public', 'USAGE, CREATE') AS public,
                   has_schema_privilege(rolname, \(schema.service)::text, 'CREATE') AS creates,
                   (SELECT count(*) FROM pg_namespace n WHERE n.nspname NOT IN
                     (\(schema.service), 'pg_catalog', 'information_schema')
                      AND has_schema_privilege(r.oid, n.oid, 'USAGE')) AS elsewhere,
                   (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = \(schema.service) AND c.relkind IN ('r', 'p')
                      AND has_table_privilege(\(role)::name, c.oid, 'TRUNCATE, REFERENCES, TRIGGER')) AS odd,
                   (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = \(schema.service) AND c.relkind IN ('r', 'p')
                      AND pg_get_userbyid(c.relowner) <> \(schema.ownerRole)) AS strange,
                   (SELECT NOT o.rolcanlogin AND NOT o.rolsuper AND NOT o.rolbypassrls FROM pg_roles o
                    WHERE o.rolname = \(schema.ownerRole)) AS kept,
                   EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                     WHERE d.datname = current_database() AND s.setrole = r.oid
                       AND s.setconfig @> ARRAY['search_path=' || \(schema.service)]) AS fixed
            FROM pg_roles r WHERE rolname = \(role)
            """
        )
        let row = try #require(rights.first)
        for name in ["strong", "lent", "public", "creates"] {
            #expect(try !row.get(name, as: Bool.self), "\(role) \(name)")
        }
        for name in ["elsewhere", "odd", "strange"] { #expect(try row.get(name, as: Int.self) == 0, "\(role) \(name)") }
        for name in ["kept", "fixed"] { #expect(try row.get(name, as: Bool?.self) == true, "\(role) \(name)") }
    }

    @Test("TEN-4: no view, function or policy leads around row security", arguments: 0..<5)
    func noWayAround(_ index: Int) async throws {
        let schema = Self.schemas[index]
        let pool = try await catalogue(of: schema)
        let loopholes = try await pool.query(
            """
            SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = \(schema.service) AND (c.relkind = 'm'
              OR (c.relkind = 'v' AND NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'], false)))
            UNION ALL
            SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = \(schema.service) AND p.prosecdef AND NOT (
              p.proname IN ('outbox_retire', 'search_candidates')
              AND p.proconfig @> ARRAY['search_path=' || \(schema.service) || ', pg_temp'])
            UNION ALL
            SELECT p.proname FROM pg_depend d JOIN pg_policy y ON y.oid = d.objid JOIN pg_proc p ON p.oid = d.refobjid
            WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass AND p.provolatile = 'v'
            """
        )
        let names = try loopholes.map { try $0.get("name", as: String.self) }
        #expect(names == [])
    }

    @Test("TEN-3: one role is above row security; nobody is or becomes it, and it reads the text of tasks alone")
    func theSearchReadsTextAlone() async throws {
        let pool = try await catalogue(of: Self.schemas.first { $0.service == "task" } ?? Self.schemas[0])
        let rights = try await pool.query(
            """
            SELECT r.rolname AS role, r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
                   OR EXISTS (SELECT FROM pg_auth_members m WHERE r.oid IN (m.roleid, m.member)) AS more,
                   ARRAY(SELECT n.nspname || '.' || c.relname || '.' || a.attname
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                     WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
                       AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT') ORDER BY 1)::text[] AS reads,
                   (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
                       AND (has_any_column_privilege(r.oid, c.oid, 'INSERT, UPDATE, REFERENCES')
                         OR has_table_privilege(r.oid, c.oid, 'DELETE, TRUNCATE, TRIGGER'))) AS writes,
                   ARRAY(SELECT p.proname FROM pg_proc p WHERE p.proowner = r.oid)::text[] AS functions
            FROM pg_roles r WHERE r.rolbypassrls AND NOT r.rolsuper AND has_schema_privilege(r.oid, 'task', 'USAGE')
            """
        )
        #expect(rights.count == 1)
        let row = try #require(rights.first)
        #expect(try row.get("role") == "task_search")
        #expect(try row.get("more") == false)
        #expect(try row.get("writes") == 0)
        #expect(try row.get("functions", as: [String].self) == ["search_candidates"])
        #expect(
            try row.get("reads", as: [String].self)
                == ["task.task.deleted_at", "task.task.id", "task.task.organization_id", "task.task.search_text"]
        )
    }
}
