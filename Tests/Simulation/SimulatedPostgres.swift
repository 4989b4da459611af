/// An event of the simulation; everything in it is small enough for a byte.
struct SimulatedEvent: Equatable {
    var ident: Int
    var sequence: Int64
    var aggregate: Int
    var version: Int

    var bytes: [UInt8] { [UInt8(ident), UInt8(sequence), UInt8(aggregate), UInt8(version)] }

    init(ident: Int, sequence: Int64, aggregate: Int, version: Int) {
        self.ident = ident
        self.sequence = sequence
        self.aggregate = aggregate
        self.version = version
    }

    init(_ bytes: [UInt8]) {
        self.init(ident: Int(bytes[0]), sequence: Int64(bytes[1]), aggregate: Int(bytes[2]), version: Int(bytes[3]))
    }
}

/// A row's lock, given in the order in which it was asked for.
final class RowLock {
    fileprivate var owner: OpenTransaction?
    fileprivate var waiting: [(OpenTransaction, () -> Void)] = []

    /// For a seed that fails.
    var state: String { "\(owner.map { $0.isOpen ? "held" : "held by a ghost" } ?? "free"), \(waiting.count) waiting" }
}

/// A transaction: what it has locked, what becomes visible when it commits, and whom to tell when it is lost.
final class OpenTransaction {
    fileprivate(set) var isOpen = true
    fileprivate var locks: [RowLock] = []
    var writes: [() -> Void] = []
    var onLost: () -> Void = {}
}

/// The producer's log and the consumer's read model, in one server: transactions, row locks, commits in any order,
/// restarts that lose what is not committed and nothing else.
final class SimulatedPostgres {
    struct Parked {
        var event: SimulatedEvent
    }

    private(set) var run = 0
    private var open: [OpenTransaction] = []

    // The producer's side, by shard.
    var outbox: [[SimulatedEvent]]
    var numbers: [Int64]
    let logLocks: [RowLock]

    // The consumer's side, by stream.
    var cursors: [Int64]
    var parked: [[Parked]]
    let cursorLocks: [RowLock]

    /// Session-level advisory locks: by name, who holds it.
    var advisory: [String: Int] = [:]

    init(shards: Int) {
        outbox = Array(repeating: [], count: shards)
        numbers = Array(repeating: 0, count: shards)
        cursors = Array(repeating: 0, count: shards)
        parked = Array(repeating: [], count: shards)
        logLocks = (0..<shards).map { _ in RowLock() }
        cursorLocks = (0..<shards).map { _ in RowLock() }
    }

    var hasOpenTransactions: Bool { !open.isEmpty }

    func begin() -> OpenTransaction {
        let transaction = OpenTransaction()
        open.append(transaction)
        return transaction
    }

    /// Locks a row, at once or when its turn comes; then goes on.
    func lock(_ row: RowLock, for transaction: OpenTransaction, _ then: @escaping () -> Void) {
        if row.owner == nil {
            row.owner = transaction
            transaction.locks.append(row)
            then()
        } else if row.owner === transaction {
            // Asked a second time.
            then()
        } else {
            row.waiting.append((transaction, then))
        }
    }

    /// False if it was lost before.
    func commit(_ transaction: OpenTransaction) -> Bool {
        guard transaction.isOpen else { return false }
        for write in transaction.writes { write() }
        end(transaction)
        return true
    }

    /// The server ends a session that has been idle in a transaction, and whoever waits hears of it.
    func expire(_ transaction: OpenTransaction) {
        guard transaction.isOpen else { return }
        end(transaction)
        transaction.onLost()
    }

    func abort(_ transaction: OpenTransaction) {
        if transaction.isOpen { end(transaction) }
    }

    private func end(_ transaction: OpenTransaction) {
        transaction.isOpen = false
        open.removeAll { $0 === transaction }
        for row in transaction.locks {
            row.owner = nil
            while row.owner == nil, !row.waiting.isEmpty {
                let (next, then) = row.waiting.removeFirst()
                guard next.isOpen else { continue }
                row.owner = next
                next.locks.append(row)
                then()
            }
        }
    }

    /// Every connection is gone, and what was not committed.
    func restart() {
        run += 1
        advisory = [:]
        let lost = open
        for transaction in lost { transaction.isOpen = false }
        open = []
        for row in logLocks + cursorLocks {
            row.owner = nil
            row.waiting = []
        }
        for transaction in lost { transaction.onLost() }
    }

    func events(after number: Int64, shard: Int, limit: Int) -> [SimulatedEvent] {
        Array(outbox[shard].lazy.filter { $0.sequence > number }.prefix(limit))
    }

    /// As the table's index has them.
    func insert(_ event: SimulatedEvent, shard: Int) {
        let place = outbox[shard].firstIndex { $0.sequence > event.sequence } ?? outbox[shard].count
        outbox[shard].insert(event, at: place)
    }
}

/// Streams, and all the ways to lose them.
final class SimulatedRedis {
    struct Entry: Equatable {
        var id: Int64
        var event: [UInt8]
    }

    private(set) var run = 0
    private(set) var streams: [[Entry]]
    private var copy: [[Entry]]
    /// How far the consumer says it is; lost and rolled back with the rest.
    var marks: [Int64]
    private var copiedMarks: [Int64]

    init(shards: Int) {
        streams = Array(repeating: [], count: shards)
        copy = streams
        marks = Array(repeating: 0, count: shards)
        copiedMarks = marks
    }

    func top(_ shard: Int) -> Int64 { streams[shard].last?.id ?? 0 }

    /// The relay's script: appends only if the top is as expected, and gives the top.
    func append(_ events: [SimulatedEvent], shard: Int, after top: Int64, mutant: LogMutant?) -> Int64 {
        switch mutant {
        case .starInsteadOfNumbers:
            for event in events { streams[shard].append(Entry(id: self.top(shard) + 1, event: event.bytes)) }
            return events.last?.sequence ?? top
        case .noFence, .positionInMemory:
            for event in events where event.sequence > self.top(shard) {
                streams[shard].append(Entry(id: event.sequence, event: event.bytes))
            }
            return events.last?.sequence ?? top
        default:
            guard self.top(shard) == top else { return self.top(shard) }
            for event in events { streams[shard].append(Entry(id: event.sequence, event: event.bytes)) }
            return self.top(shard)
        }
    }

    func entries(after id: Int64, shard: Int, limit: Int) -> [Entry] {
        Array(streams[shard].lazy.filter { $0.id > id }.prefix(limit))
    }

    func delete(_ shard: Int) { streams[shard] = [] }

    /// As the keeper's script: never the newest entry.
    func trim(_ shard: Int, keepFrom: Int64) {
        let first = min(keepFrom, top(shard))
        streams[shard].removeAll { $0.id < first }
    }

    // MARK: Faults

    func restart() { run += 1 }

    func loseAll() {
        for shard in streams.indices {
            streams[shard] = []
            marks[shard] = 0
        }
    }

    func loseTail(_ shard: Int, _ count: Int) { streams[shard].removeLast(min(count, streams[shard].count)) }

    func takeCopy() { (copy, copiedMarks) = (streams, marks) }

    func rollBack() { (streams, marks) = (copy, copiedMarks) }
}
