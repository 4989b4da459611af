import Chronology
import Foundation
import Identity
import Logging
import TestSupport
import Testing

@testable import Postgres

@Suite("Database: statements")
struct QueryDatabaseTests {
    @Test("Values of every type come back as they went")
    func types() async throws {
        let pool = try await TestSchema.database().pool
        let moment = try #require(Timestamp("2026-12-01T09:30:00.123456Z"))
        let day = try #require(CivilDate("2026-12-01"))
        let id = UUID()
        let nothing: String? = nil
        let rows = try await pool.query(
            """
            SELECT \(Int64.max)::bigint AS i, \(-1.5e-7)::float8 AS d, \(true)::bool AS b, \(id)::uuid AS u,
                \(moment)::timestamptz AS m, \(day)::date AS c, \(SQLBytes([0, 255, 92]))::bytea AS y,
                \(nothing)::text AS n, \([3, 1])::bigint[] AS l, \(["a\"", "ü"])::text[] AS t,
                '{"a": 1}'::jsonb AS j
            """
        )
        let row = try #require(rows.first)
        #expect(try row.get("i", as: Int64.self) == .max)
        #expect(try row.get("d", as: Double.self) == -1.5e-7)
        #expect(try row.get("b", as: Bool.self))
        #expect(try row.get("u", as: UUID.self) == id)
        #expect(try row.get("m", as: Timestamp.self) == moment)
        #expect(try row.get("c", as: CivilDate.self) == day)
        #expect(try row.get("y", as: SQLBytes.self).bytes == [0, 255, 92])
        #expect(try row.get("n", as: String?.self) == nil)
        #expect(try row.get("l", as: [Int].self) == [3, 1])
        #expect(try row.get("t", as: [String].self) == ["a\"", "ü"])
        #expect(try row.bytes("j") == Array(#"{"a": 1}"#.utf8))
        #expect(try row.isNull("n"))
    }

    @Test(
        "Text is stored code point for code point",
        arguments: [
            "", " ", "\t\n\r", "é", "e\u{301}", "\u{1F469}\u{200D}\u{1F469}\u{200D}\u{1F467}", "\u{FEFF}x", "\u{FFFF}",
            "\u{10FFFF}", "\u{1}\u{7F}", "'\"\\$1%s{}", "\u{202E}abc", String(repeating: "ß", count: 100_000),
        ]
    )
    func unicode(text: String) async throws {
        let rows = try await TestSchema.database().pool.query(
            "SELECT \(text)::text AS same, octet_length(\(text)::text) AS length"
        )
        #expect(try Array(rows[0].get("same", as: String.self).utf8) == Array(text.utf8))
        #expect(try rows[0].get("length", as: Int.self) == text.utf8.count)
    }

    @Test("U+0000 is refused, not cut off, and the connection stays")
    func zero() async throws {
        let pool = try await TestSchema.database().pool
        let error = await postgresError { _ = try await pool.query("SELECT \("a\u{0}b")::text") }
        #expect(error?.code == .server)
        #expect(error?.sqlState == "22021")
    }

    @Test("The server's errors come with SQLSTATE and constraint, and hurt nobody after them")
    func errors() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1)
        let name = TestSchema.unique("dup")
        let process = try await pool.query("SELECT pg_backend_pid() AS pid")[0].get("pid", as: Int.self)
        #expect(try await pool.query("INSERT INTO mark VALUES (\(name), 1)").affected == 1)
        let duplicate = await postgresError { _ = try await pool.query("INSERT INTO mark VALUES (\(name), 1)") }
        #expect(duplicate?.isUniqueViolation(of: "mark_pkey") == true)
        let division = await postgresError { _ = try await pool.query("SELECT 1 / \(0)::int") }
        #expect(division?.sqlState == "22012")
        // Twice: the second time it is not taken for a statement that is prepared.
        for _ in 0..<2 {
            let unknown = await postgresError { _ = try await pool.query("SELECT * FROM no_such_table") }
            #expect(unknown?.sqlState == "42P01")
        }
        #expect(try await pool.query("SELECT pg_backend_pid() AS pid")[0].get("pid", as: Int.self) == process)
    }

    @Test("Decoding says what is wrong")
    func decoding() async throws {
        let rows = try await TestSchema.database().pool.query("SELECT 'x' AS text, NULL AS nothing")
        #expect(await postgresError { _ = try rows[0].get("text", as: Int.self) }?.code == .decoding)
        #expect(await postgresError { _ = try rows[0].get("nothing", as: Int.self) }?.code == .decoding)
        #expect(await postgresError { _ = try rows[0].get("missing", as: Int?.self) }?.code == .decoding)
    }

    @Test("Several statements in one round trip; one that fails fails them all")
    func several() async throws {
        let pool = try await TestSchema.database().pool
        let name = TestSchema.unique("several")
        let results = try await pool.query([
            "SELECT 1 AS one", "SELECT 2 AS two UNION SELECT 3", "SELECT 4 WHERE false",
        ])
        #expect(results.map(\.count) == [1, 2, 0])
        let error = await postgresError {
            _ = try await pool.query(["INSERT INTO mark VALUES (\(name), 1)", "SELECT 1/0", "SELECT 1"])
        }
        #expect(error?.sqlState == "22012")
        #expect(try await pool.query("SELECT 1 FROM mark WHERE name = \(name)").isEmpty)
    }

    @Test("More statements than a connection keeps prepared")
    func manyTexts() async throws {
        let pool = try await TestSchema.pool(maximumConnections: 1)
        for round in 0..<2 {
            for number in 0..<300 {
                let rows = try await pool.query("SELECT \(unsafe: String(number)) AS n, \(round)::int AS r")
                #expect(try rows[0].get("n", as: Int.self) == number)
            }
        }
        let kept = try await pool.query("SELECT count(*) AS c FROM pg_prepared_statements")[0].get("c", as: Int.self)
        #expect((250...260).contains(kept))
    }

    @Test("A megabyte there and back")
    func large() async throws {
        let text = String(repeating: "0123456789abcdef", count: 65_536)
        let rows = try await TestSchema.database().pool.query(
            "SELECT \(text)::text AS t FROM generate_series(1, 4)"
        )
        #expect(rows.count == 4)
        for row in rows { #expect(try row.get("t", as: String.self).utf8.count == text.utf8.count) }
    }

    @Test("The session is as we want it")
    func session() async throws {
        let pool = try await TestSchema.database().pool
        for (name, expected) in [
            ("search_path", "client"), ("TimeZone", "UTC"), ("DateStyle", "ISO, MDY"), ("client_encoding", "UTF8"),
            ("application_name", "taskflow-client"), ("statement_timeout", "20s"), ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "10s"), ("idle_session_timeout", "0"),
        ] {
            let rows = try await pool.query("SELECT current_setting(\(name)) AS value")
            #expect(try rows[0].get("value", as: String.self).replacing("\"", with: "") == expected)
        }
    }
}
