import Chronology
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Identity
import Lists
import Logging
import NIOCore
import Testing

@testable import NotificationService
@testable import ServiceKit

/// The service's routes with the middleware they have in the service, over a real database.
@Suite struct RoutesDatabaseTests {
    /// A client of the routes, logged in as Ada of its fixture.
    struct World {
        let fixture: Fixture
        let application: Application<RouterResponder<AppContext>>
        let signer: AccessTokenSigner
        let tokens: UnsubscribeToken

        static func make() async throws -> World {
            let fixture = try await Fixture.make()
            let key = SigningKey()
            let issuer = "http://127.0.0.1:8080"
            let signer = await AccessTokenSigner(key: key, issuer: issuer, lifetime: .seconds(300))
            let jwk = SigningKey.publicJWK(keyID: key.keyID, publicKey: key.publicKey)
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let keys = KeySource(clock: .system, logger: logger) { Array("{\"keys\":[\(jwk)]}".utf8) }
            let readiness = Readiness()
            readiness.becomeReady()
            let router = ServiceRouter(
                service: "notification",
                credential: "credential",
                keys: keys,
                verifier: AccessTokenVerifier(issuer: issuer),
                readiness: readiness,
                watch: PositionWatch(),
                logger: logger
            )
            let tokens = UnsubscribeToken(key: [UInt8](repeating: 2, count: 32))
            NoticeRoutes(desk: fixture.desk, signer: CursorSigner(key: [UInt8](repeating: 5, count: 32)))
                .add(to: router.authenticated)
            PreferenceRoutes(desk: fixture.desk).add(to: router.authenticated)
            UnsubscribeRoutes(desk: fixture.desk, tokens: tokens).add(to: router.open)
            return World(
                fixture: fixture,
                application: Application(router: router.router, logger: logger),
                signer: signer,
                tokens: tokens
            )
        }

        struct Answer {
            let status: Int
            let headers: HTTPFields
            let json: JSON
            let text: String
        }

        func ask(
            _ method: HTTPRequest.Method,
            _ path: String,
            _ body: String? = nil,
            as user: UserID? = nil,
            anonymously: Bool = false,
            headers more: HTTPFields = [:]
        ) async throws -> Answer {
            var headers = more
            if !anonymously {
                let principal = fixture.principal(user ?? fixture.ada)
                headers[.authorization] = "Bearer \(try await signer.sign(principal, now: WallClock.system.now))"
            }
            if body != nil, headers[.contentType] == nil { headers[.contentType] = "application/json" }
            let fields = headers
            return try await application.test(.router) { client in
                try await client.execute(
                    uri: path,
                    method: method,
                    headers: fields,
                    body: body.map { ByteBuffer(string: $0) }
                ) { response in
                    let bytes = Array(response.body.readableBytesView)
                    return Answer(
                        status: response.status.code,
                        headers: response.headers,
                        json: (try? JSON(parsing: bytes)) ?? .null,
                        text: String(decoding: bytes, as: UTF8.self)
                    )
                }
            }
        }
    }

    @Test func noticesAreListedAndRead() async throws {
        let world = try await World.make()
        for id in 1...3 { try await world.fixture.task(Int64(id), [world.fixture.ada]) }
        let page = try await world.ask(
            .get,
            "/api/notifications/?page_size=2&count=true&fields=id,kind,task,project,read_at"
        )
        #expect(page.status == 200)
        #expect(page.json["count"]?.integer == 3)
        let rows = page.json["results"]?.elements ?? []
        #expect(
            rows.map { String(decoding: $0.encoded(), as: UTF8.self) } == [
                #"{"id":3,"kind":"task-assigned","project":1,"task":3,"read_at":null}"#,
                #"{"id":2,"kind":"task-assigned","project":1,"task":2,"read_at":null}"#,
            ]
        )
        let next = try #require(page.json["next"]?.text)
        #expect(next.hasPrefix("/api/notifications/?page_size=2&count=true&fields="))
        #expect(try await world.ask(.get, next).json["results"]?.elements?.count == 1)
        #expect(try await world.ask(.get, next, as: world.fixture.bob).json["results"]?.elements?.isEmpty == true)

