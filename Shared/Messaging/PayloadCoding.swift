/// The JSON of events' payloads, written and read for `Codable`: strings, booleans, whole numbers, and what is made of
/// them. Members are in snake case and sorted, so that a payload has one form.
///
/// Foundation's coders do the same in several times the instructions, for each event on both sides; what they know beyond
/// this, no payload has.
enum PayloadCoding {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let slot = PayloadSlot()
        try slot.take(value)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(512)
        slot.write(into: &bytes)
        return bytes
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from payload: [UInt8]) throws -> Value {
        try PayloadDecoder(text: payload[...]).value(type)
    }

    /// Hands the bytes of a key in snake case to `body` one by one, until it says false.
    static func forEachByte(ofKey key: String, _ body: (UInt8) -> Bool) {
        var key = key
        key.withUTF8 { bytes in
            for index in bytes.indices {
                let byte = bytes[index]
                guard (0x41...0x5A).contains(byte) else {
                    guard body(byte) else { return }
                    continue
                }
                let followsCapital = index > 0 && (0x41...0x5A).contains(bytes[index - 1])
                let precedesSmall = index + 1 < bytes.count && (0x61...0x7A).contains(bytes[index + 1])
                if index > 0, !followsCapital || precedesSmall { guard body(UInt8(ascii: "_")) else { return } }
                guard body(byte | 0x20) else { return }
            }
        }
    }
}

// MARK: Writing

/// Where a value goes before it is written: members have to be sorted first.
private final class PayloadSlot {
    private enum Content {
        case text([UInt8])
        case members([(name: [UInt8], slot: PayloadSlot)])
        case elements([PayloadSlot])
    }
    private var content = Content.text(Array("null".utf8))

    func take<Value: Encodable>(_ value: Value) throws {
        switch value {
        case let text as String:
            var bytes: [UInt8] = []
            bytes.append(jsonString: text)
            content = .text(bytes)
        case let flag as Bool: content = .text(Array((flag ? "true" : "false").utf8))
        case let number as Int64: content = .text(Array(String(number).utf8))
        case let number as Int: content = .text(Array(String(number).utf8))
        case is any Numeric:
            throw EncodingError.invalidValue(value, .init(codingPath: [], debugDescription: "no number of a payload"))
        default: try value.encode(to: PayloadEncoder(slot: self))
        }
    }

    func openObject() {
        if case .members = content { return }
        content = .members([])
    }

    func openArray() {
        if case .elements = content { return }
        content = .elements([])
    }

    func member(_ key: some CodingKey) -> PayloadSlot {
        guard case .members(var members) = content else { return self }
        content = .elements([])
        var name: [UInt8] = []
        PayloadCoding.forEachByte(ofKey: key.stringValue) { byte in
            name.append(byte)
            return true
        }
        let slot = PayloadSlot()
        members.append((name, slot))
        content = .members(members)
        return slot
    }

    func element() -> PayloadSlot {
        guard case .elements(var elements) = content else { return self }
        content = .members([])
        let slot = PayloadSlot()
        elements.append(slot)
        content = .elements(elements)
        return slot
    }

    var count: Int {
        if case .elements(let elements) = content { elements.count } else { 0 }
    }

    func write(into bytes: inout [UInt8]) {
        switch content {
        case .text(let text): bytes.append(contentsOf: text)
        case .members(let members):
            bytes.append(UInt8(ascii: "{"))
            let sorted = members.sorted { $0.name.lexicographicallyPrecedes($1.name) }
            for (index, member) in sorted.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes.append(UInt8(ascii: "\""))
                bytes.append(contentsOf: member.name)
                bytes.append(UInt8(ascii: "\""))
                bytes.append(UInt8(ascii: ":"))
                member.slot.write(into: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        case .elements(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                element.write(into: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        }
    }
}

private struct PayloadEncoder: Encoder {
    let slot: PayloadSlot
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        slot.openObject()
        return KeyedEncodingContainer(Members(slot: slot))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        slot.openArray()
        return Elements(slot: slot)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { One(slot: slot) }

    struct Members<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let slot: PayloadSlot
        var codingPath: [any CodingKey] { [] }

        func encodeNil(forKey key: Key) { _ = slot.member(key) }
        func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws { try slot.member(key).take(value) }

        func nestedContainer<Nested>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
            PayloadEncoder(slot: slot.member(key)).container(keyedBy: type)
        }
        func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            PayloadEncoder(slot: slot.member(key)).unkeyedContainer()
        }
        func superEncoder() -> any Encoder { PayloadEncoder(slot: slot) }
        func superEncoder(forKey key: Key) -> any Encoder { PayloadEncoder(slot: slot.member(key)) }
    }

    struct Elements: UnkeyedEncodingContainer {
        let slot: PayloadSlot
        var codingPath: [any CodingKey] { [] }
        var count: Int { slot.count }

        func encodeNil() { _ = slot.element() }
        func encode<Value: Encodable>(_ value: Value) throws { try slot.element().take(value) }

