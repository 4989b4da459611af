import CHiredis
import NIOCore

extension RedisCommand {
    /// Appends the command as an array of bulk strings, the form of a request.
    func encode(into bytes: inout [UInt8]) {
        func append(_ mark: UInt8, _ number: Int) {
            bytes.append(mark)
            bytes.append(contentsOf: String(number).utf8)
            bytes.append(0x0D)
            bytes.append(0x0A)
        }
        append(0x2A, arguments.count)
        for argument in arguments {
            append(0x24, argument.count)
            bytes.append(contentsOf: argument)
            bytes.append(0x0D)
            bytes.append(0x0A)
        }
    }
}

/// Cuts what comes in into answers; hiredis' reader does the work.
final class ReplyParser {
    private let reader: UnsafeMutablePointer<redisReader>

    /// Nil if there is no memory.
    init?() {
        guard let reader = redisReaderCreate() else { return nil }
        self.reader = reader
    }

    deinit { redisReaderFree(reader) }

    /// Takes in bytes as they come.
    func feed(_ bytes: UnsafeRawBufferPointer) throws {
        guard let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return }
        guard redisReaderFeed(reader, start, bytes.count) == REDIS_OK else { throw broken() }
    }

    /// The next complete answer, nil if there is none yet. Throws if what came in is not the protocol: the connection
    /// is of no more use then.
    func next() throws -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &reply) == REDIS_OK else { throw broken() }
        guard let reply else { return nil }
        defer { freeReplyObject(reply) }
        return Self.value(of: reply.assumingMemoryBound(to: redisReply.self))
    }

    private func broken() -> RedisError {
        let words = withUnsafeBytes(of: reader.pointee.errstr) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return RedisError(.unavailable, message: "not the Redis protocol: \(words)")
    }

    private static func value(of reply: UnsafeMutablePointer<redisReply>) -> RedisValue {
        switch reply.pointee.type {
        case REDIS_REPLY_INTEGER: .integer(reply.pointee.integer)
        case REDIS_REPLY_STRING, REDIS_REPLY_STATUS: .bytes(bytes(of: reply))
        case REDIS_REPLY_ERROR: .error(String(decoding: bytes(of: reply), as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            .array(
                UnsafeBufferPointer(start: reply.pointee.element, count: reply.pointee.elements).map { element in
                    element.map { value(of: $0) } ?? .null
                }
            )
        default: .null
        }
    }

    private static func bytes(of reply: UnsafeMutablePointer<redisReply>) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: reply.pointee.str, count: reply.pointee.len))
    }
}

/// Who waits for which answers: they come in the order of the commands.
struct ReplyQueue<Caller> {
    private struct Entry {
        let caller: Caller
        let deadline: NIODeadline?
        var missing: Int
        var replies: [RedisValue] = []
    }

    private var entries: [Entry] = []
    /// The oldest entry; those before it are done and removed now and then.
    private var head = 0

    var isEmpty: Bool { head == entries.count }

    /// When the oldest caller has waited long enough.
    var nextDeadline: NIODeadline? { isEmpty ? nil : entries[head].deadline }

    /// A caller who waits for `count` answers, at least one.
    mutating func append(_ caller: Caller, count: Int, deadline: NIODeadline?) {
        entries.append(Entry(caller: caller, deadline: deadline, missing: count))
    }

    /// What to do with an answer.
    enum Receipt {
        /// The caller waits for more.
        case taken
        /// All are there.
        case complete(Caller, [RedisValue])
        /// Nobody asked: the connection cannot be trusted any more.
        case unasked
    }

    mutating func receive(_ reply: RedisValue) -> Receipt {
        guard !isEmpty else { return .unasked }
        entries[head].replies.append(reply)
        entries[head].missing -= 1
        guard entries[head].missing == 0 else { return .taken }
        let entry = entries[head]
        head += 1
        if head == entries.count {
            entries.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 256 {
            entries.removeFirst(head)
            head = 0
        }
        return .complete(entry.caller, entry.replies)
    }

    /// Everyone who still waits; the queue is empty afterwards.
    mutating func removeAll() -> [Caller] {
        defer {
            entries.removeAll()
            head = 0
        }
        return entries[head...].map(\.caller)
    }
}
