import Configuration
import Logging
import Redis
import ServiceKit

/// Takes out of Redis what it says of a database that is no more. All of it is made again by the services.
enum RedisCleaner {
    /// Streams with their cursors, revocations with session positions, rates.
    static let patterns = ["ev:*", "{auth}:*", "{rate:*"]

    /// Where it is. It has to be said: what is cleared by default could be another installation's.
    static func urls(_ config: ConfigReader) throws -> Set<String> {
        let main = try config.required(
            "TASKFLOW_REDIS_URL",
            secret: true,
            "the Redis of this installation, which is cleared: redis://host:6379/0"
        )
        return [main, config.text("TASKFLOW_GATE_REDIS_URL", default: main, secret: true)]
    }

    /// What happened, for the operator. Redis need not be there: relays find out by themselves, a little later.
    static func clear(_ config: ConfigReader, logger: Logger) async -> String {
        do {
            var count = 0
            for url in try urls(config) { count += try await clear(url, logger: logger) }
            return "Redis has been cleared of \(count) keys."
        } catch {
            return """
                Redis could not be cleared; if it comes back with old data, its streams are rebuilt when the services \
                start, and requests of sessions that were in use may take half a second longer for ten minutes.
                """
        }
    }

    private struct RedisIsCluster: Error {}

    private static func clear(_ url: String, logger: Logger) async throws -> Int {
        let connection = try await RedisClient(url: url, logger: logger).dedicatedConnection()
        defer { connection.close() }
        // Of a cluster, this server has a part of the keys only.
        let cluster = try await connection.send(RedisCommand("INFO", "cluster"), timeout: .seconds(5))
        guard cluster.string?.contains("cluster_enabled:1") != true else { throw RedisIsCluster() }
        var count = 0
        for pattern in patterns {
            var cursor = "0"
            repeat {
                let answer = try await connection.send(
                    RedisCommand("SCAN", cursor, "MATCH", pattern, "COUNT", "1000"),
                    timeout: .seconds(5)
                )
                guard let parts = answer.elements, parts.count == 2, let next = parts[0].string else { break }
                cursor = next
                for key in (parts[1].elements ?? []).compactMap(\.string) {
                    _ = try await connection.send(RedisCommand("UNLINK", key), timeout: .seconds(5))
                    count += 1
                }
            } while cursor != "0"
        }
        return count
    }
}
