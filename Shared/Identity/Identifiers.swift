public import Foundation

/// What the typed UUIDs have in common; in JSON and text a lower-case UUID.
public protocol UUIDIdentifier: Hashable, Sendable, Codable, CustomStringConvertible, LosslessStringConvertible {
    /// The bare value, for storage.
    var uuid: UUID { get }
    /// Types a bare value.
    init(_ uuid: UUID)
}

extension UUIDIdentifier {
    /// Lower case, with dashes (RFC 9562, section 4).
    public var description: String {
        // Foundation's `uuidString` goes through printf, and ids are in everything that is written.
        String(unsafeUninitializedCapacity: 36) { text in
            var position = 0
            withUnsafeBytes(of: uuid.uuid) { bytes in
                for (index, byte) in bytes.enumerated() {
                    if index == 4 || index == 6 || index == 8 || index == 10 {
                        text[position] = UInt8(ascii: "-")
                        position += 1
                    }
                    text[position] = hexDigit(byte >> 4)
                    text[position + 1] = hexDigit(byte & 15)
                    position += 2
                }
            }
            return position
        }
    }

    /// Reads the form with dashes, either case; nil for anything else.
    public init?(_ text: String) {
        guard let uuid = UUID(uuidString: text) else { return nil }
        self.init(uuid)
    }

    /// A new UUIDv7 (RFC 9562, section 5.7) for a moment, from the system's random source.
    public static func make(milliseconds: Int64) -> Self {
        var generator = SystemRandomNumberGenerator()
        return Self(UUID.version7(milliseconds: milliseconds, using: &generator))
    }

    /// From a single value.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let id = Self(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "not a UUID"))
        }
        self = id
    }

    /// As a single value.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// An organization, the tenant: everything kept for it carries this id.
public struct OrganizationID: UUIDIdentifier {
    /// The bare value.
    public let uuid: UUID
    /// Types a bare value.
    public init(_ uuid: UUID) { self.uuid = uuid }
}

/// A user: an account's membership of one organization.
public struct UserID: UUIDIdentifier {
    /// The bare value.
    public let uuid: UUID
    /// Types a bare value.
    public init(_ uuid: UUID) { self.uuid = uuid }
}

/// An account: one e-mail address with its password, installation-wide.
public struct AccountID: UUIDIdentifier {
    /// The bare value.
    public let uuid: UUID
    /// Types a bare value.
    public init(_ uuid: UUID) { self.uuid = uuid }
}

/// A session: one login of an account, from its first token to its last refresh.
public struct SessionID: UUIDIdentifier {
    /// The bare value.
    public let uuid: UUID
    /// Types a bare value.
    public init(_ uuid: UUID) { self.uuid = uuid }
}

/// An event of the log, its CloudEvents `id`.
public struct EventID: UUIDIdentifier {
    /// The bare value.
    public let uuid: UUID
    /// Types a bare value.
    public init(_ uuid: UUID) { self.uuid = uuid }
}

/// What the numbers counted per organization have in common; 1 and up.
public protocol NumberIdentifier: Hashable, Comparable, Sendable, Codable, CustomStringConvertible,
    LosslessStringConvertible
{
    /// The bare number.
    var number: Int64 { get }
    /// Types a bare number.
    init(_ number: Int64)
}

extension NumberIdentifier {
    /// Plain decimal.
    public var description: String { String(number) }

    /// Reads a positive 63-bit integer in plain decimal without sign or leading zero; nil for anything else.
    public init?(_ text: String) {
        guard
            let first = text.utf8.first, (0x31...0x39).contains(first),
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int64(text)
        else { return nil }
        self.init(number)
    }

    /// By number.
    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }

    /// From a single value.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(Int64.self))
    }

    /// As a single value.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

/// A department of an organization.
public struct DepartmentID: NumberIdentifier {
    /// The bare number.
    public let number: Int64
    /// Types a bare value.
    public init(_ number: Int64) { self.number = number }
}

/// A project of an organization.
public struct ProjectID: NumberIdentifier {
    /// The bare number.
    public let number: Int64
    /// Types a bare value.
    public init(_ number: Int64) { self.number = number }
}

/// A task of an organization. Its key for people, `WEB-42`, is made of the project's key and another number.
public struct TaskID: NumberIdentifier {
    /// The bare number.
    public let number: Int64
    /// Types a bare value.
    public init(_ number: Int64) { self.number = number }
}

/// An in-app notice of an organization.
public struct NoticeID: NumberIdentifier {
    /// The bare number.
    public let number: Int64
    /// Types a bare value.
    public init(_ number: Int64) { self.number = number }
}

extension UUID {
    /// A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix time in milliseconds, the rest random.
    public static func version7(milliseconds: Int64, using generator: inout some RandomNumberGenerator) -> UUID {
        let time = UInt64(bitPattern: milliseconds)
        let random = (
            UInt64.random(in: .min ... .max, using: &generator), UInt64.random(in: .min ... .max, using: &generator)
        )
        func byte(_ value: UInt64, _ shift: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: value >> shift) }
        return UUID(
            uuid: (
                byte(time, 40), byte(time, 32), byte(time, 24), byte(time, 16), byte(time, 8), byte(time, 0),
                0x70 | (byte(random.0, 8) & 0x0F), byte(random.0, 0),
                0x80 | (byte(random.1, 56) & 0x3F), byte(random.1, 48), byte(random.1, 40), byte(random.1, 32),
                byte(random.1, 24), byte(random.1, 16), byte(random.1, 8), byte(random.1, 0)
            )
        )
    }
}

private func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}
