import Chronology
public import Events
import Foundation
import Identity

/// An event as it stands in the outbox, on the stream and in a replay.
public struct StoredEvent: Sendable, Hashable {
    /// The attributes.
    public var envelope: Envelope
    /// The payload, JSON.
    public var payload: [UInt8]

    /// An event.
    public init(envelope: Envelope, payload: [UInt8]) {
        self.envelope = envelope
        self.payload = payload
    }

    /// CloudEvents 1.0 in JSON with our extensions: partition key, sequence, trace context, and `stream`,
    /// `organization`, `actor`, `causationid`, `correlationid`. The payload stands in `data` as it is.
    public func encoded() -> [UInt8] {
        var json = JSONObjectWriter()
        json.add("specversion", "1.0")
        json.add("id", envelope.id.description)
        json.add("source", "/taskflow/\(envelope.position.stream.producer.rawValue)")
        json.add("type", envelope.type)
        json.add("subject", envelope.subject)
        json.add("time", envelope.time.description)
        json.add("datacontenttype", "application/json")
        json.add("dataschema", "taskflow:\(envelope.type):\(envelope.version)")
        json.add("partitionkey", partitionKey)
        json.add("sequence", String(envelope.position.sequence))
        json.add("stream", envelope.position.stream.description)
        json.add("organization", envelope.organization?.description)
        json.add("actor", envelope.actor?.description)
        json.add("causationid", envelope.causationID?.description)
        json.add("correlationid", envelope.correlationID)
        json.add("traceparent", envelope.traceparent)
        json.add("data", raw: payload)
        return json.finished()
    }

    /// What decides the shard: the organization, or the account that the event is about.
    private var partitionKey: String {
        if let organization = envelope.organization { return organization.description }
        let account = envelope.subject.hasPrefix("account/") ? String(envelope.subject.dropFirst(8)) : nil
        return account ?? envelope.position.stream.description
    }

    private struct Attributes: Decodable {
        var specversion: String
        var id: EventID
        var type: String
        var subject: String
        var time: Timestamp
        var dataschema: String
        var sequence: String
        var stream: String
        var organization: OrganizationID?
        var actor: UserID?
        var causationid: EventID?
        var correlationid: String?
        var traceparent: String?
    }

    /// Reads the JSON form; unknown attributes are ignored.
    public init(encoded: [UInt8]) throws {
        let attributes = try JSONDecoder().decode(Attributes.self, from: Data(encoded))
        let schema = attributes.dataschema.split(separator: ":", omittingEmptySubsequences: false)
        guard
            attributes.specversion == "1.0", schema.count == 3, schema[1] == attributes.type,
            let version = Int(schema[2]), version > 0,
            let position = Position("\(attributes.stream):\(attributes.sequence)"),
            let data = JSONScanner.member("data", of: encoded)
        else { throw MalformedEvent() }
        envelope = Envelope(
            id: attributes.id,
            type: attributes.type,
            version: version,
            time: attributes.time,
            subject: attributes.subject,
            position: position,
            organization: attributes.organization,
            actor: attributes.actor,
            causationID: attributes.causationid,
            correlationID: attributes.correlationid,
            traceparent: attributes.traceparent
        )
        payload = Array(data)
    }

    /// A JSON array of events, as a replay answers.
    public static func encodedList(_ events: [StoredEvent]) -> [UInt8] {
        var bytes: [UInt8] = [0x5B]
        for event in events {
            if bytes.count > 1 { bytes.append(0x2C) }
            bytes.append(contentsOf: event.encoded())
        }
        bytes.append(0x5D)
        return bytes
    }

    /// Reads what ``encodedList(_:)`` wrote.
    public static func list(encoded: [UInt8]) throws -> [StoredEvent] {
        guard let elements = JSONScanner.elements(of: encoded) else { throw MalformedEvent() }
        return try elements.map { try StoredEvent(encoded: Array($0)) }
    }
}

/// Bytes that are no event of ours.
struct MalformedEvent: Error {}

/// How payloads become JSON and back: members in snake case, in a fixed order, absent instead of null.
enum EventPayload {
    /// The most bytes that a payload may have.
    static let limit = 65_536

    /// The payload of an event; throws ``EventTooLarge``.
    static func encode<E: Event>(_ event: E) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(event))
        guard bytes.count <= limit else { throw EventTooLarge(type: E.type, bytes: bytes.count) }
        return bytes
    }

    /// The event of a payload; unknown members are ignored.
    static func decode<E: Event>(_ type: E.Type, from payload: [UInt8]) throws -> E {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(payload))
    }
}
