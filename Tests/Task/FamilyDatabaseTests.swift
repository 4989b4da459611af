import Failures
import Identity
import Messaging
import Postgres
import ServiceKit
import Testing

@testable import TaskService

@Suite struct FamilyDatabaseTests {
    @Test func completingTheLastSubtaskCompletesTheParent() async throws {
        let world = try await World()
        let parent = try await world.create()
        let first = try await world.create(under: parent)
        let second = try await world.create(under: parent)
        try await world.edit(first, by: world.manager, TaskEdit(status: .completed))
        #expect(try await world.status(parent) == "PENDING")
        try await world.edit(second, by: world.manager, TaskEdit(status: .completed))
        let done = try await world.see(parent)
        #expect(done["status"]?.text == "COMPLETED")
        #expect(done["completed_date"]?.text != nil)
        #expect(done["updated_by"]?["email"]?.text == "manager@example.com")
        // Reopening one reopens the parent.
        try await world.edit(first, TaskEdit(status: .inProgress))
        let reopened = try await world.see(parent)
        #expect(reopened["status"]?.text == "IN_PROGRESS")
        guard case .null? = reopened["completed_date"] else {
            Issue.record("completed_date stays")
            return
        }
        // Completing the parent completes what is open.
        try await world.edit(parent, TaskEdit(status: .completed))
        #expect(try await world.status(first) == "COMPLETED")
        // Adding an open one reopens it, creating a completed one does not.
        try await world.create(under: parent, status: .completed)
        #expect(try await world.status(parent) == "COMPLETED")
        try await world.create(under: parent)
        #expect(try await world.status(parent) == "IN_PROGRESS")
        #expect(try await world.said().filter { $0 == "task.updated task/\(parent)" }.count == 4)
    }

    @Test func cancellingAndDeletingCompleteNothing() async throws {
        let world = try await World()
        let parent = try await world.create()
        let first = try await world.create(under: parent)
        let second = try await world.create(under: parent, status: .completed)
        try await world.edit(first, TaskEdit(status: .cancelled))
        #expect(try await world.status(parent) == "PENDING")
        try await world.delete(first)
        #expect(try await world.status(parent) == "PENDING")
        // A completion after that does.
        try await world.edit(second, TaskEdit(status: .pending))
        try await world.edit(second, TaskEdit(status: .completed))
        #expect(try await world.status(parent) == "COMPLETED")
    }

