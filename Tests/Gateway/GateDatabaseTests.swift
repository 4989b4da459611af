import Chronology
import Configuration
import Foundation
import Identity
import Logging
import Redis
import ServiceKit
import Testing

@testable import GatewayService

/// What the gateway keeps in Redis, with a real one.
@Suite(
    .enabled(
        if: ProcessInfo.processInfo.environment["TASKFLOW_TEST_REDIS_URL"] != nil,
        "set TASKFLOW_TEST_REDIS_URL to a Redis that tests may write to"
    ),
    .serialized
)
struct GateDatabaseTests {
    private let url = ProcessInfo.processInfo.environment["TASKFLOW_TEST_REDIS_URL"] ?? ""

    /// A connected client, for as long as the body runs.
    private func withRedis(_ body: (RedisClient) async throws -> Void) async throws {
        let redis = RedisClient(url: url, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await redis.run() }
            for _ in 0..<200 where redis.serverRunID == nil { try await Task.sleep(for: .milliseconds(10)) }
            try await body(redis)
            group.cancelAll()
        }
    }

    @Test func theScriptCountsExactly() async throws {
        try await withRedis { redis in
            let rates = SharedRates(redis: redis, clock: .system)
            func take(_ rule: RateRule, _ key: String) async throws -> RateWindow.Answer {
                let keyed = [SharedRates.Keyed(rule: rule, key: "{rate:test:\(key)}")]
                let answers = try await redis.send(rates.questions(keyed))
                return try #require(await rates.results(answers, keyed).first).answer
            }
            let rule = RateRule(name: "a", count: 20, window: .seconds(60), burst: 20, key: .ip)
            let key = UUID().uuidString
            for number in 0..<20 {
                let answer = try await take(rule, key)
                #expect(answer == RateWindow.Answer(isAllowed: true, remaining: 19 - number, waitMilliseconds: 0))
            }
            let refused = try await take(rule, key)
            #expect(!refused.isAllowed)
            #expect((30_000...61_000).contains(refused.waitMilliseconds))
            let other = try await take(rule, UUID().uuidString)
            #expect(other.remaining == 19)

            // A short window: what has left it may be asked for again, and a burst is bounded by its own number.
            let short = RateRule(name: "b", count: 6, window: .seconds(1), burst: 2, key: .ip)
            var allowed = 0
            let began = ContinuousClock.now
            for _ in 0..<6 where try await take(short, key + "b").isAllowed { allowed += 1 }
            // What has flowed in meanwhile comes on top, where the machine is slow.
            let flow = (ContinuousClock.now - began) / .seconds(1) * 6
            #expect(allowed >= 2 && Double(allowed) <= 2 + flow)
            try await Task.sleep(for: .milliseconds(400))
            let later = try await take(short, key + "b")
            #expect(later.isAllowed)
        }
    }

    /// With Redis, and without it.
    @Test(arguments: [false, true]) func whatOneLimitRefusesTakesNothingFromAnother(isAway: Bool) async throws {
        try await withRedis { redis in
            let rates = SharedRates(redis: redis, clock: .system)
            let person = RateRule(name: "person", count: 5, window: .seconds(3600), burst: 5, key: .user)
            let organization = RateRule(name: "all", count: 100, window: .seconds(3600), burst: 100, key: .organization)
            let key = UUID().uuidString
            func take(_ rules: [RateRule], as someone: String) async throws -> [RateWindow.Answer] {
                let keyed = rules.map { rule in
                    SharedRates.Keyed(
                        rule: rule,
                        key: "{rate:\(rule.name):\(key):\(rule.key == .user ? someone : "")}"
                    )
                }
                let answers = isAway ? nil : try await redis.send(rates.questions(keyed))
                return await rates.results(answers, keyed).map(\.answer)
            }
            var last: [RateWindow.Answer] = []
            for _ in 0..<50 { last = try await take([person, organization], as: "one") }
            #expect(last.map(\.isAllowed) == [false, true])
            #expect(last.map(\.remaining) == [0, 95])
            let other = try await take([person, organization], as: "other")
            #expect(other.map(\.remaining) == [4, 94])
        }
    }

    @Test func positionsMergeByMaximum() async throws {
        try await withRedis { redis in
            let revocations = Revocations(redis: redis)
            let session = SessionID.make(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
            func remember(_ header: String, at now: Int64) async throws -> String? {
                let positions = try #require(PositionSet(header: header, learned: now))
                try await revocations.remember(positions, session: session, now: now)
                return try await redis.send(RedisCommand("GET", "{auth}:position:\(session)")).string
            }
            // Past its time a position is dropped, and a number compares as a number.
            let kept = [
                try await remember("task.07:9,auth.01:5", at: 1000),
                try await remember("task.07:10,auth.01:4", at: 1500),
                try await remember("task.07:9", at: 1700),
            ]
            #expect(kept == ["auth.01:5@1000,task.07:9@1000", "auth.01:5@1000,task.07:10@1500", "task.07:10@1500"])
        }
    }

    @Test func sessionsEndOnEveryGatewayAndPositionsAreShared() async throws {
        let tokens = TokenMaker()
        let service = try await FakeService.start { request in
            switch request.head.target {
            case "/.well-known/jwks.json": .ok(tokens.jwks)
            case "/closed/write": .ok("{}", "X-Internal-Position: task.07:12\r\n")
            default: .ok()
            }
        }
        let settings = ["TASKFLOW_REDIS_URL": url, "TASKFLOW_RATE_LIMITS": "off"]
        let bearer = "Authorization: Bearer \(try tokens.token())\r\n"
        try await withRedis { redis in
            let run = try #require(redis.serverRunID)
            let key = "{auth}:session:\(tokens.session)"
            try await RunningGateway.run(RunningGateway.text(service: service), settings: settings) { first in
                try await RunningGateway.run(RunningGateway.text(service: service), settings: settings) { second in
                    _ = try await redis.send(RedisCommand("DEL", "{auth}:confirmed"))
                    #expect(try await first.get("/closed/a", bearer).status == 503)
                    _ = try await redis.send(RedisCommand("SET", "{auth}:confirmed", run))
                    #expect(try await first.get("/closed/a", bearer).status == 200)

                    let written = try await first.post("/closed/write", bearer)
                    let sealed = try #require(written.field("taskflow-position"))
                    #expect(written.field("x-internal-position") == nil)
                    _ = try await second.get("/closed/a", bearer)
                    #expect(service.requests.last?.head.headers["x-internal-position"] == "task.07:12")
                    #expect(
                        try await second.get("/closed/a", bearer + "Taskflow-Position: \(sealed)\r\n").status == 200
                    )
                    #expect(
                        try await second.get("/closed/a", bearer + "Taskflow-Position: \(sealed)x\r\n").status == 400
                    )

                    _ = try await redis.send(RedisCommand("SET", key, "2", "EX", "60"))
                    for gateway in [first, second] {
                        let answer = try await gateway.get("/closed/a", bearer)
                        #expect(answer.status == 401)
                        #expect(answer.content.contains("session-changed"))
                    }
                    let newer = "Authorization: Bearer \(try tokens.token(generation: 2))\r\n"
                    #expect(try await second.get("/closed/a", newer).status == 200)
                    _ = try await redis.send(RedisCommand("SET", key, "ended", "EX", "60"))
                    #expect(try await second.get("/closed/a", newer).status == 401)
                }
            }
        }
    }

    /// A gateway, and two tokens of one session as fields: one that has ended, and one that lives.
    private func withEndedToken(
        rates: String = "",
        routes: String = "",
        _ body: (_ gateway: RunningGateway, _ ended: String, _ living: String) async throws -> Void
    ) async throws {
        let tokens = TokenMaker()
        let service = try await FakeService.start { request in
            request.head.target == "/.well-known/jwks.json" ? .ok(tokens.jwks) : .ok()
        }
        let ended = "Authorization: Bearer \(try tokens.token())\r\n"
        let living = "Authorization: Bearer \(try tokens.token(generation: 2))\r\n"
        let text = RunningGateway.text(rates: rates, routes: routes, service: service)
        try await withRedis { redis in
            let run = try #require(redis.serverRunID)
            _ = try await redis.send(RedisCommand("SET", "{auth}:confirmed", run))
            _ = try await redis.send(RedisCommand("SET", "{auth}:session:\(tokens.session)", "2", "EX", "60"))
            try await RunningGateway.run(text, settings: ["TASKFLOW_REDIS_URL": url]) { gateway in
                try await body(gateway, ended, living)
            }
        }
    }

    /// Another suite takes back for a moment what Auth has confirmed: 503 then, which counts for nothing.
    private func confirmed(_ ask: () async throws -> String) async throws -> String {
        var answer = try await ask()
        for _ in 0..<1000 where answer.status == 503 { answer = try await ask() }
        return answer
    }

    /// Else a thief whose session the owner has ended could keep the owner out by going on with it.
    @Test func anEndedTokenUsesUpNothingOfItsOwner() async throws {
        try await withEndedToken { gateway, ended, living in
            for _ in 0..<20 {
                let answer = try await confirmed { try await gateway.get("/closed/a", ended) }
                #expect(answer.status == 401)
            }
            let answer = try await confirmed { try await gateway.get("/closed/a", living) }
            #expect(answer.status == 200)
            #expect(answer.field("ratelimit")?.contains("r=4") == true)
        }
    }

    /// Else somebody with an ended session could take back what others have used of a limit that all share.
    @Test func anEndedTokenThatOneLimitRefusesTakesNothingBackFromAnother() async throws {
        let routes = """
            route /both {
                methods GET   to auth   auth required   limit own, all
            }
            route /all {
                methods GET   to auth   auth required   limit all
            }
            """
        let rates = "rate own 2/h by user\nrate all 100/h by organization"
        try await withEndedToken(rates: rates, routes: routes) { gateway, ended, living in
            var statuses: [Int] = []
            for token in [living, living, living] + [String](repeating: ended, count: 10) {
                statuses.append(try await confirmed { try await gateway.get("/both", token) }.status)
            }
            #expect(statuses == [200, 200, 429] + [Int](repeating: 401, count: 10))
            let answer = try await confirmed { try await gateway.get("/all", living) }
            #expect(answer.status == 200)
            #expect(answer.field("ratelimit")?.contains("r=97") == true)
        }
    }
}
