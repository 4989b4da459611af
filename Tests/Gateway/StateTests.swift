import Chronology
import Events
import Identity
import NIOCore
import Redis
import Synchronization
import Testing

@testable import GatewayService

@Suite struct CircuitBreakerTests {
    private let start = NIODeadline.now()
    private var rule: UpstreamRule {
        var rule = UpstreamRule(name: "a", servers: [])
        rule.ejectAfter = 3
        rule.ejectFor = .seconds(5)
        rule.ejectForAtMost = .seconds(15)
        return rule
    }

    @Test func opensProbesDoublesAndCloses() {
        var breaker = CircuitBreaker(rule)
        for _ in 0..<2 { breaker.failed(sent: start, now: start) }
        breaker.succeeded(now: start)
        for _ in 0..<2 { breaker.failed(sent: start, now: start) }
        #expect(breaker.isPassable(now: start))
        let hasOpened = breaker.failed(sent: start, now: start)
        #expect(hasOpened)
        #expect(!breaker.isPassable(now: start + .seconds(4)))
        #expect(breaker.retryAfter(now: start + .seconds(1)) == 5)

        let probe = start + .seconds(5)
        #expect(breaker.isPassable(now: probe))
        breaker.pass(now: probe)
        #expect(!breaker.isPassable(now: probe))
        breaker.failed(sent: probe, now: probe)
        #expect(!breaker.isPassable(now: probe + .seconds(9)))
        #expect(breaker.isPassable(now: probe + .seconds(10)))

        breaker.pass(now: probe + .seconds(10))
        breaker.failed(sent: probe + .seconds(10), now: probe + .seconds(10))
        #expect(breaker.state == .open(until: probe + .seconds(25), span: .seconds(15)))
        breaker.pass(now: probe + .seconds(25))
        breaker.succeeded(now: probe + .seconds(25))
        #expect(breaker.state == .closed(failures: 0))
    }

    @Test func aProbeThatSaysNothingIsFollowedByAnother() {
        var breaker = CircuitBreaker(rule)
        for _ in 0..<3 { breaker.failed(sent: start, now: start) }
        breaker.pass(now: start + .seconds(5))
        #expect(!breaker.isPassable(now: start + .seconds(9)))
        #expect(breaker.isPassable(now: start + .seconds(10)))
    }

    /// Requests hang on a connection that is lost, and time out after others have been answered.
    @Test func aFailureOfARequestSentBeforeTheLatestAnswerIsOldNews() {
        var breaker = CircuitBreaker(rule)
        breaker.succeeded(now: start + .seconds(8))
        for _ in 0..<3 {
            let hasOpened = breaker.failed(sent: start, now: start + .seconds(10))
            #expect(!hasOpened)
        }
        #expect(breaker.state == .closed(failures: 0))
        for _ in 0..<3 { breaker.failed(sent: start + .seconds(9), now: start + .seconds(10)) }
        #expect(!breaker.isPassable(now: start + .seconds(10)))

        let probe = start + .seconds(15)
        breaker.pass(now: probe)
        breaker.failed(sent: start + .seconds(9), now: probe + .seconds(1))
        #expect(breaker.state == .probing(since: probe, span: .seconds(5)))
        breaker.failed(sent: probe, now: probe + .seconds(2))
        #expect(breaker.state == .open(until: probe + .seconds(12), span: .seconds(10)))
    }
}

