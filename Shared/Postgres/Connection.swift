import CLibPQ
import Glibc
import Poller
import Synchronization

/// One libpq connection, non-blocking. In pipeline mode statements are sent without waiting for the answers to those
/// before them; a *round* is what lies between two synchronization points.
///
/// Everything happens on the poller's thread. No function of libpq that is called here waits: PQgetResult only after
/// PQisBusy has said that it need not, everything sent in non-blocking mode with what is left over flushed when the
/// socket is writable.
@PollerActor
final class Connection {
    enum Mode {
        /// Prepared statements, several rounds under way at once.
        case pipeline
        /// The same behind a pooler, which may have another session for each transaction: nothing is prepared.
        case pooled
        /// Texts of any number of statements without parameters, the simple protocol; for migrations.
        case script
    }

    private enum Expected {
        case prepared(String, Round)
        case rows(Round, slot: Int?)
        case deallocated
        case sync(Round?)
    }

    /// True until it breaks or is closed.
    nonisolated let isOpen = Atomic<Bool>(true)
    nonisolated let id: Int
    /// Called once, when it has broken or was closed.
    var onClose: (() -> Void)?
    /// Called once, when no answer is outstanding any more.
    var onIdle: (() -> Void)?
    /// Nanoseconds of the monotonic clock.
    let openedAt: UInt64
    var idleSince: UInt64 = 0
    /// To be closed when it comes back: its prepared statements no longer fit the server's state, or it waits for a
    /// cancellation that might hit the next one.
    private(set) var isSpoiled = false

    private var handle: OpaquePointer?
    private var descriptor: Int32
    private let mode: Mode
    private var statements = StatementCache(capacity: 256)
    private var expected: [Expected] = []
    private var firstExpected = 0
    private var hasResult = false
    private var oldestRoundSentAt: UInt64 = 0
    private var wantsToWrite = false
    private var buffer = ParameterBuffer()

    /// Takes over a handle whose connection is established.
    init(id: Int, handle: OpaquePointer, mode: Mode) throws {
        self.id = id
        self.handle = handle
        self.mode = mode
        descriptor = PQsocket(handle)
        openedAt = monotonicNanoseconds()
        // Notices would go to standard error.
        _ = PQsetNoticeReceiver(handle, { _, _ in }, nil)
        guard PQsetnonblocking(handle, 1) == 0, mode == .script || PQenterPipelineMode(handle) == 1 else {
            throw PostgresError(.unavailable, message: "no pipeline mode")
        }
        try Poller.shared.register(descriptor, interest: .readable) { [weak self] ready in self?.socketReady(ready) }
    }

    // MARK: Sending

    /// True while no answer is outstanding and no transaction is open.
    var isReusable: Bool {
        guard let handle else { return false }
        return isDrained && !isSpoiled && PQtransactionStatus(handle) == PQTRANS_IDLE
    }

    /// True while no answer is outstanding.
    var isDrained: Bool { firstExpected == expected.count }

    /// True if the present transaction can only be rolled back.
    var isTransactionFailed: Bool { handle.map { PQtransactionStatus($0) == PQTRANS_INERROR } ?? false }

    /// Sends a round; `completion` gets one answer for each of `statements`, none for those of `prefix`.
    @discardableResult
    func send(
        prefix: [Statement] = [],
        _ statements: [Statement],
        then completion: @escaping (Result<[Rows], PostgresError>) -> Void
    ) -> Round {
        precondition(mode != .script)
        let round = Round(slots: statements.count, completion: completion)
        do throws(PostgresError) {
            for statement in prefix { try statement.check() }
            for statement in statements { try statement.check() }
            guard handle != nil else { throw closedError }
            deallocateEvicted()
            let generation = self.statements.nextGeneration()
            for statement in prefix { try send(statement, in: round, slot: nil, generation: generation) }
            for (slot, statement) in statements.enumerated() {
                try send(statement, in: round, slot: slot, generation: generation)
            }
            guard let handle, PQpipelineSync(handle) == 1 else { throw broken() }
            expect(.sync(round))
            flush()
        } catch {
            round.fail(error)
            round.drain()
        }
        return round
    }

    /// Sends a text of several statements by the simple protocol and waits for the rows of the last one.
    nonisolated(nonsending) func runScript(_ text: String) async throws -> Rows {
        let rows: [Rows] = try await exchange { exchange in self.startScript(text, exchange) }
        return rows.first ?? Rows()
    }

    private func startScript(_ text: String, _ exchange: Exchange<[Rows]>) {
        precondition(mode == .script)
        let round = Round(slots: 1) { exchange.finish($0) }
        guard let handle, PQsendQuery(handle, text) == 1 else { return exchange.finish(.failure(broken())) }
        expect(.rows(round, slot: 0))
        exchange.whenCancelled = { [weak self] in self?.abandon(round) }
        flush()
    }

