import Events

@testable import Messaging

/// The shell around ``ReaderLanes`` and ``ReaderBatch``: does in the simulation what `EventReader`, `StreamWorker` and
/// `EventApplier` do on real servers.
final class SimulatedReader: Caller {
    private struct Poison: Error {}

    private let number: Int
    private unowned let world: LogWorld
    private var lanes = ReaderLanes()
    private var open: [OpenTransaction] = []
    /// How far each stream was applied by this process, for the relay's keeper.
    private var applied: [Int: Int64] = [:]

    init(number: Int, world: LogWorld) {
        self.number = number
        self.world = world
    }

    /// For a seed that fails.
    var state: String { "\(isAlive ? "alive" : "dead") \(lanes) \(open.count) open" }

    func start() {
        isAlive = true
        lanes = ReaderLanes()
        applied = [:]
        refreshLocks()
        pump()
        retry()
        report()
    }

    func crash() {
        life += 1
        isAlive = false
        world.postgres.release(holder: number, prefix: "reader")
        for transaction in open {
            world.after(world.random.within(0...30)) { [world] in world.postgres.abort(transaction) }
        }
        open = []
        world.after(world.random.within(50...400)) { [self] in if !isAlive { start() } }
    }

    // MARK: Which streams are ours

    private func refreshLocks() {
        world.callPostgres(self) { [number] in
            $0.acquire(holder: number, prefix: "reader")
        } _: { [self] mine in
            let held = Set((mine ?? []).map { LogWorld.streams[$0] })
            lanes.keep(held)
            let new = held.subtracting(lanes.streams).sorted { $0.shard < $1.shard }
            if new.isEmpty { return refreshLater() }
            world.callPostgres(self) {
                $0.cursors
            } _: { [self] cursors in
                if let cursors {
                    for stream in new {
                        lanes.start(stream, at: cursors[stream.shard.number])
                        applied[stream.shard.number] = cursors[stream.shard.number]
                    }
                }
                refreshLater()
            }
        }
    }

    private func refreshLater() {
        world.after(world.random.within(200...600), for: self) { [self] in refreshLocks() }
    }

    // MARK: Reading

    private func pump() {
        let requests = lanes.requests
        guard !requests.isEmpty else { return pump(after: 20) }
        world.callRedis(self) { redis in
            requests.map { redis.entries(after: $0.after, shard: $0.stream.shard.number, limit: 4) }
        } _: { [self] answers in
            guard let answers else { return pump(after: world.random.within(50...150)) }
            var isIdle = true
            for (request, entries) in zip(requests, answers) where !entries.isEmpty {
                isIdle = false
                let events = entries.map { Incoming(sequence: $0.id, event: $0.event) }
                if lanes.add(events, for: request) { drain(request.stream) }
            }
            pump(after: isIdle ? 60 : 0)
        }
    }

    private func pump(after pause: Int) { world.after(pause, for: self) { [self] in pump() } }

    // MARK: Working

    private func drain(_ stream: StreamName) {
        guard let batch = lanes.take(stream, atMost: 3) else { return }
        work(on: ReaderBatch(batch), of: stream)
    }

    private func work(on batch: ReaderBatch, of stream: StreamName) {
        let shard = stream.shard.number
        let go: (ReaderBatch.Outcome) -> Void = { [self] outcome in
            var batch = batch
            batch.handle(outcome)
            if let pause = batch.pause {
                world.after(world.random.within(pause), for: self) { [self] in work(on: batch, of: stream) }
            } else {
                work(on: batch, of: stream)
            }
        }
        switch batch.command {
        case .finished: drain(stream)
        case .apply(let events): apply(events, shard: shard, go)
        case .park(let event, _):
            transact([event], shard: shard, go) { _ in [Deed(event: event, isParked: true)] }
        case .settle:
            world.callPostgres(self) { _ in
            } _: {
                go($0 == nil ? .passing : .done)
            }
        // Nobody restores a database in this world: there is one lineage.
        case .turn: go(.done)
        case .fetch(let cursor):
            world.callPostgres(self) {
                $0.events(after: cursor, shard: shard, limit: 3)
            } _: { events in
                go(.fetched((events ?? []).map { Incoming(sequence: $0.sequence, event: $0.bytes) }))
            }
        }
    }

    /// What becomes of one event in a transaction.
    private struct Deed {
        var event: Incoming
        var isParked: Bool
    }

    private func apply(_ events: [Incoming], shard: Int, _ go: @escaping (ReaderBatch.Outcome) -> Void) {
        transact(events, shard: shard, go) { [self] postgres in
            var held = Set(postgres.parked[shard].map(\.event.aggregate))
            return try events.map { incoming in
                let event = SimulatedEvent(incoming.event)
                guard event.sequence == incoming.sequence else { throw Poison() }
                if held.contains(event.aggregate) {
                    held.insert(event.aggregate)
                    return Deed(event: incoming, isParked: true)
                }
                try handle(event)
                return Deed(event: incoming, isParked: false)
            }
        }
    }

