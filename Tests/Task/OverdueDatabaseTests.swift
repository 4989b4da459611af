import Chronology
import Events
import Failures
import Identity
import Messaging
import Postgres
import ServiceKit
import Testing

@testable import TaskService

@Suite struct OverdueDatabaseTests {
    @Test func marksOnceAndRestoresTheEarlierStatus() async throws {
        let world = try await World()
        let task = try await world.create(status: .inProgress, due: .text("2026-06-15"))
        #expect(try await world.board.markOverdue(in: world.organization) == 0)
        world.clock.move(to: "2026-06-16T00:00:00Z")
        let version = try await world.version(task)
        #expect(try await world.board.markOverdue(in: world.organization) == 1)
        #expect(try await world.status(task) == "OVERDUE")
        #expect(try await world.version(task) == version + 1)
        #expect(try await world.see(task)["updated_by"]?["email"]?.text == "admin@example.com")
        #expect(try await world.said().last == "task.overdue task/\(task)")
        // Naming OVERDUE again sets nothing; the past due date is no obstacle to other changes.
        try await world.edit(task, TaskEdit(title: "Late", status: .overdue))
        #expect(try await world.status(task) == "OVERDUE")
        // Taken off by hand it is not marked again.
        try await world.edit(task, TaskEdit(status: .pending))
        #expect(try await world.board.markOverdue(in: world.organization) == 0)
        #expect(
            await code { try await world.edit(task, TaskEdit(status: .overdue)) } == "not-settable"
        )
        // A new due date is a new turn.
        try await world.edit(task, TaskEdit(due: .set(.text("2026-06-16T01:00:00Z"))))
        world.clock.move(to: "2026-06-16T01:00:00.000001Z")
        #expect(try await world.board.markOverdue(in: world.organization) == 1)
        #expect(
            await code { try await world.edit(task, TaskEdit(due: .set(.text("2026-06-15")))) } == "in-past"
        )
        try await world.edit(task, TaskEdit(due: .set(.text("2026-06-20"))))
        #expect(try await world.status(task) == "PENDING")
    }

    @Test(arguments: [
        (TaskEdit(due: .clear), "IN_PROGRESS"),
        (TaskEdit(due: .set(.text("2026-07-01"))), "IN_PROGRESS"),
        (TaskEdit(status: .onHold, due: .set(.text("2026-07-01"))), "ON_HOLD"),
        (TaskEdit(status: .overdue, due: .set(.text("2026-07-01"))), "IN_PROGRESS"),
        (TaskEdit(status: .completed), "COMPLETED"),
    ])
    func leavesOverdue(_ edit: TaskEdit, _ status: String) async throws {
        let world = try await World()
        let task = try await world.create(status: .inProgress, due: .text("2026-06-15T13:00:00Z"))
        world.clock.move(to: "2026-06-15T14:00:00Z")
        #expect(try await world.board.markOverdue(in: world.organization) == 1)
        try await world.edit(task, edit)
        #expect(try await world.status(task) == status)
        #expect(try await world.board.markOverdue(in: world.organization) == 0)
    }

    @Test func onlyWhatIsWaitingIsMarked() async throws {
        let world = try await World()
        for status in TaskStatus.allCases where status != .overdue {
            try await world.create(status: status, due: .text("2026-06-15"))
        }
        let gone = try await world.create(due: .text("2026-06-15"))
        try await world.delete(gone)
        world.clock.move(to: "2026-06-20T00:00:00Z")
        #expect(try await world.board.markOverdue(in: world.organization) == 2)
    }

    @Test func theZoneDecidesWhenADayIsOver() async throws {
        let world = try await World()
        let task = try await world.create(due: .text("2026-06-15"))
        try await world.setZone("America/New_York")
        world.clock.move(to: "2026-06-16T03:59:59Z")
        #expect(try await world.board.markOverdue(in: world.organization) == 0)
        try await world.setZone("Asia/Tokyo", revision: 3)
        #expect(try await world.board.markOverdue(in: world.organization) == 1)
        // A zone that makes the day last again takes nothing back and marks nothing twice.
        try await world.setZone("Pacific/Honolulu", revision: 4)
        #expect(try await world.status(task) == "OVERDUE")
        #expect(try await world.board.markOverdue(in: world.organization) == 0)
        #expect(try await world.see(task)["due_date"]?.text == "2026-06-15")
    }

    @Test func twoReplicasMarkEachTaskOnce() async throws {
        let world = try await World()
        let parent = try await world.create(due: .text("2026-06-15"))
        for _ in 0..<40 { try await world.create(under: parent, due: .text("2026-06-15")) }
        world.clock.move(to: "2026-06-20T00:00:00Z")
        // Rows that another one holds are left for the next tick, so there are some.
        for _ in 0..<20 {
            let marked = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<4 { group.addTask { try await world.board.markOverdue(in: world.organization) } }
                return try await group.reduce(0, +)
            }
            if marked == 0 { break }
        }
        let said = try await world.said().filter { $0.hasPrefix("task.overdue") }
        #expect(said.count == 41)
        #expect(Set(said).count == 41)
    }

    /// Statements on all tasks of a large organization would take longer than a statement may.
    @Test func tasksAreTakenInPieces() async throws {
        let world = try await World()
        for _ in 0..<5 { try await world.create() }
        var pieces: [Range<Int64>] = []
        try await world.write { transaction in
            try await Pieces.each(of: world.organization, size: 2, transaction.query) { pieces.append($0) }
        }
        #expect(pieces == [1..<3, 3..<5, 5..<7])
    }

    @Test func aDeletedOrganizationIsGoneAndStaysSo() async throws {
        let world = try await World()
        let parent = try await world.create(people: ["developer@example.com"])
        try await world.create(under: parent)
        try await world.write { try await world.board.replicas.delete(world.organization, in: $0) }
        #expect(try await !world.board.organizations().contains(world.organization))
        #expect(try await world.listed(by: world.admin).isEmpty)
        #expect(await code { _ = try await world.board.dashboard(of: world.admin) } == "not-found")
        try await world.join(world.manager, "manager@example.com", revision: 7)
        try await world.addProject(ProjectID(5), key: "LATE")
        let left = try await world.database.read(
            in: world.organization,
            """
            SELECT (SELECT count(*) FROM member) + (SELECT count(*) FROM project) + (SELECT count(*) FROM organization) \
            + (SELECT count(*) FROM task) + (SELECT count(*) FROM task_collaborator) AS rows
            """
        )
        #expect(try left.first?.get("rows", as: Int.self) == 0)
    }

    /// The readers of different services' events do not wait for each other but here.
    @Test func whatIsAddedWhileAnOrganizationIsDeletedGoesWithIt() async throws {
        let world = try await World()
        let newcomer = world.principal(.developer)
        let profile = UserProfile(
            user: newcomer.user,
            revision: 1,
            email: "late@example.com",
            firstName: "Late",
            lastName: "Tester",
            role: .developer,
            department: nil,
            departmentName: nil,
            isActive: true,
            profileImage: nil,
            createdAt: world.clock.now,
            updatedAt: world.clock.now
        )
        let created = ProjectCreated(
            project: ProjectID(5),
            revision: 1,
            key: "LATE",
            name: "Late",
            status: "PENDING",
            taskVisibility: "project",
            createdBy: newcomer.user
        )
        let deletion = try await world.write { transaction in
            world.board.replicas.keep(profile, world.organization, in: transaction)
            world.board.replicas.keep(created, world.organization, in: transaction)
            world.board.replicas.add(newcomer.user, to: ProjectID(5), world.organization, in: transaction)
            _ = try await transaction.query("SELECT 1")
            let deletion = Task {
                try await world.write { try await world.board.replicas.delete(world.organization, in: $0) }
            }
            try await world.waitUntilBlocked(by: transaction) {
                try await world.board.replicas.isGone(world.organization)
            }
            return deletion
        }
        try await deletion.value
        let left = try await world.database.read(
            in: world.organization,
            """
            SELECT (SELECT count(*) FROM member) + (SELECT count(*) FROM project) \
            + (SELECT count(*) FROM project_collaborator) AS rows
            """
        )
        #expect(try left.first?.get("rows", as: Int.self) == 0)
    }

    @Test func aKeyCreatesOnce() async throws {
        let world = try await World()
        let claim = { IdempotencyClaim(scope: Array(1...32), fingerprint: Array(1...32)) }
        func once() async throws -> TaskID {
            let claim = claim()
            claim.render { (view: TaskView) in
                StoredReply(status: 201, body: view.json, location: "/api/project/tasks/\(view.id)/", etag: "\"1\"")
            }
            let scope = RequestScope(actor: world.admin.user, idempotency: claim)
            return try await RequestScope.$current.withValue(scope) { try await world.create() }
        }
        let first = try await once()
        await #expect(throws: IdempotentReplay.self) { _ = try await once() }
        #expect(try await world.listed(by: world.admin) == [first])
    }
}