    private func send(_ statement: Statement, in round: Round, slot: Int?, generation: UInt64) throws(PostgresError) {
        guard let handle else { throw closedError }
        if mode == .pooled {
            let sent = buffer.withPointers(statement.parameters) { values in
                PQsendQueryParams(
                    handle,
                    statement.text,
                    Int32(statement.parameters.count),
                    nil,
                    values,
                    nil,
                    nil,
                    0
                )
            }
            guard sent == 1 else { throw broken() }
            return expect(.rows(round, slot: slot))
        }
        let name: String
        switch statements.use(statement.text, generation: generation) {
        case .known(let known): name = known
        case .new(let new):
            name = new
            guard PQsendPrepare(handle, name, statement.text, 0, nil) == 1 else { throw broken() }
            expect(.prepared(statement.text, round))
        }
        let sent = buffer.withPointers(statement.parameters) { values in
            PQsendQueryPrepared(handle, name, Int32(statement.parameters.count), values, nil, nil, 0)
        }
        guard sent == 1 else { throw broken() }
        expect(.rows(round, slot: slot))
    }

    /// Tells the server to forget statements that fell out of the cache, in a round of its own: a DEALLOCATE would be
    /// refused within a failed transaction.
    private func deallocateEvicted() {
        guard let handle, !statements.evicted.isEmpty, PQtransactionStatus(handle) == PQTRANS_IDLE else { return }
        for name in statements.takeEvicted() {
            guard PQsendQueryParams(handle, "DEALLOCATE \(name)", 0, nil, nil, nil, nil, 0) == 1 else { return }
            expect(.deallocated)
        }
        if PQpipelineSync(handle) == 1 { expect(.sync(nil)) }
    }

    private func expect(_ next: Expected) {
        if isDrained {
            expected.removeAll(keepingCapacity: true)
            firstExpected = 0
            oldestRoundSentAt = monotonicNanoseconds()
        }
        expected.append(next)
    }

    // MARK: Socket

    private func socketReady(_ ready: Readiness) {
        if ready.contains(.readable) { receive() }
        if wantsToWrite { flush() }
    }

    private func receive() {
        guard let handle else { return }
        let isAlive = PQconsumeInput(handle) == 1
        takeResults()
        if self.handle != nil, !isAlive || PQstatus(handle) == CONNECTION_BAD { close(lastError()) }
    }

    private func flush() {
        guard let handle else { return }
        switch PQflush(handle) {
        case 0: watch(writing: false)
        case 1: watch(writing: true)
        default:
            // The server may have said why before it closed.
            receive()
            if self.handle != nil { close(lastError()) }
        }
    }

    private func watch(writing: Bool) {
        guard writing != wantsToWrite else { return }
        wantsToWrite = writing
        do {
            try Poller.shared.modify(descriptor, interest: writing ? [.readable, .writable] : .readable)
        } catch {
            close(PostgresError(.connectionLost, message: "\(error)"))
        }
    }

    private func takeResults() {
        while !isDrained, let handle {
            if PQisBusy(handle) == 1 { return }
            if let result = PQgetResult(handle) {
                take(ResultBox(result))
            } else if hasResult {
                hasResult = false
                finishFirst()
            } else {
                // Nothing there and nothing to wait for: libpq has lost the connection, or the count of answers is off.
                close(lastError())
            }
        }
        if isDrained, let onIdle {
            self.onIdle = nil
            onIdle()
        }
    }

    private func take(_ box: ResultBox) {
        let status = PQresultStatus(box.pointer)
        hasResult = true
        switch (expected[firstExpected], status) {
        case (.sync(let round), PGRES_PIPELINE_SYNC):
            // libpq ends a synchronization point with no null of its own.
            hasResult = false
            firstExpected += 1
            oldestRoundSentAt = monotonicNanoseconds()
            round?.drain()
        case (.rows(let round, let slot), PGRES_TUPLES_OK), (.rows(let round, let slot), PGRES_COMMAND_OK),
            (.rows(let round, let slot), PGRES_EMPTY_QUERY):
            if let slot { round.keep(Rows(box), in: slot) }
        case (.prepared, PGRES_COMMAND_OK), (.deallocated, _):
            break
        case (.prepared(let text, let round), _):
            statements.forget(text)
            round.fail(error(in: box, status))
        case (.rows(let round, _), _):
            round.fail(error(in: box, status))
        case (.sync, _):
            close(PostgresError(.connectionLost, message: "an answer out of order"))
        }
    }