        func nestedContainer<Nested>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
            PayloadEncoder(slot: slot.element()).container(keyedBy: type)
        }
        func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
            PayloadEncoder(slot: slot.element()).unkeyedContainer()
        }
        func superEncoder() -> any Encoder { PayloadEncoder(slot: slot.element()) }
    }

    struct One: SingleValueEncodingContainer {
        let slot: PayloadSlot
        var codingPath: [any CodingKey] { [] }

        func encodeNil() {}
        func encode<Value: Encodable>(_ value: Value) throws { try slot.take(value) }
    }
}

// MARK: Reading

private struct PayloadDecoder: Decoder {
    /// One value.
    let text: ArraySlice<UInt8>
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func value<Value: Decodable>(_ type: Value.Type) throws -> Value {
        if type == String.self, let text = try string() as? Value { return text }
        if type == Bool.self, let flag = try flag() as? Value { return flag }
        if type == Int64.self, let number = try number() as? Value { return number }
        if type == Int.self, let number = try Int(number()) as? Value { return number }
        guard !(type is any Numeric.Type) else { throw Self.unlike("no number of a payload") }
        return try Value(from: self)
    }

    private func string() throws -> String {
        do { return try text.string() } catch { throw Self.unlike("not a string") }
    }

    private func flag() throws -> Bool {
        if text.elementsEqual("true".utf8) { return true }
        guard text.elementsEqual("false".utf8) else { throw Self.unlike("not a boolean") }
        return false
    }

    private func number() throws -> Int64 {
        let digits = text.first == UInt8(ascii: "-") ? text.dropFirst() : text
        guard
            let first = digits.first, first != UInt8(ascii: "0") || digits.count == 1,
            digits.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int64(String(decoding: text, as: UTF8.self))
        else { throw Self.unlike("not a whole number") }
        return number
    }

    static func unlike(_ what: String) -> DecodingError {
        .dataCorrupted(.init(codingPath: [], debugDescription: what))
    }

    func container<Key>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard let members = JSONScanner.members(of: text) else { throw Self.unlike("not an object") }
        return KeyedDecodingContainer(Members(members: members))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard let elements = JSONScanner.elements(of: text) else { throw Self.unlike("not an array") }
        return Elements(elements: elements)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { One(decoder: self) }

    struct Members<Key: CodingKey>: KeyedDecodingContainerProtocol {
        let members: [(key: ArraySlice<UInt8>, value: ArraySlice<UInt8>)]
        var codingPath: [any CodingKey] { [] }
        /// Nobody asks for what they do not know.
        var allKeys: [Key] { [] }

        private func find(_ key: Key) -> ArraySlice<UInt8>? {
            members.first { member in
                var place = member.key.startIndex + 1
                let end = member.key.endIndex - 1
                PayloadCoding.forEachByte(ofKey: key.stringValue) { byte in
                    guard place < end, member.key[place] == byte else {
                        place = end + 1
                        return false
                    }
                    place += 1
                    return true
                }
                return place == end
            }?.value
        }

        private func decoder(_ key: Key) throws -> PayloadDecoder {
            guard let text = find(key) else {
                throw DecodingError.keyNotFound(
                    key,
                    .init(codingPath: [], debugDescription: "\(key.stringValue) is missing")
                )
            }
            return PayloadDecoder(text: text)
        }

        func contains(_ key: Key) -> Bool { find(key) != nil }
        func decodeNil(forKey key: Key) throws -> Bool { find(key)?.isNull ?? true }
        func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
            try decoder(key).value(type)
        }

        func nestedContainer<Nested>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<
            Nested
        > {
            try decoder(key).container(keyedBy: type)
        }
        func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
            try decoder(key).unkeyedContainer()
        }
        func superDecoder() throws -> any Decoder { throw PayloadDecoder.unlike("a payload has no class") }
        func superDecoder(forKey key: Key) throws -> any Decoder { try decoder(key) }
    }

    struct Elements: UnkeyedDecodingContainer {
        let elements: [ArraySlice<UInt8>]
        var currentIndex = 0
        var codingPath: [any CodingKey] { [] }
        var count: Int? { elements.count }
        var isAtEnd: Bool { currentIndex == elements.count }

        private mutating func next() throws -> PayloadDecoder {
            guard !isAtEnd else { throw PayloadDecoder.unlike("an element is missing") }
            defer { currentIndex += 1 }
            return PayloadDecoder(text: elements[currentIndex])
        }

        mutating func decodeNil() throws -> Bool {
            guard !isAtEnd, elements[currentIndex].isNull else { return false }
            currentIndex += 1
            return true
        }
        mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next().value(type) }
        mutating func nestedContainer<Nested>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
            try next().container(keyedBy: type)
        }
        mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
        mutating func superDecoder() throws -> any Decoder { try next() }
    }

    struct One: SingleValueDecodingContainer {
        let decoder: PayloadDecoder
        var codingPath: [any CodingKey] { [] }

        func decodeNil() -> Bool { decoder.text.isNull }
        func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try decoder.value(type) }
    }
}
