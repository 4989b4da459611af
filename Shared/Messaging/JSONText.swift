extension [UInt8] {
    /// Appends text as a JSON string in quotes (RFC 8259, section 7). Runs of bytes that need no escape are copied at
    /// once; most strings are one run.
    public mutating func append(jsonString text: String) {
        var text = text
        append(UInt8(ascii: "\""))
        text.withUTF8 { bytes in
            var start = 0
            for index in bytes.indices {
                let byte = bytes[index]
                guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
                append(contentsOf: bytes[start..<index])
                start = index + 1
                append(UInt8(ascii: "\\"))
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"): append(byte)
                case 0x0A: append(UInt8(ascii: "n"))
                case 0x0D: append(UInt8(ascii: "r"))
                case 0x09: append(UInt8(ascii: "t"))
                default:
                    append(contentsOf: "u00".utf8)
                    append(hexDigits[Int(byte >> 4)])
                    append(hexDigits[Int(byte & 15)])
                }
            }
            append(contentsOf: bytes[start...])
        }
        append(UInt8(ascii: "\""))
    }
}

private let hexDigits = Array("0123456789abcdef".utf8)

/// Writes a flat JSON object, member by member.
struct JSONObjectWriter {
    private var bytes: [UInt8] = [0x7B]

    /// Adds a string; nothing for nil.
    mutating func add(_ name: String, _ value: String?) {
        guard let value else { return }
        begin(name)
        bytes.append(jsonString: value)
    }

    /// Adds a value that is JSON already.
    mutating func add(_ name: String, raw value: [UInt8]) {
        begin(name)
        bytes.append(contentsOf: value)
    }

    /// The object.
    consuming func finished() -> [UInt8] {
        bytes.append(0x7D)
        return bytes
    }

    /// `name` is one of ours and needs no escapes.
    private mutating func begin(_ name: String) {
        if bytes.count > 1 { bytes.append(0x2C) }
        bytes.append(0x22)
        bytes.append(contentsOf: name.utf8)
        bytes.append(0x22)
        bytes.append(0x3A)
    }
}

/// Finds the text of values in JSON that a decoder has found, or will find, to be well-formed: so that a payload
/// keeps its bytes on the way. On anything malformed the answer is nil or a slice that a decoder refuses; it never
/// reads past the end.
struct JSONScanner {
    private let bytes: [UInt8]
    private var index = 0

    /// The value of the first member of that name of a top-level object.
    static func member(_ name: String, of bytes: [UInt8]) -> ArraySlice<UInt8>? {
        let wanted = Array(name.utf8)
        var scanner = JSONScanner(bytes: bytes)
        guard scanner.take(0x7B) else { return nil }
        while let key = scanner.value() {
            guard scanner.take(0x3A), let value = scanner.value() else { return nil }
            if key.dropFirst().dropLast().elementsEqual(wanted) { return value }
            guard scanner.take(0x2C) else { return nil }
        }
        return nil
    }

    /// The elements of a top-level array.
    static func elements(of bytes: [UInt8]) -> [ArraySlice<UInt8>]? {
        var scanner = JSONScanner(bytes: bytes)
        guard scanner.take(0x5B) else { return nil }
        var elements: [ArraySlice<UInt8>] = []
        if scanner.take(0x5D) { return elements }
        while let element = scanner.value() {
            elements.append(element)
            if scanner.take(0x5D) { return elements }
            guard scanner.take(0x2C) else { return nil }
        }
        return nil
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func skipSpace() {
        while index < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[index]) { index += 1 }
    }

    /// Skips a mark, if it comes next.
    private mutating func take(_ mark: UInt8) -> Bool {
        skipSpace()
        guard index < bytes.count, bytes[index] == mark else { return false }
        index += 1
        return true
    }

    /// The next value, whatever its type.
    private mutating func value() -> ArraySlice<UInt8>? {
        skipSpace()
        let start = index
        var depth = 0
        while index < bytes.count {
            switch bytes[index] {
            case 0x22:
                guard skipString() else { return nil }
                if depth == 0 { return bytes[start..<index] }
            case 0x7B, 0x5B:
                depth += 1
                index += 1
            case 0x7D, 0x5D:
                if depth == 0 { return index > start ? bytes[start..<index] : nil }
                depth -= 1
                index += 1
                if depth == 0 { return bytes[start..<index] }
            case 0x2C, 0x3A, 0x20, 0x09, 0x0A, 0x0D:
                if depth == 0 { return index > start ? bytes[start..<index] : nil }
                index += 1
            default: index += 1
            }
        }
        return depth == 0 && index > start ? bytes[start..<index] : nil
    }

    private mutating func skipString() -> Bool {
        index += 1
        while index < bytes.count {
            switch bytes[index] {
            case 0x22:
                index += 1
                return true
            case 0x5C: index += 2
            default: index += 1
            }
        }
        return false
    }
}
