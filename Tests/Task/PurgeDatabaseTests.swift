import Chronology
import Identity
import Messaging
import Postgres
import ServiceKit
import Testing

@testable import TaskService

@Suite struct PurgeDatabaseTests {
    private func rows(_ table: String, in world: World) async throws -> Int {
        let rows = try await world.database.read(
            in: world.organization,
            "SELECT count(*) AS count FROM \(unsafe: table) WHERE organization_id = \(world.organization)"
        )
        return try rows.first?.get("count") ?? 0
    }

    @Test func whatHasBeenInTheTrashForThirtyDaysIsGone() async throws {
        let world = try await World()
        let kept = try await world.create()
        let parent = try await world.create(people: ["developer@example.com"])
        let early = try await world.create(under: parent)
        let late = try await world.create(under: parent)
        try await world.delete(early)
        world.clock.move(to: "2026-06-20T12:00:00Z")
        try await world.delete(parent)
        let young = try await world.create()
        world.clock.move(to: "2026-06-21T12:00:00Z")
        try await world.delete(young)

        world.clock.move(to: "2026-07-15T11:59:59Z")
        #expect(try await world.board.purgeTrash(in: world.organization) == 0)
        world.clock.move(to: "2026-07-15T12:00:00Z")
        // Nobody waits for the clock that purges.
        #expect(try await world.trashed(by: world.admin) == [young, late, parent])
        #expect(await code { _ = try await world.restore(early) } == "not-found")
        #expect(try await world.board.purgeTrash(in: world.organization) == 1)
        #expect(try await world.trashed(by: world.admin) == [young, late, parent])
        world.clock.move(to: "2026-07-20T12:00:00Z")
        #expect(try await world.board.purgeTrash(in: world.organization) == 2)
        #expect(try await world.trashed(by: world.admin) == [young])
        #expect(try await rows("task_collaborator", in: world) == 0)
        let said = try await world.said().filter { $0.hasPrefix("task.purged") }
        #expect(said == ["task.purged task/\(early)", "task.purged task/\(late)", "task.purged task/\(parent)"])
        for gone in [parent, early, late] {
            #expect(await code { _ = try await world.restore(gone) } == "not-found")
        }
        _ = try await world.restore(young)
        #expect(try await Set(world.listed(by: world.admin)) == [kept, young])
        // No number is given twice.
        let next = try await world.create()
        #expect(next.number == young.number + 1)
        #expect(try await world.see(next)["key"]?.text == "WEB-\(next)")
    }

    /// Its row is missing, but nobody has said that it is gone: tables can be lost, and are written anew.
    @Test func aLostProjectKeepsItsTasks() async throws {
        let world = try await World()
        let task = try await world.create()
        _ = try await world.write {
            try await $0.query("DELETE FROM project WHERE organization_id = \(world.organization)")
        }
        #expect(try await world.board.purgeTrash(in: world.organization) == 0)
        #expect(try await rows("task", in: world) == 1)
        try await world.addProject(world.project, key: "WEB")
        #expect(try await world.listed(by: world.admin) == [task])
        let next = try await world.create()
        #expect(try await world.see(next)["key"]?.text == "WEB-2")
    }

    @Test func theTasksOfAPurgedProjectAreGoneAtOnceAndRemovedByAndBy() async throws {
        let world = try await World()
        try await world.addProject(ProjectID(2), key: "OLD")
        let parent = try await world.create(in: ProjectID(2))
        for _ in 0..<7 { try await world.create(in: ProjectID(2), under: parent) }
        let kept = try await world.create()
        try await world.write { world.board.replicas.forget(ProjectID(2), world.organization, in: $0) }
        #expect(try await world.listed(by: world.admin) == [kept])
        #expect(await code { _ = try await world.see(parent) } == "not-found")
        #expect(await code { try await world.create(in: ProjectID(2)) } == "not-found")
        // In pieces, and by several at once: each is told of once.
        let moment = world.clock.now - TaskItem.trashPeriod
        for _ in 0..<20 {
            let purged = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        try await world.board.store.purge(deletedUpTo: moment, in: world.organization, limit: 2)
                    }
                }
                return try await group.reduce(0, +)
            }
            if purged == 0 { break }
        }
        #expect(try await rows("task", in: world) == 1)
        let said = try await world.said().filter { $0.hasPrefix("task.purged") }
        #expect(said.count == 8 && Set(said).count == 8)
        // There is nothing left to look for.
        let counters = try await world.database.read(
            in: world.organization,
            "SELECT kind FROM counter WHERE organization_id = \(world.organization) ORDER BY kind"
        )
        #expect(try counters.map { try $0.get("kind", as: String.self) } == ["task", "task-number:1"])
    }
}