        let read = try await world.ask(.post, "/api/notifications/3/read/")
        #expect(read.status == 200)
        #expect(read.json["id"]?.integer == 3)
        #expect(read.json["read_at"]?.text?.hasSuffix("Z") == true)
        #expect(try await world.ask(.get, "/api/notifications?unread=true").json["results"]?.elements?.count == 2)
        #expect(try await world.ask(.post, "/api/notifications/read-all/", "{}").json["updated"]?.integer == 2)
    }

    @Test(
        arguments: [
            (HTTPRequest.Method.get, "/api/notifications/?unread=1", nil, 400),
            (.get, "/api/notifications/?ordering=id", nil, 400),
            (.get, "/api/notifications/?cursor=x", nil, 400),
            (.get, "/api/notifications/?fields=nope", nil, 400),
            (.get, "/api/notifications/preferences/?x=1", nil, 400),
            (.post, "/api/notifications/0/read/", nil, 404),
            (.post, "/api/notifications/x/read/", nil, 404),
            (.post, "/api/notifications/99/read/", nil, 404),
            (.post, "/api/notifications/1/read/", #"{"a":1}"#, 422),
            (.post, "/api/notifications/read-all/", "[]", 400),
            (.delete, "/api/notifications/", nil, 405),
            (.put, "/api/notifications/preferences/", "{", 400),
            (.put, "/api/notifications/preferences/", #"{"reminder_hour":24}"#, 422),
        ] as [(HTTPRequest.Method, String, String?, Int)]
    )
    func whatCannotBeDoneIsRefused(_ method: HTTPRequest.Method, _ path: String, _ body: String?, _ status: Int)
        async throws
    {
        let world = try await World.make()
        let answer = try await world.ask(method, path, body)
        #expect(answer.status == status)
        #expect(answer.headers[.contentType] == "application/problem+json; charset=utf-8")
    }

    @Test func withoutATokenThereIsNothing() async throws {
        let world = try await World.make()
        for path in ["/api/notifications/", "/api/notifications/preferences/"] {
            #expect(try await world.ask(.get, path, anonymously: true).status == 401)
        }
        #expect(try await world.ask(.post, "/api/notifications/read-all/", anonymously: true).status == 401)
    }

    @Test func readingIsRepeatedUnderAnIdempotencyKey() async throws {
        let world = try await World.make()
        try await world.fixture.task(1, [world.fixture.ada])
        let key: HTTPFields = [.idempotencyKey: "once"]
        let first = try await world.ask(.post, "/api/notifications/read-all/", headers: key)
        #expect(first.json["updated"]?.integer == 1)
        let second = try await world.ask(.post, "/api/notifications/read-all/", headers: key)
        #expect(second.text == first.text)
        #expect(second.headers[.idempotencyReplayed] == "true")
        #expect(try await world.ask(.post, "/api/notifications/read-all/").json["updated"]?.integer == 0)
    }

    @Test func preferencesAreReplacedUnderTheirETag() async throws {
        let world = try await World.make()
        let path = "/api/notifications/preferences/"
        let before = try await world.ask(.get, path)
        #expect(
            before.text
                == #"{"kinds":{"project-added":{"in_app":true,"mail":true},"task-assigned":{"in_app":true,"mail":true},"task-overdue":{"in_app":true,"mail":true},"daily-reminder":{"in_app":true,"mail":true}},"reminder_hour":null,"time_zone":null}"#
        )
        let tag = try #require(before.headers[.eTag])
        #expect(try await world.ask(.get, path, headers: [.ifNoneMatch: tag]).status == 304)

        let body = #"{"kinds":{"task-overdue":{"mail":false}},"reminder_hour":7,"time_zone":"Europe/Berlin"}"#
        let after = try await world.ask(.put, path, body, headers: [.ifMatch: tag])
        #expect(after.status == 200)
        #expect(after.json["kinds"]?["task-overdue"]?["mail"].map { $0.isSame(as: .bool(false)) } == true)
        #expect(after.headers[.eTag] != tag)
        #expect(try await world.ask(.put, path, body, headers: [.ifMatch: tag]).status == 412)
        #expect(try await world.ask(.put, path, "{\"x\":1}", headers: [.ifMatch: tag]).status == 412)
        #expect(try await world.ask(.put, path, body).headers[.eTag] == after.headers[.eTag])
        let reset = try await world.ask(.put, path, "{}")
        #expect(reset.text == before.text)
        #expect(reset.headers[.eTag] != after.headers[.eTag])
    }

    @Test func unsubscribingNeedsNoLoginAndLookingChangesNothing() async throws {
        let world = try await World.make()
        let fixture = world.fixture
        let token = world.tokens.make(
            UnsubscribeRequest(organization: fixture.organization, user: fixture.ada, kind: .dailyReminder)
        )
        let path = "/api/notifications/unsubscribe/\(token)/"

        let page = try await world.ask(.get, path, anonymously: true)
        #expect(page.status == 200)
        #expect(page.text.contains("<form method=\"post\">"))
        #expect(page.headers[.contentSecurityPolicy]?.contains("style-src 'sha256-") == true)
        #expect(page.headers[.referrerPolicy] == "no-referrer")
        #expect(try await fixture.desk.preferences(of: fixture.person).preferences == .standard)

        let form: HTTPFields = [.contentType: "application/x-www-form-urlencoded"]
        for _ in 0..<2 {
            let answer = try await world.ask(
                .post,
                path,
                "List-Unsubscribe=One-Click",
                anonymously: true,
                headers: form
            )
            #expect(answer.text == #"{"kind":"daily-reminder","mail":false}"#)
        }
        #expect(try await fixture.desk.preferences(of: fixture.person).preferences.mutedMail == [.dailyReminder])
        let browser = try await world.ask(.post, path, anonymously: true, headers: [.accept: "text/html,*/*"])
        #expect(browser.headers[.contentType] == "text/html; charset=utf-8")

        for forged in ["x", String(token.dropLast()) + "!", String(token.reversed())] {
            let answer = try await world.ask(
                .post,
                "/api/notifications/unsubscribe/\(forged)/",
                anonymously: true
            )
            #expect(answer.status == 400)
            #expect(answer.json["code"]?.text == "invalid-link")
            for method in [HTTPRequest.Method.get, .post] {
                let page = try await world.ask(
                    method,
                    "/api/notifications/unsubscribe/\(forged)/",
                    anonymously: true,
                    headers: [.accept: "text/html,*/*"]
                )
                #expect(page.status == 400)
                #expect(page.headers[.contentType] == "text/html; charset=utf-8")
                #expect(page.text.contains("This link is not good"))
            }
        }
    }
}
