import Hummingbird
import ServiceKit

/// What other services ask.
struct InternalRoutes: Sendable {
    let watch: PositionWatch
    let gate: RevocationGate

    /// Behind the service credential.
    func add(to group: RouterGroup<AppContext>) {
        group.post("/internal/await-positions", use: awaitPositions)
    }

    /// Answers when the events up to some positions have been applied and what they revoke is in Redis: Organization
    /// asks before it tells an admin that somebody was deactivated or has another role.
    @Sendable func awaitPositions(_ request: Request, _ context: AppContext) async throws -> Response {
        var fields = BodyFields(try await request.jsonObject())
        fields.require("positions")
        let texts = fields.texts("positions", maximumCount: 64, maximumLength: 64) ?? []
        let positions = PositionList(texts)
        for index in positions.unreadable {
            fields.fail(pointer: "/positions/\(index)", "bad-position", "Must be of the form organization.07:12.")
        }
        try fields.finish()
        try await watch.wait(for: positions.positions)
        try await gate.publishPending()
        return Reply.json(.object([]))
    }
}
