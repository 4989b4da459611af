import Chronology
import Events
import Failures
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Identity
import Logging
import NIOCore
import Postgres
import Redis
import Testing

@testable import Messaging
@testable import ServiceKit

/// A service with a few routes and no stores, as every service has it.
private struct Fixture {
    static let issuer = "http://127.0.0.1:8080"
    static let credential = "credential"
    static let principal = Principal(
        user: .make(milliseconds: 1),
        organization: .make(milliseconds: 2),
        role: .manager,
        session: .make(milliseconds: 3),
        generation: 1
    )

    let application: Application<RouterResponder<AppContext>>
    let readiness = Readiness()
    let token: String
    let expired: String

    init(
        isReady: Bool = true,
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) async throws {
        let key = SigningKey()
        let signer = await AccessTokenSigner(key: key, issuer: Self.issuer, lifetime: .seconds(300))
        token = try await signer.sign(Self.principal, now: WallClock.system.now)
        expired = try await signer.sign(Self.principal, now: WallClock.system.now - .seconds(1000))
        let jwk = SigningKey.publicJWK(keyID: key.keyID, publicKey: key.publicKey)
        let keys = KeySource(clock: .system, logger: Logger(label: "test")) { Array("{\"keys\":[\(jwk)]}".utf8) }
        if isReady { readiness.becomeReady() }
        let router = ServiceRouter(
            service: "test",
            credential: Self.credential,
            keys: keys,
            verifier: AccessTokenVerifier(issuer: Self.issuer),
            readiness: readiness,
            watch: PositionWatch(),
            logger: logger
        )
        Self.addRoutes(to: router)
        application = Application(
            router: router.router,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private static func addRoutes(to router: ServiceRouter) {
        router.authenticated.get("/api/things/{id}") { request, context in
            let id: TaskID = try context.number("id")
            return try Reply.object(
                .object([("id", .integer(id.number)), ("name", .string("n"))]),
                version: 7,
                request: request
            )
        }
        router.authenticated.patch("/api/things/{id}") { request, context in
            _ = try await request.jsonObject()
            try request.requireMatch(version: 7)
            return try Reply.object(.object([("id", .integer(1))]), version: 8, request: request)
        }
        router.authenticated.post("/api/things") { request, context in
            let body = try await request.jsonObject()
            return try await idempotent(request, context, body: body) {
                "made"
            } answer: { name in
                Reply.created(.object([("name", .string(name))]), version: 1, location: "/api/things/1/")
            }
        }
        // What a transaction does with the claim in its scope: it stores the answer made of its value, says where it ended.
        router.authenticated.post("/api/stored") { request, context in
            let body = try await request.jsonObject()
            return try await idempotent(request, context, body: body) {
                let scope = try #require(RequestScope.current)
                let stored = try #require(try scope.idempotency?.reply(for: "made"))
                #expect(
                    stored == StoredReply(status: 201, body: Array("\"made\"".utf8), location: "/x/", etag: "\"3\"")
                )
                #expect(scope.actor == Self.principal.user)
                scope.record(Position(StreamName(.task, try #require(Shard(7))), 12))
                return "made"
            } answer: {
                Reply.created(.string($0), version: 3, location: "/x/")
            }
        }
        router.authenticated.delete("/api/things/{id}") { _, _ in Reply.noContent }
        router.authenticated.get("/api/who") { _, context in
            _ = try context.requireRole(.manager)
            let actor = RequestScope.current?.actor?.description
            return Reply.json(.object([("actor", .optional(actor)), ("address", .optional(context.clientAddress))]))
        }
        router.authenticated.get("/api/admin") { _, context in
            _ = try context.requireRole(.admin)
            return Reply.noContent
        }
        router.open.get("/api/users/{email}") { _, context in
            Reply.json(.string(try context.text("email")), noStore: true)
        }
        router.open.get("/api/fail/{how}") { _, context -> Response in
            switch try context.text("how") {
            case "postgres": throw PostgresError(.unavailable, message: "host db.internal")
            case "redis": throw RedisError(.timeout, message: "host")
            case "bug": throw PostgresError(.server, sqlState: "42601", message: "SELECT secret")
            case "cancelled": throw CancellationError()
            case "busy": throw Failure.unavailable("not-caught-up", "Wait.", retryAfter: 3)
            case "fields": throw Failure.invalid("/a", "required", "It is required.")
            case "replay":
                throw IdempotentReplay(
                    reply: StoredReply(status: 201, body: Array("{}".utf8), location: "/x/", etag: "\"1\"")
                )
            default: throw HTTPError(.badRequest, message: "inside information")
            }
        }
        router.inside.get("/internal/thing") { _, _ in Reply.json(.bool(true)) }
    }

    var bearer: HTTPFields { [.authorization: "Bearer \(token)"] }

    func run(_ body: @Sendable (any TestClientProtocol) async throws -> Void) async throws {
        try await application.test(.router) { try await body($0) }
    }
}

private func json(_ response: TestResponse) throws -> JSON { try JSON(parsing: Array(response.body.readableBytesView)) }

@Suite struct ServiceRouterTests {
    @Test func problemsHaveOneShape() async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            let answer = try await client.execute(
                uri: "/api/fail/fields?x=1",
                method: .get,
                headers: [.requestID: "abc-1"]
            )
            #expect(answer.status == .unprocessableContent)
            #expect(answer.headers[.contentType] == "application/problem+json; charset=utf-8")
            #expect(answer.headers[.cacheControl] == "no-store")
            #expect(answer.headers[.requestID] == "abc-1")
            #expect(
                String(buffer: answer.body) == """
                    {"type":"about:blank","title":"Unprocessable Content","status":422,\
                    "detail":"Some fields cannot be accepted.","instance":"/api/fail/fields","code":"invalid-fields",\
                    "request_id":"abc-1","errors":[{"pointer":"/a","code":"required","detail":"It is required."}]}
                    """
            )
        }
    }

    @Test(arguments: [
        ("postgres", 503, "unavailable"), ("redis", 503, "unavailable"), ("cancelled", 503, "unavailable"),
        ("bug", 500, "internal"), ("busy", 503, "not-caught-up"), ("http", 400, "bad-request"),
    ])
    func errorsAreTranslated(_ how: String, _ status: Int, _ code: String) async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            let answer = try await client.execute(uri: "/api/fail/\(how)", method: .get)
            #expect(answer.status.code == status)
            #expect(try json(answer)["code"]?.text == code)
            #expect((answer.headers[.retryAfter] != nil) == (status == 503))
            for word in ["db.internal", "SELECT", "inside"] { #expect(!String(buffer: answer.body).contains(word)) }
        }
    }

