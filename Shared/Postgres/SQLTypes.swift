public import Chronology
public import Foundation
public import Identity

/// A value in Postgres' text form on its way to the server; nil is NULL.
public struct SQLParameter: Sendable, Hashable {
    /// The text form.
    public var text: String?

    /// A parameter in text form.
    public init(text: String?) { self.text = text }
}

/// What can be bound. The server infers the type from the statement; add a cast (`\(ids)::bigint[]`) where it cannot.
public protocol SQLEncodable: Sendable {
    /// The value in text form.
    var sqlParameter: SQLParameter { get }
}

/// What a column can be read as.
public protocol SQLDecodable: Sendable {
    /// Reads the text form; nil if it is not of this type.
    init?(sqlText: String)
    /// Reads the text form in place; made of the other one unless a type can do without a `String`.
    init?(sqlBytes: UnsafeBufferPointer<UInt8>)
}

extension SQLDecodable {
    /// Makes a `String` of the bytes and reads that.
    @inlinable
    public init?(sqlBytes: UnsafeBufferPointer<UInt8>) {
        self.init(sqlText: String(decoding: sqlBytes, as: UTF8.self))
    }
}

extension Optional: SQLEncodable where Wrapped: SQLEncodable {
    /// The value or NULL.
    public var sqlParameter: SQLParameter { self?.sqlParameter ?? SQLParameter(text: nil) }
}

extension String: SQLEncodable, SQLDecodable {
    /// The text itself.
    public var sqlParameter: SQLParameter { SQLParameter(text: self) }
    /// The text itself.
    public init?(sqlText: String) { self = sqlText }
}

extension FixedWidthInteger where Self: SQLDecodable {
    /// Decimal digits with an optional sign.
    public init?(sqlBytes: UnsafeBufferPointer<UInt8>) {
        var digits = sqlBytes[...]
        let isNegative = digits.first == 0x2D
        if isNegative { digits = digits.dropFirst() }
        if digits.isEmpty { return nil }
        var value: Self = 0
        for byte in digits {
            guard (0x30...0x39).contains(byte) else { return nil }
            let (shifted, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let digit = Self(byte - 0x30)
            // Downwards for negative numbers, whose range is larger by one.
            let (next, overflow) =
                isNegative ? shifted.subtractingReportingOverflow(digit) : shifted.addingReportingOverflow(digit)
            if tooLarge || overflow { return nil }
            value = next
        }
        self = value
    }
}

extension Int: SQLEncodable, SQLDecodable {
    /// In decimal.
    public var sqlParameter: SQLParameter { SQLParameter(text: String(self)) }
    /// From decimal.
    public init?(sqlText: String) { self.init(sqlText) }
}

extension Int64: SQLEncodable, SQLDecodable {
    /// In decimal.
    public var sqlParameter: SQLParameter { SQLParameter(text: String(self)) }
    /// From decimal.
    public init?(sqlText: String) { self.init(sqlText) }
}

extension Double: SQLEncodable, SQLDecodable {
    /// The shortest decimal that gives the same value.
    public var sqlParameter: SQLParameter { SQLParameter(text: String(self)) }
    /// From decimal.
    public init?(sqlText: String) { self.init(sqlText) }
}

extension Bool: SQLEncodable, SQLDecodable {
    /// `t` or `f`.
    public var sqlParameter: SQLParameter { SQLParameter(text: self ? "t" : "f") }
    /// From `t` or `f`.
    public init?(sqlText: String) {
        switch sqlText {
        case "t": self = true
        case "f": self = false
        default: return nil
        }
    }
}

extension UUID: SQLEncodable, SQLDecodable {
    /// With dashes.
    public var sqlParameter: SQLParameter { SQLParameter(text: uuidString) }
    /// With dashes.
    public init?(sqlText: String) { self.init(uuidString: sqlText) }

    /// With dashes, read in place.
    public init?(sqlBytes: UnsafeBufferPointer<UInt8>) {
        guard sqlBytes.count == 36 else { return nil }
        var uuid: uuid_t = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        let isValid = withUnsafeMutableBytes(of: &uuid) { bytes in
            var position = 0
            for index in 0..<16 {
                if index == 4 || index == 6 || index == 8 || index == 10 {
                    if sqlBytes[position] != 0x2D { return false }
                    position += 1
                }
                guard let high = nibble(sqlBytes[position]), let low = nibble(sqlBytes[position + 1]) else {
                    return false
                }
                bytes[index] = high << 4 | low
                position += 2
            }
            return true
        }
        guard isValid else { return nil }
        self.init(uuid: uuid)
    }
}

extension CivilDate: SQLEncodable, SQLDecodable {
    /// `2026-12-01`.
    public var sqlParameter: SQLParameter { SQLParameter(text: description) }
    /// `2026-12-01`.
    public init?(sqlText: String) { self.init(sqlText) }
    /// `2026-12-01`, read in place.
    public init?(sqlBytes: UnsafeBufferPointer<UInt8>) { self.init(sqlBytes) }
}

extension Timestamp: SQLEncodable, SQLDecodable {
    /// RFC 3339 in UTC.
    public var sqlParameter: SQLParameter { SQLParameter(text: description) }