    @Test func siblingsCompletedAtOnceCompleteTheParentOnce() async throws {
        let world = try await World()
        let parent = try await world.create()
        var subtasks: [TaskID] = []
        for _ in 0..<12 { subtasks.append(try await world.create(under: parent)) }
        let version = try await world.version(parent)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for subtask in subtasks {
                group.addTask { try await world.edit(subtask, TaskEdit(status: .completed)) }
            }
            try await group.waitForAll()
        }
        #expect(try await world.status(parent) == "COMPLETED")
        #expect(try await world.version(parent) == version + 12)
        #expect(try await world.said().filter { $0 == "task.updated task/\(parent)" }.count == 1)
    }

    @Test func movesInOppositeDirectionsDoNotBlockEachOther() async throws {
        let world = try await World()
        let (left, right) = (try await world.create(), try await world.create())
        let first = try await world.create(under: left)
        let second = try await world.create(under: right)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for round in 0..<10 {
                let (here, there) = round.isMultiple(of: 2) ? (right, left) : (left, right)
                group.addTask { try await world.edit(first, TaskEdit(parent: .set(here))) }
                group.addTask { try await world.edit(second, TaskEdit(parent: .set(there))) }
                group.addTask { try await world.edit(left, TaskEdit(title: "Round \(round)")) }
            }
            try await group.waitForAll()
        }
        let children = try await [left, right].asyncMap { try await world.see($0)["subtasks"]?.elements?.count ?? 0 }
        #expect(children.reduce(0, +) == 2)
    }

    /// The parent that is asked for becomes one, or comes about, when its row is not to be locked any more; another one
    /// is changing it.
    @Test(arguments: [true, false]) func aParentIsNotWrittenAsItWasBefore(_ wasThere: Bool) async throws {
        let world = try await World()
        let task = try await world.create()
        let former = try await world.create()
        let parent = wasThere ? try await world.create(under: former) : TaskID(former.number + 1)
        let move = try await world.write { other in
            let move = try await world.write { holder in
                _ = try await holder.query(
                    "SELECT FROM task WHERE organization_id = \(world.organization) AND id = \(task) FOR UPDATE"
                )
                let move = Task { try await world.edit(task, TaskEdit(parent: .set(parent))) }
                try await world.waitUntilBlocked(by: holder)
                if wasThere {
                    try await world.edit(parent, TaskEdit(parent: .clear))
                } else {
                    #expect(try await world.create() == parent)
                }
                _ = try await other.query(
                    """
                    UPDATE task SET title = 'New', version = version + 1, revision = revision + 1 \
                    WHERE organization_id = \(world.organization) AND id = \(parent)
                    """
                )
                return move
            }
            try await world.waitUntilBlocked(by: other)
            return move
        }
        _ = try await move.value
        let seen = try await world.see(parent)
        #expect(seen["title"]?.text == "New")
        let subtasks = seen["subtasks"]?.elements ?? []
        #expect(subtasks.map { $0["id"]?.integer } == [task.number])
    }

    @Test func parentsAreJudged() async throws {
        let world = try await World()
        let parent = try await world.create()
        let subtask = try await world.create(under: parent)
        let lone = try await world.create()
        func move(_ task: TaskID, _ to: TaskID) async -> String? {
            await code { try await world.edit(task, TaskEdit(parent: .set(to))) }
        }
        #expect(await move(lone, lone) == "own-parent")
        #expect(await move(lone, subtask) == "nested-subtask")
        #expect(await move(parent, lone) == "nested-subtask")
        #expect(await move(lone, TaskID(999_999)) == "not-found")
        #expect(await code { try await world.create(under: subtask) } == "nested-subtask")
        let place = ProjectID(2)
        try await world.addProject(place, key: "APP")
        let elsewhere = try await world.create(in: place)
        #expect(await move(lone, elsewhere) == "other-project")
        #expect(await code { try await world.create(under: elsewhere) } == "other-project")
        // Under a completed parent an open task is one that was added; away from it nothing changes.
        try await world.edit(parent, TaskEdit(status: .completed))
        #expect(await move(lone, parent) == nil)
        #expect(try await world.status(parent) == "IN_PROGRESS")
        try await world.edit(lone, TaskEdit(parent: .clear))
        #expect(try await world.status(parent) == "IN_PROGRESS")
    }

    @Test func datesStayWithinTheParent() async throws {
        let world = try await World()
        let parent = try await world.create(start: .text("2026-06-20"), due: .text("2026-06-30"))
        let subtask = try await world.create(under: parent, due: .text("2026-06-25"))
        #expect(try await world.see(subtask)["start_date"]?.text == "2026-06-20")
        #expect(
            await code { try await world.create(under: parent, due: .text("2026-07-01")) } == "outside-parent"
        )
        #expect(
            await code { try await world.edit(parent, TaskEdit(due: .set(.text("2026-06-24")))) } == "outside-parent"
        )
        #expect(
            await code { try await world.edit(parent, TaskEdit(start: .set(.text("2026-06-21")))) } == "outside-parent"
        )
        // One in the trash sets no bound, and is not brought back to a place outside.
        try await world.delete(subtask)
        try await world.edit(parent, TaskEdit(start: .set(.text("2026-06-21"))))
        #expect(await code { _ = try await world.restore(subtask) } == "outside-parent")
        try await world.edit(parent, TaskEdit(start: .set(.text("2026-06-20"))))
        _ = try await world.restore(subtask)
        #expect(await code { try await world.edit(parent, TaskEdit(due: .clear)) } == nil)
    }

    @Test func theTrashKeepsFamiliesTogether() async throws {
        let world = try await World()
        let parent = try await world.create()
        let early = try await world.create(under: parent)
        let late = try await world.create(under: parent)
        try await world.delete(early)
        world.clock.move(to: "2026-06-15T13:00:00Z")
        try await world.delete(parent)
        #expect(await code { try await world.delete(parent) } == "not-found")
        #expect(try await world.trashed(by: world.admin) == [late, parent, early])
        #expect(await code { _ = try await world.restore(late) } == "parent-deleted")
        _ = try await world.restore(parent)
        #expect(try await world.listed(by: world.admin) == [parent, late])
        #expect(await code { _ = try await world.restore(parent) } == "not-deleted")
        // An open one comes back as if it were added.
        try await world.edit(parent, TaskEdit(status: .completed))
        _ = try await world.restore(early)
        #expect(try await world.status(parent) == "IN_PROGRESS")
        #expect(
            try await world.said().filter { $0.hasPrefix("task.restored") } == [
                "task.restored task/\(parent)", "task.restored task/\(late)", "task.restored task/\(early)",
            ]
        )
    }

    @Test func versionsRiseWithWhatIsShown() async throws {
        let world = try await World()
        let parent = try await world.create()
        let subtask = try await world.create(under: parent)
        #expect(try await world.version(parent) == 2)
        try await world.edit(subtask, TaskEdit(title: "Other"))
        #expect(try await world.version(parent) == 3)
        // Nothing changes: no version, no event.
        let events = try await world.said().count
        let same = try await world.edit(subtask, TaskEdit(title: "Other", status: .pending))
        #expect(same.version == 2)
        #expect(try await world.said().count == events)
        // Text is compared code point for code point.
        let composed = try await world.edit(subtask, TaskEdit(title: "\u{E9}"))
        let decomposed = try await world.edit(subtask, TaskEdit(title: "e\u{301}"))
        #expect(decomposed.version == composed.version + 1)
        // A name that is shown.
        let before = try await world.version(parent)
        try await world.join(world.developer, "developer@example.com", revision: 2, name: "Renamed")
        #expect(try await world.version(parent) == before + 1)
        try await world.join(world.developer, "developer@example.com", revision: 3, name: "Renamed")
        #expect(try await world.version(parent) == before + 1)
    }

    @Test func oneOfTwoChangesWithOneVersionWins() async throws {
        let world = try await World()
        let task = try await world.create()
        let outcomes = await withTaskGroup(of: String?.self) { group in
            for name in ["left", "right"] {
                group.addTask {
                    await code {
                        _ = try await world.board.edit(
                            .id(task),
                            in: nil,
                            by: world.admin,
                            wantedParent: nil,
                            comparesShown: false,
                            precondition: { if $0 != 1 { throw Failure.preconditionFailed } },
                            reading: { _ in ReadFields(value: TaskEdit(title: name), failures: []) }
                        )
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.compactMap { $0 } == ["precondition-failed"])
    }

    @Test func numbersAreDenseAndNeverUsedAgain() async throws {
        let world = try await World()
        let place = ProjectID(2)
        try await world.addProject(place, key: "APP")
        let ids = try await withThrowingTaskGroup(of: TaskID.self) { group in
            for index in 0..<20 {
                group.addTask { try await world.create(in: index.isMultiple(of: 2) ? world.project : place) }
            }
            return try await group.reduce(into: []) { $0.append($1) }.sorted()
        }
        #expect(ids.map(\.number) == Array(1...20))
        let keys = Set(try await ids.asyncMap { try await world.see($0)["key"]?.text ?? "" })
        #expect(keys == Set((1...10).flatMap { ["WEB-\($0)", "APP-\($0)"] }))
        try await world.delete(ids[19])
        let next = try await world.create()
        #expect(next.number == 21)
        #expect(try await world.see(next)["key"]?.text == "WEB-11")
        let found = try await world.board.find(.key(project: "WEB", number: 11), in: world.project, by: world.admin)
        #expect(found.id == next)
        #expect(
            await code { _ = try await world.board.find(.id(next), in: place, by: world.admin) } == "not-found"
        )
    }
}
