import Chronology
import Events
import Failpoints
import Logging
import Postgres
import Redis

/// Applies events in transactions that move the cursor past them.
struct EventApplier: Sendable {
    let handlers: EventHandlers
    let database: TenantDatabase
    let logger: Logger
    let metrics: LogMetrics
    /// The pauses before the attempts after the first; when they are used up the event waits for an operator.
    var pauses: [Duration] = [.milliseconds(100), .milliseconds(500), .seconds(2), .seconds(10), .seconds(30)]

    /// The cursor is not where the events begin: they were applied by another, or some are missing before them.
    struct CursorElsewhere: Error {
        let sequence: Int64
    }

    /// Applies events without a hole between them, all in one transaction.
    func apply(_ events: [Incoming], of stream: StreamName) async throws {
        guard let first = events.first else { return }
        var applied: [Envelope] = []
        try await commit(CursorStep(events), first.lineage, of: stream) { ledger, held in
            for event in events {
                if let envelope = try await apply(event, of: stream, ledger, held) { applied.append(envelope) }
            }
            try await Failpoint.hit(.readerInTransaction)
        }
        for envelope in applied { note(envelope) }
        if let time = try? StoredEvent(encoded: first.event).envelope.time {
            metrics.applied(database.clock.now - time)
        }
        metrics.applied(count: events.count)
    }

    /// Sets an event aside that cannot be applied.
    func park(_ incoming: Incoming, of stream: StreamName, because error: any Error) async throws {
        let event = try? StoredEvent(encoded: incoming.event)
        let isHopeless = event == nil || error is UnreadableEvent
        let position = Position(stream, incoming.sequence)
        try await commit(CursorStep([incoming]), incoming.lineage, of: stream) { ledger, _ in
            try await Failpoint.hit(.readerInPark)
            ledger.connection.send(
                ParkedTable.insertion(
                    position,
                    aggregate(of: event),
                    type: event?.envelope.type ?? "",
                    state: isHopeless ? .parked : .retrying,
                    attempts: 1,
                    after: pause(after: 1) ?? .zero,
                    reason: reason(error),
                    event: incoming.event
                )
            )
        }
        report(position, event, error, isHopeless: isHopeless)
    }

    /// Tries a parked event again. False if there was nothing to do; throws what the handler throws.
    func retry(_ position: Position) async throws -> Bool {
        let done = try await database.pool.transaction(in: nil) { connection -> (WriteLedger, Position?, Envelope)? in
            let ledger = makeLedger(connection, position.stream)
            guard let row = try await connection.query(ParkedTable.lock(position)).first else { return nil }
            let text: String = try row.get("event")
            guard let event = try? StoredEvent(encoded: Array(text.utf8)) else {
                throw UnreadableEvent(reason: "no event that can be read")
            }
            try await handle(event, ledger)
            connection.send(ParkedTable.removal(position))
            return (ledger, try await ledger.commit(), event.envelope)
        }
        guard let (ledger, own, envelope) = done else { return false }
        if let own { database.signals.committed(own) }
        await ledger.runActions()
        note(envelope)
        return true
    }

    /// The pause before the next attempt, with jitter; nil if there have been enough.
    func pause(after attempts: Int) -> Duration? {
        guard attempts >= 1, attempts <= pauses.count else { return nil }
        return pauses[attempts - 1] * Double.random(in: 0.8...1.2)
    }

    /// Says in the log that an event failed; loudly if it will not be tried again.
    func report(_ position: Position, _ event: StoredEvent?, _ error: any Error, isHopeless: Bool) {
        var details = event.map { Self.details(of: $0.envelope) } ?? ["type": "?"]
        details["position"] = "\(position)"
        details["subject"] = "\(event?.envelope.subject ?? "?")"
        details["error"] = "\(reason(error))"
        metrics.failed(position.stream)
        if isHopeless {
            metrics.parked(position.stream)
            logger.error("an event cannot be applied and waits for an operator", metadata: details)
        } else {
            logger.warning("an event failed and will be tried again", metadata: details)
        }
    }

    /// Says in the log that an event has been applied, by whose request and in which trace it came about.
    private func note(_ envelope: Envelope) {
        guard logger.logLevel <= .info else { return }
        logger.info("event", metadata: Self.details(of: envelope))
    }

    private static func details(of envelope: Envelope) -> Logger.Metadata {
        var details: Logger.Metadata = ["position": "\(envelope.position)", "type": "\(envelope.type)"]
        if let organization = envelope.organization { details["organization"] = "\(organization)" }
        if let request = envelope.correlationID { details["request_id"] = "\(request)" }
        // version-trace-parent-flags: W3C Trace Context, section 3.2.
        if let parts = envelope.traceparent?.split(separator: "-"), parts.count == 4 {
            details["trace_id"] = "\(parts[1])"
        }
        return details
    }

    /// What to write down of an error.
    func reason(_ error: any Error) -> String {
        if let unreadable = error as? UnreadableEvent { return unreadable.reason }
        return String(String(reflecting: error).prefix(2000))
    }

