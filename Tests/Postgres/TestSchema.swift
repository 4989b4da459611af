import Foundation
import Identity
import Postgres
import TestSupport

/// A schema with one tenant table and one global one, to test the client with.
enum TestSchema {
    static let definition = SchemaDefinition(
        service: "client",
        migrations: [
            Migration(
                "V0001_note",
                Array(
                    """
                    CREATE TABLE note (
                        organization_id uuid NOT NULL,
                        id bigint NOT NULL,
                        body text NOT NULL,
                        PRIMARY KEY (organization_id, id)
                    );
                    ALTER TABLE note ENABLE ROW LEVEL SECURITY;
                    ALTER TABLE note FORCE ROW LEVEL SECURITY;
                    CREATE POLICY tenant ON note
                        USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
                        WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));
                    CREATE TABLE mark (name text PRIMARY KEY, value bigint NOT NULL);
                    """.utf8
                )
            )
        ]
    )

    static func database() async throws -> TestDatabase { try await TestDatabase.shared(for: definition) }

    /// The ways to the server: directly, and through a pooler in transaction mode where the test command has one.
    static let ways: [Way] = [.direct] + (poolerPort == nil ? [] : [.pooled])

    enum Way: Sendable { case direct, pooled }

    private static let poolerPort = ProcessInfo.processInfo.environment["TASKFLOW_TEST_PGBOUNCER_PORT"]

    /// A pool of its own on the same database.
    static func pool(
        maximumConnections: Int,
        checkoutTimeout: Duration = .seconds(20),
        way: Way = .direct
    ) async throws -> PostgresPool {
        let database = try await database()
        let pooler = way == .direct ? nil : poolerPort
        return PostgresPool(
            PostgresConfiguration(
                url: try pooler.map {
                    try PostgresConfiguration.connectionString(database.url, replacing: ["port": $0])
                } ?? database.url,
                directURL: pooler.map { _ in database.url },
                schema: definition.service,
                maximumConnections: maximumConnections,
                checkoutTimeout: checkoutTimeout
            ),
            logger: TestDatabase.logger
        )
    }

    /// The superuser's pool on the same database.
    static func administrator() async throws -> PostgresPool {
        PostgresPool(
            PostgresConfiguration(url: try await database().administratorURL, schema: definition.service),
            logger: TestDatabase.logger
        )
    }

    /// A name that no other test uses.
    static func unique(_ prefix: String) -> String { "\(prefix)-\(UInt64.random(in: .min ... .max))" }

    static func organization() -> OrganizationID { OrganizationID.make(milliseconds: 1_800_000_000_000) }
}

/// The error that `body` throws; nil if it throws none or another kind.
func postgresError(_ body: () async throws -> Void) async -> PostgresError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? PostgresError
    }
}
