import Chronology
import Events
import Failpoints
public import Logging
import Postgres
public import Redis
public import ServiceLifecycle
import Synchronization

/// Moves a producer's outbox into its streams; keeps no state of its own.
///
/// Of several replicas, one is live for each shard. Should two be for a moment, neither does harm: the stream's ids are
/// the log's numbers, and the server appends only what comes next.
public final class EventRelay: Service, Sendable {
    private let database: TenantDatabase
    private let redis: RedisClient
    private let logger: Logger
    private let producer: Producer?
    private let metrics: LogMetrics
    private let held = Mutex<Set<Shard>>([])
    /// Set when tops must be asked for again.
    private let isInDoubt = Mutex(true)
    private let isPaused = Mutex(false)
    /// Of the log, as last asked for.
    private let lineage = Mutex("")

    /// A relay for the database's producer. Without one there is nothing to relay, and ``run()`` just waits.
    public init(database: TenantDatabase, redis: RedisClient, logger: Logger) {
        self.database = database
        self.redis = redis
        self.logger = logger
        producer = database.producer
        metrics = LogMetrics(database.producer?.rawValue ?? "none")
        redis.onConnect { [weak self] _ in self?.doubt() }
    }

    /// Relays until graceful shutdown.
    public func run() async throws {
        guard let producer else {
            try? await gracefulShutdown()
            return
        }
        let outbox = OutboxTable(pool: database.pool, producer: producer)
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.keepLocks(producer) }
                group.addTask { await self.listen(producer) }
                group.addTask { await self.relay(outbox) }
                group.addTask { await self.keepHouse(outbox) }
            }
        }
    }

    private func doubt() {
        isInDoubt.withLock { $0 = true }
        database.signals.relayBell.ring()
    }

    // MARK: Which shards are ours

    private func keepLocks(_ producer: Producer) async {
        let names = Shard.all.map { "relay:\(StreamName(producer, $0))" }
        var locks = AdvisoryLocks(pool: database.pool, names: names)
        while !Task.isCancelled {
            var isReachable = true
            do {
                try await locks.refresh()
            } catch {
                isReachable = false
            }
            let ours = Set(locks.held.compactMap { StreamName(String($0.dropFirst("relay:".count)))?.shard })
            let isNew = held.withLock { held in
                defer { held = ours }
                return held != ours
            }
            if isNew {
                logger.debug("shards relayed by this process", metadata: ["count": "\(ours.count)"])
                database.signals.relayBell.ring()
            }
            try? await Task.sleep(for: isReachable ? .seconds(1) : .milliseconds(200))
        }
        locks.release()
    }

    /// Hears of commits in other processes; the poll makes up for what is missed.
    private func listen(_ producer: Producer) async {
        while !Task.isCancelled {
            if let connection = try? await redis.dedicatedConnection(),
                let messages = try? await connection.subscribe(to: RelayStream.wakeChannel(producer))
            {
                await withTaskCancellationHandler {
                    for await message in messages {
                        guard
                            let position = Position(String(decoding: message, as: UTF8.self)),
                            position.stream.producer == producer,
                            held.withLock({ $0.contains(position.stream.shard) })
                        else { continue }
                        database.signals.committed(position)
                    }
                } onCancel: {
                    connection.close()
                }
            }
            try? await Task.sleep(for: .milliseconds(Int.random(in: 250...750)))
        }
    }

    // MARK: The loop

    private func relay(_ outbox: OutboxTable) async {
        var state = RelayState()
        var isFailing = false
        while !Task.isCancelled {
            state.hold(held.withLock { $0 })
            let mustDoubt = isInDoubt.withLock { isInDoubt in
                defer { isInDoubt = false }
                return isInDoubt
            }
            if mustDoubt { state.doubt() }
            await takeCommitted(into: &state, of: outbox.producer)
            do {
                let step = state.next(at: .now, isPaused: isPaused.withLock { $0 })
                switch step {
                case .askTops: try await learnTops(&state, outbox)
                case .askCommitted:
                    for (shard, number) in try await outbox.committed() { state.committed(shard, number) }
                case .publish(let places): try await publish(places, &state, outbox)
                case .rest: break
                }
                isFailing = false
                if case .rest = step { await database.signals.relayBell.wait(atMost: .milliseconds(250)) }
            } catch {
                if Task.isCancelled { return }
                state.doubt()
                if !isFailing {
                    logger.warning("the relay waits", metadata: ["error": "\(String(reflecting: error))"])
                }
                isFailing = true
                try? await Task.sleep(for: .milliseconds(Int.random(in: 50...150)))
                await database.signals.relayBell.wait(atMost: .milliseconds(250))
            }
        }
    }

    /// What was committed in this process; shards that another process relays are passed on to it.
    private func takeCommitted(into state: inout RelayState, of producer: Producer) async {
        let ours = Set(state.held)
        var others: [RedisCommand] = []
        for (shard, sequence) in database.signals.takeCommitted() {
            if ours.contains(shard) {
                state.committed(shard, sequence)
            } else {
                let position = Position(StreamName(producer, shard), sequence)
                others.append(RedisCommand("PUBLISH", RelayStream.wakeChannel(producer), position.description))
            }
        }
        if !others.isEmpty { _ = try? await redis.send(others) }
    }

    /// Streams first, numbers after: what is on a stream was committed before, so a top above the number read later is
    /// one that Postgres does not know.
    private func learnTops(_ state: inout RelayState, _ outbox: OutboxTable) async throws {
        let shards = state.unknown
        let replies = try await redis.send(shards.map { RelayStream.top(StreamName(outbox.producer, $0)) })
        let tops = try replies.map { try RelayStream.top(from: $0) }
        let marks = try await redis.send(
            shards.map { RedisCommand("GET", RelayStream.lineageKey(StreamName(outbox.producer, $0))) }
        )
        let (lineage, committed) = try await outbox.committedWithLineage()
        self.lineage.withLock { $0 = lineage }
        for ((shard, top), reply) in zip(zip(shards, tops), marks) {
            if let message = reply.errorMessage { throw RedisError(.server, message: message) }
            let stream = StreamName(outbox.producer, shard)
            let isAhead = state.learned(shard, top: top, committed: committed[shard] ?? 0) == .streamIsAhead
            let mark = reply.string
            if !isAhead, mark == lineage { continue }
            // The mark first: whoever sees an entry of the rebuilt stream sees the mark as well.
            var commands = [RedisCommand("SET", RelayStream.lineageKey(stream), lineage)]
            let isOther = mark != nil && mark != lineage && top > 0
            if isAhead || isOther {
                logger.error(
                    isAhead
                        ? "a stream is ahead of its log, as after a restore; it is rebuilt"
                        : "a stream is of another lineage than its log, as after a restore; it is rebuilt",
                    metadata: ["stream": "\(stream)", "top": "\(top)", "committed": "\(committed[shard] ?? 0)"]
                )
                metrics.rebuilt(stream)
                commands.append(RedisCommand("DEL", RelayStream.key(stream)))
            }
            for answer in try await redis.send(commands) {
                if let message = answer.errorMessage { throw RedisError(.server, message: message) }
            }
            if isAhead || isOther { state.moved(shard, top: 0) }
        }
    }

    /// Publishes one batch of each shard that is behind.
    private func publish(_ places: [(shard: Shard, top: Int64)], _ state: inout RelayState, _ outbox: OutboxTable)
        async throws
    {
        let batches = try await outbox.events(after: places)
        var sent: [(shard: Shard, events: [StoredEvent])] = []
        var commands: [RedisCommand] = []
        for (shard, top) in places {
            guard let events = batches[shard], !events.isEmpty else {
                state.nothingKept(shard)
                continue
            }
            commands.append(
                RelayStream.append(
                    events,
                    to: StreamName(outbox.producer, shard),
                    after: top,
                    lineage: lineage.withLock { $0 }
                )
            )
            sent.append((shard, events))
        }
        try await Failpoint.hit(.relayBeforeAppend)
        let replies = try await append(commands)
        let now = database.clock.now
        for ((shard, events), reply) in zip(sent, replies) {
            if let message = reply.errorMessage { throw RedisError(.server, message: message) }
            guard let top = reply.string.flatMap({ RelayStream.sequence(ofID: $0) }),
                let first = events.first, let last = events.last
            else { throw RedisError(.server, message: "an answer that is no top") }
            if state.appended(shard, upTo: last.envelope.position.sequence, answer: top) {
                metrics.published(events.count, lag: now - first.envelope.time)
            }
        }
    }

    /// All in one write; one by one where a failpoint is to act between them.
    private func append(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        guard Failpoint.isArmed(.relayAfterAppend) else { return try await redis.send(commands) }
        var replies: [RedisValue] = []
        for command in commands {
            replies += try await redis.send([command])
            try await Failpoint.hit(.relayAfterAppend)
        }
        return replies
    }

    // MARK: Housekeeping

    private func keepHouse(_ outbox: OutboxTable) async {
        let keeper = LogKeeper(outbox: outbox, redis: redis, logger: logger, metrics: metrics, clock: database.clock)
        var seconds = 0
        while !Task.isCancelled {
            let shards = held.withLock { $0 }.sorted()
            if !shards.isEmpty, seconds.isMultiple(of: 5) {
                let isFull = await keeper.isMemoryShort()
                isPaused.withLock { $0 = isFull }
                await keeper.measure(shards)
            }
            if !shards.isEmpty, seconds % 20 == 10 { await keeper.trim(shards) }
            if !shards.isEmpty, seconds % 3600 == 45 { await keeper.retire() }
            seconds += 1
            try? await Task.sleep(for: .seconds(1))
        }
    }
}
