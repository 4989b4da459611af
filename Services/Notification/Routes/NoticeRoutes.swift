import Chronology
import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// One's own notices. Everybody has them, whatever their role.
struct NoticeRoutes: Sendable {
    let desk: NotificationDesk
    let signer: CursorSigner

    func add(to routes: some RouterMethods<AppContext>) {
        routes.get("/api/notifications", use: list)
        routes.post("/api/notifications/read-all", use: readAll)
        routes.post("/api/notifications/{id}/read", use: read)
    }

    @Sendable private func list(_ request: Request, _ context: AppContext) async throws -> Response {
        let person = try context.requirePrincipal()
        let list = try Notice.list.parse(request.queryItems, organization: person.organization, signer: signer)
        return try Reply.page(try await desk.notices(of: person, list), request: request, encode: \.json)
    }

    @Sendable private func read(_ request: Request, _ context: AppContext) async throws -> Response {
        let person = try context.requirePrincipal()
        let id: NoticeID = try context.number("id")
        let body = try await emptyBody(request)
        return try await idempotent(request, context, body: body) {
            try await desk.read(id, by: person)
        } answer: { notice in
            Reply.json(notice.json)
        }
    }

    @Sendable private func readAll(_ request: Request, _ context: AppContext) async throws -> Response {
        let person = try context.requirePrincipal()
        let body = try await emptyBody(request)
        return try await idempotent(request, context, body: body) {
            try await desk.readAll(by: person)
        } answer: { count in
            Reply.json(.object([("updated", .integer(Int64(count)))]))
        }
    }

    /// There is nothing to say in these bodies.
    private func emptyBody(_ request: Request) async throws -> JSON {
        _ = try request.parameters()
        let body = try await request.jsonObject(limit: 16_384, allowsEmpty: true)
        var fields = BodyFields(body)
        try fields.finish()
        return body
    }
}

extension Notice {
    fileprivate var json: JSON {
        .object([
            ("id", .integer(id.number)),
            ("kind", .string(kind.rawValue)),
            ("title", .string(title)),
            ("body", .string(body)),
            ("project", project.map { .integer($0.number) } ?? .null),
            ("task", task.map { .integer($0.number) } ?? .null),
            ("created_at", .string(createdAt.description)),
            ("read_at", .optional(readAt?.description)),
        ])
    }
}