    @Test func aReplayIsTheStoredAnswer() async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            let answer = try await client.execute(uri: "/api/fail/replay", method: .get)
            #expect(answer.status == .created)
            #expect(answer.headers[.idempotencyReplayed] == "true")
            #expect(answer.headers[.location] == "/x/")
            #expect(answer.headers[.eTag] == "\"1\"")
            #expect(String(buffer: answer.body) == "{}")
        }
    }

    @Test func unknownPathsAndMethods() async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            let unknown = try await client.execute(uri: "/api/nothing", method: .get)
            #expect(unknown.status == .notFound)
            #expect(try json(unknown)["code"]?.text == "not-found")
            let method = try await client.execute(uri: "/api/things/7/", method: .put)
            #expect(method.status == .methodNotAllowed)
            #expect(method.headers[.allow] == "DELETE, GET, HEAD, PATCH")
            #expect(try json(method)["code"]?.text == "method-not-allowed")
            let hidden = try await client.execute(uri: "/internal/thing", method: .post)
            #expect(hidden.status == .notFound)
        }
    }

    @Test func tokens() async throws {
        let fixture = try await Fixture()
        let cases: [(String?, String)] = [
            (nil, "unauthenticated"), ("Basic abc", "unauthenticated"), ("Bearer", "invalid-token"),
            ("Bearer abc", "invalid-token"), ("Bearer  \(fixture.token)", "invalid-token"),
            ("Bearer \(fixture.token).", "invalid-token"), ("Bearer \(fixture.expired)", "token-expired"),
        ]
        try await fixture.run { client in
            for (header, code) in cases {
                var headers: HTTPFields = [:]
                headers[.authorization] = header
                let answer = try await client.execute(uri: "/api/things/1", method: .get, headers: headers)
                #expect(answer.status == .unauthorized)
                #expect(try json(answer)["code"]?.text == code)
                #expect(answer.headers[.wwwAuthenticate]?.hasPrefix("Bearer") == true)
            }
            // Twice: the second time from the memory of tokens that have passed.
            for _ in 0..<2 {
                let answer = try await client.execute(
                    uri: "/api/who",
                    method: .get,
                    headers: [.authorization: "bearer \(fixture.token)"]
                )
                #expect(answer.status == .ok)
                #expect(try json(answer)["actor"]?.text == Fixture.principal.user.description)
            }
            let admin = try await client.execute(uri: "/api/admin", method: .get, headers: fixture.bearer)
            #expect(admin.status == .forbidden)
        }
    }

    @Test func aSingleObject() async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            func get(_ uri: String, _ match: String? = nil, method: HTTPRequest.Method = .get) async throws
                -> TestResponse
            {
                var headers = fixture.bearer
                headers[.ifNoneMatch] = match
                return try await client.execute(uri: uri, method: method, headers: headers)
            }
            let answer = try await get("/api/things/7/")
            #expect(answer.status == .ok)
            #expect(answer.headers[.eTag] == "\"7\"")
            #expect(answer.headers[.contentType] == "application/json; charset=utf-8")
            #expect(answer.headers[.cacheControl] == "private, no-cache")
            #expect(String(buffer: answer.body) == #"{"id":7,"name":"n"}"#)
            let head = try await get("/api/things/7", method: .head)
            #expect(head.status == .ok)
            #expect(head.headers[.eTag] == "\"7\"")
            #expect(head.headers[.contentLength] == answer.headers[.contentLength])
            #expect(head.body.readableBytes == 0)
            let unchanged = try await get("/api/things/7/", "\"1\", W/\"7\"")
            #expect(unchanged.status == .notModified)
            #expect(unchanged.headers[.eTag] == "\"7\"")
            #expect(unchanged.body.readableBytes == 0)
            #expect(try await get("/api/things/7?fields=name").body == ByteBuffer(string: #"{"name":"n"}"#))
            for uri in ["/api/things/7?fields=nope", "/api/things/7?other=1"] {
                #expect(try await get(uri).status == .badRequest)
            }
            for id in ["0", "-1", "+1", "01", "9223372036854775808", "x", "1%2F", "%31%00"] {
                #expect(try await get("/api/things/\(id)").status == .notFound)
            }
            #expect(try await get("/api/things/%37").status == .ok)
        }
    }

    @Test func writes() async throws {
        let fixture = try await Fixture()
        var headers = fixture.bearer
        headers[.contentType] = "application/json"
        let plain = headers
        try await fixture.run { client in
            let body = ByteBuffer(string: "{}")
            let created = try await client.execute(uri: "/api/things/", method: .post, headers: plain, body: body)
            #expect(created.status == .created)
            #expect(created.headers[.location] == "/api/things/1/")
            #expect(created.headers[.eTag] == "\"1\"")
            var keyed = plain
            keyed[.idempotencyKey] = "a key"
            let refused = try await client.execute(uri: "/api/things/", method: .post, headers: keyed, body: body)
            #expect(refused.status == .badRequest)
            #expect(try json(refused)["code"]?.text == "bad-idempotency-key")
            keyed[.idempotencyKey] = "key"
            let again = try await client.execute(uri: "/api/things/", method: .post, headers: keyed, body: body)
            #expect(again.status == .created)
            var stale = plain
            stale[.ifMatch] = "\"6\""
            let failed = try await client.execute(uri: "/api/things/1", method: .patch, headers: stale, body: body)
            #expect(failed.status == .preconditionFailed)
            let deleted = try await client.execute(uri: "/api/things/1", method: .delete, headers: plain)
            #expect(deleted.status == .noContent)
        }
    }

    @Test func whatIsStoredIsWhatIsAnswered() async throws {
        let fixture = try await Fixture()
        var headers = fixture.bearer
        headers[.contentType] = "application/json"
        headers[.idempotencyKey] = "key"
        let keyed = headers
        try await fixture.run { client in
            let answer = try await client.execute(
                uri: "/api/stored",
                method: .post,
                headers: keyed,
                body: ByteBuffer(string: "{}")
            )
            #expect(answer.status == .created)
            #expect(String(buffer: answer.body) == "\"made\"")
            #expect(answer.headers[.internalPosition] == "task.07:12")
        }
    }

    @Test func pathParametersAreDecoded() async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            let answer = try await client.execute(uri: "/api/users/a%2Bb%40x.example/", method: .get)
            #expect(String(buffer: answer.body) == "\"a+b@x.example\"")
            #expect(answer.headers[.cacheControl] == "no-store")
            #expect(try await client.execute(uri: "/api/users/%FF", method: .get).status == .notFound)
        }
    }

    @Test func theInternalPartNeedsTheCredential() async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            for shown in [nil, "", "credentia", "Credential"] {
                var headers: HTTPFields = [:]
                headers[.internalCredential] = shown
                let answer = try await client.execute(uri: "/internal/thing", method: .get, headers: headers)
                #expect(answer.status == .notFound)
            }
            let headers: HTTPFields = [.internalCredential: Fixture.credential]
            #expect(try await client.execute(uri: "/internal/thing", method: .get, headers: headers).status == .ok)
            #expect(try await client.execute(uri: "/internal/metrics", method: .get, headers: headers).status == .ok)
            let method = try await client.execute(uri: "/internal/thing", method: .post, headers: headers)
            #expect(method.status == .methodNotAllowed)
        }
    }

    @Test func theClientAddressIsBelievedFromTheGatewayOnly() async throws {
        let fixture = try await Fixture()
        try await fixture.run { client in
            var headers = fixture.bearer
            headers[.internalClientAddress] = "203.0.113.9"
            let outside = try await client.execute(uri: "/api/who", method: .get, headers: headers)
            #expect(try json(outside)["address"]?.text != "203.0.113.9")
            headers[.internalCredential] = Fixture.credential
            let inside = try await client.execute(uri: "/api/who", method: .get, headers: headers)
            #expect(try json(inside)["address"]?.text == "203.0.113.9")
        }
    }

    @Test func oneLogLineARequestWithoutItsPath() async throws {
        let lines = Lines()
        let logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, level: .info) { lines.add($0) }
        }
        let fixture = try await Fixture(logger: logger)
        try await fixture.run { client in
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            _ = try await client.execute(
                uri: "/api/users/planted-secret?x=planted-secret",
                method: .get,
                headers: [.requestID: "r-1", .traceparent: trace]
            )
            _ = try await client.execute(uri: "/api/planted-secret", method: .get)
            _ = try await client.execute(uri: "/api/who", method: .get, headers: fixture.bearer)
        }
        let records = try lines.all.map { try JSON(parsing: Array($0.utf8)) }
        #expect(records.count == 3)
        #expect(!lines.all.joined().contains("planted-secret"))
        #expect(!lines.all.joined().contains(fixture.token))
        #expect(records.map { $0["route"]?.text } == ["/api/users/{email}", "none", "/api/who"])
        #expect(records.map { $0["status"]?.text } == ["200", "404", "200"])
        #expect(records[0]["request_id"]?.text == "r-1")
        #expect(records[0]["trace_id"]?.text == "0af7651916cd43dd8448eb211c80319c")
        #expect(records[2]["organization"]?.text == Fixture.principal.organization.description)
        #expect(records[2]["user"]?.text == Fixture.principal.user.description)
    }

    @Test func nothingIsServedBeforeTheServiceIsReady() async throws {
        let fixture = try await Fixture(isReady: false)
        try await fixture.run { client in
            let early = try await client.execute(uri: "/api/users/a", method: .get)
            #expect(early.status == .serviceUnavailable)
            #expect(early.headers[.retryAfter] == "1")
            fixture.readiness.becomeReady()
            #expect(try await client.execute(uri: "/api/users/a", method: .get).status == .ok)
        }
    }
}
