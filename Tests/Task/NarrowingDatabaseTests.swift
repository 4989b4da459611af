import Events
import Identity
import Lists
import Messaging
import Postgres
import ServiceKit
import TestSupport
import Testing

@testable import TaskService

/// Lists give the same whether what they are narrowed by is rare, and gathered before, or common, and met on the way.
@Suite struct NarrowingDatabaseTests {
    /// Walks all pages.
    private func all(_ world: World, _ query: QueryItems, pageSize: Int) async throws -> [TaskID] {
        var seen: [TaskID] = []
        var cursor: String?
        repeat {
            var items: QueryItems = query + [("ordering", "created_at"), ("page_size", "\(pageSize)")]
            if let cursor { items.append(("cursor", cursor)) }
            let page = try await world.page(items)
            seen += page.ids
            cursor = page.next
        } while cursor != nil
        return seen.sorted()
    }

    @Test func rareAndCommonAreFoundAlike() async throws {
        let world = try await World()
        try await world.addProject(ProjectID(2), key: "SHIP")
        var expected: [String: [TaskID]] = [:]
        for number in 1...36 {
            let isRare = number.isMultiple(of: 12)
            let byManager = number.isMultiple(of: 9)
            let id = try await world.create(
                isRare ? "Über den Zebrastreifen \(number)%" : "Draft number \(number)",
                by: byManager ? world.manager : world.admin,
                in: !byManager && number.isMultiple(of: 5) ? ProjectID(2) : nil,
                people: number.isMultiple(of: 4) && !number.isMultiple(of: 5) ? ["other@example.com"] : []
            )
            func note(_ query: String, _ fits: Bool) { if fits { expected[query, default: []].append(id) } }
            note("search=zebra", isRare)
            note("search=ÜBER zebraSTREIFEN", isRare)
            note("search=draft", !isRare)
            note("search=project ship", !byManager && number.isMultiple(of: 5))
            note("search=4%", number == 24)
            note("search=number 3", !isRare && "\(number)".contains("3"))
            note("search=nothing", false)
            note("created_by=manager@example.com", byManager)
            note("created_by=Admin@example.com", !byManager)
            note("collaborator=other@example.com", number.isMultiple(of: 4) && !number.isMultiple(of: 5))
            note("collaborator=outsider@example.com", false)
        }
        // What is in the trash is not found.
        try await world.delete(try await world.create("A zebra in the trash"))
        for query in [
            "search=zebra", "search=ÜBER zebraSTREIFEN", "search=draft", "search=project ship", "search=4%",
            "search=number 3", "search=nothing", "created_by=manager@example.com", "created_by=Admin@example.com",
            "collaborator=other@example.com", "collaborator=outsider@example.com",
        ] {
            let parts = query.split(separator: "=").map(String.init)
            // A page of 200 has a bound of 86 ids, a page of one a bound of 9.
            for pageSize in [200, 1] {
                let found = try await all(world, [(name: parts[0], value: parts[1])], pageSize: pageSize)
                #expect(found == (expected[query] ?? []).sorted(), "\(query), \(pageSize) on a page")
            }
        }
        let both: QueryItems = [("created_by", "manager@example.com"), ("created_by", "nobody@example.com")]
        #expect(try await all(world, both, pageSize: 1) == expected["created_by=manager@example.com"])
    }

    @Test func whatIsEditedIsFoundByItsNewTextOnly() async throws {
        let world = try await World()
        let task = try await world.create("Armadillo")
        try await world.edit(task, TaskEdit(title: "Pangolin"))
        #expect(try await world.page([("search", "pangolin")]).ids == [task])
        #expect(try await world.page([("search", "armadillo")]).ids == [])
    }

    @Test func theIndexAnswersForTheTransactionsOrganizationAlone() async throws {
        let mine = try await World()
        let theirs = try await World()
        let task = try await mine.create("Quetzalcoatl")
        func candidates(_ organization: OrganizationID, in context: OrganizationID) async throws -> [TaskID]? {
            let rows = try await mine.database.read(
                in: context,
                "SELECT search_candidates(\(organization), '%quetzalcoatl%', 10) AS ids"
            )
            return try rows.first?.get("ids", as: [TaskID]?.self)
        }
        #expect(try await candidates(mine.organization, in: mine.organization) == [task])
        #expect(try await candidates(mine.organization, in: theirs.organization) == [])
        #expect(try await candidates(theirs.organization, in: theirs.organization) == [])
        let database = try await TestDatabase.shared(for: ServiceFoundation.withLog(TaskApp.schema))
        let outside = try await database.pool.query(
            "SELECT search_candidates(\(mine.organization), '%quetzalcoatl%', 10) AS ids"
        )
        #expect(try outside.first?.get("ids", as: [TaskID]?.self) == [])
    }

    @Test func withoutTheIndexNothingIsNarrowedUntilTheNextMigration() async throws {
        let schema = ServiceFoundation.withLog(TaskApp.schema)
        let url = try await TestDatabase.empty()
        let database = try await TestDatabase.migrated(schema, administratorURL: url)
        let administrator = PostgresPool(
            PostgresConfiguration(url: url, schema: "task"),
            logger: TestDatabase.logger
        )
        _ = try await administrator.query("DROP INDEX task.task_search")
        _ = try await administrator.query(
            """
            CREATE OR REPLACE FUNCTION task.search_candidates(organization uuid, pattern text, most integer) \
            RETURNS bigint[] LANGUAGE sql STABLE AS 'SELECT NULL::bigint[]'
            """
        )
        let organization = OrganizationID.make(milliseconds: 1)
        let request = try TaskLists.tasks(scope: "tasks", organization: organization, ordering: nil)
            .parse([("search", "zebra")], organization: organization, signer: World.signer)
        let narrowing = try #require(Narrowing(request, in: organization))
        func ids() async throws -> [TaskID]? {
            try Narrowing.ids(in: await database.tenant(producer: .task).read(in: organization, narrowing.statement))
        }
        #expect(try await ids() == nil)
        _ = try await TestDatabase.migrated(schema, administratorURL: url)
        #expect(try await ids() == [])
    }

    @Test(
        "Only what a text alone can hold, and the index knows, is looked for in it",
        arguments: [
            (["ab", "x-y", "..."], nil), (["zebra", "abc"], "zebra"), (["pending", "HIGH", "rog"], nil),
            (["pendingly", "ab"], "pendingly"), (["日本語"], "日本語"), (["a%b"], nil), (["12a"], "12a"), ([], nil),
        ] as [([String], String?)]
    )
    func terms(_ given: [String], _ rarest: String?) {
        #expect(Narrowing.rarest(of: given) == rarest)
    }
}
