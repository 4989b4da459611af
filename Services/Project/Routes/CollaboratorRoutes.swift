import Failures
import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Who collaborates on a project.
struct CollaboratorRoutes: Sendable {
    let board: ProjectBoard
    let cursors: CursorSigner

    func add(to group: RouterGroup<AppContext>) {
        group.get("/api/project_management/projects/:id/collaborators", use: list)
        group.get("/api/project_management/projects/:id/collaborators/:email", use: read)
        group.post("/api/project_management/projects/:id/collaborators/:email", use: add)
        group.delete("/api/project_management/projects/:id/collaborators/:email", use: remove)
    }

    @Sendable func list(_ request: Request, context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let id: ProjectID = try context.number("id")
        let list = try ProjectStore.collaboratorList(of: id).parse(
            request.queryItems,
            organization: principal.organization,
            signer: cursors
        )
        let page = try await board.collaborators(list, of: id, as: principal)
        return try Reply.page(page, request: request, encode: \.json)
    }

    @Sendable func read(_ request: Request, context: AppContext) async throws -> Response {
        try request.requireFields(among: Collaborator.fieldNames)
        let (entry, version) = try await board.collaborator(
            email: try context.text("email"),
            of: try context.number("id"),
            as: try context.requirePrincipal()
        )
        return try Reply.object(entry.json, version: version, request: request)
    }

    @Sendable func add(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        let principal = try context.requirePrincipal()
        let body = try await request.jsonObject(allowsEmpty: true)
        let id: ProjectID = try context.number("id")
        return try await idempotent(request, context, body: body) {
            try await board.addCollaborator(email: try context.text("email"), to: id, as: principal) {
                var fields = BodyFields(body)
                try fields.finish()
            }
        } answer: { added in
            Reply.created(added.entry.json, version: added.version, location: added.entry.path(of: id))
        }
    }

    @Sendable func remove(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        try await board.removeCollaborator(
            email: try context.text("email"),
            from: try context.number("id"),
            as: try context.requirePrincipal()
        ) { stored in
            try request.requireMatch(version: stored.project.version)
        }
        return Reply.noContent
    }
}
