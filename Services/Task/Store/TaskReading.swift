import Chronology
import Identity
import Lists
import Messaging
import Postgres

/// A row of a list, as finished JSON.
typealias EncodedRow = [UInt8]

extension TaskStore {
    /// Up to so many tasks are gathered before they are put in order.
    private static let mostGathered: Int64 = 5000

    /// Tasks that the caller may see, of a project, of a parent that they may see, or all. A page is one round trip; a
    /// search, the tasks of somebody, and all that someone sees who is no admin take another to choose the question's form.
    func list(
        _ request: ListRequest,
        project: ProjectID?,
        parent: TaskReference?,
        by principal: Principal
    ) async throws -> Page<EncodedRow> {
        let visibility = Visibility(principal: principal)
        var visible = visibility.tasks()
        switch try await form(of: request, inAll: project == nil && parent == nil, visibility) {
        case .walked: break
        case .gathered: visible = visibility.gathered()
        case .narrowed(let ids): visible = "\(visible) AND t.id = ANY(\(ids)::bigint[])"
        }
        if let project { visible = "\(visible) AND t.project_id = \(project)" }
        if let parent { visible = "\(visible) AND t.parent_id = \(visibleID(parent, in: project, principal))" }
        return try await page(request, visible: visible, trash: false, by: principal)
    }

    /// How a list comes to its tasks; all forms give the same.
    private enum ListForm {
        /// In its order, past what is not wanted.
        case walked
        /// All that the caller may see first.
        case gathered
        /// All that the request can mean first.
        case narrowed([TaskID])
    }

    /// The form that looks at the fewest tasks.
    private func form(of request: ListRequest, inAll: Bool, _ visibility: Visibility) async throws -> ListForm {
        let organization = visibility.principal.organization
        let narrowing = Narrowing(request, in: organization)
        let asksReach = inAll && visibility.principal.role != .admin
        let statements = (narrowing.map { [$0.statement] } ?? []) + (asksReach ? [visibility.reach] : [])
        guard !statements.isEmpty else { return .walked }
        let results = try await database.read(in: organization, statements)
        if narrowing != nil, let ids = try Narrowing.ids(in: results[0]) { return .narrowed(ids) }
        guard asksReach, let reach = try results.last?.first?.get("reach", as: Int64.self) else { return .walked }
        return reach <= TaskStore.mostGathered ? .gathered : .walked
    }

    /// Tasks in the trash that the caller may restore.
    func trash(_ request: ListRequest, by principal: Principal) async throws -> Page<EncodedRow> {
        let visible = Visibility(principal: principal).trash(since: now - TaskItem.trashPeriod)
        return try await page(request, visible: visible, trash: true, by: principal)
    }

    private func page(
        _ request: ListRequest,
        visible: SQL,
        trash: Bool,
        by principal: Principal
    ) async throws -> Page<EncodedRow> {
        let organization = principal.organization
        let rows = try await request.run(
            in: organization,
            on: database,
            select: TaskRows.shown(organization),
            // An outer join: the planner cannot start with the projects, it walks the tasks in order.
            from: """
                task t LEFT JOIN project p ON p.organization_id = \(organization) AND p.id = t.project_id
                """,
            visible: visible,
            decode: { (row: $0, task: try TaskRows.shownTask($0)) }
        )
        let users = rows.items.lazy.map(\.task).people
        let json = try await json(showing: users, rows.items.first?.row, in: organization) {
            try await database.read(in: organization, $0)
        }
        return rows.map { json.row($0.task, trash: trash) }
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
        let organization = principal.organization
        let rows = try await request.run(
            in: organization,
            on: database,
            select: TaskStore.collaboratorColumns(organization),
            from: "task_collaborator c",
            visible: """
                c.organization_id = \(organization) \
                AND c.task_id = \(visibleID(task, in: project, principal))
                """,
            decode: { (row: $0, collaborator: try TaskStore.collaborator($0)) }
        )
        let users = rows.items.lazy.map(\.collaborator).people
        let json = try await json(showing: users, rows.items.first?.row, in: organization) {
            try await database.read(in: organization, $0)
        }
        return rows.map { json.collaborator($0.collaborator) }
    }

    /// One collaborator of a task that the caller may see.
    func collaborator(
        _ email: String,
        of reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal
    ) async throws -> TaskView? {
        let organization = principal.organization
        let rows = try await database.read(
            in: organization,
            """
            SELECT t.id, t.version, \(TaskStore.collaboratorColumns(organization)) \
            FROM task t JOIN task_collaborator c ON c.organization_id = t.organization_id AND c.task_id = t.id \
            WHERE \(Visibility(principal: principal).tasks()) \
            AND t.id = \(reference.sql(in: organization))\(inProject(project)) \
            AND c.user_id IN (SELECT m.user_id FROM member m WHERE m.organization_id = \(organization) \
            AND m.email_key = lower(\(email)))
            """
        )
        return try await collaboratorView(rows.first, in: organization) {
            try await database.read(in: organization, $0)
        }
    }

    /// The columns of the table `c` (task_collaborator) that ``collaborator(_:)`` reads.
    static func collaboratorColumns(_ organization: OrganizationID) -> SQL {
        "c.user_id, c.added_at, c.added_by, \(TaskRows.peopleEpoch(organization))"
    }

    private static func collaborator(_ row: Row) throws -> TaskCollaborator {
        TaskCollaborator(
            user: try row.get("user_id"),
            addedAt: try row.get("added_at"),
            addedBy: try row.get("added_by")
        )
    }

    /// A collaborator as an object of its own, of a row with the task's `id` and `version` beside the columns.
    func collaboratorView(
        _ row: Row?,
        in organization: OrganizationID,
        asking: (SQL) async throws -> Rows
    ) async throws -> TaskView? {
        guard let row else { return nil }
        let collaborator = try TaskStore.collaborator(row)
        let json = try await json(showing: [collaborator].people, row, in: organization, asking: asking)
        return TaskView(
            id: try row.get("id"),
            version: try row.get("version", as: Int64.self) + json.peopleEpoch,
            json: json.collaborator(collaborator)
        )
    }
}
