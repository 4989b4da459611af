import Chronology
import Failures
import Identity
import Lists
import Messaging
import Postgres
import Testing

@testable import ProjectService

@Suite struct ProjectDatabaseTests {
    @Test func creates() async throws {
        let world = try await ProjectWorld()
        let made = try await world.create("Website Relaunch", by: world.manager)
        #expect(made.project.key == "WR" && made.project.version == 1 && made.project.status == .pending)
        #expect(made.collaborators.map(\.person.email) == ["manager@example.com"])
        #expect(try await world.read(made) == made)
        #expect(try await world.events().map(\.type) == ["project.created", "project.collaborator-added"])
        #expect(await code { try await world.create("website RELAUNCH") } == "name-taken")
        #expect(await code { try await world.create("x", key: "WR") } == "key-taken")
        #expect(await code { try await world.create("x", by: world.developer) } == "forbidden")
        #expect(try await world.create("Web Ring").project.key == "WR2")
        // Nobody in another organization is in the way.
        let other = try await ProjectWorld()
        #expect(try await other.create("Website Relaunch").project.key == "WR")
        #expect(await code { _ = try await other.board.project(ProjectID(2), as: other.admin) } == "not-found")
    }

    @Test func manyAtOnceGetKeysOfTheirOwn() async throws {
        let world = try await ProjectWorld()
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for index in 0..<16 {
                group.addTask { try await world.create("Same Initials\(index)").project.key }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys.count == 16 && keys.contains("SI"))
        let same = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<8 { group.addTask { await code { try await world.create("One Name") } } }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(same.count { $0 == nil } == 1 && same.count { $0 == "name-taken" } == 7, "\(same)")
    }

    @Test func updates() async throws {
        let world = try await ProjectWorld()
        let made = try await world.create("One", by: world.manager)
        let same = try await world.rename(made, "One", by: world.manager)
        #expect(same == made)
        let changed = try await world.rename(made, "Two")
        #expect(changed.project.version == 2 && changed.project.updatedBy.email == "admin@example.com")
        #expect(try await world.read(made) == changed)
        #expect(try await world.events().last?.type == "project.updated")
        try await world.create("Three")
        #expect(await code { _ = try await world.rename(made, "THREE") } == "name-taken")
        #expect(try await world.rename(made, "TWO").project.name == "TWO")
        #expect(await code { _ = try await world.rename(made, "x", by: world.otherManager) } == "not-found")
    }

    /// Two at once: what the slower one is shown has both changes and the right people in it.
    @Test func aWaitingChangeSeesPeopleAsTheyAre() async throws {
        let world = try await ProjectWorld()
        let made = try await world.create("One", by: world.manager)
        try await withThrowingTaskGroup(of: ProjectDetail.self) { group in
            for round in 0..<20 {
                group.addTask {
                    try await world.rename(made, "Name \(round)", by: round % 2 == 0 ? world.admin : world.manager)
                }
            }
            for try await detail in group { #expect(!detail.project.updatedBy.email.isEmpty) }
        }
        #expect(try await world.read(made).project.version == 21)
    }

    @Test func listsShowWhatMayBeSeen() async throws {
        let world = try await ProjectWorld()
        let first = try await world.create("100% First", by: world.manager)
        world.clock.advance(by: .seconds(1))
        try await world.create("Second")
        #expect(try await world.names(by: world.admin) == ["Second", "100% First"])
        #expect(try await world.names(by: world.manager) == ["100% First"])
        #expect(try await world.names(by: world.otherManager) == [])
        #expect(try await world.names(by: world.developer) == [])
        try await world.add("developer@example.com", to: first)
        #expect(try await world.names(by: world.developer) == ["100% First"])
        #expect(try await world.names(by: world.admin, [(name: "search", value: "0% FIRST")]) == ["100% First"])
        #expect(try await world.names(by: world.admin, [(name: "ordering", value: "name")]).first == "100% First")
        #expect(try await world.names(by: world.admin, [(name: "status", value: "CLOSED")]) == [])
        #expect(
            await code { _ = try await world.names(by: world.admin, [(name: "status", value: "closed")]) }
                == "bad-value"
        )
    }

