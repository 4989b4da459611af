import NIOCore

/// Header fields in the order of the wire; names in lower case.
struct HeaderFields: Sendable, Hashable {
    struct Field: Sendable, Hashable {
        var name: String
        var value: String
    }
    private(set) var fields: [Field] = []

    /// The value of the first field of a name.
    subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    func all(_ name: String) -> [String] { fields.compactMap { $0.name == name ? $0.value : nil } }

    func count(of name: String) -> Int { fields.reduce(0) { $0 + ($1.name == name ? 1 : 0) } }

    func contains(_ name: String) -> Bool { fields.contains { $0.name == name } }

    mutating func append(_ name: String, _ value: String) { fields.append(Field(name: name, value: value)) }

    mutating func remove(_ name: String) { fields.removeAll { $0.name == name } }

    mutating func set(_ name: String, _ value: String) {
        remove(name)
        append(name, value)
    }

    /// Writes each field as a line of its own.
    func write(into buffer: inout ByteBuffer) {
        for field in fields {
            buffer.writeString(field.name)
            buffer.writeString(": ")
            buffer.writeString(field.value)
            buffer.writeString("\r\n")
        }
    }

    /// The elements of a comma-separated field, over all its occurrences, in lower case.
    func elements(of name: String) -> [String] {
        all(name).flatMap { $0.split(separator: ",") }
            .map { $0.lowercased().trimmedOfBlanks }
            .filter { !$0.isEmpty }
    }
}

extension StringProtocol {
    /// Without spaces and tabs at both ends.
    var trimmedOfBlanks: String {
        var text = Substring(self)
        while text.utf8.first == 0x20 || text.utf8.first == 0x09 { text.removeFirst() }
        while text.utf8.last == 0x20 || text.utf8.last == 0x09 { text.removeLast() }
        return String(text)
    }
}

/// Cuts header fields out of bytes, by RFC 9112 and not a byte more lenient: what two programs could read in two ways
/// is refused.
enum FieldLine {
    /// The characters of a token (RFC 9110, section 5.6.2).
    static let isToken: [Bool] = (0..<256).map { byte in
        switch UInt8(byte) {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// Reads `name: value`, without the line end; nil if it is not well formed.
    static func parse(_ line: UnsafeRawBufferPointer.SubSequence) -> HeaderFields.Field? {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex else { return nil }
        let name = line[line.startIndex..<colon]
        guard name.allSatisfy({ isToken[Int($0)] }) else { return nil }
        var start = line.index(after: colon)
        var end = line.endIndex
        while start < end, line[start] == 0x20 || line[start] == 0x09 { start += 1 }
        while end > start, line[end - 1] == 0x20 || line[end - 1] == 0x09 { end -= 1 }
        let value = line[start..<end]
        guard value.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }) else { return nil }
        guard let text = String(validating: value, as: UTF8.self) else { return nil }
        return HeaderFields.Field(name: lowercased(name), value: text)
    }

    private static func lowercased(_ name: UnsafeRawBufferPointer.SubSequence) -> String {
        String(unsafeUninitializedCapacity: name.count) { room in
            var index = 0
            for byte in name {
                room[index] = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
                index += 1
            }
            return index
        }
    }
}
