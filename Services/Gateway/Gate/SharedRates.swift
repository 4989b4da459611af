import Chronology
import Crypto
import Redis

/// The limits that all gateways share, in Redis; this gateway's own while Redis is away.
final class SharedRates: Sendable {
    /// A limit with the key that this request counts under.
    struct Keyed: Sendable {
        var rule: RateRule
        var key: String
    }

    struct Result: Sendable {
        var keyed: Keyed
        var answer: RateWindow.Answer
        /// Counted by this gateway alone.
        var isLocal = false
        /// Allowed by this limit and taken back: it counts no more, and is not to be taken back once more.
        var isGivenBack = false

        var rule: RateRule { keyed.rule }
    }

    private static let digest = Insecure.SHA1.hash(data: Array(RateScript.take.utf8))
        .map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()

    let redis: RedisClient
    private let local = LocalRates()
    private let clock: WallClock

    init(redis: RedisClient, clock: WallClock) {
        self.redis = redis
        self.clock = clock
    }

    func questions(_ keyed: [Keyed]) -> [RedisCommand] {
        keyed.map { Self.command("EVALSHA", Self.digest, $0) }
    }

    /// What the answers mean; nil, or anything odd, is a Redis that is away.
    ///
    /// A request that one limit refuses uses up nothing of the others, or one person could take all that an
    /// organization has by being refused often enough.
    func results(_ answers: [RedisValue]?, _ keyed: [Keyed]) async -> [Result] {
        var results: [Result]
        if let answers, let shared = await shared(answers, keyed) {
            results = shared
        } else {
            let now = clock.now.microseconds / 1000
            results = keyed.map {
                Result(keyed: $0, answer: local.take($0.rule, key: $0.key, now: now), isLocal: true)
            }
        }
        guard results.contains(where: { !$0.answer.isAllowed }) else { return results }
        await giveBack(results)
        for index in results.indices where results[index].answer.isAllowed {
            results[index].answer.remaining += 1
            results[index].isGivenBack = true
        }
        return results
    }

    /// Counts a request no more: another limit refuses it, or it was nobody's who may be counted for it.
    func giveBack(_ results: [Result]) async {
        let counted = results.filter { $0.answer.isAllowed && !$0.isGivenBack }
        for result in counted where result.isLocal { local.giveBack(result.rule, key: result.keyed.key) }
        let shared = counted.filter { !$0.isLocal }
        if shared.isEmpty { return }
        // Should this fail, they are counted one request too strictly for one window.
        _ = try? await redis.send(shared.map { Self.command("EVAL", RateScript.giveBack, $0.keyed) })
    }

    /// What Redis says; nil for anything odd.
    private func shared(_ answers: [RedisValue], _ keyed: [Keyed]) async -> [Result]? {
        guard answers.count == keyed.count else { return nil }
        var answers = answers
        // A server that has not seen the script is told it; the others are not asked again, or they would count twice.
        let missing = answers.indices.filter { answers[$0].errorMessage?.hasPrefix("NOSCRIPT") ?? false }
        if !missing.isEmpty {
            let again = missing.map { Self.command("EVAL", RateScript.take, keyed[$0]) }
            guard let newer = try? await redis.send(again), newer.count == missing.count else { return nil }
            for (index, answer) in zip(missing, newer) { answers[index] = answer }
        }
        var results: [Result] = []
        for (entry, answer) in zip(keyed, answers) {
            guard
                case .array(let numbers) = answer, numbers.count == 3, case .integer(let allowed) = numbers[0],
                case .integer(let remaining) = numbers[1], case .integer(let wait) = numbers[2]
            else { return nil }
            results.append(
                Result(
                    keyed: entry,
                    answer: RateWindow.Answer(
                        isAllowed: allowed == 1,
                        remaining: max(0, Int(remaining)),
                        waitMilliseconds: wait
                    )
                )
            )
        }
        return results
    }

    private static func command(_ name: String, _ script: String, _ keyed: Keyed) -> RedisCommand {
        RedisCommand([
            name, script, "1", keyed.key, String(keyed.rule.count), String(keyed.rule.window.milliseconds),
            String(keyed.rule.burst),
        ])
    }
}

/// `RateLimit-Policy` and `RateLimit`, structured fields of draft-ietf-httpapi-ratelimit-headers.
enum RateFields {
    static func fields(_ results: [SharedRates.Result]) -> [HeaderFields.Field] {
        guard !results.isEmpty else { return [] }
        let policies = results.map { result in
            "\"\(result.rule.name)\";q=\(result.rule.count);w=\(result.rule.window.milliseconds / 1000)"
        }
        let states = results.map { result in
            let wait =
                result.answer.isAllowed
                ? result.rule.window.milliseconds / 1000 : max(1, (result.answer.waitMilliseconds + 999) / 1000)
            return "\"\(result.rule.name)\";r=\(result.answer.remaining);t=\(wait)"
        }
        return [
            HeaderFields.Field(name: "ratelimit-policy", value: policies.joined(separator: ", ")),
            HeaderFields.Field(name: "ratelimit", value: states.joined(separator: ", ")),
        ]
    }
}
