import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Who collaborates on a task.
struct CollaboratorRoutes: Sendable {
    let board: TaskBoard
    let signer: CursorSigner

    func add(to routes: RouterGroup<AppContext>) {
        for tasks in TaskPaths.all {
            let collaborators = routes.group(RouterPath("\(tasks)/{task}/collaborators"))
            // Whoever sees the task.
            collaborators.get(use: list)
            collaborators.get("{email}", use: find)
            // ADMIN, MANAGER in their projects; DEVELOPER may remove themselves.
            collaborators.post("{email}", use: add)
            collaborators.delete("{email}", use: remove)
        }
    }

    private func list(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        let task = try path.task(context)
        let asked = try TaskLists.collaborators(of: task).parse(
            request.queryItems,
            organization: principal.organization,
            signer: signer
        )
        try TaskFields.require(asked.fields, among: TaskFields.collaborator)
        let page = try await board.collaborators(asked, of: task, in: path.project, by: principal)
        return try Reply.page(page, request: request) { .raw($0) }
    }

    private func find(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        try request.requireFields(among: TaskFields.collaborator)
        let found = try await board.collaborator(
            context.text("email"),
            of: path.task(context),
            in: path.project,
            by: principal
        )
        return try Reply.object(.raw(found.json), version: found.version, request: request)
    }

    private func add(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        let reference = try path.task(context)
        let email = try context.text("email")
        _ = try request.parameters()
        let body = try await request.jsonObject(allowsEmpty: true)
        let location = "\(path.location)\(try context.text("task"))/collaborators/\(PercentCoding.encode(email))/"
        return try await idempotent(
            request,
            context,
            body: body,
            work: {
                try await board.addCollaborator(email, to: reference, in: path.project, by: principal) {
                    var fields = BodyFields(body)
                    try fields.finish()
                }
            },
            answer: { added in Reply.created(.raw(added.json), version: added.version, location: location) }
        )
    }

    private func remove(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        _ = try request.parameters()
        try await board.removeCollaborator(
            context.text("email"),
            from: path.task(context),
            in: path.project,
            by: principal
        ) { try request.requireMatch(version: $0) }
        return Reply.noContent
    }
}
