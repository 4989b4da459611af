import Postgres

/// Something that does not hold.
struct Finding: Hashable, Comparable {
    /// Which check found it.
    var check: String
    /// Which row, stream or shard.
    var key: String
    /// What is wrong with it.
    var detail: String

    static func < (one: Finding, other: Finding) -> Bool {
        (one.check, one.key, one.detail) < (other.check, other.key, other.detail)
    }
}

/// One question to the database whose every row is something that does not hold: `key` and `detail`.
struct Check {
    let name: String
    /// Whether readers that lag behind make it find what will be gone when they have caught up.
    let isOfReplicas: Bool
    let statement: SQL

    init(_ name: String, isOfReplicas: Bool = false, _ statement: SQL) {
        self.name = name
        self.isOfReplicas = isOfReplicas
        self.statement = statement
    }

    /// More of one kind says nothing more.
    static let limit = 1000

    /// A replica against the truth: both give `key` and, for what has to be equal, `value`.
    static func replica(_ name: String, of truth: SQL, is replica: SQL) -> Check {
        Check(
            name,
            isOfReplicas: true,
            """
            WITH truth AS (\(truth)), replica AS (\(replica))
            SELECT key, CASE WHEN r.value IS NULL THEN 'missing: ' || t.value
                WHEN t.value IS NULL THEN 'not in the truth: ' || r.value
                ELSE r.value || ' is ' || t.value || ' in truth' END AS detail
            FROM truth t FULL JOIN replica r USING (key) WHERE t.value IS DISTINCT FROM r.value
            ORDER BY key LIMIT \(Check.limit)
            """
        )
    }

    func findings(in transaction: PostgresTransaction) async throws -> [Finding] {
        try await transaction.query(statement).map { row in
            Finding(check: name, key: try row.get("key"), detail: try row.get("detail"))
        }
    }
}

/// What `taskflow verify` asks.
enum Verification {
    static let checks = logs + replicas + orphans

    // MARK: The logs

    private static let logs = ServiceName.keeping.flatMap { name in
        let schema: SQL = "\(unsafe: name.rawValue)"
        return [
            Check(
                "log of \(name.rawValue) is dense",
                """
                SELECT \(name.rawValue) || '.' || lpad(l.shard::text, 2, '0') AS key,
                    format('at %s, but kept are %s from %s to %s', l.seq, o.kept, o.first, o.last) AS detail
                FROM \(schema).event_log l LEFT JOIN (
                    SELECT shard, count(DISTINCT seq) AS kept, min(seq) AS first, max(seq) AS last, count(*) AS rows
                    FROM \(schema).outbox GROUP BY shard
                ) o USING (shard)
                WHERE o.last <> l.seq OR o.kept <> o.last - o.first + 1 OR o.rows <> o.kept
                """
            ),
            Check(
                "cursors of \(name.rawValue) are within the logs",
                """
                SELECT c.stream AS key, format('applied %s, settled %s, the log is at %s', c.seq, c.settled, l.seq) AS detail
                FROM \(schema).cursor c LEFT JOIN (\(heads)) l USING (stream)
                WHERE c.seq > coalesce(l.seq, 0) OR c.settled > c.seq
                """
            ),
            Check(
                "events set aside by \(name.rawValue)",
                """
                SELECT stream || ':' || seq AS key, state || ', ' || type || ' of ' || subject || ': ' || left(reason, 200)
                    AS detail
                FROM \(schema).parked WHERE state = 'parked' ORDER BY stream, seq LIMIT \(Check.limit)
                """
            ),
        ]
    }

    /// How far each producer's log goes, by stream.
    static let heads: SQL = ServiceName.keeping.dropFirst().reduce(head(of: ServiceName.keeping[0])) { all, name in
        "\(all) UNION ALL \(head(of: name))"
    }

    private static func head(of name: ServiceName) -> SQL {
        """
        SELECT '\(unsafe: name.rawValue).' || lpad(shard::text, 2, '0') AS stream, seq FROM \(unsafe: name.rawValue).event_log
        """
    }

    /// Every cursor with how far its stream goes: `service`, `stream`, `seq`, `head`.
    static let cursors: SQL = {
        let all = ServiceName.keeping.map { name -> SQL in
            "SELECT '\(unsafe: name.rawValue)' AS service, stream, seq FROM \(unsafe: name.rawValue).cursor"
        }
        let union = all.dropFirst().reduce(all[0]) { "\($0) UNION ALL \($1)" }
        return """
            SELECT c.service, c.stream, c.seq, coalesce(h.seq, 0) AS head
            FROM (\(union)) c LEFT JOIN (\(heads)) h USING (stream)
            """
    }()

    // MARK: Replicas

