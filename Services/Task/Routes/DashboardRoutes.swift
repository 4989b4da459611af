import HTTPTypes
import Hummingbird
import Identity
import ServiceKit

/// What people see first.
struct DashboardRoutes: Sendable {
    let board: TaskBoard

    func add(to routes: RouterGroup<AppContext>) {
        routes.get("/api/account", use: show)
    }

    private func show(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let names = try request.requireFields(among: TaskFields.dashboard)
        let dashboard = try await board.dashboard(of: principal)
        var members: [(key: String, value: JSON)] = [
            ("user", .raw(dashboard.user)), ("organization", .raw(dashboard.organization)),
            ("stats", .raw(dashboard.stats)), ("upcoming", .array(dashboard.upcoming.map { .raw($0) })),
        ]
        if let names {
            members.removeAll { member in !names.contains { $0.utf8.elementsEqual(member.key.utf8) } }
        }
        return Reply.json(.object(members), noStore: true)
    }
}
