import Chronology
public import Events
import Failpoints
public import Logging
import Postgres
public import Redis
public import ServiceLifecycle
import Synchronization

/// Applies the events of some producers to a service, each exactly once.
///
/// Of several replicas, one reads each stream. Should two for a moment, the cursor's row decides: its lock is held from
/// the first statement of a batch to its commit.
public final class EventReader: Service, Sendable {
    private let name: String
    private let streams: [StreamName]
    private let database: TenantDatabase
    private let redis: RedisClient
    private let logger: Logger
    private let metrics: LogMetrics
    private let worker: StreamWorker
    private let replay: any ReplaySource
    private let takeover = Mutex<(@Sendable () async throws -> Void)?>(nil)
    private let tasks = Mutex<[StreamName: Task<Void, Never>]>([:])

    /// A reader of all shards of `producers`; `name` is the consuming service.
    public convenience init(
        name: String,
        producers: [Producer],
        handlers: EventHandlers,
        database: TenantDatabase,
        redis: RedisClient,
        replay: any ReplaySource,
        logger: Logger
    ) {
        self.init(
            name: name,
            producers: producers,
            applier: EventApplier(
                handlers: handlers,
                database: database,
                logger: logger,
                metrics: LogMetrics(name)
            ),
            database: database,
            redis: redis,
            replay: replay,
            logger: logger
        )
    }

    init(
        name: String,
        producers: [Producer],
        applier: EventApplier,
        database: TenantDatabase,
        redis: RedisClient,
        replay: any ReplaySource,
        logger: Logger
    ) {
        self.name = name
        streams = producers.flatMap { producer in Shard.all.map { StreamName(producer, $0) } }
        self.database = database
        self.redis = redis
        self.logger = logger
        metrics = applier.metrics
        self.replay = replay
        worker = StreamWorker(applier: applier, replay: replay, logger: logger)
        worker.onOtherLineage { [weak self] stream in await self?.turn(stream) }
    }

    /// Runs whenever this process takes streams over, before anyone is told that what was applied has taken effect:
    /// the place to make up for `afterCommit` actions that a reader died before. To be called before ``run()``;
    /// what it throws is logged, and it is tried again.
    public func onTakeover(_ action: @escaping @Sendable () async throws -> Void) {
        takeover.withLock { $0 = action }
        worker.onDoubt(action)
    }

