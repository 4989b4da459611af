public import Events
import Failures
public import Identity
public import Logging
import Postgres
public import ServiceLifecycle
import Synchronization

/// Lets a request wait until this service has applied what the client has already seen.
public final class CursorWatch: Service, Sendable {
    private struct Waiter {
        var missing: [StreamName: Int64]
        let organization: OrganizationID?
        /// True once it has waited so long that it counts.
        var counts = false
        let continuation: CheckedContinuation<Void, any Error>
        let timer: Task<Void, Never>
    }

    private struct State {
        var settled: [StreamName: Int64] = [:]
        /// Since when that has been gathered.
        var since = ContinuousClock.now
        var waiters: [UInt64: Waiter] = [:]
        var lastID: UInt64 = 0
    }

    private let producers: Set<Producer>
    private let cursors: CursorTable
    private let replay: (any ReplaySource)?
    private let metrics: LogMetrics
    private let logger: Logger
    private let state = Mutex(State())
    private let bell = Bell()
    /// What is known is forgotten after so long: a reader may have gone back since, behind a restored producer.
    private let memory: Duration

    /// How long one may wait without counting, and how many may count, in all and for one organization.
    private static let grace = Duration.milliseconds(100)
    /// How long one has waited when the producer is asked whether there is anything to wait for.
    private static let patience = Duration.milliseconds(500)
    private static let limit = 32
    private static let limitPerOrganization = 16

    /// Watches the cursors of `producers`' streams in a service's schema. With `replay`, nobody waits for what their
    /// producer has lost in a restore.
    public convenience init(
        database: TenantDatabase,
        producers: [Producer],
        replay: (any ReplaySource)? = nil,
        logger: Logger
    ) {
        self.init(database: database, producers: producers, replay: replay, memory: .seconds(5), logger: logger)
    }

    init(
        database: TenantDatabase,
        producers: [Producer],
        replay: (any ReplaySource)? = nil,
        memory: Duration,
        logger: Logger
    ) {
        self.producers = Set(producers)
        self.replay = replay
        self.memory = memory
        self.logger = logger
        cursors = CursorTable(pool: database.pool)
        metrics = LogMetrics(database.pool.configuration.schema)
        database.signals.observeSettled { [weak self] position in
            self?.learned([position.stream: position.sequence])
        }
    }

    /// Watches until graceful shutdown: looks for cursors that another process has moved, for as long as somebody waits.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let streams = self.awaited
                if streams.isEmpty {
                    await self.bell.wait(atMost: .seconds(60))
                } else {
                    await self.poll(streams)
                }
            }
        }
    }

    private func poll(_ streams: [StreamName]) async {
        var pause = 5
        var streams = streams
        while !streams.isEmpty, !Task.isCancelled {
            if let settled = try? await cursors.settled(streams) { learned(settled) }
            await bell.wait(atMost: .milliseconds(pause))
            let awaited = self.awaited
            // Somebody new: look at once and often again.
            pause = awaited == streams ? min(50, pause * 2) : 5
            streams = awaited
        }
    }

    /// The streams that somebody waits for.
    private var awaited: [StreamName] {
        state.withLock { state in
            Set(state.waiters.values.flatMap(\.missing.keys)).sorted { $0.description < $1.description }
        }
    }

    /// Returns when every position of a stream that this service reads has been applied, `afterCommit` actions
    /// included; others are ignored. Throws ``Failures/Failure`` 503 `not-caught-up` after `timeout`, or at once if too
    /// many are waiting: 32 in all, 16 for one organization, counted after their first 100 ms.
    public func wait(
        for positions: [Position],
        organization: OrganizationID? = nil,
        timeout: Duration = .seconds(2)
    ) async throws {
        let known = state.withLock { state in
            if .now - state.since > memory { (state.settled, state.since) = ([:], .now) }
            return state.settled
        }
        var missing: [StreamName: Int64] = [:]
        for position in positions where producers.contains(position.stream.producer) {
            guard known[position.stream] ?? 0 < position.sequence else { continue }
            missing[position.stream] = max(missing[position.stream] ?? 0, position.sequence)
        }
        if missing.isEmpty { return }

        let start = ContinuousClock.now
        defer { metrics.waited(ContinuousClock.now - start) }
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        try await withTaskCancellationHandler {
            try Task.checkCancellation()
            try await withCheckedThrowingContinuation { continuation in
                state.withLock { state in
                    state.waiters[id] = Waiter(
                        missing: missing,
                        organization: organization,
                        continuation: continuation,
                        timer: Task { await self.limit(id, timeout) }
                    )
                }
                // It may have come in between, and a cancellation too.
                learned([:])
                if Task.isCancelled { end(id, CancellationError()) }
                bell.ring()
            }
        } onCancel: {
            end(id, CancellationError())
        }
    }

    /// Ends a wait that takes too long, or would be one too many.
    private func limit(_ id: UInt64, _ timeout: Duration) async {
        let start = ContinuousClock.now
        try? await Task.sleep(for: min(Self.grace, timeout))
        if Task.isCancelled { return }
        let mayStay = state.withLock { state in
            guard let waiter = state.waiters[id], timeout > Self.grace else { return false }
            let counting = state.waiters.values.filter(\.counts)
            guard counting.count < Self.limit else { return false }
            if let organization = waiter.organization {
                let same = counting.filter { $0.organization == organization }
                guard same.count < Self.limitPerOrganization else { return false }
            }
            state.waiters[id]?.counts = true
            return true
        }
        if mayStay {
            // Beside the clock: a producer that hangs makes nobody wait longer.
            let question = Task {
                guard replay != nil, timeout > Self.patience else { return }
                try await Task.sleep(until: start + Self.patience)
                await forgetUndone(id)
            }
            defer { question.cancel() }
            try? await Task.sleep(until: start + timeout)
            if Task.isCancelled { return }
        }
        if end(id, Failure.unavailable("not-caught-up", "What you have seen before is not here yet.")) {
            metrics.notCaughtUp()
        }
    }

    /// After a restore clients may remember places that their producer has not reached again; there is nothing there.
    private func forgetUndone(_ id: UInt64) async {
        guard let replay, let missing = state.withLock({ $0.waiters[id]?.missing }) else { return }
        for (stream, sequence) in missing where !Task.isCancelled {
            guard let there = try? await replay.events(of: stream, after: sequence - 1, limit: 1), there.isEmpty else {
                continue
            }
            state.withLock { $0.waiters[id]?.missing[stream] = nil }
        }
        learned([:])
    }

    /// Ends a wait with an error. False if it was over.
    @discardableResult
    private func end(_ id: UInt64, _ error: any Error) -> Bool {
        guard let waiter = state.withLock({ $0.waiters.removeValue(forKey: id) }) else { return false }
        waiter.timer.cancel()
        waiter.continuation.resume(throwing: error)
        return true
    }

    /// Takes in how far streams are, and lets those go on who waited for it.
    private func learned(_ news: [StreamName: Int64]) {
        let done = state.withLock { state in
            state.settled.merge(news) { max($0, $1) }
            let done = state.waiters.filter { waiter in
                waiter.value.missing.allSatisfy { state.settled[$0.key] ?? 0 >= $0.value }
            }
            for id in done.keys { state.waiters[id] = nil }
            return done.values.map { ($0.continuation, $0.timer) }
        }
        for (continuation, timer) in done {
            timer.cancel()
            continuation.resume()
        }
    }
}