@Suite struct BulkheadTests {
    @Test func admitsQueuesRefusesInOrder() {
        let admitted = Mutex<[Int]>([])
        var bulkhead = Bulkhead(limit: 2, queueLimit: 2)
        let owner = Bulkhead.Owner.address("a")
        func enter(_ number: Int) -> Bulkhead.Entry {
            bulkhead.enter(owner) { admitted.withLock { $0.append(number) } }
        }
        #expect([enter(1), enter(2)] == [.admitted, .admitted])
        guard case .queued(let third) = enter(3), case .queued(let fourth) = enter(4) else {
            Issue.record("not queued")
            return
        }
        let fifth = enter(5)
        #expect(fifth == .refused)
        let gaveUp = [bulkhead.abandon(third), bulkhead.abandon(third)]
        #expect(gaveUp == [true, false])
        bulkhead.leave(owner)?()
        #expect(admitted.withLock { $0 } == [4])
        let isLate = !bulkhead.abandon(fourth)
        #expect(isLate)
        #expect(bulkhead.inFlight == 2)
        for _ in 0..<2 {
            let next = bulkhead.leave(owner)
            #expect(next == nil)
        }
        #expect(bulkhead.inFlight == 0)
    }

    /// TEN-12: what one organization holds leaves places, and places in the queue, to others.
    @Test func oneOwnerCannotHoldEverything() {
        let passed = Mutex<[String]>([])
        var bulkhead = Bulkhead(limit: 128, queueLimit: 64)
        func enter(_ name: String, _ times: Int) -> [Bulkhead.Entry] {
            (0..<times).map { _ in bulkhead.enter(.address(name)) { passed.withLock { $0.append(name) } } }
        }
        let loud = enter("loud", 300)
        #expect(loud.count { $0 == .admitted } == 96)
        #expect(loud.count { $0 == .refused } == 300 - 96 - 48)
        // Others go past those who wait, each up to a few.
        let others = (1...5).map { enter("\($0)", 20) }
        #expect(others.map { $0.count { $0 == .admitted } } == [8, 8, 8, 8, 0])
        #expect(bulkhead.inFlight == 128)
        #expect(others.map { $0.count { $0 == .refused } } == [8, 8, 8, 8, 20])
        #expect(bulkhead.queued == 64)
        // A place of the last quarter goes to whoever has few, one of the first three to whoever came first.
        bulkhead.leave(.address("1"))?()
        #expect(passed.withLock { $0 } == ["1"])
        for _ in 0..<33 { bulkhead.leave(.address("loud"))?() }
        #expect(passed.withLock { $0.last } == "loud")
        #expect(bulkhead.inFlight == 96)
    }
}

@Suite struct RateWindowTests {
    private let rule = RateRule(name: "a", count: 100, window: .seconds(60), burst: 100, key: .ip)

    /// The moments in milliseconds at which requests sent every `step` are let through.
    private func passed(_ rule: RateRule, step: Int64, until end: Int64) -> [Int64] {
        var window = RateWindow(rule, now: 0)
        return stride(from: 0, to: end, by: Int(step)).map { Int64($0) }.filter { window.take(rule, now: $0).isAllowed }
    }

    @Test(arguments: [Int64(7), 100, 599, 601, 1000]) func neverMoreThanTheLimitInAnyMinute(step: Int64) {
        let moments = passed(rule, step: step, until: 600_000)
        for (index, moment) in moments.enumerated() {
            let inside = moments[index...].prefix { $0 < moment + 60_000 }.count
            #expect(inside <= 100)
        }
        let asked = 600_000 / step
        #expect(moments.count >= min(Int(asked), 980))
    }

    @Test func aSteadyFlowBelowTheLimitIsNeverRefused() {
        #expect(passed(rule, step: 625, until: 1_200_000).count == 1920)
    }

    @Test func aBurstIsBounded() {
        var rule = rule
        rule.burst = 10
        let moments = passed(rule, step: 10, until: 60_000)
        #expect(moments.filter { $0 < 1000 }.count <= 12)
        #expect((98...100).contains(moments.count))
    }

    @Test func refusalsSayWhenToComeBack() {
        var window = RateWindow(rule, now: 0)
        let remaining = (0..<100).map { _ in window.take(rule, now: 0).remaining }
        #expect(remaining == (0..<100).reversed())
        let refused = window.take(rule, now: 30_000)
        #expect(!refused.isAllowed)
        #expect(refused.waitMilliseconds == 31_000)
        let later = [60_900, 61_000].map { window.take(rule, now: $0).isAllowed }
        #expect(later == [false, true])
    }

