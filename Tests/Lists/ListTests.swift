import Failures
import Foundation
import Identity
import Testing

@testable import Lists
@testable import Postgres

/// What every suite here asks of: tasks with keys of all kinds.
enum Example {
    static let list = ListDeclaration(
        name: "tasks",
        filters: [
            .choice("status", column: "t.status", values: ["PENDING", "OK"]),
            .boolean("unread", column: "t.read_at IS NULL"),
            .number("project", column: "t.project_id"),
        ],
        search: ["t.title", "p.name"],
        sortKeys: [
            SortKey("title", #"lower(t.title) COLLATE "C""#, type: "text"),
            SortKey("due_date", "t.due", type: "timestamptz", isNullable: true),
            SortKey("priority", "t.priority", type: "task_priority"),
        ],
        defaultOrdering: "-updated_at",
        hiddenKeys: [SortKey("updated_at", "t.updated_at", type: "timestamptz")],
        identifier: SortKey("id", "t.id", type: "bigint")
    )
    static let organization = OrganizationID(UUID())
    static let signer = CursorSigner(key: [UInt8](repeating: 7, count: 32))

    static func items(_ query: String) -> QueryItems {
        query.isEmpty
            ? []
            : query.split(separator: "&").map { pair in
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), parts.count > 1 ? String(parts[1]).removingPercentEncoding ?? "" : "")
            }
    }

    static func parse(_ query: String, organization: OrganizationID = organization) throws -> ListRequest {
        try list.parse(items(query), organization: organization, signer: signer)
    }

    /// The statement with `$n` for what is bound, and the bound values.
    static func text(_ sql: SQL) -> (text: String, values: [String?]) {
        let statement = sql.statement
        return (statement.text, statement.parameters.map(\.text))
    }

    static func statement(_ query: String) throws -> (text: String, values: [String?]) {
        text(try parse(query).pageStatement(select: "t.id", from: "task t", visible: "t.organization_id = 1"))
    }
}

@Suite struct ListParsingTests {
    func failure(_ query: String) -> String? {
        do {
            _ = try Example.parse(query)
            return nil
        } catch {
            let failure = error as? Failure
            #expect(failure?.kind == .badRequest)
            return failure.map { "\($0.code) \($0.fields.first?.parameter ?? "") \($0.fields.first?.code ?? "")" }
        }
    }

    @Test(arguments: [
        ("foo=1", "bad-parameter foo unknown-parameter"),
        ("updated_at=1", "bad-parameter updated_at unknown-parameter"),
        ("status=pending", "bad-parameter status bad-value"), ("status=", "bad-parameter status bad-value"),
        ("status=O%E2%84%AA", "bad-parameter status bad-value"),
        ("unread=1", "bad-parameter unread bad-value"),
        ("unread=true&unread=true", "bad-parameter unread repeated-parameter"),
        ("project=0", "bad-parameter project bad-value"), ("project=-1", "bad-parameter project bad-value"),
        ("project=07", "bad-parameter project bad-value"), ("project=+7", "bad-parameter project bad-value"),
        ("project=9223372036854775808", "bad-parameter project bad-value"),
        ("page_size=0", "bad-parameter page_size bad-value"), ("page_size=201", "bad-parameter page_size bad-value"),
        ("page_size=", "bad-parameter page_size bad-value"),
        ("page_size=5&page_size=5", "bad-parameter page_size repeated-parameter"),
        ("count=1", "bad-parameter count bad-value"), ("fields=", "bad-parameter fields bad-value"),
        ("fields=id,,title", "bad-parameter fields bad-value"),
        ("search=a&search=b", "bad-parameter search repeated-parameter"),
        ("search=a%00", "bad-parameter search nul-character"), ("ordering=id", "bad-parameter ordering bad-value"),
        ("ordering=updated_at", "bad-parameter ordering bad-value"),
        ("ordering=title,", "bad-parameter ordering bad-value"),
        ("ordering=--title", "bad-parameter ordering bad-value"),
        ("ordering=title,-title", "bad-parameter ordering bad-value"),
        ("ordering=-", "bad-parameter ordering bad-value"),
        ("cursor=", "bad-cursor cursor bad-cursor"), ("cursor=AAAA", "bad-cursor cursor bad-cursor"),
    ])
    func refusesAndNamesTheParameter(_ query: String, _ expected: String) {
        #expect(failure(query) == expected)
    }

    @Test func defaultsAndLimits() throws {
        let plain = try Example.parse("")
        #expect(plain.pageSize == 50)
        #expect(plain.wantsCount == false)
        #expect(plain.fields == nil)
        let strict = ListDeclaration(
            name: "few",
            defaultOrdering: "",
            identifier: Example.list.identifier,
            fields: ["id", "title"]
        )
        for (text, isGood) in [("id,title", true), ("id,nope", false), ("Id", false)] {
            let request = try? strict.parse(
                [("fields", text)],
                organization: Example.organization,
                signer: Example.signer
            )
            #expect((request != nil) == isGood)
        }
        let full = try Example.parse("page_size=200&count=true&fields=id,title&search=&ordering=")
        #expect(full.pageSize == 200)
        #expect(full.wantsCount)
        #expect(full.fields == ["id", "title"])
    }

