import NIOCore
import Testing

@testable import GatewayService

/// Mistakes in a circuit breaker.
enum BreakerMutant: CaseIterable {
    case opensLate
    case everyoneProbes
    case neverLonger
    case longerForEver
    /// What was sent before the server was last heard of counts like any other failure.
    case oldNewsCounts
}

/// A server that fails and recovers, requests that come at any moment, and outcomes that come late or never.
struct BreakerSimulation {
    private struct Request {
        var sent: Int
        var due: Int
        var hasFailed: Bool
        var isSilent: Bool
    }

    static func run(seed: Int, mutant: BreakerMutant? = nil) -> String? {
        var random = SeededGenerator(seed: seed)
        var rule = UpstreamRule(name: "simulated", servers: [])
        rule.ejectAfter = mutant == .opensLate ? 6 : 5
        if mutant == .neverLonger { rule.ejectForAtMost = rule.ejectFor }
        if mutant == .longerForEver { rule.ejectForAtMost = .seconds(600) }
        var breaker = CircuitBreaker(rule)
        let start = NIODeadline.uptimeNanoseconds(0)
        var now = 0
        var pending: [Request] = []
        var isUp = true
        // The rule, said once more, in milliseconds.
        var failures = 0
        var span = 0
        var shutUntil: Int?
        var probeUntil: Int?
        var probeSince = 0
        var heardOf = 0

        for _ in 0..<random.within(60...160) {
            now += random.chance(10) ? random.within(1000...70_000) : random.within(1...800)
            if random.chance(8) { isUp.toggle() }
            let moment = start + .milliseconds(Int64(now))
            // Outcomes first, oldest first.
            while let next = pending.indices.filter({ pending[$0].due <= now }).min(by: {
                pending[$0].due < pending[$1].due
            }) {
                let request = pending.remove(at: next)
                if request.isSilent { continue }
                if !request.hasFailed {
                    breaker.succeeded(now: moment)
                    heardOf = now
                    (failures, span, shutUntil, probeUntil) = (0, 0, nil, nil)
                    continue
                }
                let sent = mutant == .oldNewsCounts ? now : request.sent
                breaker.failed(sent: start + .milliseconds(Int64(sent)), now: moment)
                if probeUntil != nil {
                    if request.sent < probeSince { continue }
                    span = min(60_000, span * 2)
                    (shutUntil, probeUntil) = (now + span, nil)
                } else if shutUntil == nil, request.sent >= heardOf {
                    failures += 1
                    if failures == 5 { (span, shutUntil) = (5000, now + 5000) }
                }
            }
            let mayPass = probeUntil.map { now >= $0 } ?? shutUntil.map { now >= $0 } ?? true
            let isPassable = breaker.isPassable(now: moment)
            if isPassable != mayPass {
                return "after \(failures) failures, shut until \(shutUntil ?? 0), probed until \(probeUntil ?? 0): "
                    + "\(isPassable ? "lets pass" : "refuses") at \(now)"
            }
            guard isPassable, random.chance(70) else { continue }
            if mutant != .everyoneProbes { breaker.pass(now: moment) }
            if shutUntil != nil { (probeSince, probeUntil) = (now, now + span) }
            let request = Request(
                sent: now,
                due: now + random.within(1...3000),
                hasFailed: !isUp,
                isSilent: random.chance(5)
            )
            pending.append(request)
        }
        return nil
    }
}

/// Mistakes in a rate limiter.
enum LimiterMutant: CaseIterable {
    /// A bucket that flows in beside a full burst: nearly twice the limit in a window.
    case plainBucket
    /// The burst is not a limit.
    case anyBurst
}

