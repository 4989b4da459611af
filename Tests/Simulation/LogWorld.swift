import Events

@testable import Messaging

/// Mistakes of which the oracle is to see every one.
enum LogMutant: CaseIterable {
    /// Streams number their entries themselves: neither fencing nor order.
    case starInsteadOfNumbers
    /// Explicit numbers, but the top is not compared in the same step.
    case noFence
    /// The relay remembers where it was, whatever becomes of the stream.
    case positionInMemory
    /// A transaction does not look at the cursor.
    case cursorNotCompared
    /// A reader takes what it gets, missing events or not.
    case readerSkipsGap
    /// The cursor moves in a transaction of its own.
    case cursorOutsideTransaction
    /// An event is written before the change it tells of is committed.
    case outboxOutsideTransaction
    /// Numbers are taken without holding the shard's row to the commit.
    case numberWithoutLock
}

/// Whoever calls servers; what it had in hand dies with it.
class Caller {
    /// Counts its restarts: answers to an earlier life are heard by nobody.
    var life = 0
    var isAlive = true
}

/// One seed: writers, two relays, two readers, a Postgres and a Redis, and a network that loses, repeats, delays and
/// reorders; first with faults, then without until everything has come to rest.
///
/// Relay and reader are the shipped decision structs, driven by shells that do their input and output here.
final class LogWorld {
    static let shardCount = 2
    static let shards = Array(Shard.all.prefix(shardCount))
    static let streams = shards.map { StreamName(.task, $0) }
    private static let beginning = ContinuousClock.now

    var random: SeededGenerator
    let mutant: LogMutant?
    let postgres = SimulatedPostgres(shards: shardCount)
    let redis = SimulatedRedis(shards: shardCount)
    private(set) var isCalm = false
    private(set) var now = 0
    private var ready: [() -> Void] = []
    private var timers: [(due: Int, action: () -> Void)] = []
    private var relays: [SimulatedRelay] = []
    private var readers: [SimulatedReader] = []

    // What the oracle knows.
    private(set) var committed = [[SimulatedEvent]](repeating: [], count: shardCount)
    private var acknowledged: Set<Int> = []
    private var disposed = [Int64](repeating: 0, count: shardCount)
    private var effects: Set<Int> = []
    private var versions: [Int: Int] = [:]
    private var idents = 0
    /// How often an event's handler still fails.
    var failuresLeft: [Int: Int] = [:]
    private(set) var wrong: String?
    private var pendingFaults = 0

    init(seed: Int, mutant: LogMutant? = nil) {
        random = SeededGenerator(seed: seed)
        self.mutant = mutant
    }

    var instant: ContinuousClock.Instant { Self.beginning + .milliseconds(now) }

    /// Nil, or what was found wrong.
    static func run(seed: Int, mutant: LogMutant? = nil) -> String? {
        let world = LogWorld(seed: seed, mutant: mutant)
        world.run()
        // What is still under way holds on to the world.
        world.postgres.restart()
        world.ready = []
        world.timers = []
        world.relays = []
        world.readers = []
        return world.wrong
    }

    func fail(_ what: @autoclosure () -> String) { if wrong == nil { wrong = "\(what()) (at \(now) ms)" } }

    // MARK: Time and messages

    func post(_ action: @escaping () -> Void) { ready.append(action) }

    func after(_ milliseconds: Int, _ action: @escaping () -> Void) { timers.append((now + milliseconds, action)) }

    /// The same for a caller, as long as it lives.
    func after(_ milliseconds: Int, for caller: Caller, _ action: @escaping () -> Void) {
        let life = caller.life
        after(milliseconds) { if caller.life == life { action() } }
    }

    /// Sends a request to a server and hears of the outcome exactly once, unless the caller dies before. A request may
    /// be lost, be carried out although its answer is lost, be carried out twice, or after the caller has given up.
    func call<Answer>(
        _ caller: Caller,
        run: @escaping () -> Int,
        _ body: @escaping (@escaping (Answer?) -> Void) -> Void,
        _ done: @escaping (Answer?) -> Void
    ) {
        let life = caller.life
        let sentTo = run()
        var isAnswered = false
        let answer: (Answer?) -> Void = { [self] answer in
            post {
                guard caller.life == life, !isAnswered else { return }
                isAnswered = true
                done(answer)
            }
        }
        // A restart in between breaks the connection.
        let carryOut: (@escaping (Answer?) -> Void) -> Void = { reply in
            if run() == sentTo { body(reply) } else { reply(nil) }
        }
        switch isCalm ? 100 : random.below(100) {
        case 0..<4: after(random.within(1...40)) { answer(nil) }
        case 4..<9:
            after(random.within(0...60)) { carryOut { _ in } }
            after(random.within(1...40)) { answer(nil) }
        case 9..<11:
            post { carryOut(answer) }
            after(random.within(0...40)) { carryOut { _ in } }
        case 11..<25: after(random.within(1...40)) { carryOut(answer) }
        default: post { carryOut(answer) }
        }
    }

