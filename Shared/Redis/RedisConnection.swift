/// A connection held by one owner: one command at a time, for as long as the server takes.
public final class RedisConnection: Sendable {
    private let link: RedisLink

    init(_ link: RedisLink) { self.link = link }

    deinit { link.close() }

    /// Sends a command and waits for its answer; cancelling the task closes the connection, and so does an answer that
    /// does not come within `timeout`. Throws ``RedisError``, also for an error answer.
    public func send(_ command: RedisCommand, timeout: Duration? = nil) async throws -> RedisValue {
        let replies = try await withTaskCancellationHandler {
            try await link.send([command], timeout: timeout)
        } onCancel: {
            close()
        }
        return try RedisClient.single(replies)
    }

    /// Subscribes and gives each message's payload until the connection breaks (then the stream ends). The connection
    /// is of no other use afterwards.
    public func subscribe(to channel: String) async throws -> AsyncStream<[UInt8]> {
        // A subscriber that has fallen this far behind loses the oldest: pub/sub promises nothing anyway.
        let (stream, messages) = AsyncStream.makeStream(of: [UInt8].self, bufferingPolicy: .bufferingNewest(4096))
        link.receivePushes { reply in
            guard case .array(let parts) = reply, parts.count == 3, parts[0].string == "message",
                case .bytes(let payload) = parts[2]
            else { return }
            messages.yield(payload)
        }
        do {
            _ = try await send(RedisCommand("SUBSCRIBE", channel), timeout: .seconds(2))
        } catch {
            messages.finish()
            throw error
        }
        let link = link
        Task {
            await link.waitUntilClosed()
            messages.finish()
        }
        return stream
    }

    /// Closes the connection; who waits for an answer gets `.unavailable`.
    public func close() { link.close() }
}
