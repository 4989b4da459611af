import Foundation
import NIOCore
import TestSupport
import Testing

@testable import GatewayService

/// The gateway over real sockets, before a fake service, with no Redis.
@Suite struct SocketTests {
    private func echo() async throws -> FakeService {
        try await FakeService.start { request in
            if request.head.target.hasSuffix("/close") { return .close }
            if request.head.target.hasSuffix("/slow") {
                return .after(.milliseconds(700), "HTTP/1.1 204 No Content\r\n\r\n")
            }
            if request.head.target.hasSuffix("/big") { return .stream(20_000_000) }
            return .ok(#"{"ok":true}"#, "Server: fake\r\nX-Internal-Other: x\r\n")
        }
    }

    @Test func forwardsWhatWasRoutedAndNothingElse() async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let answer = try await gateway.post(
                "/open/a%40b/?x=%zz",
                "X-User-Id: 1\r\nX_Internal_Credential: 1\r\nAuthorization: Bearer x\r\nX-Request-Id: me-1\r\n",
                body: "hello"
            )
            #expect(answer.status == 200)
            #expect(answer.content == #"{"ok":true}"#)
            #expect(answer.field("x-request-id") == "me-1")
            #expect(answer.field("x-content-type-options") == "nosniff")
            #expect(answer.field("cache-control") == "no-store")
            #expect(answer.field("server") == nil)
            #expect(answer.field("x-internal-other") == nil)
            let seen = try #require(service.requests.first)
            #expect(seen.head.target == "/open/a%40b/?x=%zz")
            #expect(String(decoding: seen.body, as: UTF8.self) == "hello")
            #expect(seen.head.headers["x-user-id"] == nil)
            #expect(seen.head.headers["authorization"] == nil)
            #expect(seen.head.headers["x-request-id"] == "me-1")
            #expect(seen.head.headers["x-internal-client-address"] == "127.0.0.1")
            #expect(seen.head.headers.count(of: "x-internal-credential") == 1)
            #expect(seen.head.headers["traceparent"]?.hasPrefix("00-") == true)
            #expect(seen.head.framing == .length(5))
        }
    }

    @Test func judgesInOrder() async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let cases: [(String, Int)] = [
                ("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
                ("PUT /closed/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
                ("POST /closed/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n", 401),
                ("POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n", 413),
                (
                    "POST /open/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n"
                        + String(repeating: "x", count: 2048), 413
                ),
                ("TRACE /open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
                ("GET /open/a HTTP/1.1\r\n\r\n", 400),
                ("GET http://other/open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
                ("GET http://x/open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
                ("GET /open/../closed/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
                ("GET /internal/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
                ("POST /open/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
                ("POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                ("HEAD /open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
            ]
            for (request, status) in cases {
                let answer = try await gateway.send(request)
                #expect(answer.status == status, "\(request.prefix(80))")
                if status >= 400 {
                    #expect(answer.field("content-type") == "application/problem+json; charset=utf-8")
                    #expect(answer.content.contains("\"request_id\":\"\(answer.field("x-request-id") ?? "-")\""))
                }
            }
            let answer = try await gateway.get("/closed/a", method: "PUT")
            #expect(answer.field("allow") == "GET, HEAD, POST, OPTIONS")
            #expect(try await gateway.get("/closed/a").field("www-authenticate") == "Bearer")
        }
    }

    @Test func continuesAndPipelines() async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            try await RawConnection.with(gateway.port) { connection in
                try await connection.write(
                    "POST /open/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
                )
                #expect(try await connection.read() == "HTTP/1.1 100 Continue\r\n\r\n")
                try await connection.write(
                    "{}GET /few HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                )
                let answers = try await connection.readToEnd()
                #expect(
                    answers.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) } == [
                        "200", "200", "404",
                    ]
                )
            }
            #expect(
                try await gateway.send(
                    "POST /open/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n"
                ).status == 413
            )
            #expect(
                try await gateway.send("POST /open/a HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 5\r\n\r\n")
                    .status == 417
            )
        }
    }

    private static let halfClosed: [(String, [String])] = [
        ("GET /open/a HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", ["200", "404"]),
        ("GET /open/slow HTTP/1.1\r\nHost: x\r\n\r\nGET /open/a HTTP/1.1\r\nHost: x\r\n\r\n", ["204", "200"]),
        ("GET /open/a HTTP/1.1\r\nHost: x\r\n\r\nGET /open/a HTTP/1.1\r\nHo", ["200"]),
        (
            "POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /few HTTP/1.1\r\nHost: x\r\n\r\n",
            ["200", "200"]
        ),
        ("POST /closed/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe", ["401"]),
        ("POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe", []),
    ]

    /// RFC 9112, section 9.3.2: what was asked whole is answered, whether the client may ask more or not.
    @Test(arguments: halfClosed) func answersAHalfClosedClient(requests: String, statuses: [String]) async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let answers = try await RawConnection.with(gateway.port) { connection in
                try await connection.write(requests)
                connection.finishWriting()
                return try await connection.readToEnd()
            }
            #expect(answers.components(separatedBy: "HTTP/1.1 ").dropFirst().map { String($0.prefix(3)) } == statuses)
        }
    }

    @Test func streamsBothWays() async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let body = String(repeating: "y", count: 5_000_000)
            let put =
                "PUT /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            #expect(try await gateway.send(put).status == 200)
            #expect(service.requests.last?.body.count == 5_000_000)
            let answer = try await gateway.send("GET /open/big HTTP/1.0\r\n\r\n")
            #expect(answer.content.utf8.count == 20_000_000)
            // A client that does not read at once still gets the last byte.
            let late = try await RawConnection.with(gateway.port) { connection in
                try await connection.write("GET /open/big HTTP/1.0\r\n\r\n")
                var text = try await connection.read() ?? ""
                try await Task.sleep(for: .milliseconds(800))
                text += try await connection.readToEnd()
                return text
            }
            #expect(late.content.utf8.count == 20_000_000)
        }
    }

    @Test func limitsHoldWithoutRedis() async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            var statuses: [Int] = []
            for _ in 0..<4 { statuses.append(try await gateway.get("/few").status) }
            #expect(statuses == [200, 200, 200, 429])
            let refused = try await gateway.get("/few")
            #expect(refused.field("ratelimit-policy") == "\"few\";q=3;w=60")
            #expect(refused.field("ratelimit")?.hasPrefix("\"few\";r=0;t=") == true)
            #expect((1...61).contains(Int(refused.field("retry-after") ?? "") ?? 0))
        }
        try await RunningGateway.run(RunningGateway.text(service: service), settings: ["TASKFLOW_RATE_LIMITS": "off"]) {
            gateway in
            for _ in 0..<5 {
                let answer = try await gateway.get("/few")
                #expect(answer.status == 200)
            }
            #expect(gateway.logs.text.contains("TASKFLOW_RATE_LIMITS is off"))
        }
    }

    @Test func tokensWithoutRedis() async throws {
        let tokens = TokenMaker()
        let service = try await FakeService.start { request in
            request.head.target == "/.well-known/jwks.json" ? .ok(tokens.jwks) : .ok()
        }
        let text = RunningGateway.text(service: service)
        let token = try tokens.token()
        let bearer = "Authorization: Bearer \(token)\r\n"
        try await RunningGateway.run(text) { gateway in
            let answer = try await gateway.get("/closed/a", bearer)
            #expect(answer.status == 503)
            #expect(answer.field("retry-after") == "1")
        }
        try await RunningGateway.run(text, settings: ["TASKFLOW_GATEWAY_FAIL_OPEN": "on"]) { gateway in
            let answer = try await gateway.get("/closed/a", bearer)
            #expect(answer.status == 200)
            #expect(answer.field("cache-control") == "private, no-cache")
            #expect(service.requests.last?.head.headers["authorization"] == "Bearer \(token)")
            #expect(try await gateway.get("/closed/a", "Authorization: Bearer x.y.z\r\n").status == 401)
            #expect(try await gateway.get("/closed/a", bearer + "Taskflow-Position: v1.x.y\r\n").status == 400)
        }
    }

    @Test func crossOriginAndPages() async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let preflight = "Access-Control-Request-Method: POST\r\n"
            let good = try await gateway.get(
                "/closed/a",
                "Origin: https://app.example\r\n" + preflight,
                method: "OPTIONS"
            )
            #expect(good.status == 204)
            #expect(good.field("access-control-allow-origin") == "https://app.example")
            #expect(good.field("access-control-allow-methods") == "GET, HEAD, POST, OPTIONS")
            let bad = try await gateway.get(
                "/closed/a",
                "Origin: https://evil.example\r\n" + preflight,
                method: "OPTIONS"
            )
            #expect(bad.status == 204)
            #expect(bad.field("access-control-allow-origin") == nil)
            #expect(bad.field("vary") == "Origin")
            #expect(
                try await gateway.get("/closed/a", "Origin: https://app.example\r\n").field(
                    "access-control-allow-origin"
                ) != nil
            )
            let docs = try await gateway.get("/api/docs/")
            #expect(docs.status == 200)
            #expect(docs.field("content-security-policy")?.contains("script-src 'sha256-") == true)
            let tag = try #require(docs.field("etag"))
            #expect(try await gateway.get("/api/docs", "If-None-Match: \(tag)\r\n").status == 304)
            #expect(try await gateway.get("/api/openapi.json").content.contains("\"openapi\":\"3.1.0\""))
            let events = try await gateway.get("/api/asyncapi.json")
            #expect(events.field("content-type") == "application/json; charset=utf-8")
            #expect(events.content.hasPrefix("{\"asyncapi\":\"3.0.0\""))
            #expect(events.content.contains("\"task.created\""))
            let yaml = try await gateway.get("/api/asyncapi.yaml/")
            #expect(yaml.field("content-type") == "application/yaml; charset=utf-8")
            #expect(yaml.content.contains("\nasyncapi: 3.0.0\n"))
        }
    }

    @Test func logsNeitherSecretsNorPathsThatHoldThem() async throws {
        let service = try await echo()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            _ = try await gateway.get(
                "/secret/planted-1?x=planted-2",
                "Authorization: Bearer planted-3\r\nCookie: planted-4\r\n"
            )
            _ = try await gateway.get("/secrets/planted-5")
            _ = try await gateway.post("/open/visible", body: "planted-6")
            #expect(!gateway.logs.text.contains("planted"))
            #expect(gateway.logs.text.contains("/secret/{token}"))
            #expect(gateway.logs.text.contains("/open/visible"))
        }
    }
}
