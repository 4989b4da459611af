import Failures
import Identity
import Lists
import ServiceKit
import Testing

@testable import TaskService

@Suite struct RightsDatabaseTests {
    /// Every combination of role and standing, judged by the lists, by a look at the one task and by the pure table.
    @Test(arguments: Role.allCases, [false, true])
    func listsAndSinglesAgreeWithTheTable(_ role: Role, _ projectShowsAll: Bool) async throws {
        let world = try await World()
        let place = ProjectID(2)
        try await world.addProject(place, key: "APP", visibility: projectShowsAll ? "project" : "collaborators")
        let caller = world.principal(role)
        try await world.join(caller, "caller@example.com")

        for onProject in [true, false] {
            try await world.collaborate(caller, on: place)
            let own = try await world.create(by: caller, in: place)
            // A developer is collaborator of what they create; a manager or admin is not.
            if role == .developer { try await world.leaveTask(caller, own) }
            let shared = try await world.create(in: place, people: ["caller@example.com"])
            let foreign = try await world.create(in: place)
            if !onProject {
                try await world.leave(caller, place)
                // As if the removal had left a collaboration behind: it must give no right.
                try await world.putOnTask(caller, shared)
            }
            let seen = try await world.listed(by: caller)
            // The list of one project asks in another form; it must say the same.
            let there = try? await world.page([("page_size", "200")], in: place, by: caller).ids
            #expect(Set(there ?? []) == Set(seen))
            for (task, isCreator, isOnTask) in [(own, true, false), (shared, false, true), (foreign, false, false)] {
                let standing = TaskStanding(
                    isProjectCollaborator: onProject,
                    isCreator: isCreator,
                    isTaskCollaborator: isOnTask,
                    projectShowsAll: projectShowsAll
                )
                let expected = role.canRead(standing)
                #expect(seen.contains(task) == expected, "\(standing)")
                let found = await code { _ = try await world.see(task, by: caller) }
                #expect((found == nil) == expected, "\(standing)")
                #expect(found == nil || found == "not-found")
                let edited = await code { try await world.edit(task, by: caller, TaskEdit()) }
                #expect(edited == (role.canUpdate(standing) ? nil : expected ? "forbidden" : "not-found"))
                let deleted = await code { try await world.delete(task, by: caller) }
                #expect(deleted == (role.canDelete(standing) ? nil : expected ? "forbidden" : "not-found"))
                if deleted == nil {
                    #expect(try await world.trashed(by: caller).contains(task))
                    _ = try await world.restore(task, by: caller)
                } else {
                    try await world.delete(task)
                    #expect(try await !world.trashed(by: caller).contains(task))
                    #expect(await code { _ = try await world.restore(task, by: caller) } == "not-found")
                }
            }
        }
    }

    @Test func anotherOrganizationIsNotThere() async throws {
        let (here, there) = (try await World(), try await World())
        let task = try await there.create("Secret")
        #expect(await code { _ = try await here.see(task) } == "not-found")
        #expect(await code { try await here.edit(task, TaskEdit(title: "Mine")) } == "not-found")
        #expect(try await here.listed(by: here.admin).isEmpty)
    }

    @Test func tasksOfADeletedProjectVanishAndReturn() async throws {
        let world = try await World()
        let task = try await world.create()
        try await world.write {
            world.board.replicas.setDeleted(
                world.project,
                at: world.clock.now,
                revision: 5,
                world.organization,
                in: $0
            )
        }
        #expect(await code { _ = try await world.see(task) } == "not-found")
        #expect(try await world.listed(by: world.admin).isEmpty)
        #expect(await code { try await world.create() } == "not-found")
        try await world.write {
            world.board.replicas.setDeleted(world.project, at: nil, revision: 6, world.organization, in: $0)
        }
        #expect(try await world.listed(by: world.admin) == [task])
    }