    @Test func collaborators() async throws {
        let world = try await ProjectWorld()
        let made = try await world.create("One", by: world.manager)
        #expect(
            await code { try await world.add("developer@example.com", to: made, by: world.otherManager) } == "not-found"
        )
        try await world.add("DEVELOPER@example.com", to: made, by: world.manager)
        let read = try await world.read(made)
        #expect(read.project.version == 2 && read.project.updatedAt == made.project.updatedAt)
        #expect(read.collaborators.count == 2)
        #expect(await code { try await world.add("developer@example.com", to: made) } == "already-collaborator")
        #expect(await code { try await world.add("nobody@example.com", to: made) } == "not-found")
        #expect(await code { try await world.add("other@example.com", to: made, by: world.developer) } == "forbidden")
        try await world.join(world.otherManager, "other@example.com", revision: 2, isActive: false)
        #expect(await code { try await world.add("other@example.com", to: made) } == "inactive-user")
        #expect(try await world.collaborators(of: made, by: world.developer).count == 2)
        #expect(await code { _ = try await world.collaborators(of: made, by: world.otherManager) } == "not-found")
        let (entry, version) = try await world.board.collaborator(
            email: "developer@EXAMPLE.com",
            of: made.project.id,
            as: world.manager
        )
        #expect(entry.addedBy.email == "manager@example.com" && version == 2)

