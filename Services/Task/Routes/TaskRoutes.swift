import Failures
import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Tasks and subtasks, below `/api/project/tasks` and, of one project, below `/api/project/{project_id}/tasks`.
struct TaskRoutes: Sendable {
    let board: TaskBoard
    let signer: CursorSigner

    func add(to routes: RouterGroup<AppContext>) {
        for tasks in TaskPaths.all {
            let tasks = routes.group(RouterPath(tasks))
            // ADMIN all, MANAGER where they collaborate, DEVELOPER their own or what the project shows.
            tasks.get(use: list)
            // Whoever sees the project; DEVELOPER for themselves.
            tasks.post(use: create)
            tasks.get("{task}", use: find)
            // ADMIN, MANAGER in their projects, DEVELOPER as creator or collaborator of the task.
            tasks.put("{task}", use: replace)
            tasks.patch("{task}", use: patch)
            // ADMIN, MANAGER in their projects, DEVELOPER own creations.
            tasks.delete("{task}", use: delete)
            tasks.get("{task}/subtasks", use: listSubtasks)
            // Whoever may update the parent.
            tasks.post("{task}/subtasks", use: createSubtask)
        }
    }

    private func list(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        let scope = path.project.map { "project-tasks/\($0)" } ?? "tasks"
        let asked = try await parse(request, principal, scope: scope)
        let page = try await board.list(asked, project: path.project, by: principal)
        return try Reply.page(page, request: request) { .raw($0) }
    }

    private func listSubtasks(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        let parent = try path.task(context)
        let asked = try await parse(request, principal, scope: "subtasks/\(parent)")
        let page = try await board.subtasks(asked, of: parent, in: path.project, by: principal)
        return try Reply.page(page, request: request) { .raw($0) }
    }

    private func parse(_ request: Request, _ principal: Principal, scope: String) async throws -> ListRequest {
        let query = try request.queryItems
        let declaration = try await board.tasks(scope: scope, asking: query, in: principal.organization)
        let asked = try declaration.parse(query, organization: principal.organization, signer: signer)
        try TaskFields.require(asked.fields, among: TaskFields.row)
        return asked
    }

    private func find(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        try request.requireFields(among: TaskFields.single)
        let task = try await board.find(path.task(context), in: path.project, by: principal)
        return try Reply.object(.raw(task.json), version: task.version, request: request)
    }

    private func create(_ request: Request, _ context: AppContext) async throws -> Response {
        try await create(request, context, under: nil)
    }

    private func createSubtask(_ request: Request, _ context: AppContext) async throws -> Response {
        try await create(request, context, under: TaskPath(context).task(context))
    }

    private func create(
        _ request: Request,
        _ context: AppContext,
        under parent: TaskReference?
    ) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        _ = try request.parameters()
        let body = try await request.jsonObject()
        let asked = Creation(
            pathProject: path.project,
            pathParent: parent,
            bodyProject: body["project"]?.positiveInteger.map(ProjectID.init),
            bodyParent: parent == nil ? body["parent_task"]?.positiveInteger.map(TaskID.init) : nil,
            people: TaskBody.people(body)
        )
        let location = path.location
        return try await idempotent(
            request,
            context,
            body: body,
            work: {
                try await board.create(asked, by: principal) { project, parent in
                    TaskBody.draft(body, project: project, parent: parent)
                }
            },
            answer: { task in
                Reply.created(.raw(task.json), version: task.version, location: "\(location)\(task.id)/")
            }
        )
    }

    private func patch(_ request: Request, _ context: AppContext) async throws -> Response {
        try await edit(request, context) { body, shown in TaskBody.patch(body, shown: shown) }
    }

    private func replace(_ request: Request, _ context: AppContext) async throws -> Response {
        try await edit(request, context) { body, shown in TaskBody.replacement(body, shown: shown) }
    }

    private func edit(
        _ request: Request,
        _ context: AppContext,
        reading: @Sendable (JSON, JSON) -> ReadFields<TaskEdit>
    ) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        try request.requireFields(among: TaskFields.single)
        let body = try await request.jsonObject()
        let task = try await board.edit(
            path.task(context),
            in: path.project,
            by: principal,
            wantedParent: body["parent_task"]?.positiveInteger.map(TaskID.init),
            comparesShown: TaskBody.hasReadOnly(body),
            precondition: { try request.requireMatch(version: $0) },
            reading: { shown in reading(body, try shown.map { try JSON(parsing: $0) } ?? .object([])) }
        )
        return try Reply.object(.raw(task.json), version: task.version, request: request)
    }

    private func delete(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        _ = try request.parameters()
        try await board.delete(path.task(context), in: path.project, by: principal) {
            try request.requireMatch(version: $0)
        }
        return Reply.noContent
    }
}
