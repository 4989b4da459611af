import Failures
import Messaging

/// A JSON value that keeps what JSON says: order of members, text code point for code point, integers exact.
///
/// ```swift
/// let body = try JSON(parsing: bytes)
/// let answer = JSON.object([("id", .integer(7)), ("title", .string(title))]).encoded()
/// ```
public enum JSON: Sendable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number without fraction and exponent that fits 64 bits.
    case integer(Int64)
    /// Any other number, as written.
    case number(String)
    /// A string.
    case string(String)
    /// An array.
    case array([JSON])
    /// An object; its members in order.
    case object([(key: String, value: JSON)])
    /// Finished JSON, put out as it is.
    case raw([UInt8])

    /// Reads strict JSON (RFC 8259, UTF-8). Throws ``Failures/Failure`` 400: `bad-json` (broken, lone surrogates,
    /// bytes after the end), `duplicate-key`, `too-deep` (more than `maximumDepth` levels).
    public init(parsing bytes: [UInt8], maximumDepth: Int = 32) throws {
        self = try bytes.withUnsafeBufferPointer { buffer in
            var parser = JSONParser(buffer, maximumDepth: maximumDepth)
            return try parser.document()
        }
    }

    /// Compact UTF-8.
    public func encoded() -> [UInt8] {
        if case .raw(let bytes) = self { return bytes }
        var output: [UInt8] = []
        output.reserveCapacity(finishedBytes + 256)
        append(to: &output)
        return output
    }

    /// A string or null.
    public static func optional(_ text: String?) -> JSON { text.map { .string($0) } ?? .null }

    /// The member of an object, names compared byte for byte; nil if this is no object or has no such member.
    public subscript(_ name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The text of a string, nil for anything else.
    public var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The value of an integer, nil for anything else.
    public var integer: Int64? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    /// The elements of an array, nil for anything else.
    public var elements: [JSON]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    /// Whether both say the same: text code point for code point, numbers as written, members in any order.
    public func isSame(as other: JSON) -> Bool {
        switch (self, other) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.number(let left), .number(let right)): left.utf8.elementsEqual(right.utf8)
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.isSame(as: $1) }
        case (.object(let left), .object(let right)):
            left.count == right.count
                && left.allSatisfy { member in other[member.key].map { member.value.isSame(as: $0) } ?? false }
        case (.raw(let bytes), _):
            (try? JSON(parsing: bytes)).map { $0.isSame(as: other) } ?? false
        case (_, .raw):
            other.isSame(as: self)
        default: false
        }
    }

    /// Bytes of what is finished already: of a page, nearly all.
    private var finishedBytes: Int {
        switch self {
        case .raw(let bytes): bytes.count
        case .array(let elements): elements.reduce(0) { $0 + $1.finishedBytes + 1 }
        case .object(let members): members.reduce(0) { $0 + $1.value.finishedBytes }
        default: 0
        }
    }

    private func append(to output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): output.append(contentsOf: String(value).utf8)
        case .number(let text): output.append(contentsOf: text.utf8)
        case .string(let text): output.append(jsonString: text)
        case .raw(let bytes): output.append(contentsOf: bytes)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                element.append(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                output.append(jsonString: member.key)
                output.append(UInt8(ascii: ":"))
                member.value.append(to: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }
}
