import CLibPQ
import Glibc
import Poller

/// Establishes one connection step by step, as libpq asks for it, without ever waiting on the poller's thread.
@PollerActor
final class Connector {
    private let handle: OpaquePointer
    private var registered: Int32?
    private var timer: PollerTimer?
    private var continuation: CheckedContinuation<Void, any Error>?
    private var outcome: Result<Void, PostgresError>?

    private init(handle: OpaquePointer) { self.handle = handle }

    /// A connection that is ready for use, or ``PostgresError`` `.unavailable`.
    static func connect(
        _ target: ConnectionTarget,
        id: Int,
        mode: Connection.Mode,
        timeout: Duration = .seconds(5)
    ) async throws -> Connection {
        let target = try await target.resolved()
        guard let handle = target.start() else { throw PostgresError(.unavailable, message: "out of memory") }
        // The only way to learn the SQLSTATE of a refused connection is to have it printed in the message.
        PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
        let connector = Connector(handle: handle)
        do {
            try await withTaskCancellationHandler {
                try await connector.run(timeout: timeout)
            } onCancel: {
                Poller.shared.execute {
                    connector.finish(.failure(PostgresError(.cancelled, message: "cancelled while connecting")))
                }
            }
            PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
            return try Connection(id: id, handle: handle, mode: mode)
        } catch {
            PQfinish(handle)
            throw error
        }
    }

    private func run(timeout: Duration) async throws {
        timer = Poller.shared.schedule(after: timeout) { [weak self] in
            self?.finish(.failure(PostgresError(.unavailable, message: "no connection in time")))
        }
        if PQstatus(handle) == CONNECTION_BAD {
            finish(.failure(refusal()))
        } else {
            // What PQconnectPoll would have answered to a call that is not to be made yet.
            watch(PGRES_POLLING_WRITING)
        }
        try await withCheckedThrowingContinuation { continuation in
            if let outcome {
                continuation.resume(with: outcome.mapError { $0 as any Error })
            } else {
                self.continuation = continuation
            }
        }
    }

    private func advance() {
        unwatch()
        let step = PQconnectPoll(handle)
        switch step {
        case PGRES_POLLING_OK: finish(.success(()))
        case PGRES_POLLING_READING, PGRES_POLLING_WRITING: watch(step)
        default: finish(.failure(refusal()))
        }
    }

    /// Anew for each step: libpq opens another socket for the next address, and may get the same number for it.
    private func watch(_ step: PostgresPollingStatusType) {
        let descriptor = PQsocket(handle)
        do {
            let interest: Readiness = step == PGRES_POLLING_READING ? .readable : .writable
            try Poller.shared.register(descriptor, interest: interest) { [weak self] _ in self?.advance() }
            registered = descriptor
        } catch {
            finish(.failure(PostgresError(.unavailable, message: "\(error)")))
        }
    }

    private func unwatch() {
        if let registered { Poller.shared.deregister(registered) }
        registered = nil
    }

    private func finish(_ outcome: Result<Void, PostgresError>) {
        guard self.outcome == nil else { return }
        self.outcome = outcome
        unwatch()
        if let timer { Poller.shared.cancel(timer) }
        continuation?.resume(with: outcome.mapError { $0 as any Error })
        continuation = nil
    }

    private func refusal() -> PostgresError {
        let message = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
        return PostgresError(.unavailable, sqlState: Self.sqlState(in: message), message: message)
    }

    /// The SQLSTATE of a verbose message: `... FATAL:  28P01: password authentication failed ...`.
    nonisolated static func sqlState(in message: String) -> String? {
        for part in message.split(separator: ":") {
            let word = part.drop { $0 == " " }
            let isState = word.utf8.count == 5 && word.utf8.allSatisfy { (0x30...0x39) ~= $0 || (0x41...0x5A) ~= $0 }
            if isState, word.utf8.contains(where: { (0x30...0x39) ~= $0 }) { return String(word) }
        }
        return nil
    }
}
