import Chronology
import Failures
import Identity
import Lists
import ServiceKit
import Testing

@testable import TaskService

@Suite struct ListDatabaseTests {
    /// Pages of three through a list that is written to meanwhile: every row that stays appears once.
    @Test(arguments: ["start_date", "-start_date", "due_date", "-due_date", "priority,-title", "-status", "updated_at"])
    func aWalkHasNoHoleAndNoDouble(_ ordering: String) async throws {
        let world = try await World()
        var ids: [TaskID] = []
        for number in 0..<20 {
            let due: TaskDate? = number.isMultiple(of: 3) ? nil : .text("2026-07-\(10 + number % 4)")
            ids.append(try await world.create("Task \(number % 5)", due: due))
        }
        for query in [[], [(name: "search", value: "task")]] as [QueryItems] {
            var seen: [TaskID] = []
            var cursor: String?
            repeat {
                var items: QueryItems = query + [("ordering", ordering), ("page_size", "3")]
                if let cursor { items.append(("cursor", cursor)) }
                let page = try await world.page(items)
                seen += page.ids
                cursor = page.next
                // What comes and goes may be seen or not; it must not disturb the rest.
                if ordering != "updated_at" {
                    let guest = try await world.create("Task 2")
                    try await world.delete(guest)
                }
            } while cursor != nil
            let own = seen.filter(ids.contains)
            #expect(own.count == 20)
            #expect(Set(own) == Set(ids))
        }
    }

    @Test func missingDatesComeLastBothWays() async throws {
        let world = try await World()
        let none = try await world.create()
        let early = try await world.create(due: .text("2026-07-01"))
        let late = try await world.create(due: .text("2026-07-02T10:00:00Z"))
        #expect(try await world.page([("ordering", "due_date")]).ids == [early, late, none])
        #expect(try await world.page([("ordering", "-due_date")]).ids == [late, early, none])
    }

    @Test func filtersNarrow() async throws {
        let world = try await World()
        try await world.setZone("America/New_York")
        let day = try await world.create("50% done_", due: .text("2026-07-01"))
        let moment = try await world.create("Other", by: world.manager, due: .text("2026-07-01T03:30:00Z"))
        let child = try await world.create("Child", under: moment, people: ["other@example.com"])
        func ids(_ items: (String, String)...) async throws -> [TaskID] {
            try await world.page(items.map { (name: $0.0, value: $0.1) } + [("ordering", "created_at")]).ids
        }
        #expect(try await ids(("created_by", "Manager@Example.com")) == [moment])
        #expect(try await ids(("created_by", "nobody@example.com")) == [])
        #expect(try await ids(("collaborator", "other@example.com")) == [child])
        #expect(try await ids(("parent", "none")) == [day, moment])
        #expect(try await ids(("parent", "\(moment)"), ("parent", "none")) == [day, moment, child])
        #expect(try await ids(("project", "1"), ("project", "7")) == [day, moment, child])
        #expect(try await ids(("project", "7")) == [])
        #expect(try await ids(("status", "PENDING"), ("priority", "HIGH")) == [])
        // 03:30 UTC is still June 30 in New York.
        #expect(try await ids(("due_before", "2026-07-01")) == [moment])
        #expect(try await ids(("due_after", "2026-07-01")) == [day])
        #expect(try await ids(("due_before", "2026-07-02T03:59:59.999999Z")) == [moment])
        #expect(try await ids(("due_before", "2026-07-02T04:00:00Z")) == [day, moment])
        #expect(try await ids(("search", "50% _")) == [day])
        #expect(try await ids(("search", "project web MEDIUM child")) == [child])
        for (name, value) in [
            ("status", "pending"), ("priority", "URGENT"), ("project", "x"), ("created_by", "nobody"),
            ("due_before", "2026-02-30"), ("due_after", "2026-07-01T10:00:00"), ("parent", "WEB-1"),
            ("ordering", "key"), ("page_size", "201"), ("fields", ""), ("colour", "red"),
        ] {
            let refused = await code { _ = try await world.page([(name, value)]) }
            #expect(refused != nil && refused != "not-found", "\(name)=\(value) gives \(refused ?? "an answer")")
        }
    }

    /// On the Azores clocks go back from one to midnight: the day begins at the first.
    @Test func aDayBeginsAtTheFirstOfTwoMidnights() async throws {
        let world = try await World()
        try await world.setZone("Atlantic/Azores")
        let between = try await world.create(by: world.developer, due: .text("2026-10-25T00:30:00Z"))
        #expect(try await world.page([("due_before", "2026-10-25")]).ids == [])
        #expect(try await world.page([("due_after", "2026-10-25")]).ids == [between])
        func due() async throws -> Int64? {
            try JSON(parsing: try await world.board.dashboard(of: world.developer).stats)["due_tasks"]?.integer
        }
        world.clock.move(to: "2026-10-24T12:00:00Z")
        #expect(try await due() == 0)
        world.clock.move(to: "2026-10-25T00:00:00Z")
        #expect(try await due() == 1)
    }

    @Test func aCursorIsGoodForItsOwnQueryOnly() async throws {
        let world = try await World()
        for _ in 0..<3 { try await world.create() }
        let next = try #require(try await world.page([("page_size", "1")]).next)
        #expect(try await world.page([("page_size", "2"), ("cursor", next)]).ids.count == 2)
        #expect(await code { _ = try await world.page([("status", "PENDING"), ("cursor", next)]) } == "bad-cursor")
    }

    @Test func theDashboardCountsWhatOneSees() async throws {
        let world = try await World()
        try await world.create(by: world.developer, due: .text("2026-06-15"))
        try await world.create(by: world.developer, due: .text("2026-06-16"))
        try await world.create(by: world.developer, status: .onHold)
        try await world.create(by: world.developer, status: .cancelled, due: .text("2026-06-16"))
        try await world.create(due: .text("2026-06-15"))
        let dashboard = try await world.board.dashboard(of: world.developer)
        let stats = try JSON(parsing: dashboard.stats)
        #expect(stats["total_projects"]?.integer == 1)
        #expect(stats["completed_projects"]?.integer == 0)
        #expect(stats["pending_tasks"]?.integer == 3)
        #expect(stats["due_tasks"]?.integer == 1)
        #expect(stats["overdue_tasks"]?.integer == 0)
        #expect(dashboard.upcoming.count == 2)
        let user = try JSON(parsing: dashboard.user)
        #expect(user["email"]?.text == "developer@example.com")
        #expect(user["name"]?.text == "Robin Tester")
        #expect(try JSON(parsing: dashboard.organization)["time_zone"]?.text == "UTC")
        let all = try JSON(parsing: try await world.board.dashboard(of: world.admin).stats)
        #expect(all["pending_tasks"]?.integer == 4)
    }
}
