import Events
import Foundation
import Identity
import Lists
import Messaging
import Postgres
import ServiceKit

@testable import TaskService

extension World {
    static let signer = CursorSigner(key: Array(repeating: 7, count: 32))

    func principal(_ role: Role) -> Principal {
        Principal(
            user: UserID.make(milliseconds: 1_780_000_000_000),
            organization: organization,
            role: role,
            session: SessionID.make(milliseconds: 1_780_000_000_000),
            generation: 1
        )
    }

    /// A page of the list of tasks.
    func page(
        _ query: QueryItems,
        in project: ProjectID? = nil,
        by principal: Principal? = nil
    ) async throws -> (ids: [TaskID], next: String?) {
        let request = try await board.tasks(scope: "tasks", asking: query, in: organization).parse(
            query,
            organization: organization,
            signer: World.signer
        )
        let page = try await board.list(request, project: project, by: principal ?? admin)
        return (try page.items.map(id), page.next)
    }

    /// All tasks that someone sees, by id.
    func listed(by principal: Principal) async throws -> [TaskID] {
        try await page([("ordering", "created_at"), ("page_size", "200")], by: principal).ids.sorted()
    }

    /// The trash as someone sees it.
    func trashed(by principal: Principal) async throws -> [TaskID] {
        let request = try TaskLists.trash.parse([], organization: organization, signer: World.signer)
        return try await board.trash(request, by: principal).items.map(id)
    }

    private func id(_ row: [UInt8]) throws -> TaskID { TaskID(try JSON(parsing: row)["id"]?.integer ?? 0) }

    /// Takes someone off a task without any event, as no operation would.
    func leaveTask(_ principal: Principal, _ task: TaskID) async throws {
        _ = try await write {
            try await $0.query(
                """
                DELETE FROM task_collaborator WHERE organization_id = \(organization) AND task_id = \(task) \
                AND user_id = \(principal.user)
                """
            )
        }
    }

    /// Puts someone on a task without any check, as no operation would.
    func putOnTask(_ principal: Principal, _ task: TaskID) async throws {
        _ = try await write {
            try await $0.query(
                """
                INSERT INTO task_collaborator (organization_id, task_id, user_id, added_at, added_by) \
                VALUES (\(organization), \(task), \(principal.user), \(clock.now), \(admin.user)) ON CONFLICT DO NOTHING
                """
            )
        }
    }

    /// The project shows all of its tasks from now on.
    func showAll() async throws {
        let event = ProjectUpdated(project: project, revision: 9, taskVisibility: "project")
        try await write { try await board.replicas.update(event, organization, in: $0) }
    }

    func setZone(_ name: String, revision: Int64 = 2) async throws {
        let event = OrganizationUpdated(
            revision: revision,
            name: "Example",
            timeZone: name,
            reminderHour: 9,
            updatedAt: clock.now
        )
        try await write { try await board.replicas.update(event, organization, in: $0) }
    }
}

extension Sequence {
    func asyncMap<Result>(_ body: (Element) async throws -> Result) async throws -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
