/// A JSON value as tokens and key sets hold it, read by one strict reader so that no two readers can disagree.
///
/// Members of an object are unique: a token with two `sub` members means one thing to one library and another to the
/// next, so it is refused rather than understood.
enum StrictJSON: Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// A number with a fraction or an exponent, or beyond 64 bits; nothing of ours needs its value.
    case otherNumber
    case string(String)
    case array([StrictJSON])
    case object([String: StrictJSON])

    /// The members of an object, nil for anything else.
    var members: [String: StrictJSON]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// The text of a string, nil for anything else.
    var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The value of an integer, nil for anything else.
    var integer: Int64? {
        if case .integer(let value) = self { value } else { nil }
    }

    /// Reads exactly one RFC 8259 value in UTF-8; nil if it is broken, repeats a member, nests deeper than 8 levels or
    /// is followed by anything but white space.
    init?(_ bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard let value = reader.value(depth: 8) else { return nil }
        reader.skipSpace()
        guard reader.isAtEnd else { return nil }
        self = value
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { position == bytes.count }
        var next: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func skipSpace() {
            while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
        }

        mutating func skip(_ byte: UInt8) -> Bool {
            guard next == byte else { return false }
            position += 1
            return true
        }

        mutating func skip(word: StaticString) -> Bool {
            let length = word.utf8CodeUnitCount
            guard position + length <= bytes.count else { return false }
            let matches = word.withUTF8Buffer { $0.elementsEqual(bytes[position..<position + length]) }
            if matches { position += length }
            return matches
        }

        mutating func value(depth: Int) -> StrictJSON? {
            guard depth > 0 else { return nil }
            skipSpace()
            switch next {
            case UInt8(ascii: "{"): return object(depth: depth)
            case UInt8(ascii: "["): return array(depth: depth)
            case UInt8(ascii: "\""): return string().map { .string($0) }
            case UInt8(ascii: "t"): return skip(word: "true") ? .bool(true) : nil
            case UInt8(ascii: "f"): return skip(word: "false") ? .bool(false) : nil
            case UInt8(ascii: "n"): return skip(word: "null") ? .null : nil
            default: return number()
            }
        }

        mutating func object(depth: Int) -> StrictJSON? {
            position += 1
            var members: [String: StrictJSON] = [:]
            skipSpace()
            if skip(UInt8(ascii: "}")) { return .object(members) }
            while true {
                skipSpace()
                guard next == UInt8(ascii: "\""), let key = string() else { return nil }
                skipSpace()
                guard skip(UInt8(ascii: ":")), let member = value(depth: depth - 1) else { return nil }
                // Equal up to canonical equivalence counts as equal too: stricter than bytes, and never looser.
                guard members.updateValue(member, forKey: key) == nil else { return nil }
                skipSpace()
                if skip(UInt8(ascii: "}")) { return .object(members) }
                guard skip(UInt8(ascii: ",")) else { return nil }
            }
        }

        mutating func array(depth: Int) -> StrictJSON? {
            position += 1
            var elements: [StrictJSON] = []
            skipSpace()
            if skip(UInt8(ascii: "]")) { return .array(elements) }
            while true {
                guard let element = value(depth: depth - 1) else { return nil }
                elements.append(element)
                skipSpace()
                if skip(UInt8(ascii: "]")) { return .array(elements) }
                guard skip(UInt8(ascii: ",")) else { return nil }
            }
        }

        mutating func string() -> String? {
            position += 1
            var text: [UInt8] = []
            while let byte = next {
                position += 1
                switch byte {
                case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
                case UInt8(ascii: "\\"):
                    guard let scalar = escape() else { return nil }
                    text.append(contentsOf: Array(String(scalar).utf8))
                case 0..<0x20: return nil
                default: text.append(byte)
                }
            }
            return nil
        }

        mutating func escape() -> Unicode.Scalar? {
            guard let byte = next else { return nil }
            position += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
            case UInt8(ascii: "b"): return "\u{08}"
            case UInt8(ascii: "f"): return "\u{0C}"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "u"):
                guard let unit = hexUnit() else { return nil }
                guard (0xD800...0xDFFF).contains(unit) else { return Unicode.Scalar(unit) }
                // A pair of surrogates or nothing: a lone one is not text.
                guard
                    unit < 0xDC00, skip(UInt8(ascii: "\\")), skip(UInt8(ascii: "u")), let low = hexUnit(),
                    (0xDC00...0xDFFF).contains(low)
                else { return nil }
                return Unicode.Scalar(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            default: return nil
            }
        }

        mutating func hexUnit() -> UInt32? {
            var unit: UInt32 = 0
            for _ in 0..<4 {
                guard let byte = next else { return nil }
                switch byte {
                case 0x30...0x39: unit = unit << 4 | UInt32(byte - 0x30)
                case 0x41...0x46: unit = unit << 4 | UInt32(byte - 0x41 + 10)
                case 0x61...0x66: unit = unit << 4 | UInt32(byte - 0x61 + 10)
                default: return nil
                }
                position += 1
            }
            return unit
        }

        mutating func digits() -> Int {
            let start = position
            while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
            return position - start
        }

        mutating func number() -> StrictJSON? {
            let start = position
            let negative = skip(UInt8(ascii: "-"))
            let startsWithZero = next == 0x30
            let count = digits()
            guard count > 0, !startsWithZero || count == 1 else { return nil }
            var isInteger = true
            if skip(UInt8(ascii: ".")) {
                isInteger = false
                guard digits() > 0 else { return nil }
            }
            if skip(UInt8(ascii: "e")) || skip(UInt8(ascii: "E")) {
                isInteger = false
                if !skip(UInt8(ascii: "+")) { _ = skip(UInt8(ascii: "-")) }
                guard digits() > 0 else { return nil }
            }
            // Minus zero is a number to JSON and no integer of ours.
            guard isInteger, !(negative && startsWithZero) else { return .otherNumber }
            return Int64(String(decoding: bytes[start..<position], as: UTF8.self)).map { .integer($0) } ?? .otherNumber
        }
    }
}