    /// Postgres' ISO form with the session in UTC: `2026-12-01 09:30:00.5+00`.
    public init?(sqlText: String) {
        var text = sqlText
        guard let moment = text.withUTF8({ Timestamp(sqlBytes: $0) }) else { return nil }
        self = moment
    }

    /// The same, read in place.
    public init?(sqlBytes: UnsafeBufferPointer<UInt8>) {
        guard sqlBytes.suffix(3).elementsEqual("+00".utf8) else { return nil }
        self.init(utc: UnsafeBufferPointer(rebasing: sqlBytes.dropLast(3)))
    }
}

extension Role: SQLEncodable, SQLDecodable {
    /// The role's name.
    public var sqlParameter: SQLParameter { SQLParameter(text: rawValue) }
    /// The role's name.
    public init?(sqlText: String) { self.init(rawValue: sqlText) }
}

extension UUIDIdentifier {
    /// With dashes.
    public var sqlParameter: SQLParameter {
        SQLParameter(text: description)
    }
    /// With dashes.
    public init?(sqlText: String) { self.init(sqlText) }
}

extension UUIDIdentifier where Self: SQLDecodable {
    /// With dashes, read in place.
    public init?(sqlBytes: UnsafeBufferPointer<UInt8>) {
        guard let uuid = UUID(sqlBytes: sqlBytes) else { return nil }
        self.init(uuid)
    }
}

extension NumberIdentifier {
    /// In decimal.
    public var sqlParameter: SQLParameter { SQLParameter(text: String(number)) }
    /// From decimal, 1 and up.
    public init?(sqlText: String) { self.init(sqlText) }
}

extension NumberIdentifier where Self: SQLDecodable {
    /// From decimal, 1 and up, read in place.
    public init?(sqlBytes: UnsafeBufferPointer<UInt8>) {
        guard let number = Int64(sqlBytes: sqlBytes), number > 0 else { return nil }
        self.init(number)
    }
}

extension OrganizationID: SQLEncodable, SQLDecodable {}
extension UserID: SQLEncodable, SQLDecodable {}
extension AccountID: SQLEncodable, SQLDecodable {}
extension SessionID: SQLEncodable, SQLDecodable {}
extension EventID: SQLEncodable, SQLDecodable {}
extension DepartmentID: SQLEncodable, SQLDecodable {}
extension ProjectID: SQLEncodable, SQLDecodable {}
extension TaskID: SQLEncodable, SQLDecodable {}
extension NoticeID: SQLEncodable, SQLDecodable {}

extension Array: SQLEncodable where Element: SQLEncodable {
    /// An array literal of one dimension with every element quoted.
    public var sqlParameter: SQLParameter {
        var literal = "{"
        for (index, element) in enumerated() {
            if index > 0 { literal += "," }
            guard let text = element.sqlParameter.text else {
                literal += "NULL"
                continue
            }
            literal += "\""
            for scalar in text.unicodeScalars {
                if scalar == "\"" || scalar == "\\" { literal.unicodeScalars.append("\\") }
                literal.unicodeScalars.append(scalar)
            }
            literal += "\""
        }
        return SQLParameter(text: literal + "}")
    }
}

extension Array: SQLDecodable where Element: SQLDecodable {
    /// Reads an array literal of one dimension without NULLs.
    public init?(sqlText: String) {
        let bytes = Swift.Array(sqlText.utf8)
        guard bytes.count >= 2, bytes.first == 0x7B, bytes.last == 0x7D else { return nil }
        self = []
        var position = 1
        while position < bytes.count - 1 {
            var element: [UInt8] = []
            let isQuoted = bytes[position] == 0x22
            if isQuoted { position += 1 }
            while position < bytes.count - 1 {
                if isQuoted ? bytes[position] == 0x22 : bytes[position] == 0x2C { break }
                if bytes[position] == 0x5C { position += 1 }
                element.append(bytes[position])
                position += 1
            }
            if isQuoted {
                guard position < bytes.count - 1 else { return nil }
                position += 1
            } else if element == Swift.Array("NULL".utf8) {
                return nil
            }
            guard let value = element.withUnsafeBufferPointer({ Element(sqlBytes: $0) }) else { return nil }
            append(value)
            if position < bytes.count - 1 {
                guard bytes[position] == 0x2C, position < bytes.count - 2 else { return nil }
                position += 1
            }
        }
    }
}

/// Bytes for a `bytea` column.
public struct SQLBytes: SQLEncodable, SQLDecodable, Hashable {
    /// The bytes.
    public var bytes: [UInt8]

    /// Wraps bytes.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The hex form.
    public var sqlParameter: SQLParameter {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = [0x5C, 0x78]
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return SQLParameter(text: String(decoding: text, as: UTF8.self))
    }

    /// Reads the hex form `\x00ff`.
    public init?(sqlText: String) {
        let text = Array(sqlText.utf8)
        guard text.count >= 2, text.count % 2 == 0, text[0] == 0x5C, text[1] == 0x78 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 2 - 1)
        for index in stride(from: 2, to: text.count, by: 2) {
            guard let high = nibble(text[index]), let low = nibble(text[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
    }
}

/// The value of a hexadecimal digit.
private func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}
