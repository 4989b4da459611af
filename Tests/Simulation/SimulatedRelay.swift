import Events

@testable import Messaging

/// The shell around ``RelayState``: does in the simulation what `EventRelay` does on real servers.
final class SimulatedRelay: Caller {
    private let number: Int
    private unowned let world: LogWorld
    private var state = RelayState()
    private var held: Set<Shard> = []
    private var knownRun = 0
    private var isResting = false
    private var remembered: [Shard: Int64] = [:]

    init(number: Int, world: LogWorld) {
        self.number = number
        self.world = world
    }

    func start() {
        isAlive = true
        state = RelayState()
        held = []
        remembered = [:]
        knownRun = world.redis.run
        refreshLocks()
        loop()
    }

    func crash() {
        life += 1
        isAlive = false
        world.postgres.release(holder: number, prefix: "relay")
        world.after(world.random.within(50...400)) { [self] in if !isAlive { start() } }
    }

    /// A commit that this process was told of.
    func hear(_ shard: Int, _ last: Int64) {
        guard isAlive else { return }
        state.committed(LogWorld.shards[shard], last)
        if isResting {
            isResting = false
            world.after(0, for: self) { [self] in loop() }
        }
    }

    private func refreshLocks() {
        world.callPostgres(self) { [number] in
            $0.acquire(holder: number, prefix: "relay")
        } _: { [self] mine in
            held = Set((mine ?? []).map { LogWorld.shards[$0] })
            world.after(world.random.within(200...600), for: self) { [self] in refreshLocks() }
        }
    }

    private func loop() {
        state.hold(held)
        if world.redis.run != knownRun {
            knownRun = world.redis.run
            doubt()
        }
        switch state.next(at: world.instant, isPaused: !world.isCalm && world.random.chance(3)) {
        case .askTops(let shards): askTops(shards)
        case .askCommitted:
            world.callPostgres(self) {
                $0.numbers
            } _: { [self] numbers in
                guard let numbers else { return failed() }
                for (shard, number) in numbers.enumerated() { state.committed(LogWorld.shards[shard], number) }
                loop()
            }
        case .publish(let places): publish(places)
        case .rest:
            isResting = true
            world.after(250, for: self) { [self] in
                guard isResting else { return }
                isResting = false
                loop()
            }
        }
    }

    private func doubt() { state.doubt() }

    private func failed() {
        doubt()
        world.after(world.random.within(50...150), for: self) { [self] in loop() }
    }

    private func askTops(_ shards: [Shard]) {
        world.callRedis(self) { redis in
            shards.map { redis.top($0.number) }
        } _: { [self] tops in
            guard let tops else { return failed() }
            world.callPostgres(self) {
                $0.numbers
            } _: { [self] numbers in
                guard let numbers else { return failed() }
                var ahead: [Shard] = []
                for (shard, top) in zip(shards, tops) {
                    let top = world.mutant == .positionInMemory ? remembered[shard] ?? top : top
                    let verdict = state.learned(shard, top: top, committed: numbers[shard.number])
                    if verdict == .streamIsAhead { ahead.append(shard) }
                    remembered[shard] = top
                }
                if ahead.isEmpty { loop() } else { rebuild(ahead) }
            }
        }
    }

    private func rebuild(_ shards: [Shard]) {
        world.callRedis(self) { redis in
            for shard in shards { redis.delete(shard.number) }
        } _: { [self] done in
            guard done != nil else { return failed() }
            for shard in shards { state.moved(shard, top: 0) }
            loop()
        }
    }

    private func publish(_ places: [(shard: Shard, top: Int64)]) {
        world.callPostgres(self) { postgres in
            places.map { postgres.events(after: $0.top, shard: $0.shard.number, limit: 4) }
        } _: { [self] batches in
            guard let batches else { return failed() }
            var sent: [(shard: Shard, top: Int64, events: [SimulatedEvent])] = []
            for ((shard, top), events) in zip(places, batches) {
                if events.isEmpty { state.nothingKept(shard) } else { sent.append((shard, top, events)) }
            }
            guard !sent.isEmpty else { return loop() }
            // A server that dies between two streams has appended to the first and not to the second.
            let most = !world.isCalm && world.random.chance(5) ? world.random.below(sent.count) : sent.count
            let mutant = world.mutant
            world.callRedis(self) { redis in
                sent.prefix(most).map { redis.append($0.events, shard: $0.shard.number, after: $0.top, mutant: mutant) }
            } _: { [self] tops in
                guard let tops, tops.count == sent.count else { return failed() }
                for (batch, top) in zip(sent, tops) {
                    guard let last = batch.events.last?.sequence else { continue }
                    if state.appended(batch.shard, upTo: last, answer: top) { remembered[batch.shard] = top }
                }
                loop()
            }
        }
    }
}

extension SimulatedPostgres {
    /// Tries for every shard's advisory lock, and says which are held.
    func acquire(holder: Int, prefix: String) -> [Int] {
        numbers.indices.filter { shard in
            let name = "\(prefix)\(shard)"
            if advisory[name] == nil { advisory[name] = holder }
            return advisory[name] == holder
        }
    }

    func release(holder: Int, prefix: String) {
        for shard in numbers.indices where advisory["\(prefix)\(shard)"] == holder {
            advisory["\(prefix)\(shard)"] = nil
        }
    }
}
