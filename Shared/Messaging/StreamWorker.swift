import Events
import Logging
import Postgres
import Synchronization

/// Works on what was read: in order within a stream, several streams at once.
final class StreamWorker: Sendable {
    let lanes = Mutex(ReaderLanes())
    /// Rings when an event was set aside, to be tried again soon.
    let parkedBell = Bell()

    private let applier: EventApplier
    private let replay: any ReplaySource
    private let logger: Logger
    private let turnstile = Turnstile(6)
    private let isStopping = Atomic(false)
    private let positions = Mutex<[StreamName: Int64]>([:])
    private let doubt = Mutex<(@Sendable () async throws -> Void)?>(nil)

    init(applier: EventApplier, replay: any ReplaySource, logger: Logger) {
        self.applier = applier
        self.replay = replay
        self.logger = logger
    }

    /// How far each stream was applied by this process.
    var appliedPositions: [StreamName: Int64] { positions.withLock { $0 } }

    func applied(_ stream: StreamName, _ sequence: Int64) {
        positions.withLock { $0[stream] = max($0[stream] ?? 0, sequence) }
    }

    /// What makes up for actions after a commit of which it is not known whether it was one.
    func onDoubt(_ action: @escaping @Sendable () async throws -> Void) { doubt.withLock { $0 = action } }

    /// No new batch from now on.
    func stop() { isStopping.store(true, ordering: .releasing) }

    private var mayGoOn: Bool { !isStopping.load(ordering: .acquiring) && !Task.isCancelled }

    /// Applies what is queued of a stream until there is nothing more.
    func drain(_ stream: StreamName) async {
        while mayGoOn, let batch = lanes.withLock({ $0.take(stream, atMost: 100) }) {
            await turnstile.enter()
            await apply(batch, of: stream)
            turnstile.leave()
        }
    }

    /// Applies events in order, whatever it takes: missing ones are fetched, failing ones set aside.
    private func apply(_ batch: [Incoming], of stream: StreamName) async {
        var rest = batch
        var pause = Pause()
        var deadlocks = 0
        /// After a failure in a batch its events are applied one by one, to find the one that fails.
        var alone = 0
        while mayGoOn, !rest.isEmpty {
            let events = rest.contiguousPrefix(atMost: alone > 0 ? 1 : 100)
            do {
                try await applier.apply(events, of: stream)
                finished(&rest, events, stream)
                alone -= min(alone, events.count)
                deadlocks = 0
                pause = Pause()
            } catch let elsewhere as EventApplier.CursorElsewhere {
                await moveTo(elsewhere.sequence, &rest, stream, &pause)
            } catch  where isPassing(error) {
                if pause.isFirst { logger.warning("the reader waits", metadata: ["error": "\(applier.reason(error))"]) }
                await pause.wait()
            } catch let error as PostgresError where error.isRetryable && deadlocks < 10 {
                deadlocks += 1
                try? await Task.sleep(for: .milliseconds(Int.random(in: 5...50)))
            } catch  where events.count > 1 {
                alone = events.count
            } catch {
                do {
                    try await applier.park(events[0], of: stream, because: error)
                    finished(&rest, events, stream)
                    alone -= min(alone, 1)
                    parkedBell.ring()
                } catch let elsewhere as EventApplier.CursorElsewhere {
                    await moveTo(elsewhere.sequence, &rest, stream, &pause)
                } catch {
                    logger.error("an event could not be set aside", metadata: ["error": "\(applier.reason(error))"])
                    await pause.wait()
                }
            }
        }
    }

    private func finished(_ rest: inout [Incoming], _ events: [Incoming], _ stream: StreamName) {
        rest.removeFirst(events.count)
        if let last = events.last { applied(stream, last.sequence) }
    }

    /// Drops what was applied already, or fetches what is missing before the rest.
    private func moveTo(_ cursor: Int64, _ rest: inout [Incoming], _ stream: StreamName, _ pause: inout Pause) async {
        let known = rest.prefix { $0.sequence <= cursor }.count
        if known > 0 {
            // Applied by another reader, or by us in a commit whose answer was lost: then the actions after it were too.
            applier.metrics.duplicates(stream, known)
            do {
                if let action = doubt.withLock({ $0 }) { try await action() }
                try await CursorTable(pool: applier.database.pool).settle(Position(stream, cursor))
            } catch {
                await pause.wait()
                return
            }
            applied(stream, cursor)
            rest.removeFirst(known)
            return
        }
        applier.metrics.gap(stream)
        let missing = await fetch(stream, after: cursor)
        if missing.isEmpty {
            if pause.isFirst {
                logger.error(
                    "events are missing and their producer does not give them; the stream waits",
                    metadata: ["stream": "\(stream)", "after": "\(cursor)"]
                )
            }
            await pause.wait()
        } else {
            let first = rest[0].sequence
            rest = missing.filter { $0.sequence < first } + rest
        }
    }

    /// The events right after the cursor, from their producer; nothing if they cannot be had.
    private func fetch(_ stream: StreamName, after cursor: Int64) async -> [Incoming] {
        do {
            let events = try await replay.events(of: stream, after: cursor, limit: 100)
            let missing = events.map { Incoming(sequence: $0.envelope.position.sequence, event: $0.encoded()) }
            guard missing.first?.sequence == cursor + 1 else { return [] }
            let usable = missing.contiguousPrefix(atMost: 100)
            applier.metrics.replayed(stream, usable.count)
            return usable
        } catch {
            logger.warning("no replay", metadata: ["stream": "\(stream)", "error": "\(applier.reason(error))"])
            return []
        }
    }

    /// Tries a parked event again, and notes how it went.
    func retry(_ candidate: ParkedTable.Candidate, _ table: ParkedTable) async {
        await turnstile.enter()
        defer { turnstile.leave() }
        do {
            _ = try await applier.retry(candidate.position)
        } catch  where isPassing(error) || (error as? PostgresError)?.isRetryable == true {
            return
        } catch {
            let pause = error is UnreadableEvent ? nil : applier.pause(after: candidate.attempts + 1)
            let state: ParkedTable.State = pause == nil ? .parked : .retrying
            // Should this fail, it is tried again a little too early.
            try? await table.failed(candidate, state: state, after: pause ?? .zero, reason: applier.reason(error))
            applier.report(candidate.position, nil, error, isHopeless: pause == nil)
        }
    }
}

/// A pause that grows: 50 ms to 1 s.
private struct Pause {
    private var milliseconds = 50

    var isFirst: Bool { milliseconds == 50 }

    mutating func wait() async {
        try? await Task.sleep(for: .milliseconds(Int.random(in: milliseconds / 2...milliseconds)))
        milliseconds = min(1000, milliseconds * 2)
    }
}

/// Lets so many through at a time, in order.
final class Turnstile: Sendable {
    private let state: Mutex<(free: Int, waiting: [CheckedContinuation<Void, Never>])>

    init(_ count: Int) { state = Mutex((count, [])) }

    func enter() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.free > 0 {
                    state.free -= 1
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
