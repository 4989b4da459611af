import Chronology
import Testing

@testable import AuthService

/// Mistakes in the rotation of refresh tokens.
enum RotationMutant: CaseIterable {
    /// The token before the previous one is still good for a moment.
    case acceptsCounterMinusTwo
    /// A token repeated within the grace makes a new one.
    case graceAdvances
    /// Reuse is refused, and the session goes on.
    case reuseIsForgiven
    /// The previous token is never good: a lost reply logs out.
    case noGrace
    /// Whoever comes with a replaced token is welcome for ever.
    case graceForEver
}

/// One session: its owner, who repeats a refresh until the reply comes through, and in half of the seeds a thief with a
/// copy of some token. Requests are delayed and repeated, replies lost, and the server dies before or after the commit.
///
/// What is tested is the shipped ``RefreshState``; the store below it does what `SessionStore` does under the session's
/// row lock: judge, keep, commit, answer.
struct RotationSimulation {
    private enum Reply: Equatable {
        case token(Int64)
        case refused
    }

    private var random: SeededGenerator
    private let mutant: RotationMutant?
    private var now = Timestamp(seconds: 1_764_000_000)
    private var stored: RefreshState
    private var wrong: String?

    // What the oracle knows: when each token was made, and whether the session had to end.
    private var made: [Timestamp]
    private var mustBeOver = false

    private init(seed: Int, mutant: RotationMutant?) {
        random = SeededGenerator(seed: seed)
        self.mutant = mutant
        stored = .started(at: now)
        made = [now]
    }

    static func run(seed: Int, mutant: RotationMutant? = nil) -> String? {
        var simulation = RotationSimulation(seed: seed, mutant: mutant)
        simulation.run()
        return simulation.wrong
    }

    private mutating func fail(_ what: String) { if wrong == nil { wrong = what } }

    private mutating func run() {
        let start = now
        var token: Int64 = 1
        var stolen: Int64?
        let hasThief = random.chance(50)
        var loggedOut = false
        for _ in 0..<random.within(4...14) where !loggedOut && wrong == nil {
            // Mostly every five minutes; now and then a holiday, or a whole season.
            let pause = random.chance(4) ? random.within(1...16) * 86_400 : random.within(60...600)
            now = now + .seconds(pause)
            if hasThief, stolen == nil, random.chance(30) { stolen = token }
            if hasThief, let copy = stolen, random.chance(30) { _ = present(copy) }
            let idleUntil = min(stored.idleExpiresAt, stored.expiresAt)
            let isLate = now >= idleUntil
            switch refresh(token) {
            case .token(let next): token = next
            case .refused:
                loggedOut = true
                if !hasThief, !isLate, now - start < .seconds(59 * 86_400) {
                    fail("the owner was logged out without reuse or expiry")
                }
            }
        }
        if stored.counter > Int64(made.count) { fail("more counter steps than tokens made") }
    }

    /// The owner asks until an answer arrives, within the grace; several requests with one token may be under way.
    private mutating func refresh(_ token: Int64) -> Reply {
        var answer: Reply?
        let first = now
        while answer == nil {
            var replies: [Reply] = []
            for _ in 0..<random.within(1...3) {
                // Lost on the way there, dead before the commit, dead after it, reply lost.
                switch random.below(10) {
                case 0: break
                case 1: _ = random.next()
                case 2, 3: _ = present(token)
                default: replies.append(present(token))
                }
                now = now + .milliseconds(random.within(0...900))
            }
            for reply in replies where reply != replies[0] { fail("requests with one token got \(replies)") }
            answer = replies.last
            if now - first > .seconds(25) { answer = answer ?? present(token) }
        }
        return answer ?? .refused
    }

    /// One request that reaches the server and is committed.
    private mutating func present(_ token: Int64) -> Reply {
        let before = stored
        let isOver = mustBeOver || before.isEnded || now >= min(before.idleExpiresAt, before.expiresAt)
        // The rule, said once more: the newest, or the one before it for 30 s after it was replaced.
        let newest = Int64(made.count)
        let isNewest = token == newest
        let isPrevious = token == newest - 1 && now - made[Int(newest) - 1] <= .seconds(30)
        let reply = serve(token)
        if case .token(let given) = reply {
            if isOver { fail("a session that is over gave token \(given)") }
            if isNewest {
                made.append(now)
                if given != newest + 1 { fail("the newest token \(token) gave \(given)") }
            } else if !isPrevious {
                fail("token \(token) of \(newest) was accepted")
            } else if given != newest {
                fail("token \(token) repeated gave \(given), not \(newest): two branches")
            }
        } else if !isOver, isNewest || isPrevious {
            fail("token \(token) of \(newest) was refused")
        }
        if !isOver, token < newest, !isPrevious {
            mustBeOver = true
            if !stored.isEnded { fail("reuse of \(token) at \(newest) did not end the session") }
        }
        return reply
    }

    private mutating func serve(_ token: Int64) -> Reply {
        switch judge(token) {
        case .advance(let next):
            stored = next
            return .token(next.counter)
        case .repeatNewest: return .token(stored.counter)
        case .reused:
            if mutant != .reuseIsForgiven { stored.isEnded = true }
            return .refused
        case .expired:
            stored.isEnded = true
            return .refused
        case .ended, .unknown: return .refused
        }
    }

    private func judge(_ token: Int64) -> RefreshState.Decision {
        let decision = stored.judge(token, at: now)
        switch (mutant, decision) {
        case (.acceptsCounterMinusTwo, .reused) where token == stored.counter - 2: return .repeatNewest
        case (.graceAdvances, .repeatNewest): return .advance(stored.advanced(at: now))
        case (.noGrace, .repeatNewest): return .reused
        case (.graceForEver, .reused) where token == stored.counter - 1: return .repeatNewest
        default: return decision
        }
    }
}

/// AUTH-6, CON-6: the rotation of refresh tokens.
@Suite struct RotationSimulationTests {
    @Test("AUTH-6: a lost reply never logs out, reuse ends the session, one branch lives")
    func oneBranchLives() async {
        await Seeds.forEach("RotationSimulation") { RotationSimulation.run(seed: $0) }
    }

    @Test("TST-4: the oracle sees every mutant", arguments: RotationMutant.allCases)
    func mutantsAreSeen(_ mutant: RotationMutant) {
        #expect(Seeds.firstFailure { RotationSimulation.run(seed: $0, mutant: mutant) } != nil, "\(mutant) lives")
    }
}
