import Events
import Identity
import Redis
import TestSupport
import Testing

@testable import Messaging

/// Events that are not on their stream any more.
@Suite("Missing events Database", .serialized, .enabled(if: LogFixture.hasServers), .timeLimit(.minutes(2)))
struct MissingEventsDatabaseTests {
    @Test("What is missing on the stream is fetched from the producer")
    func gap() async throws {
        let log = try await LogFixture(redisNumber: 12)
        let organization = log.organization()
        let relay = log.makeRelay()
        let reader = log.makeReader()
        try await log.run([relay.run]) {
            var last = try await log.say(1, in: organization)
            for task in 2...250 { last = try await log.say(Int64(task), in: organization) }
            try await eventually { try await log.stream(last.stream).count == 250 }
            // Trimmed while this reader was not known: most of what it needs is gone.
            _ = try await log.redis.send(
                RedisCommand("XTRIM", RelayStream.key(last.stream), "MINID", "\(last.sequence - 9)-0")
            )
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await reader.run() }
                defer { group.cancelAll() }
                try await eventually { try await log.seen(in: organization).count >= 250 }
            }
            #expect(try await log.seen(in: organization).map(\.subject) == (1...250).map { "task/\($0)" })
        }
    }

    @Test("Streams that wait for a producer that is away keep no other from going on")
    func gapsOfManyStreams() async throws {
        let log = try await LogFixture(redisNumber: 12)
        let organizations = Shard.all.map { shard in
            while true {
                let organization = log.organization()
                if Shard(of: organization) == shard { return organization }
            }
        }
        let producer = AbsentReplay(log.replay)
        let relay = log.makeRelay()
        let reader = log.makeReader(replay: producer)
        try await log.run([relay.run]) {
            for organization in organizations {
                try await log.say(1, in: organization)
                let last = try await log.say(2, in: organization)
                try await eventually { try await log.stream(last.stream).count == 2 }
                if organization == organizations.last { continue }
                _ = try await log.redis.send(
                    RedisCommand("XTRIM", RelayStream.key(last.stream), "MINID", "\(last.sequence)-0")
                )
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await reader.run() }
                defer { group.cancelAll() }
                // All but the last have asked for what they miss.
                try await eventually { producer.refused.count == organizations.count - 1 }
                let last = try #require(organizations.last)
                try await log.say(3, in: last)
                try await eventually { try await log.seen(in: last).count == 3 }
                producer.comeBack()
                for organization in organizations.dropLast() {
                    try await eventually { try await log.seen(in: organization).count == 2 }
                }
            }
        }
    }
}