    @Test func namesItsParameters() {
        #expect(
            Example.list.parameterNames == [
                "status", "unread", "project", "search", "ordering", "page_size", "cursor", "count", "fields",
            ]
        )
    }
}

@Suite struct ListStatementTests {
    @Test func withoutParameters() throws {
        let (text, values) = try Example.statement("")
        #expect(
            text == """
                SELECT t.id, (t.updated_at)::text AS "_key0", (t.id)::text AS "_key1" FROM task t \
                WHERE (t.organization_id = 1) ORDER BY t.updated_at DESC, t.id DESC LIMIT 51
                """
        )
        #expect(values.isEmpty)
    }

    @Test func filtersAreJoinedByAndTheirValuesByOr() throws {
        let (text, values) = try Example.statement("status=PENDING&unread=false&status=OK&project=7")
        #expect(
            text.contains(
                """
                WHERE (t.organization_id = 1) AND (t.status = $1 OR t.status = $2) AND (NOT (t.read_at IS NULL)) \
                AND (t.project_id = $3::bigint) ORDER
                """
            )
        )
        #expect(values == ["PENDING", "OK", "7"])
    }

    @Test func everyTermMustOccurSomewhere() throws {
        let (text, values) = try Example.statement("search=%20Caf%C3%A9%E2%80%8350%25_%5C%20Caf%C3%A9")
        #expect(
            text.contains(
                #"""
                AND (lower(t.title) LIKE lower($1) ESCAPE '\' OR lower(p.name) LIKE lower($2) ESCAPE '\') \#
                AND (lower(t.title) LIKE lower($3) ESCAPE '\' OR lower(p.name) LIKE lower($4) ESCAPE '\') ORDER
                """#
            )
        )
        #expect(values == ["%Café%", "%Café%", #"%50\%\_\\%"#, #"%50\%\_\\%"#])
    }

    @Test func orderingEndsWithTheIdentifierAndPutsNullsLast() throws {
        let (text, _) = try Example.statement("ordering=title,-due_date")
        #expect(
            text.contains(#"ORDER BY lower(t.title) COLLATE "C" ASC, t.due DESC NULLS LAST, t.id DESC LIMIT"#)
        )
        #expect(
            try Example.statement("ordering=due_date").text.contains("ORDER BY t.due ASC NULLS LAST, t.id ASC LIMIT")
        )
    }

    @Test func countIsAskedWithoutTheCursor() throws {
        let request = try Example.parse("count=true&status=OK")
        let (text, values) = Example.text(request.countStatement(from: "task t", visible: "t.organization_id = 1"))
        #expect(text == "SELECT count(*) AS count FROM task t WHERE (t.organization_id = 1) AND (t.status = $1)")
        #expect(values == ["OK"])
    }

    func page(_ query: String, _ values: [String?], backward: Bool) throws -> String {
        let request = try Example.parse(query)
        let cursor = Example.signer.seal(
            CursorPosition(isBackward: backward, isInclusive: false, values: values),
            binding: request.binding
        )
        return try Example.statement(query + "&cursor=\(cursor)").text
            .replacing(#/^.*WHERE \(t.organization_id = 1\) /#, with: "")
    }

    @Test func oneDirectionWithoutNullsIsARowComparison() throws {
        #expect(
            try page("page_size=1", ["2026-01-01 00:00:00+00", "7"], backward: false)
                == "AND (t.updated_at, t.id) < ($1::timestamptz, $2::bigint) ORDER BY t.updated_at DESC, t.id DESC LIMIT 2"
        )
        #expect(
            try page("page_size=1", ["2026-01-01 00:00:00+00", "7"], backward: true)
                == "AND (t.updated_at, t.id) > ($1::timestamptz, $2::bigint) ORDER BY t.updated_at ASC, t.id ASC LIMIT 2"
        )
    }

    @Test func nullsLastHoldsInBothDirections() throws {
        #expect(
            try page("ordering=-due_date,title", ["x", "a", "7"], backward: false).hasPrefix(
                #"""
                AND (((t.due < $1::timestamptz OR t.due IS NULL)) \#
                OR (t.due = $2::timestamptz AND lower(t.title) COLLATE "C" > $3::text) \#
                OR (t.due = $4::timestamptz AND lower(t.title) COLLATE "C" = $5::text AND t.id > $6::bigint)) \#
                ORDER BY t.due DESC NULLS LAST, lower(t.title) COLLATE "C" ASC, t.id ASC
                """#
            )
        )
        #expect(
            try page("ordering=-due_date", [nil, "7"], backward: false).hasPrefix(
                "AND ((t.due IS NULL AND t.id < $1::bigint)) ORDER BY t.due DESC NULLS LAST, t.id DESC"
            )
        )
        #expect(
            try page("ordering=due_date", [nil, "7"], backward: true).hasPrefix(
                """
                AND ((t.due IS NOT NULL) OR (t.due IS NULL AND t.id < $1::bigint)) \
                ORDER BY t.due DESC NULLS FIRST, t.id DESC
                """
            )
        )
        #expect(
            try page("ordering=due_date", ["x", "7"], backward: true).hasPrefix(
                "AND ((t.due < $1::timestamptz) OR (t.due = $2::timestamptz AND t.id < $3::bigint)) ORDER"
            )
        )
    }
}

@Suite struct CursorTests {
    /// The cursor of the page after one that ended at these values.
    func next(_ query: String, _ values: [String?], organization: OrganizationID = Example.organization) throws
        -> String
    {
        let links = try Example.parse(query, organization: organization).links(keys: [values], hasMore: true)
        return try #require(links.next)
    }

    @Test func carriesTheValues() throws {
        let values = ["O'Neill – 𝄞", nil, String(repeating: "x", count: 1000), ""]
        let position = CursorPosition(isBackward: true, isInclusive: false, values: values)
        let binding = try Example.parse("").binding
        let sealed = Example.signer.seal(position, binding: binding)
        #expect(try Example.signer.open(sealed, binding: binding, keys: 4) == position)
    }

    @Test func isGoodForTheSameQueryWhateverThePageSize() throws {
        let cursor = try next("status=OK&status=PENDING&search=a", ["2026-01-01 00:00:00+00", "7"])
        _ = try Example.parse("cursor=\(cursor)&search=%20a&status=PENDING&status=OK&page_size=3&count=true&fields=id")
    }

    @Test(arguments: [
        "", "status=OK", "status=OK&search=b", "status=OK&search=a&ordering=title", "search=a&status=PENDING",
    ])
    func isRefusedForAnotherQuery(_ query: String) throws {
        let cursor = try next("status=OK&search=a", ["2026-01-01 00:00:00+00", "7"])
        #expect(throws: Failure.self) { try Example.parse(query + "&cursor=\(cursor)") }
    }

    @Test func isRefusedForAnotherOrganizationListOrKey() throws {
        let cursor = try next("", ["2026-01-01 00:00:00+00", "7"])
        #expect(throws: Failure.self) { try Example.parse("cursor=\(cursor)", organization: OrganizationID(UUID())) }
        let other = ListDeclaration(
            name: "others",
            defaultOrdering: "-updated_at",
            hiddenKeys: Example.list.hiddenKeys,
            identifier: Example.list.identifier
        )
        #expect(throws: Failure.self) {
            try other.parse([("cursor", cursor)], organization: Example.organization, signer: Example.signer)
        }
        #expect(throws: Failure.self) {
            try Example.list.parse(
                [("cursor", cursor)],
                organization: Example.organization,
                signer: CursorSigner(key: [UInt8](repeating: 8, count: 32))
            )
        }
    }

    @Test func anyEditIsRefused() throws {
        let cursor = Array(try next("", ["2026-01-01 00:00:00+00", "7"]))
        for index in cursor.indices {
            var edited = cursor
            edited[index] = edited[index] == "A" ? "B" : "A"
            #expect(throws: Failure.self) { try Example.parse("cursor=\(String(edited))") }
        }
        for text in [String(cursor.dropLast()), String(cursor) + "A", String(cursor) + "=", " " + String(cursor)] {
            #expect(throws: Failure.self) {
                try Example.list.parse([("cursor", text)], organization: Example.organization, signer: Example.signer)
            }
        }
    }

    @Test func linksLeadBothWays() throws {
        func links(_ query: String, _ keys: [[String?]], more: Bool) throws -> (
            next: CursorPosition?, previous: CursorPosition?
        ) {
            let request = try Example.parse(query)
            let links = request.links(keys: keys, hasMore: more)
            func open(_ cursor: String?) throws -> CursorPosition? {
                try cursor.map { try Example.signer.open($0, binding: request.binding, keys: 2) }
            }
            return (try open(links.next), try open(links.previous))
        }
        func query(_ position: CursorPosition) throws -> String {
            "cursor=" + Example.signer.seal(position, binding: try Example.parse("").binding)
        }
        let (a, b): ([String?], [String?]) = (["2", "2"], ["1", "1"])
        let forward = CursorPosition(isBackward: false, isInclusive: false, values: ["3", "3"])
        let backward = CursorPosition(isBackward: true, isInclusive: false, values: ["0", "0"])

        // The first page has nothing before it.
        #expect(try links("", [a, b], more: true).previous == nil)
        #expect(try links("", [a, b], more: true).next?.values == b)
        #expect(try links("", [a, b], more: false).next == nil)
        // Going on.
        #expect(try links(query(forward), [a, b], more: false).previous?.values == a)
        #expect(try links(query(forward), [a, b], more: false).next == nil)
        // Going back, rows come in reverse.
        #expect(try links(query(backward), [b, a], more: true).previous?.values == a)
        #expect(try links(query(backward), [b, a], more: false).previous == nil)
        #expect(try links(query(backward), [b, a], more: false).next?.values == b)
        // A page whose rows are gone still leads back, with the row it started from.
        let empty = try links(query(forward), [], more: false)
        #expect(empty.next == nil)
        #expect(empty.previous == CursorPosition(isBackward: true, isInclusive: true, values: ["3", "3"]))
    }
}
