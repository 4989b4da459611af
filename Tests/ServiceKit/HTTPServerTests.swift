import HTTPTypes
import Hummingbird
import Identity
import Logging
import NIOCore
import ServiceLifecycle
import Testing

@testable import ServiceKit

/// The server on a real socket.
@Suite struct HTTPServerTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let readiness = Readiness()
    private let port = BoundPort()

    private func server(
        listen: String = "127.0.0.1:0",
        drain: String = "0",
        _ routes: (RouterGroup<AppContext>) -> Void
    ) throws -> HTTPServerService {
        let settings = try ServiceSettings(
            service: "task",
            Settings.fixed([
                "TASKFLOW_SECRET": String(repeating: "s", count: 32), "TASKFLOW_TASK_LISTEN": listen,
                "TASKFLOW_TASK_DATABASE_URL": "postgres://nowhere", "TASKFLOW_DRAIN": drain,
            ])
        )
        let keys = KeySource(url: "http://127.0.0.1:1", logger: logger)
        let router = ServiceRouter(
            service: "task",
            credential: "c",
            keys: keys,
            verifier: AccessTokenVerifier(issuer: "x"),
            readiness: readiness,
            watch: PositionWatch(),
            logger: logger
        )
        routes(router.open)
        readiness.becomeReady()
        return HTTPServerService(
            router: router.router.buildResponder(),
            settings: settings,
            readiness: readiness,
            boundPort: port,
            logger: logger
        )
    }

    private func group(_ server: HTTPServerService) -> ServiceGroup {
        ServiceGroup(configuration: .init(services: [server], logger: logger))
    }

    private func ask(_ method: String, _ path: String, port: Int) async throws -> (status: Int, body: [UInt8]) {
        try await InternalHTTP.exchange(
            method,
            "http://127.0.0.1:\(port)\(path)",
            headers: [],
            body: nil,
            timeout: .seconds(5),
            limit: 1000
        )
    }

    @Test func answersOnAFreePort() async throws {
        let server = try server { $0.get("/x") { _, _ in Reply.json(.integer(1)) } }
        let group = group(server)
        async let running: Void = group.run()
        let port = try await port.value
        #expect(port > 0)
        for _ in 0..<3 {
            // On one connection: a wrong length of one answer would break the next.
            #expect(try await ask("GET", "/x/", port: port).body == Array("1".utf8))
            let head = try await ask("HEAD", "/x", port: port)
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            #expect(try await ask("POST", "/x", port: port).status == 405)
        }
        await group.triggerGracefulShutdown()
        try await running
        #expect(readiness.state == .stopping)
    }

    @Test func lettingRequestsFinish() async throws {
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let server = try server { routes in
            routes.get("/slow") { _, _ in
                start.yield()
                for await _ in released { break }
                return Reply.json(.bool(true))
            }
        }
        let group = group(server)
        async let running: Void = group.run()
        let port = try await port.value
        async let answer = ask("GET", "/slow", port: port)
        for await _ in started { break }
        await group.triggerGracefulShutdown()
        release.yield()
        #expect(try await answer.status == 200)
        try await running
    }

    @Test func acceptingWhileItDrains() async throws {
        // Longer than any machine is slow; the drain is cut off at the end.
        let server = try server(drain: "30") { $0.get("/x") { _, _ in Reply.json(.integer(1)) } }
        let group = group(server)
        let running = Task { try await group.run() }
        let port = try await port.value
        await group.triggerGracefulShutdown()
        while readiness.state != .stopping { await Task.yield() }
        #expect(try await ask("GET", "/x", port: port).status == 200)
        running.cancel()
        _ = await running.result
    }

    @Test func acceptingNoMoreAfterTheDrain() async throws {
        let server = try server(drain: "0.05") { $0.get("/x") { _, _ in Reply.json(.integer(1)) } }
        let group = group(server)
        async let running: Void = group.run()
        let port = try await port.value
        #expect(try await ask("GET", "/x", port: port).status == 200)
        await group.triggerGracefulShutdown()
        try await running
        await #expect(throws: (any Error).self) { try await ask("GET", "/x", port: port) }
    }

    @Test func aPortInUseIsSaidInOneLine() async throws {
        let first = try server { _ in }
        let holder = group(first)
        async let running: Void = holder.run()
        let taken = try await port.value
        let second = try server(listen: "127.0.0.1:\(taken)") { _ in }
        let error = await #expect(throws: SettingError.self) { try await second.run() }
        #expect(error?.description.contains("TASKFLOW_TASK_LISTEN") == true)
        await holder.triggerGracefulShutdown()
        try await running
    }
}