    /// The handler: fails as often as it was told to.
    private func handle(_ event: SimulatedEvent) throws {
        guard let left = world.failuresLeft[event.ident], left > 0 else { return }
        world.failuresLeft[event.ident] = left - 1
        throw Poison()
    }

    /// The cursor's row is locked and compared; then `body` decides, and what it decides is committed with the cursor.
    private func transact(
        _ events: [Incoming],
        shard: Int,
        _ go: @escaping (ReaderBatch.Outcome) -> Void,
        _ body: @escaping (SimulatedPostgres) throws -> [Deed]
    ) {
        let step = CursorStep(events)
        let transaction = world.postgres.begin()
        open.append(transaction)
        // idle_in_transaction_session_timeout
        world.after(10_000) { [world] in world.postgres.expire(transaction) }
        let end: (ReaderBatch.Outcome) -> Void = { [self] outcome in
            open.removeAll { $0 === transaction }
            // The connection is closed, or given back.
            world.post { [world] in world.postgres.abort(transaction) }
            go(outcome)
        }
        if !world.isCalm, world.random.chance(2) { return end(.retryable(Poison())) }
        let lookAtCursor = { [world] (reply: @escaping (Int64?) -> Void) in
            let postgres = world.postgres
            guard transaction.isOpen else { return reply(nil) }
            // The request may have come before, and wait.
            let waiting = transaction.onLost
            transaction.onLost = {
                waiting()
                reply(nil)
            }
            postgres.lock(postgres.cursorLocks[shard], for: transaction) { reply(postgres.cursors[shard]) }
        }
        let goOn = { [self] (cursor: Int64?) in
            guard let cursor else { return end(.passing) }
            guard follows(step, cursor) else { return end(.elsewhere(cursor)) }
            do {
                let deeds = try body(world.postgres)
                commit(deeds, step, shard: shard, transaction, end)
            } catch {
                end(.failed(error))
            }
        }
        world.call(self, run: { [world] in world.postgres.run }, lookAtCursor, goOn)
    }

    private func follows(_ step: CursorStep, _ cursor: Int64) -> Bool {
        switch world.mutant {
        case .cursorNotCompared: true
        case .readerSkipsGap: cursor <= step.start
        default: step.follows(cursor)
        }
    }

    private func commit(
        _ deeds: [Deed],
        _ step: CursorStep,
        shard: Int,
        _ transaction: OpenTransaction,
        _ end: @escaping (ReaderBatch.Outcome) -> Void
    ) {
        let isSeparate = world.mutant == .cursorOutsideTransaction
        transaction.writes.append { [world] in
            for deed in deeds {
                let event = SimulatedEvent(deed.event.event)
                world.dispose(event, at: deed.event.sequence, shard: shard)
                if deed.isParked {
                    world.postgres.parked[shard].append(SimulatedPostgres.Parked(event: event))
                } else {
                    world.takeEffect(event, shard: shard)
                }
            }
            if !isSeparate { world.moveCursor(shard, to: step.end) }
        }
        world.callPostgres(self) {
            $0.commit(transaction)
        } _: { [self] committed in
            guard committed == true else { return end(.passing) }
            applied[shard] = max(applied[shard] ?? 0, step.end)
            guard isSeparate else { return end(.done) }
            world.callPostgres(self) { [world] _ in
                world.moveCursor(shard, to: step.end)
            } _: { moved in
                end(moved == nil ? .passing : .done)
            }
        }
    }

    /// Tells the relay's keeper how far this service is.
    private func report() {
        let told = applied.sorted { $0.key < $1.key }
        if !told.isEmpty {
            world.callRedis(self) { redis in
                for (shard, number) in told { redis.marks[shard] = number }
            } _: { _ in
            }
        }
        world.after(world.random.within(100...300), for: self) { [self] in report() }
    }

    // MARK: Events set aside

    /// The first of each aggregate is tried again, in one transaction that removes it.
    private func retry() {
        for stream in lanes.streams where !world.postgres.parked[stream.shard.number].isEmpty {
            let shard = stream.shard.number
            world.callPostgres(self) { [self] postgres in
                var seen: Set<Int> = []
                for parked in postgres.parked[shard] where seen.insert(parked.event.aggregate).inserted {
                    guard (try? handle(parked.event)) != nil else { continue }
                    world.takeEffect(parked.event, shard: shard)
                    postgres.parked[shard].removeAll { $0.event == parked.event }
                }
            } _: { _ in
            }
        }
        world.after(world.random.within(60...150), for: self) { [self] in retry() }
    }
}
