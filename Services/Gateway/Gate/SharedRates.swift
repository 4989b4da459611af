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
        var rule: RateRule
        var answer: RateWindow.Answer
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
        guard let answers, var results = await shared(answers, keyed) else { return locally(keyed) }
        let unused = results.indicesToGiveBack
        if unused.isEmpty { return results }
        // Should this fail, the others are counted one request too strictly for one window.
        _ = try? await redis.send(unused.map { Self.command("EVAL", RateScript.giveBack, keyed[$0]) })
        for index in unused { results[index].answer.remaining += 1 }
        return results
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
                    rule: entry.rule,
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

    private func locally(_ keyed: [Keyed]) -> [Result] {
        let now = clock.now.microseconds / 1000
        var results = keyed.map { Result(rule: $0.rule, answer: local.take($0.rule, key: $0.key, now: now)) }
        for index in results.indicesToGiveBack {
            local.giveBack(keyed[index].rule, key: keyed[index].key)
            results[index].answer.remaining += 1
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

extension [SharedRates.Result] {
    /// Which limits have counted a request that another one refuses.
    fileprivate var indicesToGiveBack: [Int] {
        guard contains(where: { !$0.answer.isAllowed }) else { return [] }
        return indices.filter { self[$0].answer.isAllowed }
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
