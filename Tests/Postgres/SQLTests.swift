import Chronology
import Foundation
import Identity
import Testing

@testable import Postgres

@Suite("SQL")
struct SQLTests {
    @Test("Values are numbered and bound, never pasted")
    func binds() {
        let name = "x'; DROP TABLE task; --"
        let missing: Int? = nil
        let sql: SQL = "SELECT \(name), \(7), \(missing) FROM t"
        #expect(sql.statement.text == "SELECT $1, $2, $3 FROM t")
        #expect(sql.statement.parameters.map(\.text) == [name, "7", nil])
    }

    @Test("Fragments are spliced and their values numbered on")
    func splices() {
        let condition: SQL = "a = \(1) AND b = \(2)"
        let sql: SQL = "SELECT \(0) FROM \(unsafe: "t") WHERE \(condition) LIMIT \(9)"
        #expect(sql.statement.text == "SELECT $1 FROM t WHERE a = $2 AND b = $3 LIMIT $4")
        #expect(sql.statement.parameters.map(\.text) == ["0", "1", "2", "9"])
        let joined = SQL.joined(["a = \(1)", "b = \(2)"], separator: " OR ") + " LIMIT \(3)"
        #expect(joined.statement.text == "a = $1 OR b = $2 LIMIT $3")
        #expect(SQL.joined([], separator: ",").statement.text == "")
    }

    @Test("The organization is one value, however often it stands in a statement")
    func sharesTheOrganization() {
        let (organization, other, user) = (OrganizationID(UUID()), OrganizationID(UUID()), UserID(UUID()))
        let sql: SQL = "\(organization) \(1) \(user) \(organization) \(other) \(user) \(1) \(other)"
        #expect(sql.statement.text == "$1 $2 $3 $1 $4 $5 $6 $4")
        let known = [organization.description, "1", user.description, other.description]
        #expect(sql.statement.parameters.prefix(4).map(\.text) == known)
    }

