public import Chronology
public import Events
import Foundation
public import Logging
public import Messaging
public import Postgres

/// A real Postgres for tests: one new database per run of the tests, with the schemas that were asked for.
///
/// ```swift
/// let database = try await TestDatabase.shared(for: TaskApp.schema)
/// let tenant = database.tenant(producer: .task)
/// ```
/// Nothing is cleaned up between tests: every test makes an organization of its own and sees no other.
public struct TestDatabase: Sendable {
    /// Connections as the schema's own role, `<service>_app`.
    public let pool: PostgresPool
    /// The test database as the superuser, to look behind row level security.
    public let administratorURL: String
    /// The test database as the schema's own role.
    public let url: String

    /// The database of this run with `schema` migrated; the same one for everybody who asks.
    public static func shared(for schema: SchemaDefinition) async throws -> TestDatabase {
        try await Cache.shared.database(for: schema)
    }

    /// A new, empty database of its own, for tests of migrations; gives the superuser's URL of it.
    public static func empty() async throws -> String {
        let url = try PostgresConfiguration.connectionString(
            environment(),
            replacing: ["dbname": "taskflow_test_\(UInt64.random(in: .min ... .max))"]
        )
        try await Migrator(administrator: url, logger: logger).createDatabaseIfMissing()
        return url
    }

    /// Migrates `schema` in a database and connects to it as the schema's own role.
    public static func migrated(
        _ schema: SchemaDefinition,
        administratorURL: String,
        maximumConnections: Int = 8
    ) async throws -> TestDatabase {
        try await Migrator(administrator: administratorURL, logger: logger).migrate(schema, password: password)
        let url = try PostgresConfiguration.connectionString(
            administratorURL,
            replacing: ["user": schema.appRole, "password": password]
        )
        let configuration = PostgresConfiguration(
            url: url,
            schema: schema.service,
            maximumConnections: maximumConnections,
            checkoutTimeout: .seconds(20)
        )
        return TestDatabase(
            pool: PostgresPool(configuration, logger: logger),
            administratorURL: administratorURL,
            url: url
        )
    }

    /// The pool as a service's store uses it.
    public func tenant(producer: Producer?, clock: WallClock = .system) -> TenantDatabase {
        TenantDatabase(pool: pool, producer: producer, clock: clock)
    }

    /// What the roles of test databases log in with; roles belong to the whole server, so it is the same everywhere.
    static let password = "taskflow-test"
    /// Says what goes wrong, nothing else.
    public static let logger: Logger = {
        var logger = Logger(label: "test-database")
        logger.logLevel = .warning
        return logger
    }()

    /// The superuser's URL that the test command gives.
    static func environment() throws -> String {
        guard let url = ProcessInfo.processInfo.environment["TASKFLOW_TEST_POSTGRES_URL"], !url.isEmpty else {
            throw MissingServer(variable: "TASKFLOW_TEST_POSTGRES_URL")
        }
        return url
    }

    private actor Cache {
        static let shared = Cache()
        private var database: Task<String, any Error>?
        private var schemas: [String: Task<TestDatabase, any Error>] = [:]

        func database(for schema: SchemaDefinition) async throws -> TestDatabase {
            if let known = schemas[schema.service] { return try await known.value }
            let url = database ?? Task { try await TestDatabase.empty() }
            database = url
            let task = Task { try await TestDatabase.migrated(schema, administratorURL: url.value) }
            schemas[schema.service] = task
            return try await task.value
        }
    }
}

/// A server that a test needs was not named in the environment.
public struct MissingServer: Error, CustomStringConvertible {
    /// The environment variable that should name it.
    public let variable: String

    /// A server that this variable should name.
    public init(variable: String) { self.variable = variable }

    /// What to do about it.
    public var description: String {
        "\(variable) is not set: run the tests with `make test`, which starts the servers they need"
    }
}