    func callPostgres<Answer>(
        _ caller: Caller,
        _ body: @escaping (SimulatedPostgres) -> Answer,
        _ done: @escaping (Answer?) -> Void
    ) {
        call(caller, run: { [postgres] in postgres.run }, { [postgres] in $0(body(postgres)) }, done)
    }

    func callRedis<Answer>(
        _ caller: Caller,
        _ body: @escaping (SimulatedRedis) -> Answer,
        _ done: @escaping (Answer?) -> Void
    ) {
        call(caller, run: { [redis] in redis.run }, { [redis] in $0(body(redis)) }, done)
    }

    // MARK: The run

    private func run() {
        for index in 0..<2 {
            relays.append(SimulatedRelay(number: index, world: self))
            readers.append(SimulatedReader(number: index, world: self))
        }
        for relay in relays { relay.start() }
        for reader in readers { reader.start() }
        var writes = random.within(3...8)
        var faults = random.within(1...5)
        var steps = 0
        while wrong == nil, writes > 0 || faults > 0 || steps < 60 {
            steps += 1
            if writes > 0, random.chance(7) {
                writes -= 1
                write(shard: random.below(Self.shardCount))
            }
            if faults > 0, random.chance(4) {
                faults -= 1
                fault()
            }
            step()
        }
        isCalm = true
        let deadline = now + 15_000
        while wrong == nil, !isComplete {
            step()
            if now > deadline { fail("not drained 15 s after the last fault: \(state)") }
        }
        if wrong == nil { check() }
    }

    private func step() {
        now += random.below(6)
        if ready.isEmpty, let next = timers.lazy.map(\.due).min() { now = max(now, next) }
        var index = 0
        while index < timers.count {
            if timers[index].due <= now {
                ready.append(timers[index].action)
                timers.swapAt(index, timers.count - 1)
                timers.removeLast()
            } else {
                index += 1
            }
        }
        guard !ready.isEmpty else { return }
        let chosen = random.below(ready.count)
        ready.swapAt(chosen, ready.count - 1)
        ready.removeLast()()
    }

    private func fault() {
        let shard = random.below(Self.shardCount)
        switch random.below(15) {
        case 0, 1: relays[random.below(2)].crash()
        case 2, 3: readers[random.below(2)].crash()
        case 4: postgres.restart()
        case 5: redis.restart()
        case 6, 7:
            redis.loseAll()
            if random.chance(50) { redis.restart() }
        case 8, 9:
            redis.loseTail(shard, random.within(1...4))
            if random.chance(50) { redis.restart() }
        case 10:
            redis.takeCopy()
            pendingFaults += 1
            after(random.within(20...400)) { [self] in
                pendingFaults -= 1
                redis.rollBack()
                if random.chance(50) { redis.restart() }
            }
        // The backend that holds a lock is killed: its owner hears of it later than the next one.
        case 11: postgres.advisory = [:]
        default:
            // Another service has read everything; of this one, nothing was heard for a moment, or for two days.
            let marks = [
                "reader": RelayStream.ReaderMark(
                    sequence: redis.marks[shard],
                    seconds: random.chance(50) ? 172_800 : 0
                ),
                "other": RelayStream.ReaderMark(sequence: redis.top(shard), seconds: 172_800),
            ]
            if let keepFrom = RelayStream.retention(marks, now: 172_800).keepFrom, keepFrom > 0 {
                redis.trim(shard, keepFrom: keepFrom)
            }
        }
    }

    // MARK: Writers

    /// A request that changes one aggregate or two, and says so.
    private func write(shard: Int) {
        let writer = Caller()
        let row = postgres.logLocks[shard]
        let changed = (0..<random.within(1...3)).map { _ in (ident: makeIdent(), aggregate: shard * 2 + random.below(2))
        }
        call(
            writer,
            run: { [postgres] in postgres.run },
            { [self] (reply: @escaping (Bool?) -> Void) in
                let transaction = postgres.begin()
                transaction.onLost = { reply(nil) }
                if mutant == .numberWithoutLock {
                    insert(changed, shard, transaction, reply)
                } else {
                    postgres.lock(row, for: transaction) { [self] in insert(changed, shard, transaction, reply) }
                }
            },
            { [self] (answer: Bool?) in
                if answer == true { for change in changed { acknowledged.insert(change.ident) } }
            }
        )
    }

