import Crypto
import Foundation
import Identity
import Logging
import NIOCore
import NIOPosix
import ServiceKit
import ServiceLifecycle
import TestSupport

@testable import GatewayService

/// A gateway with one fake service behind it, on a configuration of the test's own.
struct RunningGateway: Sendable {
    let port: Int
    let adminPort: Int
    let assembly: GatewayAssembly
    let logs: LogSink
    let configuration: URL

    static let secret = "a secret of more than thirty-two characters"
    /// Nothing listens there.
    static let noRedis = "redis://127.0.0.1:1/0"

    /// A configuration: what is given, and an upstream and routes that most tests need.
    static func text(
        limits: String = "",
        upstream: String = "",
        rates: String = "",
        routes: String = "",
        service: FakeService
    ) -> String {
        """
        listen 127.0.0.1:0
        admin 127.0.0.1:0
        limits {
        \(limits)
        }
        upstream auth {
            server 127.0.0.1:\(service.port)
        \(upstream)
        }
        rate few 3/min by ip
        rate user 5/min by user
        \(rates)
        route /open/** {
            methods GET POST PUT DELETE   to auth   auth none   body 1KiB
        }
        route /closed/** {
            methods GET POST   to auth   auth required   limit user
        }
        route /few {
            methods GET   to auth   auth none   limit few
        }
        route /secret/{token} {
            methods GET   to auth   auth none   log_path off
        }
        route /upload {
            methods PUT   to auth   auth none   body 6MiB   timeout 5m
        }
        \(routes)
        """
    }

    static func run(
        _ text: String,
        settings: [String: String] = [:],
        _ body: (RunningGateway) async throws -> Void
    ) async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "gateway-\(UUID().uuidString).conf")
        try text.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let logs = LogSink()
        var values = [
            "TASKFLOW_SECRET": secret, "TASKFLOW_REDIS_URL": noRedis, "TASKFLOW_GATEWAY_CONFIG": file.path(),
            "TASKFLOW_GATEWAY_DRAIN": "0.5", "TASKFLOW_CORS_ORIGINS": "https://app.example",
        ]
        values.merge(settings) { $1 }
        let assembly = try GatewayApp.assemble(Settings.fixed(values), logger: logs.logger, openAPI: [:])
        let group = ServiceGroup(
            services: assembly.services,
            logger: Logger(label: "group", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            let gateway = RunningGateway(
                port: try await assembly.boundPort.value,
                adminPort: try await assembly.adminPort?.value ?? 0,
                assembly: assembly,
                logs: logs,
                configuration: file
            )
            for _ in 0..<100 {
                if try await gateway.get("/health/ready").hasPrefix("HTTP/1.1 200") { break }
                try await Task.sleep(for: .milliseconds(20))
            }
            do {
                try await body(gateway)
            } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    func get(_ path: String, _ fields: String = "", method: String = "GET") async throws -> String {
        try await send("\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(fields)\r\n")
    }

    func post(_ path: String, _ fields: String = "", body: String = "{}") async throws -> String {
        try await send(
            "POST \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)"
        )
    }

    /// Sends bytes and reads to the end of the connection.
    func send(_ text: String) async throws -> String {
        try await RawConnection.with(port) { connection in
            try await connection.write(text)
            return try await connection.readToEnd()
        }
    }

    /// The status of an answer; 0 if there is none.
    func status(_ text: String) async throws -> Int { try await send(text).status }
}

extension String {
    var status: Int { split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0 }

    /// The value of a header field of an answer.
    func field(_ name: String) -> String? {
        split(separator: "\r\n").first { $0.lowercased().hasPrefix(name + ": ") }.map {
            String($0.dropFirst(name.count + 2))
        }
    }

    var content: String { range(of: "\r\n\r\n").map { String(self[$0.upperBound...]) } ?? "" }
}

/// A connection of which a test writes and reads every byte.
struct RawConnection {
    private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private var reader: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let writer: NIOAsyncChannelOutboundWriter<ByteBuffer>

    static func with<Result: Sendable>(
        _ port: Int,
        _ body: (inout RawConnection) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(isOutboundHalfClosureEnabled: true)
                    )
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var connection = RawConnection(channel: channel, reader: inbound.makeAsyncIterator(), writer: outbound)
            return try await body(&connection)
        }
    }

    func write(_ text: String) async throws {
        // A server that has given its answer may be gone before everything is written.
        try? await writer.write(ByteBuffer(string: text))
    }

    /// Closes this half: nothing more will be written.
    func finishWriting() { writer.finish() }

    /// What comes next; nil at the end.
    mutating func read() async throws -> String? {
        do {
            return try await reader.next().map { String(buffer: $0) }
        } catch is IOError {
            return nil
        }
    }

    mutating func readToEnd() async throws -> String {
        var text = ""
        while let part = try await read() { text += part }
        return text
    }
}

/// Makes access tokens as Auth does.
struct TokenMaker: Sendable {
    private let key = Curve25519.Signing.PrivateKey()
    let organization = OrganizationID.make(milliseconds: 1)
    let session = SessionID.make(milliseconds: 2)
    let user = UserID.make(milliseconds: 3)

    var jwks: String {
        #"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","use":"sig","alg":"EdDSA","x":""#
            + Base64URL.encode(key.publicKey.rawRepresentation) + #""}]}"#
    }

    func token(generation: Int = 1) throws -> String {
        let now = Int(Date().timeIntervalSince1970)
        let header = Base64URL.encode(Array(#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#.utf8))
        let claims = """
            {"iss":"http://127.0.0.1:8080","aud":"taskflow","sub":"\(user)","org":"\(organization)","role":"ADMIN",\
            "sid":"\(session)","gen":\(generation),"jti":"\(UUID().uuidString)","iat":\(now),"exp":\(now + 300)}
            """
        let signed = header + "." + Base64URL.encode(Array(claims.utf8))
        return signed + "." + Base64URL.encode(try key.signature(for: Array(signed.utf8)))
    }
}