    @Test(
        "Array literals quote every element",
        arguments: [
            ([], "{}"),
            (["a", "b"], #"{"a","b"}"#),
            (["", "NULL", nil], #"{"","NULL",NULL}"#),
            ([#"a"b\c"#, "{,}"], #"{"a\"b\\c","{,}"}"#),
            (["e\u{301}👩‍👩‍👧\n"], "{\"e\u{301}👩‍👩‍👧\n\"}"),
        ] as [([String?], String)]
    )
    func quotesArrays(elements: [String?], literal: String) {
        #expect(elements.sqlParameter.text.map { Array($0.utf8) } == Array(literal.utf8))
    }

    @Test(
        "Array literals as the server writes them",
        arguments: [
            ("{}", []), ("{a,b}", ["a", "b"]), (#"{"a\"b\\c","{,}",""}"#, [#"a"b\c"#, "{,}", ""]),
            (#"{"NULL"}"#, ["NULL"]), ("{NULL}", nil), ("{a,}", nil), ("a", nil), (#"{"a}"#, nil),
        ] as [(String, [String]?)]
    )
    func readsArrays(literal: String, expected: [String]?) {
        #expect([String](sqlText: literal) == expected)
    }

    @Test(
        "Integers are read within their range and nothing else is",
        arguments: [
            ("0", 0), ("-1", -1), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9223372036854775808", nil), ("", nil), ("-", nil), ("1.0", nil), ("+1", nil), (" 1", nil),
        ] as [(String, Int64?)]
    )
    func readsIntegers(text: String, expected: Int64?) {
        #expect(read(text, as: Int64.self) == expected)
    }

    @Test("UUIDs are read in either case and in full length only")
    func readsUUIDs() {
        let uuid = UUID()
        #expect(read(uuid.uuidString, as: UUID.self) == uuid)
        #expect(read(uuid.uuidString.lowercased(), as: OrganizationID.self)?.uuid == uuid)
        #expect(read(String(uuid.uuidString.dropLast()), as: UUID.self) == nil)
        #expect(read(uuid.uuidString.replacing("-", with: "0"), as: UUID.self) == nil)
    }

    @Test("Timestamps of a session in UTC")
    func readsTimestamps() {
        let moment = Timestamp("2026-12-01T09:30:00.5Z")
        #expect(Timestamp(sqlText: "2026-12-01 09:30:00.5+00") == moment)
        #expect(Timestamp(sqlText: "2026-12-01 09:30:00.5+01") == nil)
        #expect(Timestamp(sqlText: "infinity") == nil)
    }

    @Test("Bytes in hexadecimal there and back")
    func bytes() {
        let bytes = SQLBytes(Array(0...255))
        #expect(bytes.sqlParameter.text.flatMap { SQLBytes(sqlText: $0) } == bytes)
        #expect(SQLBytes(sqlText: "\\x0g") == nil)
    }

    @Test("U+0000 is refused as the server refuses it")
    func refusesZero() {
        let sql: SQL = "SELECT \("a\u{0}b")"
        #expect { try sql.statement.check() } throws: { ($0 as? PostgresError)?.sqlState == "22021" }
    }

    private func read<Value: SQLDecodable>(_ text: String, as type: Value.Type) -> Value? {
        Array(text.utf8).withUnsafeBufferPointer { Value(sqlBytes: $0) }
    }
}

@Suite("Statements of a connection")
struct StatementCacheTests {
    @Test("A text is prepared once; the least recently used one makes room, but none of the same round")
    func evicts() {
        var cache = StatementCache(capacity: 2)
        let first = cache.nextGeneration()
        guard case .new("s1") = cache.use("a", generation: first) else {
            Issue.record("not new")
            return
        }
        guard case .new("s2") = cache.use("b", generation: first) else {
            Issue.record("not new")
            return
        }
        guard case .known("s1") = cache.use("a", generation: first) else {
            Issue.record("not known")
            return
        }
        guard case .new("s3") = cache.use("c", generation: first) else {
            Issue.record("not new")
            return
        }
        #expect(cache.evicted.isEmpty)
        let second = cache.nextGeneration()
        _ = cache.use("a", generation: second)
        _ = cache.use("c", generation: second)
        _ = cache.use("d", generation: second)
        #expect(cache.takeEvicted() == ["s2"])
        #expect(cache.evicted.isEmpty)
    }

    @Test("One that could not be prepared is forgotten")
    func forgets() {
        var cache = StatementCache(capacity: 2)
        let generation = cache.nextGeneration()
        _ = cache.use("a", generation: generation)
        cache.forget("a")
        guard case .new = cache.use("a", generation: generation) else {
            Issue.record("not new")
            return
        }
    }
}

@Suite("What is said about errors")
struct PostgresErrorTests {
    @Test(
        "The dependency is missing, or the statement is wrong",
        arguments: [
            ("57P01", true), ("57P03", true), ("53300", true), ("53100", true), ("08006", true), ("57014", true),
            ("55P03", true), ("23505", false), ("40001", false), ("22021", false), ("42P01", false),
        ]
    )
    func unavailability(state: String, expected: Bool) {
        #expect(PostgresError(.server, sqlState: state, message: "").isUnavailability == expected)
    }

    @Test("By kind")
    func kinds() {
        #expect(PostgresError(.poolExhausted, message: "").isUnavailability)
        #expect(PostgresError(.connectionLost, message: "").isUnavailability)
        #expect(!PostgresError(.cancelled, message: "").isUnavailability)
        #expect(PostgresError(.server, sqlState: "40P01", message: "").isRetryable)
        #expect(!PostgresError(.server, sqlState: "23505", message: "").isRetryable)
    }

    @Test("The short form says nothing of data or host")
    func isDiscreet() {
        let error = PostgresError(.server, sqlState: "23505", constraint: "c", message: "Key (email)=(a@b.c) exists")
        #expect("\(error)" == "PostgresError(server, 23505)")
        #expect(error.debugDescription.contains("a@b.c"))
    }

    @Test("The SQLSTATE of a refused connection stands in its message")
    func stateInMessage() {
        let message =
            "connection to server on socket \"/tmp/.s.PGSQL.1\" failed: FATAL:  28P01: password no\nLOCATION:  x"
        #expect(Connector.sqlState(in: message) == "28P01")
        #expect(Connector.sqlState(in: "connection to server at \"127.0.0.1\", port 5432 failed: refused") == nil)
    }
}

@Suite("Where to connect")
struct ConnectionTargetTests {
    @Test("Parts of a connection string are replaced, and quoted where needed")
    func replaces() throws {
        let text = try PostgresConfiguration.connectionString(
            "postgresql://a:b@%2Ftmp%2Fx:5433/db",
            replacing: ["user": "o'neil", "password": "back\\slash"]
        )
        let target = try ConnectionTarget(text)
        #expect(target["host"] == "/tmp/x")
        #expect(target["port"] == "5433")
        #expect(target["user"] == "o'neil")
        #expect(target["password"] == "back\\slash")
        #expect(target["dbname"] == "db")
    }

    @Test("Nonsense is refused without being quoted")
    func refusesNonsense() {
        #expect { try ConnectionTarget("postgres://u:secret@[") } throws: { error in
            !String(reflecting: error).contains("secret")
        }
    }

    @Test("Addresses and sockets need no resolver, names do")
    func resolves() async throws {
        let socket = try await ConnectionTarget("host=/tmp,127.0.0.1,::1").resolved()
        #expect(socket["hostaddr"] == nil)
        let name = try await ConnectionTarget("host=localhost port=1234").resolved()
        let addresses = try #require(name["hostaddr"]).split(separator: ",")
        #expect(!addresses.isEmpty)
        #expect(addresses.allSatisfy { $0 == "127.0.0.1" || $0 == "::1" })
        #expect(name["port"]?.split(separator: ",").count == addresses.count)
    }

    @Test("Our settings of the session come before those of the connection string")
    func options() throws {
        var target = try ConnectionTarget("postgresql://h/db?options=-c%20jit%3Don")
        target.addOptions([("search_path", "a b")])
        #expect(target["options"] == #"-c search_path=a\ b -c jit=on"#)
    }
}

@Suite("Which migrations are missing")
struct MigrationRuleTests {
    private let one = Migration("V0001_one", Array("SELECT 1".utf8))
    private let two = Migration("V0002_two", Array("SELECT 2".utf8))

    @Test("Those not recorded, in order")
    func missing() throws {
        let schema = SchemaDefinition(service: "x", migrations: [one, two])
        #expect(try schema.missing(recorded: [:]).map(\.name) == ["V0001_one", "V0002_two"])
        #expect(try schema.missing(recorded: [one.name: one.checksum]).map(\.name) == ["V0002_two"])
    }

    @Test("A database that has run more is refused")
    func newer() {
        let schema = SchemaDefinition(service: "x", migrations: [one])
        #expect { try schema.missing(recorded: [one.name: one.checksum, two.name: two.checksum]) } throws: { error in
            (error as? MigrationError)?.code == .databaseIsNewer
        }
    }

    @Test("An edited file is refused")
    func edited() {
        let schema = SchemaDefinition(service: "x", migrations: [one])
        #expect { try schema.missing(recorded: [one.name: two.checksum]) } throws: { error in
            (error as? MigrationError)?.code == .fileChanged
        }
    }

    @Test("The checksum is SHA-256 in hexadecimal")
    func checksum() {
        #expect(
            Migration("e", []).checksum == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        )
    }
}
