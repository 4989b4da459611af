import Failures

/// Reads strict JSON from bytes, one pass, no copies but those of the values.
struct JSONParser {
    private let bytes: UnsafeBufferPointer<UInt8>
    private let maximumDepth: Int
    private var index = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>, maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    /// One value and nothing after it.
    mutating func document() throws -> JSON {
        skipWhiteSpace()
        let value = try value(depth: 0)
        skipWhiteSpace()
        guard index == bytes.count else { throw broken("bytes after the end") }
        return value
    }

    private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    private func broken(_ what: String) -> Failure {
        Failure(.badRequest, "bad-json", "The body is not JSON: \(what) at byte \(index).")
    }

    private mutating func skipWhiteSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    private mutating func skip(_ byte: Unicode.Scalar) -> Bool {
        guard let found = current, found == UInt8(ascii: byte) else { return false }
        index += 1
        return true
    }

    private mutating func value(depth: Int) throws -> JSON {
        guard let byte = current else { throw broken("a value is missing") }
        switch byte {
        case UInt8(ascii: "{"): return try object(depth: depth + 1)
        case UInt8(ascii: "["): return try array(depth: depth + 1)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw broken("no value begins so")
        }
    }

    private mutating func literal(_ text: StaticString, _ value: JSON) throws -> JSON {
        let length = text.utf8CodeUnitCount
        guard index + length <= bytes.count else { throw broken("no value begins so") }
        for offset in 0..<length where bytes[index + offset] != text.utf8Start[offset] {
            throw broken("no value begins so")
        }
        index += length
        return value
    }

    private func requireDepth(_ depth: Int) throws {
        guard depth <= maximumDepth else {
            throw Failure(.badRequest, "too-deep", "The body nests more than \(maximumDepth) levels.")
        }
    }

    private mutating func array(depth: Int) throws -> JSON {
        try requireDepth(depth)
        index += 1
        var elements: [JSON] = []
        skipWhiteSpace()
        if skip("]") { return .array(elements) }
        while true {
            skipWhiteSpace()
            elements.append(try value(depth: depth))
            skipWhiteSpace()
            if skip("]") { return .array(elements) }
            guard skip(",") else { throw broken("neither comma nor bracket") }
        }
    }

    private mutating func object(depth: Int) throws -> JSON {
        try requireDepth(depth)
        index += 1
        var members: [(key: String, value: JSON)] = []
        var names = NameSet()
        skipWhiteSpace()
        if skip("}") { return .object(members) }
        while true {
            skipWhiteSpace()
            guard current == UInt8(ascii: "\"") else { throw broken("a member's name is missing") }
            let name = try string()
            guard names.insert(name, after: members) else {
                throw Failure(.badRequest, "duplicate-key", "The body has two members of the same name.")
            }
            skipWhiteSpace()
            guard skip(":") else { throw broken("a colon is missing") }
            skipWhiteSpace()
            members.append((name, try value(depth: depth)))
            skipWhiteSpace()
            if skip("}") { return .object(members) }
            guard skip(",") else { throw broken("neither comma nor brace") }
        }
    }

    private mutating func number() throws -> JSON {
        let start = index
        var isInteger = true
        _ = skip("-")
        if !skip("0") { try digits() }
        if skip(".") {
            isInteger = false
            try digits()
        }
        if skip("e") || skip("E") {
            isInteger = false
            if !skip("+") { _ = skip("-") }
            try digits()
        }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        return .number(text)
    }

    private mutating func digits() throws {
        let start = index
        while let byte = current, (0x30...0x39).contains(byte) { index += 1 }
        guard index > start else { throw broken("a digit is missing") }
    }

    private mutating func string() throws -> String {
        index += 1
        let start = index
        // Without an escape the bytes are the text.
        while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { index += 1 }
        if current == UInt8(ascii: "\"") {
            let text = try text(UnsafeBufferPointer(rebasing: bytes[start..<index]))
            index += 1
            return text
        }
        var unescaped = Array(bytes[start..<index])
        while true {
            guard let byte = current else { throw broken("a string does not end") }
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return try unescaped.withUnsafeBufferPointer { try text($0) }
            case UInt8(ascii: "\\"): try escape(into: &unescaped)
            case 0x00..<0x20: throw broken("a control character in a string")
            default: unescaped.append(byte)
            }
        }
    }

    private func text(_ bytes: UnsafeBufferPointer<UInt8>) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw broken("a string is not UTF-8") }
        return text
    }

    private mutating func escape(into output: inout [UInt8]) throws {
        guard let byte = current else { throw broken("a string does not end") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): output.append(byte)
        case UInt8(ascii: "b"): output.append(0x08)
        case UInt8(ascii: "f"): output.append(0x0C)
        case UInt8(ascii: "n"): output.append(0x0A)
        case UInt8(ascii: "r"): output.append(0x0D)
        case UInt8(ascii: "t"): output.append(0x09)
        case UInt8(ascii: "u"):
            let first = try hexadecimal()
            var code = UInt32(first)
            if UTF16.isLeadSurrogate(first) {
                guard skip("\\"), skip("u") else { throw broken("a lone surrogate") }
                let second = try hexadecimal()
                guard UTF16.isTrailSurrogate(second) else { throw broken("a lone surrogate") }
                code = 0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw broken("a lone surrogate") }
            output.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default: throw broken("an escape that JSON does not know")
        }
    }

    private mutating func hexadecimal() throws -> UInt16 {
        guard index + 4 <= bytes.count else { throw broken("four hexadecimal digits are missing") }
        var value: UInt16 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch bytes[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = bytes[index] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = bytes[index] - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = bytes[index] - UInt8(ascii: "A") + 10
            default: throw broken("four hexadecimal digits are missing")
            }
            value = value << 4 | UInt16(digit)
            index += 1
        }
        return value
    }
}

/// The names of one object, told apart by their bytes. Few names are compared one by one; a set takes over where that
/// would take quadratic time.
private struct NameSet {
    private var many: Set<[UInt8]> = []

    mutating func insert(_ name: String, after members: [(key: String, value: JSON)]) -> Bool {
        if members.count < 16 {
            return !members.contains { $0.key.utf8.elementsEqual(name.utf8) }
        }
        if many.isEmpty { many = Set(members.map { Array($0.key.utf8) }) }
        return many.insert(Array(name.utf8)).inserted
    }
}
