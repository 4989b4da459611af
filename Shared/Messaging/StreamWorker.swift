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
    private let turning = Mutex<(@Sendable (StreamName) async -> Void)?>(nil)

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

    /// What finds out where to go on when events are of another lineage than those that were applied.
    func onOtherLineage(_ action: @escaping @Sendable (StreamName) async -> Void) { turning.withLock { $0 = action } }

    /// How far a stream was applied, set back after a restore.
    func rewound(_ stream: StreamName, to sequence: Int64) { positions.withLock { $0[stream] = sequence } }

    /// No new batch from now on.
    func stop() { isStopping.store(true, ordering: .releasing) }

    private var mayGoOn: Bool { !isStopping.load(ordering: .acquiring) && !Task.isCancelled }

    /// Applies what is queued of a stream until there is nothing more.
    func drain(_ stream: StreamName) async {
        while mayGoOn, let batch = lanes.withLock({ $0.take(stream, atMost: 100) }) {
            await apply(batch, of: stream)
        }
    }

    /// Applies events in order, whatever it takes: missing ones are fetched, failing ones set aside.
    private func apply(_ batch: [Incoming], of stream: StreamName) async {
        var work = ReaderBatch(batch)
        while mayGoOn {
            let outcome: ReaderBatch.Outcome
            switch work.command {
            case .finished: return
            case .apply(let events):
                outcome = await attempt(work) { try await applier.apply(events, of: stream) }
                if case .done = outcome, let last = events.last { applied(stream, last.sequence) }
            case .park(let event, let reason):
                outcome = await attempt(work) { try await applier.park(event, of: stream, because: reason) }
                if case .done = outcome {
                    applied(stream, event.sequence)
                    parkedBell.ring()
                }
            case .settle(let cursor, let count): outcome = await settle(Position(stream, cursor), count)
            case .fetch(let cursor): outcome = .fetched(await fetch(stream, after: cursor))
            case .turn:
                if let action = turning.withLock({ $0 }) { await action(stream) }
                outcome = .done
            }
            work.handle(outcome)
            if work.isStuck {
                logger.error(
                    "events are missing and their producer does not give them; the stream waits",
                    metadata: ["stream": "\(stream)"]
                )
            }
            if let pause = work.pause { try? await Task.sleep(for: .milliseconds(Int.random(in: pause))) }
        }
    }

    private func attempt(_ work: ReaderBatch, _ body: () async throws -> Void) async -> ReaderBatch.Outcome {
        // For the transaction only: a stream that pauses, or waits for its producer, keeps nobody else from going on.
        await turnstile.enter()
        defer { turnstile.leave() }
        do {
            try await body()
            return .done
        } catch let elsewhere as EventApplier.CursorElsewhere {
            return .elsewhere(elsewhere.sequence)
        } catch is LineageElsewhere {
            return .otherLineage
        } catch let error as PostgresError where error.isTooSlow {
            logger.warning("an event took too long to apply", metadata: ["error": "\(applier.reason(error))"])
            return .tooSlow(error)
        } catch  where isPassing(error) {
            if work.isFirstPause {
                logger.warning("the reader waits", metadata: ["error": "\(applier.reason(error))"])
            }
            return .passing
        } catch let error as PostgresError where error.isRetryable {
            return .retryable(error)
        } catch {
            if case .park = work.command {
                logger.error("an event could not be set aside", metadata: ["error": "\(applier.reason(error))"])
            }
            return .failed(error)
        }
    }

    /// Events up to there had been applied, by another reader or by us in a commit whose answer was lost: what was to
    /// be done after the commit is made up for.
    private func settle(_ cursor: Position, _ count: Int) async -> ReaderBatch.Outcome {
        applier.metrics.duplicates(cursor.stream, count)
        do {
            if let action = doubt.withLock({ $0 }) { try await action() }
            try await CursorTable(pool: applier.database.pool).settle(cursor)
        } catch {
            return .passing
        }
        applied(cursor.stream, cursor.sequence)
        return .done
    }

    /// The events right after the cursor, from their producer; nothing if they cannot be had.
    private func fetch(_ stream: StreamName, after cursor: Int64) async -> [Incoming] {
        applier.metrics.gap(stream)
        do {
            let events = try await replay.events(of: stream, after: cursor, limit: 100)
            let missing = events.map { Incoming(sequence: $0.envelope.position.sequence, event: $0.encoded()) }
            applier.metrics.replayed(stream, missing.count)
            return missing
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
        } catch let error where error.mayPassByItself {
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