    private static let replicas =
        [
            Check.replica(
                "organizations in auth",
                of: """
                    SELECT organization_id::text AS key, ROW(name, time_zone, reminder_hour)::text AS value
                    FROM organization.organization
                    """,
                is: """
                    SELECT organization_id::text AS key, ROW(name, time_zone, reminder_hour)::text AS value
                    FROM auth.organization
                    """
            ),
            Check.replica(
                "users in auth",
                of: """
                    SELECT u.organization_id || '/' || u.id AS key, ROW(u.email, u.first_name, u.last_name, u.role,
                        u.department_id, d.name, u.is_active, u.picture_url)::text AS value
                    FROM organization.app_user u LEFT JOIN organization.department d
                        ON d.organization_id = u.organization_id AND d.id = u.department_id
                    """,
                is: """
                    SELECT organization_id || '/' || user_id AS key, ROW(email, first_name, last_name, role,
                        department_id, department_name, is_active, profile_img)::text AS value
                    FROM auth.membership
                    """
            ),
        ] + ReadModel.all.map(\.check)

    // MARK: Rows that belong to nothing

    /// Tables by schema whose rows stay when their organization is gone, or are not about one.
    private static let outliving: [(schema: String, tables: [String])] = [
        ("auth", ["audit", "session", "outbox", "parked"]), ("organization", ["organization", "outbox", "parked"]),
        ("project", ["outbox", "parked"]), ("task", ["known_organization", "outbox", "parked"]),
        ("notification", ["known_organization", "outbox", "parked"]),
    ]

    /// The tables whose rows an organization has to have; asked of the catalogue, so that a new table is among them.
    static let ownedTables: SQL = {
        let excluded = outliving.flatMap { entry in entry.tables.map { "\(entry.schema).\($0)" } }
        return """
            SELECT n.nspname::text AS schema, c.relname::text AS name FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
            WHERE n.nspname = ANY(\(ServiceName.keeping.map(\.rawValue))::text[]) AND c.relkind IN ('r', 'p')
              AND NOT c.relispartition AND NOT (n.nspname || '.' || c.relname) = ANY(\(excluded)::text[])
            ORDER BY 1, 2
            """
    }()

    /// Rows of a table whose organization is not there.
    static func homeless(_ schema: String, _ table: String) -> Check {
        let place = "\(schema).\(table)"
        return Check(
            "every row of \(place) has its organization",
            isOfReplicas: true,
            """
            SELECT organization_id::text AS key, count(*) || ' rows' AS detail FROM \(unsafe: place) x
            WHERE organization_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM organization.organization o WHERE o.organization_id = x.organization_id)
            GROUP BY 1 ORDER BY 1 LIMIT \(Check.limit)
            """
        )
    }

    private static let orphans = [
        orphan("tasks without a project", "task.task", "id", in: "project.project", "p.id = x.project_id"),
        orphan("notices without a user", "notification.notice", "id", in: "organization.app_user", "p.id = x.user_id"),
        orphan(
            "collaborators of projects without a user",
            "project.project_collaborator",
            "user_id",
            in: "organization.app_user",
            "p.id = x.user_id"
        ),
        orphan(
            "collaborators of tasks without a user",
            "task.task_collaborator",
            "user_id",
            in: "organization.app_user",
            "p.id = x.user_id"
        ),
        Check(
            "open sessions without a membership",
            isOfReplicas: true,
            """
            SELECT s.id::text AS key, 'of user ' || s.user_id AS detail FROM auth.session s
            WHERE s.ended_at IS NULL AND NOT EXISTS (SELECT FROM auth.membership m
                WHERE m.organization_id = s.organization_id AND m.user_id = s.user_id) ORDER BY 1 LIMIT \(Check.limit)
            """
        ),
        Check(
            "mails without an entry in the queue",
            """
            SELECT m.event_id || '/' || m.user_id AS key, m.kind AS detail FROM notification.mail m
            WHERE NOT EXISTS (SELECT FROM notification.mail_queue q
                WHERE q.event_id = m.event_id AND q.recipient = m.user_id AND q.kind = m.kind)
            ORDER BY 1 LIMIT \(Check.limit)
            """
        ),
    ]

    private static func orphan(_ name: String, _ table: String, _ id: String, in parent: String, _ link: SQL) -> Check {
        Check(
            name,
            isOfReplicas: true,
            """
            SELECT x.organization_id || '/' || x.\(unsafe: id) AS key, 'in \(unsafe: table)' AS detail
            FROM \(unsafe: table) x WHERE NOT EXISTS (SELECT FROM \(unsafe: parent) p
                WHERE p.organization_id = x.organization_id AND \(link)) ORDER BY 1 LIMIT \(Check.limit)
            """
        )
    }
}