/// Requests in every rhythm against one limit.
struct LimiterSimulation {
    static func run(seed: Int, mutant: LimiterMutant? = nil) -> String? {
        var random = SeededGenerator(seed: seed)
        let seconds = [1, 2, 10, 60][random.below(4)]
        let count = random.within(4...16)
        let rule = RateRule(
            name: "simulated",
            count: count,
            window: .seconds(seconds),
            burst: random.within(1...count),
            key: .ip
        )
        let window = Int64(seconds) * 1000
        // As fast as makes sense, so that some is always refused; or in fits and starts.
        let isSaturated = random.chance(50)
        let step = max(1, window / Int64(count * random.within(2...4)))
        var asked = rule
        if mutant == .anyBurst { asked.burst = count }
        var now = Int64(random.within(0...100_000))
        let start = now
        var subject = RateWindow(asked, now: now)
        var bucket = Double(rule.burst)
        var last = now
        var admitted: [Int64] = []
        for _ in 0..<(isSaturated ? count * 9 : 60) {
            now += isSaturated ? step : random.chance(20) ? Int64(random.below(Int(window))) : Int64(random.below(20))
            var isAllowed = subject.take(asked, now: now).isAllowed
            if mutant == .plainBucket {
                bucket = min(Double(rule.burst), bucket + Double((now - last) * Int64(count)) / Double(window))
                last = now
                isAllowed = bucket >= 1
                if isAllowed { bucket -= 1 }
            }
            if isAllowed { admitted.append(now) }
        }
        var first = 0
        for (index, moment) in admitted.enumerated() {
            while admitted[first] <= moment - window { first += 1 }
            let inside = index - first + 1
            if inside > count { return "\(inside) of \(count) passed within \(window) ms before \(moment)" }
            // No more than the burst ahead of an even flow, from any earlier moment on.
            for earlier in max(0, index - count)...index {
                let span = moment - admitted[earlier]
                let most = rule.burst + Int(span * Int64(count) / window) + 1
                let passed = index - earlier + 1
                if passed > most { return "\(passed) passed in \(span) ms, with a burst of \(rule.burst)" }
            }
        }
        // With a burst of one, what comes between two requests is lost; that is what such a burst means.
        if isSaturated, rule.burst > 1 {
            // The window moves slot by slot, so a full one lasts 61 sixtieths; a slot's own length is rounded up.
            let slot = (window + 59) / 60
            let least = Int(Int64(count) * (now - start - window) / (61 * slot)) - 2
            if admitted.count < least { return "\(admitted.count) passed in \(now - start) ms, not \(least)" }
        }
        return nil
    }
}

/// GW-9, GW-10: circuit breaker and rate limiter of the gateway.
@Suite struct GatewaySimulationTests {
    @Test("A circuit opens after five failures, lets one probe through, and waits twice as long up to 60 s")
    func circuit() async {
        await Seeds.forEach("GatewaySimulation.circuit") { BreakerSimulation.run(seed: $0) }
    }

    @Test("A limit is never passed in any window, nor the burst, and what it allows gets through")
    func limit() async {
        await Seeds.forEach("GatewaySimulation.limit") { LimiterSimulation.run(seed: $0) }
    }

    /// GW-10: a flood gets 100 +- 2 a minute, no minute of it more than 100, and never more than the burst at once. Within
    /// a window what comes late comes in bursts, so that the least is a matter of whole windows: 61 slots of a second.
    @Test(arguments: [Int64(1), 2, 3, 7, 13, 40], [1, 10, 50]) func aFloodGetsExactlyTheLimit(step: Int64, burst: Int) {
        let rule = RateRule(name: "flood", count: 100, window: .seconds(60), burst: burst, key: .ip)
        var window = RateWindow(rule, now: 0)
        var admitted: [Int64] = []
        let windows: Int64 = 4
        for now in stride(from: Int64(0), to: windows * 61_000, by: Int64.Stride(step)) {
            if window.take(rule, now: now).isAllowed { admitted.append(now) }
        }
        for begin in stride(from: Int64(0), to: (windows - 1) * 60_000, by: 500) {
            let inside = admitted.lazy.filter { (begin..<begin + 60_000).contains($0) }.count
            #expect(inside <= 100, "\(inside) in the minute from \(begin) ms on")
        }
        let perMinute = Double(admitted.count) * 60 / Double(windows * 61)
        #expect((97.5...100).contains(perMinute), "\(perMinute) a minute")
        #expect(admitted.lazy.filter { $0 < 300 }.count <= burst)
    }

    @Test("TST-4: the oracle sees every mutant of the breaker", arguments: BreakerMutant.allCases)
    func breakerMutantsAreSeen(_ mutant: BreakerMutant) {
        #expect(Seeds.firstFailure { BreakerSimulation.run(seed: $0, mutant: mutant) } != nil, "\(mutant) lives")
    }

    @Test("TST-4: the oracle sees every mutant of the limiter", arguments: LimiterMutant.allCases)
    func limiterMutantsAreSeen(_ mutant: LimiterMutant) {
        #expect(Seeds.firstFailure { LimiterSimulation.run(seed: $0, mutant: mutant) } != nil, "\(mutant) lives")
    }
}
