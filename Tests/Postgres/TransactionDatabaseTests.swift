import Identity
import TestSupport
import Testing

@testable import Postgres

@Suite("Database: transactions")
struct TransactionDatabaseTests {
    private func values(_ name: String) async throws -> [Int] {
        try await TestSchema.database().pool.query("SELECT value FROM mark WHERE name LIKE \(name + "%") ORDER BY 1")
            .map { try $0.get("value", as: Int.self) }
    }

    private func insert(_ name: String, _ value: Int) -> SQL {
        "INSERT INTO mark VALUES (\("\(name)-\(value)"), \(value))"
    }

    @Test("What was queried and what was queued is saved together")
    func commits() async throws {
        let name = TestSchema.unique("commit")
        let affected = try await TestSchema.database().pool.transaction(in: nil) { transaction in
            transaction.send(insert(name, 1))
            let rows = try await transaction.query(insert(name, 2))
            transaction.send(insert(name, 3))
            return rows.affected
        }
        #expect(affected == 1)
        #expect(try await values(name) == [1, 2, 3])
    }

    @Test("Nothing but queued statements")
    func onlyQueued() async throws {
        let name = TestSchema.unique("queued")
        try await TestSchema.database().pool.transaction(in: nil) { $0.send(insert(name, 1)) }
        #expect(try await values(name) == [1])
    }

    @Test("A body that throws leaves nothing behind")
    func rollsBack() async throws {
        struct Stop: Error {}
        let name = TestSchema.unique("throw")
        await #expect(throws: Stop.self) {
            try await TestSchema.database().pool.transaction(in: nil) { transaction in
                _ = try await transaction.query(insert(name, 1))
                throw Stop()
            }
        }
        #expect(try await values(name) == [])
    }

    @Test("A queued statement that fails fails the commit")
    func queuedFailure() async throws {
        let name = TestSchema.unique("late")
        let pool = try await TestSchema.database().pool
        let error = await postgresError {
            try await pool.transaction(in: nil) { transaction in
                _ = try await transaction.query(insert(name, 1))
                transaction.send(insert(name, 1))
            }
        }
        #expect(error?.isUniqueViolation(of: "mark_pkey") == true)
        #expect(try await values(name) == [])
    }

    @Test("An error that the body swallows fails the commit all the same")
    func swallowed() async throws {
        let name = TestSchema.unique("swallowed")
        let pool = try await TestSchema.database().pool
        let error = await postgresError {
            try await pool.transaction(in: nil) { transaction in
                transaction.send(insert(name, 1))
                _ = try? await transaction.query("SELECT 1/0")
            }
        }
        #expect(error?.sqlState == "22012")
        #expect(try await values(name) == [])
    }

    @Test("A savepoint survives an error")
    func savepoint() async throws {
        let name = TestSchema.unique("savepoint")
        try await TestSchema.database().pool.transaction(in: nil) { transaction in
            transaction.send(insert(name, 1))
            transaction.send("SAVEPOINT here")
            _ = try? await transaction.query("SELECT 1/0")
            transaction.send("ROLLBACK TO SAVEPOINT here")
            _ = try await transaction.query(insert(name, 2))
        }
        #expect(try await values(name) == [1, 2])
    }

    @Test("The last statements travel with the commit")
    func commitWith() async throws {
        let name = TestSchema.unique("with")
        let pool = try await TestSchema.database().pool
        let value = try await pool.transaction(in: nil) { transaction in
            _ = try await transaction.query(insert(name, 1))
            transaction.send(insert(name, 2))
            let rows = try await transaction.commit(with: [
                "INSERT INTO mark VALUES (\(name + "-3"), 3) RETURNING value", "SELECT 1",
            ])
            #expect(rows.count == 2)
            return try rows[0][0].get("value", as: Int.self)
        }
        #expect(value == 3)
        #expect(try await values(name) == [1, 2, 3])
    }

    @Test("A commit with statements that fail is no commit, whatever the body makes of it")
    func commitWithFailure() async throws {
        let name = TestSchema.unique("withfail")
        let pool = try await TestSchema.database().pool
        let error = await postgresError {
            try await pool.transaction(in: nil) { transaction in
                _ = try await transaction.query(insert(name, 1))
                _ = try? await transaction.commit(with: [insert(name, 1)])
            }
        }
        #expect(error?.sqlState == "23505")
        #expect(try await values(name) == [])
    }

    @Test("A deferred constraint fails in COMMIT itself")
    func deferred() async throws {
        let administrator = try await TestSchema.administrator()
        let table = "d\(UInt32.random(in: 0...UInt32.max))"
        _ = try await administrator.query(
            "CREATE TABLE \(unsafe: table) (a int CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        )
        let error = await postgresError {
            try await administrator.transaction(in: nil) { transaction in
                _ = try await transaction.query("INSERT INTO \(unsafe: table) VALUES (1), (1)")
            }
        }
        #expect(error?.isUniqueViolation(of: "once") == true)
        #expect(try await administrator.query("SELECT 1 FROM \(unsafe: table)").isEmpty)
    }

    @Test("Child tasks share the transaction; the first sends BEGIN")
    func children() async throws {
        struct Stop: Error {}
        let name = TestSchema.unique("child")
        let pool = try await TestSchema.pool(maximumConnections: 1)
        await #expect(throws: Stop.self) {
            try await pool.transaction(in: nil) { transaction in
                async let one = transaction.query(insert(name, 1))
                async let two = transaction.query(insert(name, 2))
                async let three = transaction.query(insert(name, 3))
                #expect(try await [one, two, three].map(\.affected) == [1, 1, 1])
                throw Stop()
            }
        }
        #expect(try await values(name) == [])
    }

    @Test("After the closure has returned it is over")
    func over() async throws {
        let pool = try await TestSchema.database().pool
        let escaped = try await pool.transaction(in: nil) { $0 }
        #expect(await postgresError { _ = try await escaped.query("SELECT 1") }?.sqlState == "25P01")
    }

    @Test("A deadlock is told apart, and running it again works")
    func deadlock() async throws {
        let name = TestSchema.unique("deadlock")
        let pool = try await TestSchema.pool(maximumConnections: 2)
        _ = try await pool.query([insert(name, 1), insert(name, 2)])
        let meeting = Meeting()
        let outcomes = await withTaskGroup(of: PostgresError?.self, returning: [PostgresError?].self) { group in
            for order in [[1, 2], [2, 1]] {
                group.addTask {
                    await postgresError {
                        try await pool.transaction(in: nil) { transaction in
                            for value in order {
                                let row = "\(name)-\(value)"
                                _ = try await transaction.query("UPDATE mark SET value = 9 WHERE name = \(row)")
                                try await meeting.arrive()
                            }
                        }
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let failures = outcomes.compactMap { $0 }
        #expect(failures.count == 1)
        #expect(failures.map(\.isRetryable) == [true])
    }
}

/// Where each of two waits for the other once.
private actor Meeting {
    private var arrived = 0

    func arrive() async throws {
        arrived += 1
        while arrived < 2 { try await Task.sleep(for: .milliseconds(5)) }
    }
}