    private func finishFirst() {
        let finished = expected[firstExpected]
        if case .sync = finished { return close(PostgresError(.connectionLost, message: "an answer is missing")) }
        firstExpected += 1
        if mode == .script, case .rows(let round, _) = finished { round.drain() }
    }

    private func error(in box: ResultBox, _ status: ExecStatusType) -> PostgresError? {
        guard status != PGRES_PIPELINE_ABORTED else { return nil }
        func field(_ code: Unicode.Scalar) -> String? {
            PQresultErrorField(box.pointer, Int32(code.value)).map { String(cString: $0) }
        }
        let state = field("C")
        guard status == PGRES_FATAL_ERROR else {
            // COPY would leave the connection in another state; no statement of ours is one.
            isSpoiled = true
            return PostgresError(.server, sqlState: "0A000", message: "a statement that is not supported here")
        }
        // A statement whose result has changed its shape, or that a pooler in between has forgotten.
        if state == "0A000" || state == "26000" { isSpoiled = true }
        let message = PQresultErrorMessage(box.pointer).map { String(cString: $0) } ?? ""
        // Without a SQLSTATE it is libpq that speaks: the connection is gone.
        return PostgresError(
            state == nil ? .connectionLost : .server,
            sqlState: state,
            constraint: field("n"),
            message: message
        )
    }

    /// True within a transaction that has not failed.
    var isInTransaction: Bool { handle.map { PQtransactionStatus($0) == PQTRANS_INTRANS } ?? false }

    /// A password as SCRAM-SHA-256 keeps it; libpq asks the server nothing when the method is named.
    func encrypt(password: String, of role: String) -> String? {
        guard let handle, let text = PQencryptPasswordConn(handle, password, role, "scram-sha-256") else { return nil }
        defer { PQfreemem(text) }
        return String(cString: text)
    }

    // MARK: The end

    /// Lets go of a round whose caller no longer waits. The server gets a moment to finish by itself, which keeps the
    /// connection; then the statement is cancelled and the connection, which might be hit a second time, closed.
    func abandon(_ round: Round) {
        guard !round.isDrained else { return }
        round.letGo()
        Poller.shared.schedule(after: .milliseconds(250)) { [weak self] in
            if !round.isDrained { self?.interrupt() }
        }
    }

    /// Cancels what runs on the server and closes.
    func interrupt() {
        guard let handle else { return }
        let error = PostgresError(.connectionLost, message: "closed to cancel a statement")
        if let cancel = PQgetCancel(handle) {
            // A PGcancel is a copy of the address and key that PQcancel only reads; it has one owner, the closure.
            nonisolated(unsafe) let cancel = cancel
            BlockingCalls.start {
                var message = [CChar](repeating: 0, count: 256)
                PQcancel(cancel, &message, Int32(message.count))
                PQfreeCancel(cancel)
                Poller.shared.execute { [weak self] in self?.close(error) }
            }
            // A pooler knows by the connection what to cancel, and forgets it with that.
            if mode == .pooled {
                isSpoiled = true
                Poller.shared.schedule(after: .seconds(1)) { [weak self] in self?.close(error) }
                return
            }
        }
        close(error)
    }

    /// Closes if the server has not answered for `limit`: its machine or the network is gone.
    func closeIfSilent(for limit: UInt64) {
        if !isDrained, monotonicNanoseconds() - oldestRoundSentAt > limit {
            close(PostgresError(.connectionLost, message: "no answer in time"))
        }
    }

    /// Looks whether the server has closed an idle connection without the poller having come to it yet.
    func probe() -> Bool {
        guard handle != nil else { return false }
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        if count == -1, errno == EAGAIN { return true }
        receive()
        return handle != nil
    }

    func close() { close(closedError) }

    private var closedError: PostgresError { PostgresError(.connectionLost, message: "the connection is closed") }

    /// Closes after a function of libpq has failed, and gives the error to throw.
    private func broken() -> PostgresError {
        let error = lastError()
        close(error)
        return error
    }

    private func lastError() -> PostgresError {
        let message = handle.flatMap { PQerrorMessage($0) }.map { String(cString: $0) } ?? ""
        return PostgresError(.connectionLost, message: message.isEmpty ? "the connection broke" : message)
    }

    private func close(_ error: PostgresError) {
        guard let handle else { return }
        self.handle = nil
        isOpen.store(false, ordering: .releasing)
        Poller.shared.deregister(descriptor)
        PQfinish(handle)
        let outstanding = expected[firstExpected...]
        expected = []
        firstExpected = 0
        for case .sync(let round?) in outstanding { round.lose(error) }
        for case .rows(let round, _) in outstanding { round.lose(error) }
        onIdle = nil
        let onClose = self.onClose
        self.onClose = nil
        onClose?()
    }
}

func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
