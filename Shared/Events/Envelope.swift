public import Chronology
import Foundation
public import Identity

/// The services that write events; also the first half of a stream's name.
public enum Producer: String, Sendable, Codable, CaseIterable {
    case auth
    case organization
    case project
    case task
}

/// One of the 16 parts of a producer's log. Numbers are dense and in commit order within a shard.
public struct Shard: Hashable, Sendable, Comparable {
    /// 0...15.
    public let number: Int

    /// How many there are; fixed for ever, since events stay where they were written.
    public static let count = 16

    /// Every shard, in order.
    public static let all = (0..<count).map { Shard(unchecked: $0) }

    /// Nil outside 0...15.
    public init?(_ number: Int) {
        guard (0..<Shard.count).contains(number) else { return nil }
        self.number = number
    }

    private init(unchecked number: Int) { self.number = number }

    /// The shard of an organization's events: the last bits of its id, which are random in UUIDv7.
    public init(of organization: OrganizationID) { number = Int(organization.uuid.uuid.15 & 0x0F) }

    /// The shard of events of an account that belong to no organization.
    public init(of account: AccountID) { number = Int(account.uuid.uuid.15 & 0x0F) }

    /// By number.
    public static func < (left: Shard, right: Shard) -> Bool { left.number < right.number }
}

/// A stream of the log: `task.07`.
public struct StreamName: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    /// Who writes it.
    public let producer: Producer
    /// Which part.
    public let shard: Shard

    /// The stream of a producer's shard.
    public init(_ producer: Producer, _ shard: Shard) {
        self.producer = producer
        self.shard = shard
    }

    /// `task.07`.
    public var description: String { "\(producer.rawValue).\(shard.number < 10 ? "0" : "")\(shard.number)" }

    /// Reads `task.07`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard
            parts.count == 2, let producer = Producer(rawValue: String(parts[0])), parts[1].utf8.count == 2,
            // `Int` would take a sign, too.
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int(parts[1]), let shard = Shard(number)
        else { return nil }
        self.init(producer, shard)
    }
}

/// A place in a stream; written `task.07:1234`.
public struct Position: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    /// The stream.
    public let stream: StreamName
    /// The number of the last event included; 1 and up.
    public let sequence: Int64

    /// A place in a stream.
    public init(_ stream: StreamName, _ sequence: Int64) {
        self.stream = stream
        self.sequence = sequence
    }

    /// `task.07:1234`.
    public var description: String { "\(stream):\(sequence)" }

    /// Reads `task.07:1234`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard
            parts.count == 2, let stream = StreamName(String(parts[0])), let first = parts[1].utf8.first,
            (0x31...0x39).contains(first), let sequence = Int64(parts[1])
        else { return nil }
        self.init(stream, sequence)
    }
}

/// Something that happened, said to the other services. Frozen once released: an added optional field keeps the
/// version, anything else is a new type beside the old one. Never a secret in it.
public protocol Event: Codable, Sendable {
    /// The CloudEvents `type`: `task.created`.
    static var type: String { get }
    /// The version of the payload, 1 and up.
    static var version: Int { get }
    /// Who says it.
    static var producer: Producer { get }
    /// The aggregate it is about, unique in its organization: `task/42`. Events of one aggregate are applied in order.
    var subject: String { get }
}

/// What comes with every event: CloudEvents 1.0 and our extensions.
public struct Envelope: Sendable, Hashable {
    /// `id`, UUIDv7.
    public var id: EventID
    /// `type` and the version of its payload.
    public var type: String
    /// The payload's version.
    public var version: Int
    /// `time`: when the change was made.
    public var time: Timestamp
    /// `subject`: the aggregate.
    public var subject: String
    /// Where it stands in the log; gives `source`, `partitionkey` and `sequence`.
    public var position: Position
    /// The organization it belongs to; nil for an account's own events.
    public var organization: OrganizationID?
    /// The user who acted; nil for a clock or the system.
    public var actor: UserID?
    /// The event that caused this one.
    public var causationID: EventID?
    /// The request at the root of it, its `X-Request-Id`.
    public var correlationID: String?
    /// W3C trace context of the change.
    public var traceparent: String?

    /// An envelope with these values.
    public init(
        id: EventID,
        type: String,
        version: Int,
        time: Timestamp,
        subject: String,
        position: Position,
        organization: OrganizationID?,
        actor: UserID?,
        causationID: EventID?,
        correlationID: String?,
        traceparent: String?
    ) {
        self.id = id
        self.type = type
        self.version = version
        self.time = time
        self.subject = subject
        self.position = position
        self.organization = organization
        self.actor = actor
        self.causationID = causationID
        self.correlationID = correlationID
        self.traceparent = traceparent
    }
}
