import Identity
import Lists
import Messaging
import Postgres

/// A row of a list, as JSON that Postgres wrote.
typealias EncodedRow = [UInt8]

extension TaskStore {
    /// Up to so many tasks are gathered before they are put in order.
    private static let mostGathered: Int64 = 5000

    /// Tasks that the caller may see, of a project, of a parent that they may see, or all. A page is one round trip;
    /// all that someone sees who is no admin takes another one to choose the form of the question.
    func list(
        _ request: ListRequest,
        project: ProjectID?,
        parent: TaskReference?,
        by principal: Principal
    ) async throws -> Page<EncodedRow> {
        let visibility = Visibility(principal: principal)
        var visible = visibility.tasks()
        if principal.role != .admin, project == nil, parent == nil {
            let reach = try await database.read(in: principal.organization, visibility.reach)
            if try reach.first?.get("reach", as: Int64.self) ?? 0 <= TaskStore.mostGathered {
                visible = visibility.gathered()
            }
        }
        if let project { visible = "\(visible) AND t.project_id = \(project)" }
        if let parent { visible = "\(visible) AND t.parent_id = \(visibleID(parent, in: project, principal))" }
        return try await page(request, visible: visible, trash: false, by: principal)
    }

    /// Tasks in the trash that the caller may restore.
    func trash(_ request: ListRequest, by principal: Principal) async throws -> Page<EncodedRow> {
        try await page(request, visible: Visibility(principal: principal).trash(), trash: true, by: principal)
    }

    private func page(
        _ request: ListRequest,
        visible: SQL,
        trash: Bool,
        by principal: Principal
    ) async throws -> Page<EncodedRow> {
        let json = TaskJSON(organization: principal.organization)
        return try await request.run(
            in: principal.organization,
            on: database,
            select: "\(json.row(trash: trash))::text AS json",
            // An outer join: the planner cannot start with the projects, it walks the tasks in order.
            from: """
                task t LEFT JOIN project p ON p.organization_id = \(principal.organization) AND p.id = t.project_id
                """,
            visible: visible,
            decode: { try $0.bytes("json") }
        )
    }

    /// The id of a task that the caller may see, as an SQL value: NULL if there is none.
    private func visibleID(_ reference: TaskReference, in project: ProjectID?, _ principal: Principal) -> SQL {
        let inside: SQL = project.map { " AND v.project_id = \($0)" } ?? ""
        return """
            (SELECT v.id FROM task v WHERE \(Visibility(principal: principal).tasks("v")) \
            AND v.id = \(reference.sql(in: principal.organization))\(inside))
            """
    }

    /// The collaborators of a task that the caller may see.
    func collaborators(
        _ request: ListRequest,
        of task: TaskReference,
        in project: ProjectID?,
        by principal: Principal
    ) async throws -> Page<EncodedRow> {
        let json = TaskJSON(organization: principal.organization)
        return try await request.run(
            in: principal.organization,
            on: database,
            select: "\(json.collaborator)::text AS json",
            from: "task_collaborator c",
            visible: """
                c.organization_id = \(principal.organization) \
                AND c.task_id = \(visibleID(task, in: project, principal))
                """,
            decode: { try $0.bytes("json") }
        )
    }

    /// One collaborator of a task that the caller may see.
    func collaborator(
        _ email: String,
        of reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal
    ) async throws -> TaskView? {
        let organization = principal.organization
        let json = TaskJSON(organization: organization)
        let rows = try await database.read(
            in: organization,
            """
            SELECT t.id, t.version + \(json.peopleEpoch) AS version, \(json.collaborator)::text AS json \
            FROM task t JOIN task_collaborator c ON c.organization_id = t.organization_id AND c.task_id = t.id \
            WHERE \(Visibility(principal: principal).tasks()) \
            AND t.id = \(reference.sql(in: organization))\(inProject(project)) \
            AND c.user_id IN (SELECT m.user_id FROM member m WHERE m.organization_id = \(organization) \
            AND lower(m.email) = lower(\(email)))
            """
        )
        return try rows.first.map(TaskStore.view)
    }
}