    @Test func developersCreateForThemselves() async throws {
        let world = try await World()
        let developer = world.developer
        let task = try await world.create(by: developer, people: ["DEVELOPER@example.com"])
        let people = try await world.see(task)["collaborators"]?.elements ?? []
        #expect(people.map { $0["user"]?["email"]?.text } == ["developer@example.com"])
        for name in ["other@example.com", "nobody@example.com"] {
            #expect(await code { try await world.create(by: developer, people: [name]) } == "own-tasks-only")
        }
        // Subtasks only under a task they may update.
        let foreign = try await world.create(by: world.other)
        try await world.showAll()
        #expect(await code { try await world.create(by: developer, under: foreign) } == "forbidden")
        #expect(
            await code { try await world.edit(task, by: developer, TaskEdit(parent: .set(foreign))) } == "forbidden"
        )
        try await world.create(by: developer, under: task)
        #expect(await code { try await world.create(by: world.outsider) } == "not-found")
    }

    @Test func collaboratorsAreThoseOfTheProject() async throws {
        let world = try await World()
        let inactive = world.principal(.developer)
        try await world.join(inactive, "inactive@example.com", active: false)
        try await world.collaborate(inactive, on: world.project)
        let task = try await world.create(people: ["developer@example.com"])
        let before = try await world.version(task)

        func add(_ email: String, by principal: Principal? = nil) async -> String? {
            await code {
                _ = try await world.board.addCollaborator(
                    email,
                    to: .id(task),
                    in: nil,
                    by: principal ?? world.admin
                ) {}
            }
        }
        #expect(await add("outsider@example.com") == "not-a-project-collaborator")
        #expect(await add("inactive@example.com") == "inactive-user")
        #expect(await add("nobody@example.com") == "not-found")
        #expect(await add("Developer@Example.com") == "already-collaborator")
        #expect(await add("other@example.com", by: world.developer) == "forbidden")
        #expect(try await world.version(task) == before)
        #expect(await add("other@example.com", by: world.manager) == nil)
        #expect(try await world.version(task) == before + 1)

        func remove(_ email: String, by principal: Principal) async -> String? {
            await code {
                try await world.board.removeCollaborator(email, from: .id(task), in: nil, by: principal) { _ in }
            }
        }
        #expect(await remove("other@example.com", by: world.developer) == "forbidden")
        #expect(await remove("developer@example.com", by: world.developer) == nil)
        #expect(await remove("developer@example.com", by: world.admin) == "not-found")
        #expect(await code { _ = try await world.see(task, by: world.developer) } == "not-found")

        // One refused name refuses the whole request.
        let count = try await world.listed(by: world.admin).count
        for (names, expected) in [
            (["other@example.com", "Other@example.com"], "duplicate"),
            (["other@example.com", "nobody@example.com"], "not-found"),
            (["other@example.com", "outsider@example.com"], "not-a-project-collaborator"),
            (["inactive@example.com"], "inactive-user"),
        ] {
            #expect(await code { try await world.create(people: names) } == expected)
        }
        #expect(await code { try await world.create(also: true) } == "not-a-project-collaborator")
        #expect(try await world.listed(by: world.admin).count == count)
        let mine = try await world.create(by: world.manager, also: true)
        #expect(try await world.see(mine)["collaborators"]?.elements?.count == 1)
    }

    @Test func whoLeavesTheProjectLeavesItsTasks() async throws {
        let world = try await World()
        let parent = try await world.create(people: ["other@example.com"])
        let task = try await world.create(under: parent, people: ["developer@example.com", "other@example.com"])
        let version = try await world.version(parent)
        try await world.leave(world.developer, world.project)
        #expect(try await world.see(task)["collaborators"]?.elements?.count == 1)
        #expect(try await world.version(parent) == version + 1)
        #expect(try await world.said().last == "task.collaborator-removed task/\(task)")
        try await world.collaborate(world.developer, on: world.project)
        #expect(await code { _ = try await world.see(task, by: world.developer) } == "not-found")
    }

    @Test func aDeveloperSeesOnlyTheirSubtasksInAParent() async throws {
        let world = try await World()
        let parent = try await world.create(people: ["developer@example.com"])
        let own = try await world.create(by: world.developer, under: parent)
        try await world.create(under: parent)
        let seen = try await world.see(parent, by: world.developer)["subtasks"]?.elements ?? []
        #expect(seen.map { $0["id"]?.integer } == [own.number])
        let version = try await world.version(parent)
        try await world.showAll()
        #expect(try await world.see(parent, by: world.developer)["subtasks"]?.elements?.count == 2)
        #expect(try await world.version(parent) == version + 1)
    }
}