    // MARK: In the transaction

    private func makeLedger(_ connection: PostgresTransaction, _ stream: StreamName) -> WriteLedger {
        WriteLedger(connection, producer: database.producer, shard: stream.shard, clock: database.clock)
    }

    /// Runs `body` if the cursor is where it has to be, and moves it. The cursor's row is locked from the first
    /// statement to the commit, so of two readers one finds it elsewhere.
    private func commit(
        _ step: CursorStep,
        _ lineage: String?,
        of stream: StreamName,
        _ body: (WriteLedger, Set<ParkedTable.Aggregate>) async throws -> Void
    ) async throws {
        let end = Position(stream, step.end)
        let name = stream.description
        let (ledger, own) = try await database.pool.transaction(in: nil) { connection -> (WriteLedger, Position?) in
            let ledger = makeLedger(connection, stream)
            let answers = try await connection.query([
                "SELECT seq, lineage FROM cursor WHERE stream = \(name) FOR UPDATE",
                ParkedTable.aggregates(of: stream),
            ])
            let cursor: Int64 = try answers[0].first?.get("seq") ?? 0
            let applied = try answers[0].first?.get("lineage", as: String?.self)
            if let lineage, let applied, lineage != applied { throw LineageElsewhere() }
            guard step.follows(cursor) else { throw CursorElsewhere(sequence: cursor) }
            try await body(ledger, ParkedTable.aggregates(from: answers[1]))
            // What is done after the commit is waited for by those who ask whether the event has taken effect.
            let settled: SQL = ledger.hasActions ? "settled" : "\(end.sequence)"
            connection.send(
                """
                UPDATE cursor SET seq = \(end.sequence), settled = \(settled), updated_at = now(),
                    lineage = COALESCE(lineage, \(lineage)) WHERE stream = \(name)
                """
            )
            return (ledger, try await ledger.commit())
        }
        try await Failpoint.hit(.readerAfterCommit)
        if let own { database.signals.committed(own) }
        await ledger.runActions()
        database.signals.settled(end)
        // Should this fail, waiters of other processes wait until the next batch.
        if ledger.hasActions { try? await CursorTable(pool: database.pool).settle(end) }
    }

    /// Gives the event's envelope if a handler has had it.
    private func apply(
        _ incoming: Incoming,
        of stream: StreamName,
        _ ledger: WriteLedger,
        _ held: Set<ParkedTable.Aggregate>
    ) async throws -> Envelope? {
        let position = Position(stream, incoming.sequence)
        guard let event = try? StoredEvent(encoded: incoming.event), event.envelope.position == position else {
            throw UnreadableEvent(reason: "no event that can be read")
        }
        guard handlers.handlers[event.envelope.type] != nil else {
            metrics.skipped()
            return nil
        }
        let aggregate = aggregate(of: event)
        guard !held.contains(aggregate) else {
            ledger.connection.send(
                ParkedTable.insertion(
                    position,
                    aggregate,
                    type: event.envelope.type,
                    state: .retrying,
                    attempts: 0,
                    after: .zero,
                    reason: "waits behind an earlier event of the same subject",
                    event: incoming.event
                )
            )
            return nil
        }
        try await handle(event, ledger)
        return event.envelope
    }

    private func handle(_ event: StoredEvent, _ ledger: WriteLedger) async throws {
        let envelope = event.envelope
        guard let handler = handlers.handlers[envelope.type] else { return }
        guard envelope.version <= handler.version else {
            throw UnreadableEvent(
                reason: "version \(envelope.version) is newer than \(handler.version), which is known"
            )
        }
        ledger.connection.enter(envelope.organization)
        let scope = RequestScope(
            actor: envelope.actor,
            requestID: envelope.correlationID,
            traceparent: envelope.traceparent,
            causationID: envelope.id
        )
        let transaction = WriteTransaction(ledger, organization: envelope.organization, now: database.clock.now)
        try await RequestScope.$current.withValue(scope) {
            try await handler.handle(event.payload, envelope, transaction)
        }
    }

    private func aggregate(of event: StoredEvent?) -> ParkedTable.Aggregate {
        ParkedTable.Aggregate(organization: event?.envelope.organization, subject: event?.envelope.subject ?? "")
    }
}

extension Error {
    /// Whether the next attempt at an event may succeed without anything having been done. One that took too long counts:
    /// it may take that long every time.
    var mayPassByItself: Bool {
        guard let error = self as? PostgresError else { return isPassing(self) }
        return !error.isTooSlow && (isPassing(error) || error.isRetryable)
    }
}

/// True where a server is missing, or we are being stopped: nobody's fault, to be waited out and never counted.
func isPassing(_ error: any Error) -> Bool {
    switch error {
    case let error as PostgresError: error.isUnavailability || error.code == .cancelled
    case let error as RedisError: error.isUnavailability
    case is CancellationError: true
    default: false
    }
}