    private func makeIdent() -> Int {
        idents += 1
        if random.chance(6) { failuresLeft[idents] = random.within(1...3) }
        return idents
    }

    private func insert(
        _ changed: [(ident: Int, aggregate: Int)],
        _ shard: Int,
        _ transaction: OpenTransaction,
        _ reply: @escaping (Bool?) -> Void
    ) {
        // A request that was carried out twice has an Idempotency-Key.
        if let ident = changed.first?.ident, committed[shard].contains(where: { $0.ident == ident }) {
            postgres.abort(transaction)
            return reply(true)
        }
        let first = postgres.numbers[shard]
        let last = first + Int64(changed.count)
        // Like an identity column: taken whether or not it commits.
        if mutant == .numberWithoutLock { postgres.numbers[shard] = last }
        let publish = { [self] () -> [SimulatedEvent] in
            var events: [SimulatedEvent] = []
            for (place, change) in changed.enumerated() {
                let earlier = (committed[shard] + events).lazy.filter { $0.aggregate == change.aggregate }.count
                events.append(
                    SimulatedEvent(
                        ident: change.ident,
                        sequence: first + Int64(place) + 1,
                        aggregate: change.aggregate,
                        version: earlier + 1
                    )
                )
            }
            postgres.numbers[shard] = max(last, postgres.numbers[shard])
            for event in events { postgres.insert(event, shard: shard) }
            return events
        }
        let early = mutant == .outboxOutsideTransaction ? publish() : nil
        transaction.writes.append { [self] in
            committed[shard] += early ?? publish()
            for relay in relays where random.chance(60) { relay.hear(shard, last) }
        }
        if !isCalm, random.chance(10) {
            after(random.within(0...50)) { [postgres] in postgres.abort(transaction) }
        }
        after(random.within(0...80)) { [postgres] in reply(postgres.commit(transaction) ? true : nil) }
    }

    // MARK: The oracle

    /// An event was applied or set aside, in the transaction that moves the cursor.
    func dispose(_ event: SimulatedEvent, at number: Int64, shard: Int) {
        if number != disposed[shard] + 1 {
            fail("shard \(shard): event \(number) after \(disposed[shard])")
        }
        disposed[shard] = max(disposed[shard], number)
        if event.sequence != number { fail("shard \(shard): event \(event.sequence) came as \(number)") }
    }

    /// An event has taken effect.
    func takeEffect(_ event: SimulatedEvent, shard: Int) {
        if !effects.insert(event.ident).inserted { fail("event \(event.ident) took effect twice") }
        let version = (versions[event.aggregate] ?? 0) + 1
        if event.version != version {
            fail("aggregate \(event.aggregate) went from version \(version - 1) to \(event.version)")
        }
        versions[event.aggregate] = version
        if !committed[shard].contains(event) { fail("event \(event.ident) was never committed") }
    }

    func moveCursor(_ shard: Int, to number: Int64) {
        if number < postgres.cursors[shard] { fail("cursor of shard \(shard) went back to \(number)") }
        postgres.cursors[shard] = number
    }

    private var isComplete: Bool {
        pendingFaults == 0
            && Self.shards.indices.allSatisfy { shard in
                let last = postgres.numbers[shard]
                return postgres.cursors[shard] == last && redis.top(shard) == last && postgres.parked[shard].isEmpty
            } && !postgres.hasOpenTransactions
    }

    private var state: String {
        "numbers \(postgres.numbers), cursors \(postgres.cursors), tops \(Self.shards.indices.map(redis.top)), "
            + "parked \(postgres.parked.map(\.count)), advisory \(postgres.advisory.sorted { $0.key < $1.key }), "
            + "open \(postgres.hasOpenTransactions), cursor rows \(postgres.cursorLocks.map(\.state)), readers \(readers.map(\.state))"
    }

    private func check() {
        for shard in Self.shards.indices {
            let all = committed[shard].map(\.sequence).sorted()
            if all != Array(1..<Int64(all.count + 1)) { fail("shard \(shard): numbers \(all)") }
            for event in committed[shard] where !effects.contains(event.ident) { fail("event \(event.ident) is lost") }
            // Trimmed at its beginning, perhaps; never in the middle, never at the end.
            var expected = redis.streams[shard].first?.id ?? 0
            for entry in redis.streams[shard] {
                if entry.id != expected { fail("stream \(shard) has \(entry.id) where \(expected) belongs") }
                if SimulatedEvent(entry.event).sequence != entry.id { fail("stream \(shard): \(entry.id) is another") }
                expected += 1
            }
        }
        let known = Set(committed.joined().map(\.ident))
        if let lost = acknowledged.subtracting(known).min() { fail("write \(lost) was acknowledged and is not there") }
    }
}
