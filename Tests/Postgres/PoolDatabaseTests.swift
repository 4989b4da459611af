import Logging
import ServiceLifecycle
import TestSupport
import Testing

@testable import Postgres

@Suite("Database: connections and the pool")
struct PoolDatabaseTests {
    private func process(_ pool: PostgresPool) async throws -> Int {
        try await pool.query("SELECT pg_backend_pid() AS pid")[0].get("pid")
    }

    private func kill(_ process: Int) async throws {
        _ = try await TestSchema.administrator().query("SELECT pg_terminate_backend(\(process)::int, 5000)")
    }

    @Test("A thousand reads at once over four connections")
    func thousand() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 4)
        let organization = TestSchema.organization()
        let sum = try await withThrowingTaskGroup(of: Int.self, returning: Int.self) { group in
            for number in 0..<1000 {
                group.addTask { try await pool.read(in: organization, "SELECT \(number)::int AS n")[0].get("n") }
            }
            return try await group.reduce(0, +)
        }
        #expect(sum == 499_500)
    }

    @Test("An idle connection that the server has closed is replaced unnoticed")
    func killedIdle() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1)
        for _ in 0..<5 {
            let before = try await process(pool)
            try await kill(before)
            #expect(try await process(pool) != before)
        }
    }

    @Test("A connection that is killed in a statement is lost, and the next one works")
    func killedBusy() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1)
        let error = await postgresError {
            try await pool.transaction(in: nil) { transaction in
                let pid: Int = try await transaction.query("SELECT pg_backend_pid() AS pid")[0].get("pid")
                async let killed: Void = kill(pid)
                do {
                    _ = try await transaction.query("SELECT pg_sleep(20)")
                } catch {
                    try await killed
                    throw error
                }
            }
        }
        #expect(error?.code == .connectionLost)
        #expect(error?.sqlState == "57P01")
        #expect(try await process(pool) > 0)
    }

    @Test("Cancelling the task ends the wait at once and the statement soon", arguments: TestSchema.ways)
    func cancels(_ way: TestSchema.Way) async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1, way: way)
        let mark = TestSchema.unique("cancel")
        let seconds = way == .direct ? "20" : "21"
        let sleeper = Task { try await pool.query("SELECT pg_sleep(\(unsafe: seconds)), \(mark)::text") }
        let administrator = try await TestSchema.administrator()
        let running: SQL = """
            SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(\(unsafe: seconds))%' \
            AND datname = current_database()
            """
        while try await administrator.query(running).isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        let start = ContinuousClock.now
        sleeper.cancel()
        let error = await postgresError { _ = try await sleeper.value }
        #expect(error?.code == .cancelled)
        #expect(ContinuousClock.now - start < .seconds(5))
        // The only connection was given up for a new one, and nobody sleeps on the server.
        #expect(try await process(pool) > 0)
        while try await !administrator.query(running).isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        #expect(ContinuousClock.now - start < .seconds(10))
    }

    @Test("A cancelled statement that ends by itself keeps its connection")
    func cancelsGently() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1)
        let before = try await process(pool)
        for _ in 0..<5 {
            let short = Task { try await pool.query("SELECT pg_sleep(0.01)") }
            try await Task.sleep(for: .milliseconds(2))
            short.cancel()
            _ = await short.result
        }
        #expect(try await process(pool) == before)
    }

    @Test("Who waits longer than the deadline gets an error; after that the pool still works")
    func exhaustion() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1, checkoutTimeout: .seconds(2))
        try await pool.transaction(in: nil) { transaction in
            _ = try await transaction.query("SELECT 1")
            let error = await postgresError { _ = try await pool.query("SELECT 1") }
            #expect(error?.code == .poolExhausted)
            #expect(error?.isUnavailability == true)
        }
        #expect(try await pool.query("SELECT 1").count == 1)
    }

    @Test("Without a server every request fails at once")
    func away() async throws {
        let pool = PostgresPool(
            PostgresConfiguration(url: "postgresql://nobody@127.0.0.1:1/none", schema: "none"),
            logger: TestDatabase.logger
        )
        // Not .poolExhausted: nobody waits for a connection that cannot be made.
        await withTaskGroup { group in
            for _ in 0..<100 {
                group.addTask {
                    let error = await postgresError { _ = try await pool.query("SELECT 1") }
                    #expect(error?.code == .unavailable)
                }
            }
        }
    }

    @Test("A host name is resolved without holding anybody up")
    func unknownHost() async throws {
        let pool = PostgresPool(
            PostgresConfiguration(url: "postgresql://nobody@does-not-exist.invalid/none", schema: "none"),
            logger: TestDatabase.logger
        )
        #expect(await postgresError { _ = try await pool.query("SELECT 1") }?.code == .unavailable)
    }

    @Test("A role that may not log in is told by its SQLSTATE")
    func refused() async throws {
        let url = try PostgresConfiguration.connectionString(
            await TestSchema.database().url,
            replacing: ["user": "client_owner"]
        )
        let pool = PostgresPool(PostgresConfiguration(url: url, schema: "client"), logger: TestDatabase.logger)
        let error = await postgresError { _ = try await pool.query("SELECT 1") }
        #expect(error?.code == .unavailable)
        #expect(error?.sqlState?.hasPrefix("28") == true)
    }

    @Test("Behind a pooler a session is set up as elsewhere", .enabled(if: TestSchema.ways.contains(.pooled)))
    func pooledSettings() async throws {
        let names = SessionSettings.all.map(\.0) + ["client_encoding", "application_name"]
        func settings(_ way: TestSchema.Way) async throws -> [String] {
            let pool = try await TestSchema.pool(maximumConnections: 1, way: way)
            let rows = try await pool.query(
                """
                SELECT n || '=' || current_setting(n) AS s FROM unnest(\(names)::text[]) n \
                UNION ALL SELECT 'schemas=' || current_schemas(false)::text ORDER BY s
                """
            )
            return try rows.map { try $0.get("s") }
        }
        let (pooled, direct) = (try await settings(.pooled), try await settings(.direct))
        #expect(pooled == direct)
    }

    @Test("A pooler that is taken for the server is told", .enabled(if: TestSchema.ways.contains(.pooled)))
    func unknownPooler() async throws {
        let pooled = try await TestSchema.pool(maximumConnections: 1, way: .pooled)
        var configuration = pooled.configuration
        configuration.directURL = nil
        let said = LogSink()
        let pool = PostgresPool(configuration, logger: said.logger)
        #expect(await postgresError { _ = try await pool.query("SELECT 1") }?.code == .unavailable)
        #expect(said.text.contains("TASKFLOW_CLIENT_DIRECT_DATABASE_URL"))
    }

    @Test("A dedicated connection keeps its locks until it is closed", arguments: TestSchema.ways)
    func dedicated(_ way: TestSchema.Way) async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1, way: way)
        let key = Int.random(in: 1...Int.max)
        let lock: SQL = "SELECT pg_try_advisory_lock(\(key)) AS locked"
        let connection = try await pool.dedicatedConnection()
        #expect(try await connection.query(lock)[0].get("locked") == true)
        #expect(connection.isOpen)
        let other = try await pool.dedicatedConnection()
        #expect(try await other.query(lock)[0].get("locked") == false)
        connection.close()
        while try await other.query(lock)[0].get("locked") == false { try await Task.sleep(for: .milliseconds(5)) }
        #expect(!connection.isOpen)
        #expect(await postgresError { _ = try await connection.query("SELECT 1") }?.code == .connectionLost)
        let process: Int = try await other.query("SELECT pg_backend_pid() AS p")[0].get("p")
        try await kill(process)
        while other.isOpen { try await Task.sleep(for: .milliseconds(5)) }
    }

    @Test("After shutdown nothing is open and nobody is served")
    func shutsDown() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 2)
        let running = Task { try await pool.run() }
        let process = try await process(pool)
        running.cancel()
        try await running.value
        #expect(await postgresError { _ = try await pool.query("SELECT 1") }?.code == .unavailable)
        let administrator = try await TestSchema.administrator()
        while try await !administrator.query("SELECT 1 FROM pg_stat_activity WHERE pid = \(process)::int").isEmpty {
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test("A pool that nobody holds any more closes its connections")
    func deinitializes() async throws {
        var pool: PostgresPool? = try await TestSchema.pool(maximumConnections: 1)
        let process = try await process(#require(pool))
        pool = nil
        let administrator = try await TestSchema.administrator()
        while try await !administrator.query("SELECT 1 FROM pg_stat_activity WHERE pid = \(process)::int").isEmpty {
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
