import Events
import Failures
import Foundation
import Hummingbird
import Logging
import Messaging
import Postgres
import Redis

/// What load balancers ask, without a credential.
struct HealthRoutes {
    let readiness: Readiness
    let pool: PostgresPool
    let redis: RedisClient
    let keys: KeySource

    func add(to routes: some RouterMethods<AppContext>) {
        routes.get("/health/live", use: live)
        routes.get("/health/ready", use: ready)
    }

    @Sendable private func live(_ request: Request, _ context: AppContext) async throws -> Response {
        Reply.json(.object([("status", .string("live"))]), noStore: true)
    }

    /// Redis is not asked for once the service is ready: without it, writes go on and events wait in Postgres.
    @Sendable private func ready(_ request: Request, _ context: AppContext) async throws -> Response {
        let state = readiness.state
        let hasPostgres = state == .ready ? await answers() : false
        let isReady = state == .ready && hasPostgres && keys.hasKeys
        return Reply.json(
            .object([
                ("status", .string(state == .ready && !isReady ? "unavailable" : state.rawValue)),
                ("postgres", .bool(hasPostgres)),
                ("redis", .bool(redis.serverRunID != nil)),
                ("keys", .bool(keys.hasKeys)),
            ]),
            status: isReady ? .ok : .serviceUnavailable,
            noStore: true
        )
    }

    private func answers() async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await pool.query("SELECT 1")) != nil }
            group.addTask {
                try? await Task.sleep(for: .seconds(1))
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
    }
}

/// What the other parts of the installation and its operators ask, below `/internal/`.
struct LogRoutes {
    let producer: Producer?
    let administration: EventLogAdministration

    func add(to routes: some RouterMethods<AppContext>) {
        routes.get("/internal/events", use: replay)
        routes.get("/internal/log/status", use: status)
        routes.get("/internal/log/origin", use: origin)
        routes.get("/internal/log/parked", use: parked)
        routes.post("/internal/log/parked/{stream}/{sequence}/retry", use: retry)
        routes.post("/internal/log/parked/{stream}/{sequence}/drop", use: drop)
    }

    @Sendable private func replay(_ request: Request, _ context: AppContext) async throws -> Response {
        let parameters = try request.parameters(only: "stream", "after", "limit")
        guard let stream = parameters["stream"].flatMap(StreamName.init), stream.producer == producer else {
            throw Failure.badParameter("stream", "not-a-stream", "Name a stream of this service: task.07.")
        }
        guard let after = Int64(parameters["after"] ?? "0"), after >= 0 else {
            throw Failure.badParameter("after", "not-a-number", "Must be 0 or more.")
        }
        let events = try await administration.replay(
            stream,
            after: after,
            limit: try limit(parameters, default: 100, atMost: 1000)
        )
        return Reply.bytes(StoredEvent.encodedList(events), type: MediaType.json)
    }

    @Sendable private func origin(_ request: Request, _ context: AppContext) async throws -> Response {
        let parameters = try request.parameters(only: "stream", "lineage")
        guard let stream = parameters["stream"].flatMap(StreamName.init), stream.producer == producer else {
            throw Failure.badParameter("stream", "not-a-stream", "Name a stream of this service: task.07.")
        }
        return try answer(await administration.origin(stream, lineage: parameters["lineage"]))
    }

    @Sendable private func status(_ request: Request, _ context: AppContext) async throws -> Response {
        try answer(await administration.status())
    }

    @Sendable private func parked(_ request: Request, _ context: AppContext) async throws -> Response {
        let parameters = try request.parameters(only: "after", "limit")
        let after = try parameters["after"].map { text in
            guard let position = Position(text) else {
                throw Failure.badParameter("after", "not-a-position", "Must be a position: task.07:12.")
            }
            return position
        }
        return try answer(
            await administration.parked(after: after, limit: try limit(parameters, default: 100, atMost: 1000))
        )
    }

    @Sendable private func retry(_ request: Request, _ context: AppContext) async throws -> Response {
        let count = try await administration.retry(try position(context), by: try await actor(request))
        guard count > 0 else { throw Failure.notFound }
        return Reply.json(.object([("retried", .integer(Int64(count)))]), noStore: true)
    }

    @Sendable private func drop(_ request: Request, _ context: AppContext) async throws -> Response {
        guard try await administration.drop(try position(context), by: try await actor(request)) else {
            throw Failure.notFound
        }
        return Reply.noContent
    }

    private func position(_ context: AppContext) throws -> Position {
        guard
            let stream = StreamName(try context.text("stream")),
            let sequence = Int64(try context.text("sequence")), sequence > 0
        else { throw Failure.notFound }
        return Position(stream, sequence)
    }

    /// Who asks, for the log: `{"actor": "name"}`.
    private func actor(_ request: Request) async throws -> String {
        try await request.jsonObject(allowsEmpty: true)["actor"]?.text ?? "operator"
    }

    private func limit(_ parameters: [String: String], default value: Int, atMost most: Int) throws -> Int {
        guard let text = parameters["limit"] else { return value }
        guard let limit = Int(text), (1...most).contains(limit) else {
            throw Failure.badParameter("limit", "out-of-range", "Must be 1 to \(most).")
        }
        return limit
    }

    private func answer(_ value: some Encodable) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return Reply.bytes(Array(try encoder.encode(value)), type: MediaType.json)
    }
}
