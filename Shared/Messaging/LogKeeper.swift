import Chronology
import Events
import Logging
import Redis
import Synchronization

/// What a relay does now and then: measures, trims streams, lets old weeks of the outbox go.
struct LogKeeper: Sendable {
    let outbox: OutboxTable
    let redis: RedisClient
    let logger: Logger
    let metrics: LogMetrics
    let clock: WallClock
    private let said = Said()

    /// What has been said already.
    private final class Said: Sendable {
        let things = Mutex<Set<String>>([])

        func isNew(_ thing: String) -> Bool { things.withLock { $0.insert(thing).inserted } }

        func forget(_ thing: String) { _ = things.withLock { $0.remove(thing) } }
    }

    init(outbox: OutboxTable, redis: RedisClient, logger: Logger, metrics: LogMetrics, clock: WallClock) {
        self.outbox = outbox
        self.redis = redis
        self.logger = logger
        self.metrics = metrics
        self.clock = clock
    }

    /// True if the server is so full that the relay had better let the outbox grow: beyond 85 % of `maxmemory`.
    func isMemoryShort() async -> Bool {
        guard let answers = try? await redis.sendToAll(RedisCommand("INFO", "memory")) else { return false }
        return answers.compactMap(\.string).map { isMemoryShort($0) }.contains(true)
    }

    private func isMemoryShort(_ text: String) -> Bool {
        var figures: [Substring: Substring] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { figures[parts[0]] = parts[1] }
        }
        if let policy = figures["maxmemory_policy"], policy != "noeviction", said.isNew("policy") {
            logger.error(
                "Redis may evict streams and revocations: set maxmemory-policy to noeviction",
                metadata: ["maxmemory_policy": "\(policy)"]
            )
        }
        guard
            let used = figures["used_memory"].flatMap({ Int64($0) }),
            let most = figures["maxmemory"].flatMap({ Int64($0) }), most > 0
        else { return false }
        let isShort = Double(used) > 0.85 * Double(most)
        if isShort {
            metrics.paused()
            if said.isNew("memory") { logger.error("Redis is 85 % full; the relay pauses") }
        } else {
            said.forget("memory")
        }
        return isShort
    }

    /// Depth and age of what is not yet published.
    func measure(_ shards: [Shard]) async {
        guard
            let replies = try? await redis.send(shards.map { RelayStream.top(stream($0)) }),
            let committed = try? await outbox.committed()
        else { return }
        var behind: [(shard: Shard, top: Int64)] = []
        for (shard, reply) in zip(shards, replies) {
            guard let top = try? RelayStream.top(from: reply) else { continue }
            if (committed[shard] ?? 0) > top {
                behind.append((shard, top))
            } else {
                metrics.outbox(stream(shard), depth: 0, oldest: 0)
            }
        }
        guard !behind.isEmpty, let oldest = try? await outbox.oldest(after: behind) else { return }
        for (shard, top) in behind {
            let age = oldest[shard].map { Double((clock.now - $0).wholeMicroseconds) / 1_000_000 } ?? 0
            metrics.outbox(stream(shard), depth: (committed[shard] ?? 0) - top, oldest: max(0, age))
        }
    }

    /// Removes what every reader seen within a day has applied. A stream that nobody reads stays as it is, and the
    /// newest entry always stays: it tells where the stream ends.
    func trim(_ shards: [Shard]) async {
        let commands = shards.map { RedisCommand("HGETALL", RelayStream.cursorsKey(stream($0))) }
        guard let replies = try? await redis.send(commands) else { return }
        let now = clock.now.seconds
        var trims: [RedisCommand] = []
        for (shard, reply) in zip(shards, replies) {
            let (keepFrom, absent) = RelayStream.retention(RelayStream.marks(from: reply), now: now)
            for reader in absent {
                metrics.absentReader(stream(shard))
                guard said.isNew("\(reader) \(shard.number)") else { continue }
                logger.error(
                    "a reader has been away for a day; its stream is trimmed, it will catch up from the outbox",
                    metadata: ["reader": "\(reader)", "stream": "\(stream(shard))"]
                )
            }
            guard let keepFrom, keepFrom > 0 else { continue }
            trims.append(trimCommand(shard, keepFrom: keepFrom))
        }
        if !trims.isEmpty { _ = try? await redis.send(trims) }
    }

    private func trimCommand(_ shard: Shard, keepFrom: Int64) -> RedisCommand {
        // Not beyond the top, whatever a reader claims to have read: an empty stream would look like a lost one.
        let script = """
            local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
            if not last[1] then return 0 end
            local top = tonumber(string.match(last[1][1], '^%d+'))
            return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', math.min(top, tonumber(ARGV[1]))))
            """
        return RedisCommand("EVAL", script, "1", RelayStream.key(stream(shard)), String(keepFrom))
    }

    /// Empties the oldest weeks of the outbox.
    func retire() async {
        do {
            let emptied = try await outbox.retire()
            if emptied > 0 { logger.info("emptied old weeks of the outbox", metadata: ["weeks": "\(emptied)"]) }
        } catch {
            logger.warning("the outbox was not cleared", metadata: ["error": "\(String(reflecting: error))"])
        }
    }

    private func stream(_ shard: Shard) -> StreamName { StreamName(outbox.producer, shard) }
}
