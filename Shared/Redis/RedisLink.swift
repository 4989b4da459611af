import Glibc
import Poller

/// One connection: writes commands in batches, matches the answers in order, and is of no more use once closed.
@PollerActor
final class RedisLink {
    typealias Caller = CheckedContinuation<[RedisValue], any Error>

    private let descriptor: Int32
    private let parser: ReplyParser
    private var outgoing: [UInt8] = []
    private var flushIsDue = false
    private var waiting = ReplyQueue<Caller>()
    private var timer: PollerTimer?
    private var whenClosed: [CheckedContinuation<Void, Never>] = []
    private var pushes: (@Sendable (RedisValue) -> Void)?
    private var closed: RedisError?

    /// Connects and introduces itself; the whole may take `timeout`.
    static func open(_ address: RedisAddress, timeout: Duration) async throws -> RedisLink {
        let descriptor = try await RedisSocket.connect(to: address.endpoint, timeout: timeout)
        let link = try RedisLink(descriptor)
        for (command, answer) in zip(address.handshake, try await link.send(address.handshake, timeout: timeout)) {
            guard let message = answer.errorMessage else { continue }
            link.close()
            throw RedisError(.server, message: "\(String(decoding: command.arguments[0], as: UTF8.self)): \(message)")
        }
        return link
    }

    private init(_ descriptor: Int32) throws {
        guard let parser = ReplyParser() else {
            Glibc.close(descriptor)
            throw RedisError(.unavailable, message: "out of memory")
        }
        self.descriptor = descriptor
        self.parser = parser
        do throws(PollerError) {
            try Poller.shared.register(descriptor, interest: .readable) { [weak self] ready in self?.advance(ready) }
        } catch {
            Glibc.close(descriptor)
            throw RedisSocket.systemError("epoll", error.errno)
        }
    }

    /// Sends commands and waits for all their answers. With a timeout the connection is closed when it has passed:
    /// a late answer must never be taken for that of another command.
    nonisolated func send(_ commands: [RedisCommand], timeout: Duration?) async throws -> [RedisValue] {
        if commands.isEmpty { return [] }
        var bytes: [UInt8] = []
        for command in commands { command.encode(into: &bytes) }
        let request = bytes
        // Waited for out here: a continuation awaited on the poller's thread comes back by way of another one.
        return try await withCheckedThrowingContinuation { caller in
            Poller.shared.execute { self.start(request, count: commands.count, timeout: timeout, caller) }
        }
    }

    private func start(_ request: [UInt8], count: Int, timeout: Duration?, _ caller: Caller) {
        if let closed {
            caller.resume(throwing: closed)
            return
        }
        outgoing += request
        waiting.append(caller, count: count, deadline: timeout.map { ContinuousClock.now + $0 })
        startTimer()
        // What is asked for in the same round of the poller leaves in one write.
        if !flushIsDue {
            flushIsDue = true
            Poller.shared.execute { self.flush() }
        }
    }

    /// From now on every answer is a message that nobody asked for.
    func receivePushes(_ handler: @escaping @Sendable (RedisValue) -> Void) { pushes = handler }

    /// Returns when the connection is closed, whoever did it; closes it if the task is cancelled.
    func waitUntilClosed() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if closed != nil { continuation.resume() } else { whenClosed.append(continuation) }
            }
        } onCancel: {
            Poller.shared.execute { self.close() }
        }
    }

    /// Closes the connection; who still waits gets `.unavailable`.
    func close() { close(RedisError(.unavailable, message: "connection closed")) }

    private func close(_ error: RedisError) {
        guard closed == nil else { return }
        closed = error
        Poller.shared.deregister(descriptor)
        Glibc.close(descriptor)
        if let timer { Poller.shared.cancel(timer) }
        timer = nil
        outgoing = []
        pushes = nil
        for caller in waiting.removeAll() { caller.resume(throwing: error) }
        for continuation in whenClosed { continuation.resume() }
        whenClosed = []
    }

    private func advance(_ ready: Readiness) {
        if ready.contains(.writable) { flush() }
        if ready.contains(.readable) { receive() }
    }

    private func flush() {
        flushIsDue = false
        guard closed == nil, !outgoing.isEmpty else { return }
        var sent = 0
        while sent < outgoing.count {
            let count = outgoing.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
                return Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN || errno == EWOULDBLOCK {
                break
            } else if errno != EINTR {
                close(RedisSocket.systemError("send"))
                return
            }
        }
        let isDone = sent == outgoing.count
        if isDone {
            outgoing.removeAll(keepingCapacity: outgoing.capacity <= 1 << 20)
        } else {
            outgoing.removeFirst(sent)
        }
        do throws(PollerError) {
            try Poller.shared.modify(descriptor, interest: isDone ? .readable : [.readable, .writable])
        } catch {
            close(RedisSocket.systemError("epoll", error.errno))
        }
    }

    private func receive() {
        guard closed == nil else { return }
        do {
            // Level-triggered: what is left after a few rounds is announced again, and others get their turn.
            for _ in 0..<4 {
                guard try receiveOnce() else { break }
            }
        } catch let error as RedisError {
            close(error)
        } catch {
            close(RedisError(.unavailable, message: "\(error)"))
        }
    }

    /// True if there may be more.
    private func receiveOnce() throws -> Bool {
        try withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 1) { buffer in
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count < 0 {
                if errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR { return false }
                throw RedisSocket.systemError("recv")
            }
            if count == 0 { throw RedisError(.unavailable, message: "the server closed the connection") }
            try parser.feed(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
            while let reply = try parser.next() { try deliver(reply) }
            return count == buffer.count
        }
    }

    private func deliver(_ reply: RedisValue) throws {
        if let pushes, waiting.isEmpty {
            pushes(reply)
            return
        }
        switch waiting.receive(reply) {
        case .taken: break
        case .complete(let caller, let replies): caller.resume(returning: replies)
        case .unasked: throw RedisError(.unavailable, message: "an answer that nobody asked for")
        }
    }

    private func startTimer() {
        guard timer == nil, let deadline = waiting.nextDeadline else { return }
        timer = Poller.shared.schedule(after: ContinuousClock.now.duration(to: deadline)) { [weak self] in
            guard let self else { return }
            self.timer = nil
            if let oldest = self.waiting.nextDeadline, oldest <= ContinuousClock.now {
                self.close(RedisError(.timeout, message: "no answer in time"))
            } else {
                self.startTimer()
            }
        }
    }
}