    @Test func whatIsGivenBackWasNeverTaken() {
        var window = RateWindow(rule, now: 0)
        for moment in stride(from: Int64(0), to: 50_000, by: 1000) { _ = window.take(rule, now: moment) }
        let before = window
        _ = window.take(rule, now: 49_000)
        window.giveBack(rule)
        #expect(window == before)
        var empty = RateWindow(rule, now: 0)
        empty.giveBack(rule)
        #expect(empty == RateWindow(rule, now: 0))
    }

    @Test func localLimitsForgetTheSilentFirst() {
        let rates = LocalRates(capacity: 4)
        for key in 0..<8 { _ = rates.take(rule, key: "\(key)", now: Int64(key)) }
        for _ in 0..<99 { #expect(rates.take(rule, key: "7", now: 10).isAllowed) }
        #expect(!rates.take(rule, key: "7", now: 11).isAllowed)
    }

    @Test func fields() {
        let answer = RateWindow.Answer(isAllowed: true, remaining: 7, waitMilliseconds: 0)
        let fields = RateFields.fields([
            SharedRates.Result(keyed: SharedRates.Keyed(rule: rule, key: ""), answer: answer)
        ])
        #expect(fields.map(\.value) == ["\"a\";q=100;w=60", "\"a\";r=7;t=60"])
    }
}

@Suite struct PositionTests {
    private let organization = OrganizationID.make(milliseconds: 1)
    private let now = Timestamp(seconds: 1_764_000_000)
    private let seal = PositionSeal(key: [UInt8](repeating: 7, count: 32))

    @Test func mergeByMaximum() throws {
        var set = try #require(PositionSet(header: "task.07:12, project.07:9", learned: 5))
        set.merge(try #require(PositionSet(header: "task.07:11,auth.03:1", learned: 9)))
        #expect(set.header == "auth.03:1,project.07:9,task.07:12")
        #expect(set.stored == "auth.03:1@9,project.07:9@5,task.07:12@5")
        #expect(PositionSet(stored: set.stored + ",garbage,task.07:99") == set)
        set.dropExpired(now: 5 + 600)
        #expect(set.header == "auth.03:1")
    }

    @Test(arguments: ["task.7:1", "task.07:0", "task.16:1", "other.07:1", "task.07", "task.07:1;x"])
    func badHeaders(text: String) {
        #expect(PositionSet(header: text, learned: 0) == nil)
    }

    @Test func sealsOpenForTheirOrganizationInTime() throws {
        let set = try #require(PositionSet(header: "task.07:12,project.07:9", learned: now.seconds))
        let sealed = seal.seal(set, organization: organization, now: now)
        #expect(sealed.hasPrefix("v1."))
        #expect(sealed.utf8.count < 1024)
        #expect(seal.open(sealed, organization: organization, now: now + .seconds(599)) == set)
        #expect(seal.open(sealed, organization: nil, now: now) == set)
        #expect(seal.open(sealed, organization: organization, now: now + .seconds(600)) == nil)
        #expect(seal.open(sealed, organization: OrganizationID.make(milliseconds: 2), now: now) == nil)
        #expect(PositionSeal(key: [1]).open(sealed, organization: organization, now: now) == nil)
        for index in sealed.indices {
            var forged = sealed
            forged.replaceSubrange(index...index, with: sealed[index] == "A" ? "B" : "A")
            #expect(seal.open(forged, organization: organization, now: now) == nil)
        }
        #expect(seal.open("", organization: organization, now: now) == nil)
    }

    @Test func memoryKeepsALifetimeAndIsBounded() throws {
        let memory = PositionMemory(capacity: 2)
        let sessions = (0..<5).map { SessionID.make(milliseconds: Int64($0)) }
        let set = try #require(PositionSet(header: "task.07:12", learned: 1000))
        for session in sessions { memory.merge(set, into: session, now: 1000) }
        #expect(memory.positions(of: sessions[4], now: 1000) == set)
        #expect(memory.positions(of: sessions[0], now: 1000).isEmpty)
        #expect(memory.positions(of: sessions[4], now: 1600).isEmpty)
    }
}

@Suite struct GateRuleTests {
    @Test func standing() {
        func judge(_ confirmed: String?, _ session: String?, _ key: String?, generation: Int64 = 3)
            -> Revocations.Standing
        {
            Revocations.judge(
                [confirmed, session, key, nil].map { $0.map { .bytes(Array($0.utf8)) } ?? .null },
                server: "run",
                generation: generation
            )
        }
        #expect(judge("run", nil, nil) == .living(""))
        #expect(judge("run", "3", nil) == .living(""))
        #expect(judge("run", "4", nil) == .sessionChanged)
        #expect(judge("run", "ended", nil) == .sessionChanged)
        #expect(judge("run", "garbage", nil) == .sessionChanged)
        #expect(judge("run", nil, "revoked") == .keyRevoked)
        #expect(judge("other", nil, nil) == .unknown)
        #expect(judge(nil, "ended", nil) == .unknown)
    }

