import Chronology
import Failures
import Foundation
import Identity
import ServiceKit
import Testing

@testable import AuthService

@Suite struct PasswordRuleTests {
    private let rule = PasswordRule(minimum: 12)
    private let person = PasswordRule.Person(
        email: "Grace.Hopper@navy.example",
        names: ["Grace", "Hopper"],
        organizations: ["Blue Harbour Works"]
    )

    private func code(_ password: String) -> String? { rule.failure(password, of: person, at: "/password")?.code }

    @Test(arguments: [
        "correct-horse-battery", "another-secret-99", "tr0mpeten schnee 7", "пароль-очень-длинный", "日本語のとても長い合言葉です",
        "grace likes to sail", "xK9#mPq2$vLn", "hopper of frogs 99",
    ])
    func accepts(_ password: String) { #expect(code(password) == nil) }

    @Test(arguments: [
        "password1234", "PassWord1234", "passwordpassword", "administrator", "iloveyou1234", "123456789012",
        "1234567890123", "qwertyuiop12", "qwertyuiop123", "aaaaaaaaaaaa", "abcabcabcabc", "123123123123",
        "zyxwvutsrqpon",
        "1q2w3e4r5t6y", "1qaz2wsx3edc", "qazwsxedcrfv", "p@ssw0rd1234", "welcome12345", "Welcome2024!", "letmein12345",
        "football2020", "Summer2024!!", "michael12345", "987654321098", "qwertyuiopasdfghjkl",
    ])
    func refusesWhatIsTriedFirst(_ password: String) { #expect(code(password) == "too-common") }

    @Test(arguments: [
        "grace.hopper@navy.example", "GRACE.HOPPER", "gracehopper1906", "Hopper-Grace-1906", "blueharbourworks",
        "taskflow2026!",
        "Blue Harbour Works 1", "grace-grace-grace",
    ])
    func refusesWhatIsKnownOfThePerson(_ password: String) { #expect(code(password) == "too-common") }

    @Test func countsCodePoints() {
        #expect(code("short") == "too-short")
        #expect(code("elevenchars") == "too-short")
        #expect(code(String(repeating: "x9", count: 64) + "y") == "too-long")
        #expect(code("k7" + String(repeating: "é", count: 126)) == nil)
        // One flag is two code points, a family of emoji seven; what people see as one character is not counted.
        #expect(code(String(repeating: "🇨🇭", count: 5) + "x") == "too-short")
        #expect(code("🇨🇭🇩🇪🇫🇷🇮🇹🇦🇹🇬🇧") == nil)
        // What repeats itself is tried first while it is short.
        #expect(code(String(repeating: "x", count: 128)) == nil)
        #expect(code(String(repeating: "é", count: 12)) == nil)
        #expect(PasswordRule(minimum: 8).failure("kz7 wqp3", of: person, at: "/p") == nil)
    }

    @Test func hasEnoughOfThem() {
        #expect(CommonPasswords.standard.count(atLeast: 12) > 10_000)
        #expect(CommonPasswords.standard.count(atLeast: 8) > 100_000)
    }
}

@Suite struct EmailAddressTests {
    @Test(arguments: [
        "a@b", "ada@example.com", "Ada.Lovelace+tag@Example.COM", "a!$&'*+=^_`{|}~-.b@x-y.example", "..@example.com",
        "1@2.3", "a@\(String(repeating: "x", count: 63)).com",
    ])
    func accepts(_ text: String) { #expect(EmailAddress(text)?.text == text) }

    @Test(arguments: [
        "", "@", "a@", "@b", "ada", "a b@c.d", "a/b@c.d", "a?b@c.d", "a#b@c.d", "a%b@c.d", "a@b@c", "a@b..c", "a@.b",
        "a@b.",
        "a@-b.c", "a@b-.c", "a@b_c.d", "ä@b.c", "a@bücher.example", "a@b.c\n", " a@b.c", "a@b.c ", "a,b@c.d", "<a@b.c>",
        "a:b@c.d",
        "a@[127.0.0.1]", "\u{212A}@b.c", "a@\(String(repeating: "x", count: 64)).com",
        "\(String(repeating: "a", count: 250))@b.cd",
    ])
    func refuses(_ text: String) { #expect(EmailAddress(text) == nil) }

    @Test func comparesInLowerCase() { #expect(EmailAddress("ADA@Example.Com")?.key == "ada@example.com") }
}

@Suite struct RefreshStateTests {
    private let start = Timestamp(seconds: 1_800_000_000)

    @Test func advancesByOne() throws {
        let state = RefreshState.started(at: start)
        let later = start + .seconds(100)
        guard case .advance(let next) = state.judge(1, at: later) else {
            Issue.record("refused")
            return
        }
        #expect(next.counter == 2)
        #expect(next.rotatedAt == later)
        #expect(next.idleExpiresAt == later + .seconds(14 * 86_400))
        #expect(next.expiresAt == state.expiresAt)
    }

    @Test func givesTheNewestAgainForAMoment() {
        let state = RefreshState.started(at: start).advanced(at: start)
        #expect(state.judge(1, at: start) == .repeatNewest)
        #expect(state.judge(1, at: start + .seconds(30)) == .repeatNewest)
        #expect(state.judge(1, at: start + .seconds(30) + .microseconds(1)) == .reused)
    }

    @Test func endsOnAnythingOlder() {
        let state = RefreshState.started(at: start).advanced(at: start).advanced(at: start)
        #expect(state.counter == 3)
        #expect(state.judge(1, at: start) == .reused)
        #expect(state.judge(4, at: start) == .unknown)
    }

    @Test func runsOut() {
        var state = RefreshState.started(at: start)
        #expect(state.judge(1, at: start + .seconds(14 * 86_400)) == .expired)
        for day in stride(from: 10, to: 60, by: 10) { state = state.advanced(at: start + .seconds(day * 86_400)) }
        #expect(state.idleExpiresAt == state.expiresAt, "idle time does not reach beyond the absolute end")
        #expect(state.judge(state.counter, at: start + .seconds(60 * 86_400) - .microseconds(1)) != .expired)
        #expect(state.judge(state.counter, at: start + .seconds(60 * 86_400)) == .expired)
        state.isEnded = true
        #expect(state.judge(state.counter, at: start) == .ended)
        #expect(state.judge(1, at: start) == .ended)
    }
}

@Suite struct RefreshLimiterTests {
    @Test func thirtyInAnyMinute() throws {
        let limiter = RefreshLimiter()
        let session = SessionID.make(milliseconds: 1)
        let start = Timestamp(seconds: 1_800_000_000)
        for second in 1...30 { try limiter.count(session, at: start + .seconds(second)) }
        let refused = #expect(throws: Failure.self) { try limiter.count(session, at: start + .seconds(30)) }
        #expect(refused?.kind == .tooManyRequests)
        #expect(refused?.retryAfter == 31)
        try limiter.count(.make(milliseconds: 1), at: start)
        #expect(throws: Failure.self) { try limiter.count(session, at: start + .milliseconds(60_999)) }
        try limiter.count(session, at: start + .seconds(61))
        #expect(throws: Failure.self) { try limiter.count(session, at: start + .seconds(61)) }
        for _ in 1...30 { try limiter.count(session, at: start + .seconds(200)) }
    }
}

@Suite struct LoginThrottleTests {
    private let start = Timestamp(seconds: 1_800_000_000)

    @Test func slowsOneAddressDown() {
        var state = ThrottleState.fresh
        var delays: [Int64] = []
        for _ in 1...18 {
            state = state.failedFromAddress(at: start)
            delays.append(state.lockedUntil.map { ($0 - start).components.seconds } ?? 0)
        }
        #expect(delays == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900])
        #expect(state.isLocked(at: start + .seconds(899)))
        #expect(!state.isLocked(at: start + .seconds(900)))
        #expect(state.succeeded() == ThrottleState(failures: 0, lockedUntil: nil, hasSucceeded: true))
    }

    @Test func slowsAllAddressesDown() {
        var throttle = LoginThrottle(address: .fresh, overall: .fresh)
        for _ in 1...99 { throttle = LoginThrottle(address: .fresh, overall: throttle.overall).failed(at: start) }
        #expect(!throttle.isLocked(at: start))
        throttle = LoginThrottle(address: .fresh, overall: throttle.overall).failed(at: start)
        let fresh = LoginThrottle(address: .fresh, overall: throttle.overall)
        #expect(fresh.isLocked(at: start + .seconds(59)))
        #expect(!fresh.isLocked(at: start + .seconds(60)))
        let known = LoginThrottle(address: ThrottleState.fresh.succeeded(), overall: throttle.overall)
        #expect(!known.isLocked(at: start), "an address that was in before is outside the rule")
        #expect(known.failed(at: start).overall == throttle.overall, "and does not count for the others")
    }

    @Test func countsNetworks() {
        #expect(LoginThrottle.bucket(of: "192.0.2.7") == "192.0.2.7")
        #expect(LoginThrottle.bucket(of: "::ffff:192.0.2.7") == "192.0.2.7")
        #expect(LoginThrottle.bucket(of: "2001:db8:1:2:3:4:5:6") == LoginThrottle.bucket(of: "2001:db8:1:2::9"))
        #expect(LoginThrottle.bucket(of: "2001:db8:1:3::9") != LoginThrottle.bucket(of: "2001:db8:1:2::9"))
        #expect(LoginThrottle.bucket(of: nil) == "unknown")
    }
}

@Suite struct KeyScheduleTests {
    private let start = Timestamp(seconds: 1_800_000_000)

    private func key(_ name: String, _ seconds: Int64, revoked: Bool = false) -> KeyRecord {
        KeyRecord(
            keyID: name,
            publicKey: [],
            sealedKey: [],
            activeFrom: start + .seconds(seconds),
            revokedAt: revoked ? start : nil
        )
    }

    private func published(_ keys: [KeyRecord], at seconds: Int64) -> [String] {
        KeySchedule(keys).published(at: start + .seconds(seconds), tokenLifetime: .seconds(300)).map(\.keyID)
    }

    @Test func announcesBeforeItSignsAndKeepsWhatHasSigned() {
        let keys = [key("new", 600), key("old", 0)]
        #expect(KeySchedule(keys).signing(at: start + .seconds(599))?.keyID == "old")
        #expect(KeySchedule(keys).signing(at: start + .seconds(600))?.keyID == "new")
        #expect(published(keys, at: 0) == ["old", "new"])
        #expect(published(keys, at: 600 + 609) == ["old", "new"])
        #expect(published(keys, at: 600 + 610) == ["new"])
        #expect(KeySchedule(keys).signing(at: start - .seconds(1)) == nil)
    }

    @Test func dropsARevokedKeyAtOnce() {
        let keys = [key("old", 0, revoked: true), key("new", 600)]
        #expect(published(keys, at: 0) == ["new"])
        #expect(KeySchedule(keys).signing(at: start) == nil)
        #expect(KeySchedule(keys).signing(at: start + .seconds(600))?.keyID == "new")
    }
}

@Suite struct SecretTests {
    private let secrets = AuthSecrets(DerivedSecrets(secret: String(repeating: "s", count: 32)))

    @Test func refreshTokensAreTheSameForTheSameCounterAndNoOther() throws {
        let claim = AuthSecrets.RefreshClaim(session: .make(milliseconds: 5), counter: 7)
        let token = secrets.refreshToken(claim)
        #expect(secrets.refreshToken(claim) == token)
        #expect(secrets.refreshClaim(token) == claim)
        let other = AuthSecrets(DerivedSecrets(secret: String(repeating: "t", count: 32)))
        #expect(other.refreshClaim(token) == nil)
        for wrong in ["", "v1", "v1..", token + "=", token + "A", String(token.dropLast()), "v2" + token.dropFirst(2)] {
            #expect(secrets.refreshClaim(wrong) == nil)
        }
        let bytes = Array(token.utf8)
        for index in bytes.indices {
            var changed = bytes
            changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(secrets.refreshClaim(String(decoding: changed, as: UTF8.self)) == nil)
        }
    }

    @Test func signingKeysAreSealedForTheirID() throws {
        let key = SigningKey()
        let sealed = try secrets.seal(key)
        #expect(try secrets.open(sealed, keyID: key.keyID).rawRepresentation == key.rawRepresentation)
        #expect(throws: (any Error).self) { try secrets.open(sealed, keyID: "other") }
        let text = sealed.map { String($0) }.joined(separator: ",")
        #expect(!text.contains(key.rawRepresentation.map { String($0) }.joined(separator: ",")))
    }
}

@Suite struct PasswordHasherTests {
    private static let cheap = PasswordHasher.Cost(memory: 64, passes: 1, lanes: 1)

    @Test func hashesAndVerifies() async throws {
        let hasher = try PasswordHasher()
        let hash = try await hasher.hash("correct-horse-battery")
        #expect(hash.hasPrefix("$argon2id$v=19$m=19456,t=2,p=1$"))
        #expect(try await hasher.hash("correct-horse-battery") != hash)
        #expect(
            try await hasher.verify("correct-horse-battery", against: hash) == .init(matches: true, isOutdated: false)
        )
        #expect(try await hasher.verify("correct-horse-batterY", against: hash).matches == false)
        #expect(try await hasher.verify("nobody", against: nil).matches == false, "nobody's password is nobody's")
    }

    @Test func seesAnOutdatedCost() async throws {
        let old = try await PasswordHasher(cost: Self.cheap).hash("correct-horse-battery")
        #expect(
            try await PasswordHasher().verify("correct-horse-battery", against: old)
                == .init(matches: true, isOutdated: true)
        )
        #expect(PasswordHasher.cost(of: "$2b$12$abc") == nil)
    }

    @Test func turnsAwayWhatDoesNotFitTheQueue() async throws {
        let hasher = try PasswordHasher()
        let results = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<60 {
                group.addTask {
                    do {
                        _ = try await hasher.hash("correct-horse-battery")
                        return true
                    } catch let failure as Failure {
                        #expect(failure.code == "busy" && failure.kind == .unavailable && failure.retryAfter == 1)
                        return false
                    } catch {
                        Issue.record("\(error)")
                        return false
                    }
                }
            }
            return await group.reduce(into: (done: 0, refused: 0)) { counts, isDone in
                if isDone { counts.done += 1 } else { counts.refused += 1 }
            }
        }
        #expect(results.done >= 18)
        #expect(results.refused >= 1)
    }
}
