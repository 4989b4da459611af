import Failures
import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Projects and their trash.
struct ProjectRoutes: Sendable {
    let board: ProjectBoard
    let cursors: CursorSigner

    func add(to group: RouterGroup<AppContext>) {
        for path in ["/api/project_management", "/api/project_management/projects"] {
            group.get("\(path)", use: list)
            group.post("\(path)", use: create)
        }
        group.get("/api/project_management/projects/:id", use: read)
        group.put("/api/project_management/projects/:id", use: replace)
        group.patch("/api/project_management/projects/:id", use: patch)
        group.delete("/api/project_management/projects/:id", use: delete)
        group.get("/api/project_management/trash", use: trash)
        group.post("/api/project_management/projects/:id/restore", use: restore)
    }

    @Sendable func list(_ request: Request, context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let list = try ProjectStore.projectList.parse(
            request.queryItems,
            organization: principal.organization,
            signer: cursors
        )
        return try Reply.page(try await board.projects(list, as: principal), request: request, encode: \.json)
    }

    @Sendable func trash(_ request: Request, context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let list = try ProjectStore.trashList.parse(
            request.queryItems,
            organization: principal.organization,
            signer: cursors
        )
        return try Reply.page(try await board.trash(list, as: principal), request: request, encode: \.trashJSON)
    }

    @Sendable func create(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        let principal = try context.requirePrincipal()
        let body = try await request.jsonObject()
        return try await idempotent(request, context, body: body) {
            try await board.create(as: principal) { try ProjectRoutes.draft(body) }
        } answer: { detail in
            Reply.created(detail.json, version: detail.project.version, location: detail.project.path)
        }
    }

    @Sendable func read(_ request: Request, context: AppContext) async throws -> Response {
        try request.requireFields(among: ProjectDetail.fieldNames)
        let detail = try await board.project(try context.number("id"), as: try context.requirePrincipal())
        return try Reply.object(detail.json, version: detail.project.version, request: request)
    }

    @Sendable func replace(_ request: Request, context: AppContext) async throws -> Response {
        try await change(request, context, isComplete: true)
    }

    @Sendable func patch(_ request: Request, context: AppContext) async throws -> Response {
        try await change(request, context, isComplete: false)
    }

    private func change(_ request: Request, _ context: AppContext, isComplete: Bool) async throws -> Response {
        try request.requireFields(among: ProjectDetail.fieldNames)
        let body = try await request.jsonObject()
        let detail = try await board.update(
            try context.number("id"),
            as: try context.requirePrincipal()
        ) { stored in
            try request.requireMatch(version: stored.project.version)
            return try ProjectRoutes.patch(body, of: stored, isComplete: isComplete)
        }
        return try Reply.object(detail.json, version: detail.project.version, request: request)
    }

    @Sendable func delete(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        try await board.delete(try context.number("id"), as: try context.requirePrincipal()) { stored in
            try request.requireMatch(version: stored.project.version)
        }
        return Reply.noContent
    }

    @Sendable func restore(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        let principal = try context.requirePrincipal()
        let body = try await request.jsonObject(allowsEmpty: true)
        return try await idempotent(request, context, body: body) {
            try await board.restore(try context.number("id"), as: principal) {
                var fields = BodyFields(body)
                try fields.finish()
            }
        } answer: { detail in
            try Reply.object(detail.json, version: detail.project.version, request: request)
        }
    }

    // MARK: Bodies

    static func draft(_ body: JSON) throws -> ProjectDraft {
        var fields = BodyFields(body)
        fields.require("name")
        let name = fields.text("name", maximumLength: 255, allowsBlank: false)
        let description = fields.text("description", maximumLength: 100_000)
        let key = fields.text("key", maximumLength: 255)
        if let key, !ProjectKey.isValid(key) {
            fields.fail("key", "bad-key", "Must be 2 to 10 of A-Z and 0-9, a letter first.")
        }
        let status = fields.choice("status", ProjectStatus.self)
        let visibility = fields.choice("task_visibility", TaskVisibility.self)
        try fields.finish()
        // A missing name has been refused above.
        guard let name else { throw Failure.invalid([]) }
        return ProjectDraft(
            name: name,
            description: description ?? "",
            key: key,
            status: status ?? .pending,
            taskVisibility: visibility ?? .collaborators
        )
    }

    static func patch(_ body: JSON, of stored: ProjectDetail, isComplete: Bool) throws -> ProjectPatch {
        var fields = BodyFields(body)
        if isComplete { fields.require("name") }
        var patch = ProjectPatch()
        patch.name = fields.text("name", maximumLength: 255, allowsBlank: false)
        patch.description = fields.text("description", maximumLength: 100_000)
        patch.status = fields.choice("status", ProjectStatus.self)
        patch.taskVisibility = fields.choice("task_visibility", TaskVisibility.self)
        if isComplete {
            // What a PUT leaves out becomes what it would be in a new project; the status is no such field.
            let draft = ProjectDraft(name: "")
            if patch.description == nil { patch.description = draft.description }
            if patch.taskVisibility == nil { patch.taskVisibility = draft.taskVisibility }
        }
        let answer = stored.json
        for name in [
            "id", "key", "created_by", "updated_by", "created_at", "updated_at", "version", "collaborators",
        ] {
            fields.readOnly(name, equals: answer[name] ?? .null)
        }
        try fields.finish()
        return patch
    }
}
