import Foundation
import Identity
import Testing

@testable import Postgres

@Suite("Database: organizations on one connection")
struct TenancyDatabaseTests {
    private func note(_ organization: OrganizationID, _ id: Int) -> SQL {
        "INSERT INTO note (organization_id, id, body) VALUES (\(organization), \(id), \(organization.description))"
    }

    @Test(
        "TEN-5: a read sees its organization's rows and no others, and leaves nothing on the connection",
        arguments: TestSchema.ways
    )
    func isolates(_ way: TestSchema.Way) async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1, way: way)
        let (first, second) = (TestSchema.organization(), TestSchema.organization())
        for organization in [first, second] {
            try await pool.transaction(in: organization) { $0.send(note(organization, 1)) }
        }
        for organization in [first, second, first] {
            let rows = try await pool.read(in: organization, "SELECT organization_id FROM note")
            #expect(try rows.map { try $0.get("organization_id", as: OrganizationID.self) } == [organization])
        }
        #expect(try await pool.query("SELECT 1 FROM note").isEmpty)
        let left = try await pool.query("SELECT current_setting('app.organization_id', true) AS o")
        #expect(try left[0].get("o", as: String?.self) == "")
    }

    @Test("TEN-2: without an organization, or with an empty one, nothing is seen and nothing written")
    func withoutContext() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1)
        let mine = TestSchema.organization()
        try await pool.transaction(in: mine) { $0.send(note(mine, 1)) }
        try await pool.transaction(in: nil) { transaction in
            let unset = try await transaction.query("SELECT 1 FROM note").count
            #expect(unset == 0)
            transaction.send("SELECT set_config('app.organization_id', '', true)")
            let seen = try await transaction.query("SELECT 1 FROM note").count
            let changed = try await transaction.query("UPDATE note SET body = 'x'").affected
            let removed = try await transaction.query("DELETE FROM note").affected
            #expect(seen == 0 && changed == 0 && removed == 0)
        }
        let refused = await postgresError { try await pool.transaction(in: nil) { $0.send(note(mine, 2)) } }
        #expect(refused?.sqlState == "42501")
        #expect(try await pool.read(in: mine, "SELECT 1 FROM note").count == 1)
    }

    @Test("TEN-2: another organization's row cannot be written", arguments: TestSchema.ways)
    func refusesForeign(_ way: TestSchema.Way) async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1, way: way)
        let (mine, other) = (TestSchema.organization(), TestSchema.organization())
        let error = await postgresError { try await pool.transaction(in: mine) { $0.send(note(other, 1)) } }
        #expect(error?.sqlState == "42501")
        let without = await postgresError { _ = try await pool.query(note(mine, 1)) }
        #expect(without?.sqlState == "42501")
    }

    @Test("A transaction can go from organization to organization", arguments: TestSchema.ways)
    func enters(_ way: TestSchema.Way) async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1, way: way)
        let (first, second) = (TestSchema.organization(), TestSchema.organization())
        try await pool.transaction(in: first) { transaction in
            transaction.send(note(first, 1))
            transaction.enter(second)
            transaction.send(note(second, 1))
            let inSecond = try await transaction.query("SELECT 1 FROM note").count
            #expect(inSecond == 1)
            transaction.enter(nil)
            let inNone = try await transaction.query("SELECT 1 FROM note").count
            #expect(inNone == 0)
        }
        #expect(try await pool.read(in: first, "SELECT 1 FROM note").count == 1)
    }

    @Test(
        "TEN-5: 10,000 requests of 20 organizations over 2 connections, some cancelled or killed: no foreign row",
        arguments: TestSchema.ways
    )
    func randomRequests(_ way: TestSchema.Way) async throws {
        // Behind a pooler there are two sessions, on which six connections of ours take turns.
        let pool = try await TestSchema.pool(maximumConnections: way == .direct ? 2 : 6, way: way)
        let administrator = try await TestSchema.administrator()
        let organizations = (0..<20).map { _ in TestSchema.organization() }
        for organization in organizations {
            try await pool.transaction(in: organization) { $0.send(note(organization, 1)) }
        }
        let tally = await withTaskGroup(of: Tally.self, returning: Tally.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    var tally = Tally()
                    for _ in 0..<625 {
                        guard let organization = organizations.randomElement() else { break }
                        tally.add(await request(organization, pool: pool, administrator: administrator))
                    }
                    return tally
                }
            }
            return await group.reduce(into: Tally()) { $0.add($1) }
        }
        #expect(tally.foreign == 0)
        #expect(tally.right > 8000)
        #expect(tally.killed > 350)
        #expect(tally.cancelled > 100)
        #expect(tally.right + tally.failed == 10_000)
        let left = try await pool.query("SELECT current_setting('app.organization_id', true) AS o")
        #expect(try (left[0].get("o", as: String?.self) ?? "").isEmpty)
    }

    private struct Tally {
        var right = 0
        var foreign = 0
        var failed = 0
        /// Of those: the server's process was ended, or the request was withdrawn, before there was an answer.
        var killed = 0
        var cancelled = 0

        mutating func add(_ other: Tally) {
            right += other.right
            foreign += other.foreign
            failed += other.failed
            killed += other.killed
            cancelled += other.cancelled
        }
    }

    /// One request of a random kind; five in a hundred are cancelled on the way, five kill the server's process.
    private func request(
        _ organization: OrganizationID,
        pool: PostgresPool,
        administrator: PostgresPool
    ) async -> Tally {
        let dice = Int.random(in: 0..<100)
        let isWithdrawn = (10..<15).contains(dice)
        let task = Task { () throws -> [Row] in
            if dice >= 5, dice % 2 == 0 {
                // Those that are withdrawn take long enough to be withdrawn in the middle.
                let pause: SQL = isWithdrawn ? ", pg_sleep(0.002)" : ""
                return Array(try await pool.read(in: organization, "SELECT organization_id AS o FROM note\(pause)"))
            }
            return try await pool.transaction(in: organization) { transaction in
                if dice < 5 {
                    let pid: Int = try await transaction.query("SELECT pg_backend_pid() AS p")[0].get("p")
                    _ = try await administrator.query("SELECT pg_terminate_backend(\(pid)::int)")
                }
                _ = try await transaction.query("UPDATE note SET body = 'x' WHERE id = 1")
                return Array(try await transaction.query("SELECT organization_id AS o FROM note"))
            }
        }
        if isWithdrawn {
            try? await Task.sleep(for: .microseconds(Int.random(in: 0...800)))
            task.cancel()
        }
        do {
            var tally = Tally()
            for row in try await task.value {
                if try row.get("o", as: OrganizationID.self) == organization {
                    tally.right += 1
                } else {
                    tally.foreign += 1
                }
            }
            return tally
        } catch {
            return Tally(failed: 1, killed: dice < 5 ? 1 : 0, cancelled: isWithdrawn ? 1 : 0)
        }
    }
}
