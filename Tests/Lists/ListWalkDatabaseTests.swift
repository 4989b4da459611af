import Failures
import Foundation
import Identity
import Lists
import Messaging
import Postgres
import Synchronization
import TestSupport
import Testing

/// Walks over lists in a real database, where NULLs, directions and collations are what they are.
@Suite struct ListWalkDatabaseTests {
    static let schema = SchemaDefinition(
        service: "listing",
        migrations: MessagingSchema.migrations + [
            Migration(
                "V0001_create_item",
                Array(
                    """
                    CREATE TYPE size AS ENUM ('SMALL', 'LARGE');
                    CREATE TABLE item (
                        organization_id uuid NOT NULL, id bigint NOT NULL, title text NOT NULL, size size NOT NULL,
                        due timestamptz, PRIMARY KEY (organization_id, id));
                    ALTER TABLE item ENABLE ROW LEVEL SECURITY;
                    ALTER TABLE item FORCE ROW LEVEL SECURITY;
                    CREATE POLICY tenant ON item
                        USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
                        WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));
                    """.utf8
                )
            )
        ]
    )

    static let list = ListDeclaration(
        name: "items",
        filters: [.choice("size", column: "i.size", values: ["SMALL", "LARGE"]), .number("id", column: "i.id")],
        search: ["i.title", "i.size::text"],
        sortKeys: [
            SortKey("title", #"lower(i.title) COLLATE "C""#, type: "text"),
            SortKey("size", "i.size", type: "size"),
            SortKey("due", "i.due", type: "timestamptz", isNullable: true),
        ],
        defaultOrdering: "-id",
        identifier: SortKey("id", "i.id", type: "bigint")
    )
    static let signer = CursorSigner(key: [UInt8](repeating: 1, count: 32))

    /// An organization with 40 items: every title four times, every size, a third without a due date.
    struct World: Sendable {
        let database: TenantDatabase
        let organization = OrganizationID.make(milliseconds: 1)

        static func make() async throws -> World {
            let world = World(database: try await TestDatabase.shared(for: schema).tenant(producer: nil))
            for organization in [world.organization, .make(milliseconds: 2)] {
                try await world.database.write(in: organization) { transaction in
                    _ = try await transaction.query(
                        """
                        INSERT INTO item (organization_id, id, title, size, due)
                        SELECT \(organization)::uuid, n, (ARRAY['apple', 'Banana', 'ÉCLAIR', '50%_\\off'])[n % 4 + 1],
                            (ARRAY['SMALL', 'LARGE'])[n % 2 + 1]::size,
                            CASE WHEN n % 3 > 0 THEN '2026-01-01'::timestamptz + (n % 7) * interval '1 microsecond' END
                        FROM generate_series(1, 40) AS n
                        """
                    )
                }
            }
            return world
        }

        func page(_ query: String, cursor: String? = nil) async throws -> Page<Int64> {
            var items: QueryItems = query.split(separator: "&").map { pair in
                let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
                return (parts[0], parts.count > 1 ? parts[1].removingPercentEncoding ?? "" : "")
            }
            if let cursor { items.append(("cursor", cursor)) }
            let request = try list.parse(items, organization: organization, signer: signer)
            return try await request.run(
                in: organization,
                on: database,
                select: "i.id",
                from: "item i",
                visible: "i.organization_id = \(organization)"
            ) { try $0.get("id", as: Int64.self) }
        }

        /// All ids, walking forward; walking back from the end must give the same.
        func walk(_ query: String) async throws -> [Int64] {
            var page = try await page(query)
            #expect(page.previous == nil)
            var ids = page.items
            while let next = page.next {
                page = try await self.page(query, cursor: next)
                ids += page.items
            }
            var back = page.items
            while let previous = page.previous {
                page = try await self.page(query, cursor: previous)
                #expect(page.next != nil)
                back = page.items + back
            }
            #expect(back == ids)
            return ids
        }
    }

    @Test(arguments: [
        "", "ordering=title", "ordering=-title", "ordering=due", "ordering=-due", "ordering=due,-title",
        "ordering=-due,title", "ordering=size,-due,title", "ordering=-size,due", "ordering=title,-size",
    ])
    func everyRowAppearsOnceInTheOrderOfOnePage(_ query: String) async throws {
        let world = try await World.make()
        let expected = try await world.page(query + "&page_size=200").items
        #expect(expected.count == 40)
        for size in [1, 3, 7, 39, 40] { #expect(try await world.walk(query + "&page_size=\(size)") == expected) }
    }

    @Test func nullsComeLastInBothDirectionsAndEnumerationsInTheirOrder() async throws {
        let world = try await World.make()
        for query in ["ordering=due", "ordering=-due"] {
            #expect(try await world.page(query).items.suffix(13).allSatisfy { $0 % 3 == 0 })
        }
        #expect(try await world.page("ordering=size&page_size=1").items == [2])
        #expect(try await world.page("ordering=-size&page_size=1").items == [39])
        // Lower case compares: apple, banana, éclair; the identifier goes the way of the key before it.
        #expect(try await world.page("ordering=title&page_size=12").items.suffix(2) == [4, 8])
        #expect(try await world.page("ordering=-title&page_size=1").items == [38])
    }

    @Test(arguments: [
        ("search=%C3%A9clair", 10), ("search=%25", 10), ("search=50%25_", 10), ("search=_", 10), ("search=%5C", 10),
        ("search=AN%20large", 10), ("search=an%20small", 0), ("search=%", 40), ("search=", 40), ("size=SMALL", 20),
        ("size=SMALL&size=LARGE", 40), ("id=1&id=2&id=99", 2), ("id=1&size=SMALL", 0),
    ])
    func filtersAndSearchNarrow(_ query: String, _ count: Int) async throws {
        let world = try await World.make()
        let page = try await world.page(query + "&count=true")
        #expect(page.items.count == count)
        #expect(page.count == Int64(count))
    }

    /// The count is of the moment of the page, whatever is changed meanwhile.
    @Test func theCountIsOfThePage() async throws {
        let world = try await World.make()
        let organization = world.organization
        func make(_ size: String) async throws {
            _ = try await world.database.write(in: organization) { transaction in
                try await transaction.query(
                    "UPDATE item SET size = \(size)::size WHERE organization_id = \(organization)"
                )
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { for turn in 0..<150 { try await make(turn.isMultiple(of: 2) ? "SMALL" : "LARGE") } }
            for _ in 0..<150 {
                let page = try await world.page("size=SMALL&count=true&page_size=200")
                #expect(page.count == Int64(page.items.count))
            }
            try await group.waitForAll()
        }
        try await make("SMALL")
        let first = try await world.page("size=SMALL&count=true&page_size=10&ordering=title")
        #expect(first.count == 40)
        let second = try await world.page("size=SMALL&count=true&page_size=10&ordering=title", cursor: first.next)
        #expect(second.count == 40)
        try await world.database.write(in: organization) { transaction in
            _ = try await transaction.query(
                """
                DELETE FROM item WHERE organization_id = \(organization) AND id <> ALL(\(first.items)::bigint[])
                """
            )
        }
        let end = try await world.page("size=SMALL&count=true&page_size=10&ordering=title", cursor: first.next)
        #expect(end.items.isEmpty)
        #expect(end.count == 10)
    }

    @Test func rowsThatComeAndGoDoNotDisturbTheOthers() async throws {
        let world = try await World.make()
        let organization = world.organization
        let first = try await world.page("ordering=title&page_size=10")
        try await world.database.write(in: organization) { transaction in
            _ = try await transaction.query([
                "DELETE FROM item WHERE organization_id = \(organization) AND id = ANY(\(first.items)::bigint[])",
                """
                INSERT INTO item (organization_id, id, title, size) VALUES (\(organization), 99, '0', 'SMALL')
                """,
            ])
        }
        var rest: [Int64] = []
        var cursor = first.next
        while let next = cursor {
            let page = try await world.page("ordering=title&page_size=10", cursor: next)
            rest += page.items
            cursor = page.next
        }
        #expect(Set(rest).count == 30 && rest.count == 30)
        #expect(Set(rest).isDisjoint(with: first.items))
    }
}