        #expect(
            await code { try await world.remove("manager@example.com", from: made, by: world.developer) } == "forbidden"
        )
        try await world.remove("developer@example.com", from: made, by: world.developer)
        #expect(
            await code { try await world.remove("developer@example.com", from: made, by: world.developer) }
                == "not-found"
        )
        #expect(await code { try await world.remove("developer@example.com", from: made) } == "not-found")
        // A creator who left has no rights left.
        try await world.remove("manager@example.com", from: made, by: world.manager)
        #expect(await code { try await world.delete(made, by: world.manager) } == "not-found")
        #expect(try await world.collaborators(of: made, by: world.admin) == [])
        let revisions = try await world.events().map(\.payload).compactMap { payload in
            payload.firstMatch(of: /"revision":\s*(\d+)/).map { String($0.1) }
        }
        #expect(revisions == ["1", "2", "3", "4", "5"])
    }

    @Test func manyAddOnePersonAtOnce() async throws {
        let world = try await ProjectWorld()
        let made = try await world.create("One")
        let codes = await withTaskGroup(of: String?.self) { group in
            for _ in 0..<8 { group.addTask { await code { try await world.add("developer@example.com", to: made) } } }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(codes.count { $0 == nil } == 1 && codes.count { $0 == "already-collaborator" } == 7, "\(codes)")
    }

    @Test func trash() async throws {
        let world = try await ProjectWorld()
        let made = try await world.create("One", by: world.manager)
        try await world.add("other@example.com", to: made)
        #expect(await code { try await world.restore(made, by: world.manager) } == "not-deleted")
        #expect(await code { try await world.restore(made, by: world.otherManager) } == "forbidden")
        #expect(await code { try await world.delete(made, by: world.otherManager) } == "forbidden")
        try await world.delete(made, by: world.manager)
        #expect(await code { try await world.delete(made, by: world.manager) } == "not-found")
        #expect(await code { _ = try await world.read(made) } == "not-found")
        #expect(await code { try await world.add("developer@example.com", to: made) } == "not-found")
        #expect(try await world.names(by: world.admin) == [])
        #expect(try await world.trash(by: world.admin) == ["One"])
        #expect(try await world.trash(by: world.manager) == ["One"])
        #expect(try await world.trash(by: world.otherManager) == [])
        #expect(await code { _ = try await world.trash(by: world.developer) } == "forbidden")
        #expect(await code { try await world.restore(made, by: world.otherManager) } == "not-found")
        // The key stays taken, the name does not.
        #expect(await code { try await world.create("x", key: made.project.key) } == "key-taken")
        let replacement = try await world.create("ONE")
        #expect(await code { try await world.restore(made, by: world.manager) } == "name-taken")
        _ = try await world.rename(replacement, "Other")
        let back = try await world.restore(made, by: world.manager)
        #expect(back.project.version == 4 && back.collaborators.count == 2)
        try await world.delete(made)
        world.clock.advance(by: Project.trashPeriod)
        #expect(try await world.trash(by: world.admin) == [])
        #expect(await code { try await world.restore(made) } == "not-found")
    }

    /// The ETag changes when a person who is shown changes, and then only.
    @Test func peopleWhoAreShown() async throws {
        let world = try await ProjectWorld()
        let shown = try await world.create("Shown", by: world.manager)
        world.clock.advance(by: .seconds(1))
        try await world.add("developer@example.com", to: shown)
        let other = try await world.create("Other")
        func versions() async throws -> [Int64] {
            [try await world.read(shown).project.version, try await world.read(other).project.version]
        }
        #expect(try await versions() == [2, 1])
        try await world.join(world.developer, "Developer@Example.com", revision: 2, name: "Neu")
        #expect(try await versions() == [3, 1])
        #expect(try await world.read(shown).collaborators.last?.person.name == "Neu Tester")
        // Deactivation is not shown; an older revision and the same one again are not taken.
        try await world.join(world.developer, "Developer@Example.com", revision: 3, name: "Neu", isActive: false)
        try await world.join(world.developer, "Developer@Example.com", revision: 1, name: "Old")
        try await world.join(world.developer, "Developer@Example.com", revision: 3, name: "Twice")
        #expect(try await versions() == [3, 1])
        try await world.join(world.manager, "manager@example.com", revision: 2, image: "https://x/y.png")
        #expect(try await versions() == [4, 1])
        // No event was said for any of it.
        #expect(try await world.events().count == 5)
    }

    @Test func theTrashIsEmptiedAfterThirtyDays() async throws {
        let world = try await ProjectWorld()
        #expect(try await world.board.organizations().contains(world.organization))
        let old = try await world.create("Old", key: "OLD")
        let young = try await world.create("Young")
        try await world.add("developer@example.com", to: old)
        try await world.delete(old)
        world.clock.advance(by: .seconds(1))
        try await world.delete(young)
        world.clock.advance(by: Project.trashPeriod - .seconds(2))
        #expect(try await world.board.purgeTrash(in: world.organization) == 0)
        world.clock.advance(by: .seconds(1))
        // Two at once, as two replicas would: it is done and said once.
        let purged = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<2 { group.addTask { try await world.board.purgeTrash(in: world.organization) } }
            return try await group.reduce(0, +)
        }
        #expect(purged == 1)
        let events = try await world.events()
        #expect(events.filter { $0.type == "project.purged" }.count == 1)
        #expect(events.last?.payload.contains("\"project\":\(old.project.id)") == true)
        #expect(await code { try await world.restore(old) } == "not-found")
        #expect(try await world.trash(by: world.admin) == ["Young"])
        // Name and people are gone; number and key are never given again.
        let rows = try await world.database.read(
            in: world.organization,
            """
            SELECT name, description, (SELECT count(*) FROM project_collaborator c WHERE c.organization_id =
                p.organization_id AND c.project_id = p.id) AS people FROM project p
            WHERE organization_id = \(world.organization) AND id = \(old.project.id)
            """
        )
        #expect(try rows.map { try $0.get("name", as: String.self) } == [""])
        #expect(try rows.map { try $0.get("people", as: Int.self) } == [0])
        #expect(await code { try await world.create("Another", key: "OLD") } == "key-taken")
        #expect(try await world.create("Old").project.id.number > young.project.id.number)
        try await world.restore(young)
    }

    @Test func anOrganizationGoesForGood() async throws {
        let world = try await ProjectWorld()
        let made = try await world.create("One")
        try await world.delete(made)
        try await world.create("Two")
        try await world.forget()
        for table in ["project", "project_collaborator", "member", "organization", "counter", "idempotency"] {
            #expect(try await world.count(table) == 0, "\(table)")
        }
        let events = try await world.events()
        #expect(!events.isEmpty && events.allSatisfy { $0.type == "tombstone" })
        #expect(try await !world.board.organizations().contains(world.organization))
        // Told late of its beginning, nothing begins again; and nobody can add to it.
        try await world.found()
        #expect(try await world.count("member") == 0)
        #expect(try await world.count("organization") == 0)
        #expect(await code { try await world.create("Three") } == "not-caught-up")
    }

    /// Whatever is added while an organization goes is gone as well.
    @Test func nothingIsLeftBehind() async throws {
        for _ in 0..<5 {
            let world = try await ProjectWorld()
            let made = try await world.create("One")
            await withTaskGroup(of: Void.self) { group in
                for index in 0..<6 { group.addTask { _ = await code { try await world.create("New \(index)") } } }
                group.addTask { _ = await code { try await world.add("developer@example.com", to: made) } }
                group.addTask { _ = await code { try await world.forget() } }
            }
            for table in ["project", "project_collaborator", "organization", "counter"] {
                #expect(try await world.count(table) == 0, "\(table)")
            }
        }
    }
}
