import Chronology
import Failures
import Foundation
import Identity
import Lists

extension TaskBoard {
    /// What a list of tasks can be asked, by somebody who asks this.
    func tasks(scope: String, asking query: QueryItems, in organization: OrganizationID) async throws -> ListDeclaration
    {
        TaskLists.tasks(
            scope: scope,
            organization: organization,
            ordering: query.first { $0.name.utf8.elementsEqual("ordering".utf8) }?.value,
            zone: TaskLists.namesDay(query) ? try await store.zone(of: organization) : .gmt
        )
    }

    /// Tasks that the caller may see: all, or those of a project.
    func list(_ request: ListRequest, project: ProjectID?, by principal: Principal) async throws -> Page<EncodedRow> {
        let page = try await store.list(request, project: project, parent: nil, by: principal)
        // A row shows that the project may be seen; only an empty page has to ask.
        if page.items.isEmpty, let project {
            guard try await store.canSee(project, by: principal) else { throw Failure.notFound }
        }
        return page
    }

    /// The subtasks of a task, as far as the caller may see them.
    func subtasks(
        _ request: ListRequest,
        of reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal
    ) async throws -> Page<EncodedRow> {
        let page = try await store.list(request, project: project, parent: reference, by: principal)
        if page.items.isEmpty { _ = try await find(reference, in: project, by: principal) }
        return page
    }

    /// Tasks in the trash that the caller may restore.
    func trash(_ request: ListRequest, by principal: Principal) async throws -> Page<EncodedRow> {
        try await store.trash(request, by: principal)
    }

    /// The collaborators of a task.
    func collaborators(
        _ request: ListRequest,
        of reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal
    ) async throws -> Page<EncodedRow> {
        let page = try await store.collaborators(request, of: reference, in: project, by: principal)
        if page.items.isEmpty { _ = try await find(reference, in: project, by: principal) }
        return page
    }

    /// One collaborator of a task.
    func collaborator(
        _ email: String,
        of reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal
    ) async throws -> TaskView {
        guard let view = try await store.collaborator(email, of: reference, in: project, by: principal) else {
            throw Failure.notFound
        }
        return view
    }

    /// What the caller sees first.
    func dashboard(of principal: Principal) async throws -> Dashboard {
        guard let dashboard = try await store.dashboard(of: principal, at: store.now) else {
            // The token names a member, so the event that says so is on its way; or the organization is gone.
            if try await replicas.isGone(principal.organization) { throw Failure.notFound }
            throw Failure.unavailable("not-caught-up", "What you have just done is not to be seen here yet.")
        }
        return dashboard
    }
}
