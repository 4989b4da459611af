public import Events
public import Identity
import Synchronization

/// What one request, one applied event or one tick of a clock carries through the code below it: who acts, for the
/// envelope of the events it writes; and what its writes leave behind, for its answer.
public final class RequestScope: Sendable {
    /// The scope of the code that runs now.
    @TaskLocal public static var current: RequestScope?

    /// The user who acts; nil for a clock or the system.
    public let actor: UserID?
    /// The request at the root, its `X-Request-Id`.
    public let requestID: String?
    /// W3C trace context.
    public let traceparent: String?
    /// The event being applied, if that is what runs.
    public let causationID: EventID?
    /// The key under which the request's effect is to happen only once, if it has one.
    public let idempotency: IdempotencyClaim?

    private let written = Mutex<[Position]>([])

    /// A scope for one request or event.
    public init(
        actor: UserID?,
        requestID: String? = nil,
        traceparent: String? = nil,
        causationID: EventID? = nil,
        idempotency: IdempotencyClaim? = nil
    ) {
        self.actor = actor
        self.requestID = requestID
        self.traceparent = traceparent
        self.causationID = causationID
        self.idempotency = idempotency
    }

    /// Where the writes of this scope ended, one per stream.
    public var positions: [Position] { written.withLock { $0 } }

    /// Remembers where a committed write ended.
    func record(_ position: Position) {
        written.withLock { positions in
            positions.removeAll { $0.stream == position.stream && $0.sequence <= position.sequence }
            if !positions.contains(where: { $0.stream == position.stream }) { positions.append(position) }
        }
    }
}

/// An `Idempotency-Key` on its way to the transaction that does the work.
public final class IdempotencyClaim: Sendable {
    /// Organization, user, method, path and key, hashed: names the record.
    public let scope: [UInt8]
    /// SHA-256 of the body: tells a repetition from another request under the same key.
    public let fingerprint: [UInt8]

    private let renderer = Mutex<(@Sendable (any Sendable) throws -> StoredReply?)?>(nil)

    /// A claim for one request.
    public init(scope: [UInt8], fingerprint: [UInt8]) {
        self.scope = scope
        self.fingerprint = fingerprint
    }

    /// Says how the value that the transaction returns will be answered; called by the route before it starts.
    public func render<Value: Sendable>(_ reply: @escaping @Sendable (Value) throws -> StoredReply) {
        renderer.withLock { $0 = { value in try (value as? Value).map(reply) } }
    }

    /// Names the record to the server's advisory locks.
    var lockKey: Int64 {
        Int64(bitPattern: scope.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// The reply for a transaction's value; nil if no route said how.
    func reply(for value: any Sendable) throws -> StoredReply? {
        let render = renderer.withLock { $0 }
        return try render?(value)
    }
}

/// An answer kept under an idempotency key.
public struct StoredReply: Sendable, Hashable {
    /// The HTTP status.
    public var status: Int
    /// The body.
    public var body: [UInt8]
    /// `Location`.
    public var location: String?
    /// `ETag`.
    public var etag: String?

    /// A reply with these values.
    public init(status: Int, body: [UInt8], location: String?, etag: String?) {
        self.status = status
        self.body = body
        self.location = location
        self.etag = etag
    }
}

/// Thrown out of a transaction whose work was done before under the same key; turned into the stored answer.
public struct IdempotentReplay: Error, Sendable {
    /// What was answered then.
    public let reply: StoredReply
}
