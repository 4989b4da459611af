import Crypto
import Failures
import Identity

@testable import Lists

/// Cursors: what was sealed opens as the same for the same query and for no other, nothing that was not sealed opens,
/// and the only answer to anything else is 400 `bad-cursor`.
enum CursorProperty {
    private static let key = [UInt8](repeating: 7, count: 32)
    private static let signer = CursorSigner(key: key)
    private static let otherSigner = CursorSigner(key: [UInt8](repeating: 8, count: 32))
    private static let order = [
        SortStep(key: SortKey("name", "t.name", type: "text", isNullable: true), isDescending: false),
        SortStep(key: SortKey("id", "t.id", type: "bigint"), isDescending: false),
    ]

    private static func binding(
        organization: UInt8 = 1,
        list: String = "tasks",
        statuses: [String] = ["DONE", "PENDING"],
        terms: [String] = ["word"],
        order: [SortStep] = order
    ) -> CursorBinding {
        CursorBinding(
            organization: OrganizationID(first: organization),
            list: list,
            filters: [("status", statuses), ("project", [])],
            terms: terms,
            order: order
        )
    }

    private static let own = binding()
    /// Each differs from ``own`` in one thing.
    private static let others = [
        binding(organization: 2), binding(list: "projects"), binding(statuses: ["DONE"]), binding(terms: []),
        binding(statuses: ["DONEPENDING"]), binding(terms: ["wor", "d"]),
        binding(order: order.map { SortStep(key: $0.key, isDescending: true) }), binding(order: order.reversed()),
    ]

    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        for keys in 0...2 {
            try expect(try open(text, own, keys: keys) == nil, "opens what nobody has sealed: \(text)")
        }
        try judgeSealing(Array(bytes))
        try judgePayload(Array(bytes))
    }

    /// The position in a cursor, nil where it is refused in the one way.
    private static func open(_ text: String, _ binding: CursorBinding, keys: Int) throws -> CursorPosition? {
        do {
            return try signer.open(text, binding: binding, keys: keys)
        } catch let failure as Failure {
            try expect(
                failure.kind == .badRequest && failure.code == "bad-cursor",
                "refused with another code: \(failure.code)"
            )
            return nil
        }
    }

    /// Takes the bytes for the values of a position, cut at 0xFF; a value of one zero stands for NULL.
    private static func judgeSealing(_ bytes: [UInt8]) throws {
        let flags = bytes.first ?? 0
        let values = bytes.dropFirst().split(separator: 0xFF, omittingEmptySubsequences: false).prefix(8).map {
            $0.elementsEqual([0]) ? nil : String(decoding: $0, as: UTF8.self)
        }
        let position = CursorPosition(isBackward: flags & 1 != 0, isInclusive: flags & 2 != 0, values: values)
        let sealed = signer.seal(position, binding: own)
        try expect(try open(sealed, own, keys: values.count) == position, "a position does not come back: \(position)")
        try expect(
            try open(sealed, binding(statuses: ["PENDING", "DONE"]), keys: values.count) == position,
            "the order of a filter's values counts"
        )
        try expect(try open(sealed, own, keys: values.count + 1) == nil, "opens for more keys")
        for other in others {
            try expect(try open(sealed, other, keys: values.count) == nil, "opens for another query")
        }
        try expect((try? otherSigner.open(sealed, binding: own, keys: values.count)) == nil, "opens with another key")
        var chooser = Chooser(bytes)
        let edited = String(decoding: changed(Array(sealed.utf8), &chooser), as: UTF8.self)
        try expect(
            try open(edited, own, keys: values.count) == nil,
            "opens what was edited: \(edited), sealed as \(sealed)"
        )
        for padded in [sealed + "=", sealed + "A", " " + sealed, sealed + "\n"] {
            try expect(try open(padded, own, keys: values.count) == nil, "opens another spelling")
        }
    }

    /// Any bytes under a good tag: what opens is the same once it has been sealed again.
    private static func judgePayload(_ payload: [UInt8]) throws {
        var code = HMAC<SHA256>(key: SymmetricKey(data: key))
        code.update(data: own.digest)
        code.update(data: payload)
        let sealed = Base64.url(payload + Array(code.finalize().prefix(16)))
        for keys in 1...3 {
            guard let position = try open(sealed, own, keys: keys) else { continue }
            try expect(position.values.count == keys, "opens for another number of keys: \(position) for \(keys)")
            let again = signer.seal(position, binding: own)
            try expect(try open(again, own, keys: keys) == position, "a position does not come back: \(position)")
        }
    }
}

/// Base64url once more, by another way than the product's.
enum Base64 {
    static func url(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0...group.count { text.append(alphabet[bits >> (18 - 6 * place) & 63]) }
        }
        return text
    }
}
