import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Deleted tasks, and their way back.
struct TrashRoutes: Sendable {
    let board: TaskBoard
    let signer: CursorSigner

    func add(to routes: RouterGroup<AppContext>) {
        // What the caller may restore: ADMIN all, MANAGER in their projects, DEVELOPER own creations.
        routes.get("/api/project/trash", use: list)
        for tasks in TaskPaths.all {
            routes.post(RouterPath("\(tasks)/{task}/restore"), use: restore)
        }
    }

    private func list(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let asked = try TaskLists.trash.parse(
            request.queryItems,
            organization: principal.organization,
            signer: signer
        )
        try TaskFields.require(asked.fields, among: TaskFields.trash)
        return try Reply.page(try await board.trash(asked, by: principal), request: request) { .raw($0) }
    }

    private func restore(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let path = try TaskPath(context)
        let reference = try path.task(context)
        _ = try request.parameters()
        let body = try await request.jsonObject(allowsEmpty: true)
        return try await idempotent(
            request,
            context,
            body: body,
            work: {
                try await board.restore(reference, in: path.project, by: principal) {
                    var fields = BodyFields(body)
                    try fields.finish()
                }
            },
            answer: { task in try Reply.object(.raw(task.json), version: task.version, request: request) }
        )
    }
}