    private static let headers: [(String, String?)] = [
        ("Bearer abc", "abc"), ("bearer abc", "abc"), ("Bearer  abc", nil), ("Bearer", nil), ("Bearer ", nil),
        ("Basic abc", nil),
        ("Bearer a b", nil), ("Bearer a\t", nil),
    ]

    @Test(arguments: headers) func bearer(header: String, token: String?) {
        #expect(BearerToken.read(header) == token)
    }

    @Test func keysNameTheirOwner() {
        let principal = Principal(
            user: .make(milliseconds: 1),
            organization: .make(milliseconds: 2),
            role: .admin,
            session: .make(milliseconds: 3),
            generation: 1
        )
        func key(_ by: RateKey, _ principal: Principal?) -> String {
            Gate.key(
                of: RateRule(name: "n", count: 1, window: .seconds(1), burst: 1, key: by),
                client: "1.2.3.4",
                principal
            )
        }
        #expect(key(.ip, principal) == "{rate:n:1000:ip:1.2.3.4}")
        #expect(key(.user, principal) == "{rate:n:1000:user:\(principal.organization):\(principal.user)}")
        #expect(key(.organization, principal) == "{rate:n:1000:organization:\(principal.organization)}")
        #expect(key(.user, nil) == "{rate:n:1000:ip:1.2.3.4}")
    }

    @Test func crossOrigin() throws {
        let list = try CrossOrigin.parse("https://app.example, http://localhost:3000").get()
        #expect(list.fields(origin: "https://app.example").first?.value == "https://app.example")
        for origin in ["https://app.example.evil", "https://App.example", "null", "*", "http://app.example", ""] {
            #expect(list.fields(origin: origin).isEmpty)
            #expect(list.preflightFields(origin: origin, allow: "GET").isEmpty)
        }
        #expect(list.fields(origin: nil).isEmpty)
        #expect(
            list.preflightFields(origin: "http://localhost:3000", allow: "GET").contains {
                $0.name == "access-control-max-age" && $0.value == "600"
            }
        )
        for bad in ["*", "null", "app.example", "https://app.example/", "https://*.example", "https://"] {
            #expect(throws: CrossOrigin.BadOrigin.self) { try CrossOrigin.parse(bad).get() }
        }
    }

    @Test(arguments: [
        (Int64(0), "Thu, 01 Jan 1970 00:00:00 GMT"), (1_764_000_000, "Mon, 24 Nov 2025 16:00:00 GMT"),
        (1_709_208_000, "Thu, 29 Feb 2024 12:00:00 GMT"),
    ])
    func dates(second: Int64, text: String) {
        #expect(HTTPDate.text(second) == text)
    }
}
