import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Redis
import ServiceKit
import ServiceLifecycle

/// What operators ask: health in detail, metrics, and the table in force. On a port of its own, never for the public.
struct AdminServer: Service, CustomStringConvertible {
    let front: Front
    let redis: RedisClient
    let listen: ListenAddress
    let boundPort: BoundPort
    let logger: Logger

    var description: String { "gateway admin server" }

    func run() async throws {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            router: router(),
            configuration: ApplicationConfiguration(
                address: .hostname(listen.host, port: listen.port),
                serverName: nil
            ),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { boundPort.set(port) }
            },
            logger: quiet
        )
        do {
            try await application.run()
        } catch let error as IOError {
            throw SettingError(
                "The gateway's admin port cannot listen on \(listen) (\(error.systemReason)); "
                    + "change TASKFLOW_GATEWAY_ADMIN, or turn it off."
            )
        }
    }

    private func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("health/live") { _, _ in Self.json(.object([("status", .string("ok"))])) }
        router.get("health/ready") { _, _ in
            Self.json(detail(), status: front.isServing ? .ok : .serviceUnavailable)
        }
        router.get("metrics") { _, _ in
            front.meters.report(front.table.upstreams)
            return Response(
                status: .ok,
                headers: [.contentType: PrometheusRegistry.contentType],
                body: ResponseBody(byteBuffer: ByteBuffer(string: PrometheusRegistry.shared.render()))
            )
        }
        router.get("routes") { _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: front.table.configuration.routes()))
            )
        }
        return router
    }

    private func detail() -> JSON {
        .object([
            ("status", .string(front.isServing ? "ok" : "unavailable")),
            ("stage", .string("\(front.stage)")),
            ("redis", .string(redis.serverRunID == nil ? "unavailable" : "ok")),
            ("connections", .integer(Int64(front.connections))),
            (
                "upstreams",
                .array(
                    front.table.upstreams.map { upstream in
                        let load = upstream.load
                        return .object([
                            ("name", .string(upstream.rule.name)), ("in_flight", .integer(Int64(load.inFlight))),
                            ("queued", .integer(Int64(load.queued))),
                            ("servers", .array(upstream.snapshot.map(Self.server))),
                        ])
                    }
                )
            ),
        ])
    }

    private static func server(_ server: Upstream.Server) -> JSON {
        let circuit =
            switch server.breaker.state {
            case .closed: "closed"
            case .open: "open"
            case .probing: "probing"
            }
        return .object([
            ("address", .string(server.address.description)),
            ("ready", server.isReady.map { .bool($0) } ?? .null),
            ("circuit", .string(circuit)), ("in_flight", .integer(Int64(server.inFlight))),
        ])
    }

    private static func json(_ json: JSON, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status,
            headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: json.encoded()))
        )
    }
}
