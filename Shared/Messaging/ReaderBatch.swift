/// How a batch that was read of a stream is worked off, whatever it takes: what to do next, given how the last thing
/// went. Events already applied are dropped, missing ones fetched, failing ones found and set aside.
///
/// It does nothing itself: do what ``command`` says, tell ``handle(_:)`` what came of it, wait for ``pause``.
struct ReaderBatch {
    /// What to do.
    enum Command {
        /// Apply these in one transaction that finds the cursor right before them and moves it past them.
        case apply([Incoming])
        /// Set this event aside in such a transaction, for this reason.
        case park(Incoming, because: any Error)
        /// The cursor is past so many events in hand: see to it that what follows their commits has been done.
        case settle(cursor: Int64, count: Int)
        /// Get the events right after the cursor from their producer.
        case fetch(after: Int64)
        /// What is at hand is of another lineage than what was applied: find out where the stream goes on from.
        case turn
        /// Nothing more; can transition to nothing.
        case finished
    }

    /// What came of a command.
    enum Outcome {
        case done
        /// The cursor is not right before the events.
        case elsewhere(Int64)
        /// The events are of another lineage than those that were applied.
        case otherLineage
        /// A server is missing: to be waited out and never counted.
        case passing
        /// Lost a deadlock or the like.
        case retryable(any Error)
        /// A statement took longer than any may: the server was busy, or the event needs that long every time.
        case tooSlow(any Error)
        /// The events cannot be applied, or not be set aside.
        case failed(any Error)
        /// What the producer gave.
        case fetched([Incoming])
    }

    /// So many lost deadlocks in a row are nobody's fault.
    private static let patience = 10
    /// So often an event may take too long, alone, before it is the event's fault and no longer the server's.
    private static let slowness = 3

    private(set) var command: Command
    /// Milliseconds to wait before the command, drawn from here.
    private(set) var pause: ClosedRange<Int>?
    /// True once when events are missing and their producer has not given them.
    private(set) var isStuck = false

    private var rest: [Incoming]
    private var longestPause = Self.shortestPause
    private var deadlocks = 0
    private var slow = 0
    /// After a failure in a batch its events are applied one by one, to find the one that fails.
    private var alone = 0

    private static let shortestPause = 50

    /// True if nothing has gone wrong since the last success.
    var isFirstPause: Bool { longestPause == Self.shortestPause }

    init(_ batch: [Incoming]) {
        rest = batch
        command = .finished
        goOn()
    }

    /// Takes what came of the command.
    mutating func handle(_ outcome: Outcome) {
        pause = nil
        isStuck = false
        switch (command, outcome) {
        case (.apply(let events), .done):
            longestPause = Self.shortestPause
            deadlocks = 0
            slow = 0
            finish(events.count)
        case (.park, .done): finish(1)
        case (.apply, .elsewhere(let cursor)), (.park, .elsewhere(let cursor)):
            let known = rest.prefix { $0.sequence <= cursor }.count
            command = known > 0 ? .settle(cursor: cursor, count: known) : .fetch(after: cursor)
        case (.apply, .otherLineage), (.park, .otherLineage):
            // The stream is read again from where the reader finds it to be.
            rest = []
            command = .turn
        case (.turn, _): goOn()
        case (.settle(_, let count), .done):
            rest.removeFirst(count)
            goOn()
        case (.fetch(let cursor), .fetched(let missing)): insert(missing, after: cursor)
        case (.apply, .retryable) where deadlocks < Self.patience:
            deadlocks += 1
            pause = 5...50
        case (.apply(let events), .tooSlow) where events.count == 1 && slow < Self.slowness - 1:
            // Else a stream would stand still for ever behind one event.
            slow += 1
            wait()
        case (.apply(let events), .retryable(let error)), (.apply(let events), .failed(let error)),
            (.apply(let events), .tooSlow(let error)):
            if events.count == 1 {
                slow = 0
                command = .park(events[0], because: error)
            } else {
                alone = events.count
                goOn()
            }
        default:
            // A server is missing, or setting aside failed: once more from the top, a little later.
            wait()
            goOn()
        }
    }

    private mutating func finish(_ count: Int) {
        rest.removeFirst(count)
        alone -= min(alone, count)
        goOn()
    }

    /// Puts the missing events before the rest.
    private mutating func insert(_ missing: [Incoming], after cursor: Int64) {
        if let first = rest.first, missing.first?.sequence == cursor + 1 {
            rest = missing.contiguousPrefix(atMost: 100).filter { $0.sequence < first.sequence } + rest
        } else {
            isStuck = isFirstPause
            wait()
        }
        goOn()
    }

    private mutating func goOn() {
        let events = rest.contiguousPrefix(atMost: alone > 0 ? 1 : 100)
        command = events.isEmpty ? .finished : .apply(events)
    }

    /// A pause that grows from 50 ms to 1 s.
    private mutating func wait() {
        pause = (longestPause / 2)...longestPause
        longestPause = min(1000, longestPause * 2)
    }
}

/// Whether events may be applied to a read model: the cursor, locked, has to be right before them.
struct CursorStep {
    /// The number before the first event.
    var start: Int64
    /// The last event's.
    var end: Int64

    init(_ events: [Incoming]) {
        start = (events.first?.sequence ?? 1) - 1
        end = events.last?.sequence ?? start
    }

    /// True if the events come right after the cursor.
    func follows(_ cursor: Int64) -> Bool { cursor == start }
}
