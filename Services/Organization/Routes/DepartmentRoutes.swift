import Failures
import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Departments.
struct DepartmentRoutes: Sendable {
    let directory: Directory
    let cursors: CursorSigner

    func add(to group: RouterGroup<AppContext>) {
        group.get("/api/organization/departments", use: list)
        group.post("/api/organization/departments", use: create)
        group.get("/api/organization/departments/:id", use: read)
        group.put("/api/organization/departments/:id", use: replace)
        group.patch("/api/organization/departments/:id", use: patch)
        group.delete("/api/organization/departments/:id", use: delete)
    }

    @Sendable func list(_ request: Request, context: AppContext) async throws -> Response {
        let organization = try context.requirePrincipal().organization
        let list = try DirectoryStore.departmentList.parse(
            request.queryItems,
            organization: organization,
            signer: cursors
        )
        let page = try await directory.departments(list, as: try context.requireRole(.admin))
        return try Reply.page(page, request: request, encode: \.json)
    }

    @Sendable func create(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        let body = try await request.jsonObject()
        return try await idempotent(request, context, body: body) {
            try await directory.createDepartment(as: try context.requireRole(.admin)) {
                var fields = BodyFields(body)
                fields.require("department_name")
                let name = fields.text("department_name", maximumLength: 255, allowsBlank: false)
                try fields.finish()
                // Whatever is missing here has been refused above.
                guard let name else { throw Failure.invalid([]) }
                return name
            }
        } answer: { department in
            Reply.created(department.json, version: department.version, location: department.path)
        }
    }

    @Sendable func read(_ request: Request, context: AppContext) async throws -> Response {
        try request.requireFields(among: DepartmentLabel.fieldNames)
        let principal = try context.requireRole(.admin)
        let department = try await directory.department(try context.number("id"), as: principal)
        return try Reply.object(department.json, version: department.version, request: request)
    }

    @Sendable func replace(_ request: Request, context: AppContext) async throws -> Response {
        try await change(request, context, isComplete: true)
    }

    @Sendable func patch(_ request: Request, context: AppContext) async throws -> Response {
        try await change(request, context, isComplete: false)
    }

    private func change(_ request: Request, _ context: AppContext, isComplete: Bool) async throws -> Response {
        try request.requireFields(among: DepartmentLabel.fieldNames)
        let body = try await request.jsonObject()
        let principal = try context.requireRole(.admin)
        let department = try await directory.renameDepartment(try context.number("id"), as: principal) { department in
            try request.requireMatch(version: department.version)
            var fields = BodyFields(body)
            if isComplete { fields.require("department_name") }
            let name = fields.text("department_name", maximumLength: 255, allowsBlank: false)
            fields.readOnly(["id"], as: department.json)
            try fields.finish()
            return name
        }
        return try Reply.object(department.json, version: department.version, request: request)
    }

    @Sendable func delete(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        let principal = try context.requireRole(.admin)
        try await directory.deleteDepartment(try context.number("id"), as: principal) { department in
            try request.requireMatch(version: department.version)
        }
        return Reply.noContent
    }
}