    /// Reads until graceful shutdown; a transaction under way is brought to its end.
    public func run() async throws {
        guard !streams.isEmpty else {
            try? await gracefulShutdown()
            return
        }
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.keepLocks() }
                group.addTask { await self.pump() }
                group.addTask { await self.retry() }
                group.addTask { await self.report() }
            }
        }
        worker.stop()
        let working = tasks.withLock { Array($0.values) }
        await withTaskCancellationHandler {
            for task in working { await task.value }
        } onCancel: {
            for task in working { task.cancel() }
        }
    }

    // MARK: Which streams are ours

    private func keepLocks() async {
        let prefix = "reader:\(name):"
        var locks = AdvisoryLocks(pool: database.pool, names: streams.map { "\(prefix)\($0)" })
        var isFailing = false
        while !Task.isCancelled {
            do {
                try await locks.refresh()
                let held = Set(locks.held.compactMap { StreamName(String($0.dropFirst(prefix.count))) })
                let ours = Set(
                    worker.lanes.withLock { lanes in
                        lanes.keep(held)
                        return lanes.streams
                    }
                )
                let new = held.subtracting(ours)
                if !new.isEmpty { try await takeOver(Array(new)) }
                isFailing = false
            } catch {
                if !isFailing, !Task.isCancelled {
                    logger.warning("the reader waits", metadata: ["error": "\(String(reflecting: error))"])
                }
                isFailing = true
                if locks.held.isEmpty { worker.lanes.withLock { $0.keep([]) } }
            }
            // Nothing tells of a lock that has become free; a second is how long a dead reader's streams wait.
            try? await Task.sleep(for: isFailing ? .milliseconds(200) : .seconds(1))
        }
        worker.lanes.withLock { $0.keep([]) }
        // The locks go with the connection, when `locks` does: after the last batch would be nicer, but not righter.
        locks.release()
    }

    private func takeOver(_ new: [StreamName]) async throws {
        if let action = takeover.withLock({ $0 }) { try await action() }
        let table = CursorTable(pool: database.pool)
        _ = try await table.takeOver(new)
        let home = try await table.home()
        let known = try await table.known(new)
        // Restored itself: what is on the streams may be of a time that never was, so their producers are asked first.
        let strange = new.filter { stream in
            known[stream]?.home.map { $0 != home } ?? false
        }
        try await table.settleDown(new.filter { !strange.contains($0) }, at: home)
        begin(new.filter { !strange.contains($0) }, try await table.known(new))
        for stream in strange { begin([stream], [stream: try await reconcile(stream)]) }
        logger.debug("streams read by this process", metadata: ["new": "\(new.count)"])
    }

    private func begin(_ streams: [StreamName], _ cursors: [StreamName: KnownCursor]) {
        worker.lanes.withLock { lanes in
            for stream in streams { lanes.start(stream, at: cursors[stream]?.sequence ?? 0) }
        }
        for stream in streams { worker.applied(stream, cursors[stream]?.sequence ?? 0) }
    }

    // MARK: Restored logs

    /// Asks a stream's producer what its log has in common with what was applied here, goes back to that if more was
    /// applied, and from there on believes the producer's lineage only.
    private func reconcile(_ stream: StreamName) async throws -> KnownCursor {
        let table = CursorTable(pool: database.pool)
        while true {
            guard let cursor = try await table.known([stream])[stream] else { return KnownCursor(sequence: 0) }
            let home = try await table.home()
            let answer = try await replay.origin(of: stream, lineage: cursor.lineage)
            guard let origin = answer, origin.lineage != cursor.lineage || cursor.home != home else {
                try await table.settleDown([stream], at: home)
                return cursor
            }
            guard try await table.turn(stream, from: cursor, to: origin, home: home) else { continue }
            let common = min(cursor.sequence, origin.common ?? cursor.sequence)
            if common < cursor.sequence {
                let undone = cursor.sequence - common
                metrics.rewound(stream, Int(undone))
                worker.rewound(stream, to: common)
                logger.error(
                    "events were applied that their producer has lost, as after a restore; compare with taskflow verify",
                    metadata: ["stream": "\(stream)", "applied": "\(cursor.sequence)", "common": "\(common)"]
                )
            }
            return KnownCursor(sequence: common, lineage: origin.lineage, home: home)
        }
    }

    /// Starts a stream again from where its producer says, as soon as that one answers.
    private func turn(_ stream: StreamName) async {
        while !Task.isCancelled, worker.lanes.withLock({ $0.streams.contains(stream) }) {
            do {
                let cursor = try await reconcile(stream)
                // Entries of the old lineage may still be there until the relay has rebuilt the stream.
                try? await Task.sleep(for: .milliseconds(100))
                worker.lanes.withLock { lanes in
                    if lanes.streams.contains(stream) { lanes.start(stream, at: cursor.sequence) }
                }
                return
            } catch {
                logger.warning(
                    "a stream of another lineage waits for its producer",
                    metadata: ["stream": "\(stream)", "error": "\(String(reflecting: error))"]
                )
                // Its producer does not answer, and nothing tells when it does again.
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// A stream that was rebuilt may end before our cursor, and then nothing of it is ever read: its mark is looked at.
    private func lookForOtherLineages(_ streams: [StreamName]) async {
        guard
            let replies = try? await redis.send(
                streams.map { RedisCommand("GET", RelayStream.lineageKey($0)) }
            ),
            let known = try? await CursorTable(pool: database.pool).known(streams)
        else { return }
        for (stream, reply) in zip(streams, replies) {
            guard let mark = reply.string, let applied = known[stream]?.lineage, mark != applied else { continue }
            await turn(stream)
        }
    }

    // MARK: Reading

    private func pump() async {
        var connection: RedisConnection?
        while !Task.isCancelled {
            let (requests, hasRoom) = worker.lanes.withLock { ($0.requests, $0.hasRoom) }
            if requests.isEmpty {
                // No stream is ours, or all have enough at hand: nothing tells when that changes.
                try? await Task.sleep(for: .milliseconds(20))
                continue
            }
            do {
                if redis.isCluster {
                    // A cluster reads one slot at a time.
                    try await poll(requests)
                    continue
                }
                let link: RedisConnection
                if let connection { link = connection } else { link = try await redis.dedicatedConnection() }
                connection = link
                let command = RedisCommand(
                    ["XREAD", "COUNT", "100", "BLOCK", hasRoom ? "250" : "10", "STREAMS"]
                        + requests.map { RelayStream.key($0.stream) } + requests.map { "\($0.after)-0" }
                )
                let reply = try await link.send(command, timeout: .seconds(3))
                if reply.elements != nil { try await Failpoint.hit(.readerAfterRead) }
                take(reply, requests)
            } catch let error as RedisError where error.code == .server {
                // A key vanished under a blocked read, or the server is still loading: ask again from the cursor.
                try? await Task.sleep(for: .milliseconds(50))
            } catch {
                connection = nil
                // Spread, so that not every reader comes back at the same moment.
                try? await Task.sleep(for: .milliseconds(Int.random(in: 50...150)))
            }
        }
        connection?.close()
    }

    private func poll(_ requests: [ReaderLanes.Request]) async throws {
        let replies = try await redis.send(
            requests.map {
                RedisCommand("XREAD", "COUNT", "100", "STREAMS", RelayStream.key($0.stream), "\($0.after)-0")
            }
        )
        var isIdle = true
        for reply in replies where reply.elements != nil {
            isIdle = false
            take(reply, requests)
        }
        // A cluster cannot block on several slots at once, so it is asked again and again.
        if isIdle { try? await Task.sleep(for: .milliseconds(10)) }
    }

    /// Queues what an `XREAD` answered, and sees to it that somebody works on it.
    private func take(_ reply: RedisValue, _ requests: [ReaderLanes.Request]) {
        for part in reply.elements ?? [] {
            guard let pair = part.elements, pair.count == 2, let key = pair[0].string,
                let request = requests.first(where: { RelayStream.key($0.stream) == key })
            else { continue }
            let events = RelayStream.entries(from: pair[1])
            let mustStart = worker.lanes.withLock { $0.add(events, for: request) }
            // Not a child of the loop: a batch is brought to its end when the loop is cancelled.
            if mustStart {
                tasks.withLock { $0[request.stream] = Task { [worker] in await worker.drain(request.stream) } }
            }
        }
    }

    // MARK: Parked events

    private func retry() async {
        let table = ParkedTable(pool: database.pool)
        while !Task.isCancelled {
            var pause = Duration.seconds(1)
            let streams = worker.lanes.withLock { $0.streams }
            if !streams.isEmpty, let (candidates, waiting) = try? await table.due(streams) {
                for candidate in candidates where !Task.isCancelled {
                    await Task { [worker] in await worker.retry(candidate, table) }.value
                }
                if waiting > 0 { pause = candidates.isEmpty ? .milliseconds(100) : .milliseconds(5) }
            }
            await worker.parkedBell.wait(atMost: pause)
        }
    }

    // MARK: Telling others

    /// Tells the relay how far this service is, so that it does not trim what is still needed.
    private func report() async {
        var told: [StreamName: Int64] = [:]
        var seconds = 0
        let parked = ParkedTable(pool: database.pool)
        while !Task.isCancelled {
            let applied = worker.appliedPositions
            let now = database.clock.now.seconds
            let news = seconds.isMultiple(of: 30) ? applied : applied.filter { told[$0.key] != $0.value }
            let commands = news.map { stream, sequence in
                RedisCommand(
                    "HSET",
                    RelayStream.cursorsKey(stream),
                    name,
                    RelayStream.ReaderMark(sequence: sequence, seconds: now).text
                )
            }
            if !commands.isEmpty, (try? await redis.send(commands)) != nil { told.merge(news) { $1 } }
            if seconds % 5 == 0 { await measure(applied, parked) }
            if seconds % 2 == 1 { await lookForOtherLineages(worker.lanes.withLock { $0.streams }) }
            seconds += 1
            try? await Task.sleep(for: .seconds(1))
        }
    }

    private func measure(_ applied: [StreamName: Int64], _ parked: ParkedTable) async {
        let streams = Array(applied.keys)
        if let replies = try? await redis.send(streams.map(RelayStream.top)) {
            for (stream, reply) in zip(streams, replies) {
                guard let top = try? RelayStream.top(from: reply) else { continue }
                metrics.lag(stream, events: max(0, top - (applied[stream] ?? 0)))
            }
        }
        guard let counts = try? await parked.counts() else { return }
        for stream in streams {
            metrics.parkedNow(stream, retrying: counts[stream]?.retrying ?? 0, parked: counts[stream]?.parked ?? 0)
        }
    }
}
