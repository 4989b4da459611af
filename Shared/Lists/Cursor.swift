import Crypto
import Failures
import Identity

/// What a cursor is only good for. It is not part of the cursor but of what its tag is computed over.
struct CursorBinding: Sendable {
    let digest: [UInt8]

    /// `page_size`, `count` and `fields` are left out: they may change from page to page.
    init(
        organization: OrganizationID,
        list: String,
        filters: [(name: String, values: [String])],
        terms: [String],
        order: [SortStep]
    ) {
        var hash = SHA256()
        func add(_ text: String) {
            // The length goes in front, so that no two queries spell the same bytes.
            withUnsafeBytes(of: UInt32(text.utf8.count).littleEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: Array(text.utf8))
        }
        add(organization.description)
        add(list)
        for filter in filters {
            add(filter.name)
            add(String(filter.values.count))
            // "Or" has no order.
            for value in filter.values.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) { add(value) }
        }
        add(String(terms.count))
        for term in terms { add(term) }
        for step in order { add((step.isDescending ? "-" : "+") + step.key.name) }
        digest = Array(hash.finalize())
    }
}

/// A place between two rows of an ordered list, and which way to go from there.
struct CursorPosition: Sendable, Equatable {
    /// Towards the start of the list.
    var isBackward: Bool
    /// Whether the row with exactly these values belongs to the page; only after a page that turned out empty.
    var isInclusive: Bool
    /// The row's sort values in Postgres' text form, nil for NULL.
    var values: [String?]
}

/// Seals cursors with HMAC-SHA-256: `base64url(payload || tag)`.
public struct CursorSigner: Sendable {
    private let key: SymmetricKey
    /// 128 bits: forging is out of reach and the link stays short.
    private static let tagLength = 16

    /// A signer with a key of at least 32 bytes.
    public init(key: [UInt8]) {
        precondition(key.count >= 32, "a cursor key has at least 32 bytes")
        self.key = SymmetricKey(data: key)
    }

    func seal(_ position: CursorPosition, binding: CursorBinding) -> String {
        var payload: [UInt8] = [1, (position.isBackward ? 1 : 0) | (position.isInclusive ? 2 : 0)]
        for value in position.values {
            guard let value else {
                payload += [0xFF, 0xFF]
                continue
            }
            // Sort values are names and dates, far below 64 KiB.
            let bytes = Array(value.utf8)
            payload += [UInt8(truncatingIfNeeded: bytes.count >> 8), UInt8(truncatingIfNeeded: bytes.count)]
            payload += bytes
        }
        return Base64URL.encode(payload + tag(payload, binding))
    }

    /// Throws 400 `bad-cursor` unless this very cursor was sealed for the same organization and query.
    func open(_ text: String, binding: CursorBinding, keys: Int) throws -> CursorPosition {
        guard
            let sealed = Base64URL.decode(text.utf8), sealed.count > CursorSigner.tagLength + 2
        else { throw CursorSigner.refusal }
        let payload = Array(sealed.dropLast(CursorSigner.tagLength))
        guard
            isEqualInConstantTime(tag(payload, binding), Array(sealed.suffix(CursorSigner.tagLength))),
            payload[0] == 1
        else { throw CursorSigner.refusal }
        var position = CursorPosition(
            isBackward: payload[1] & 1 != 0,
            isInclusive: payload[1] & 2 != 0,
            values: []
        )
        var rest = payload[2...]
        while let high = rest.popFirst(), let low = rest.popFirst() {
            let length = Int(high) << 8 | Int(low)
            if length == 0xFFFF {
                position.values.append(nil)
            } else {
                position.values.append(String(decoding: rest.prefix(length), as: UTF8.self))
                rest = rest.dropFirst(length)
            }
        }
        guard position.values.count == keys else { throw CursorSigner.refusal }
        return position
    }

    private static let refusal = Failure(
        .badRequest,
        "bad-cursor",
        "The cursor was not made for this query.",
        fields: [FieldFailure(parameter: "cursor", "bad-cursor", "Take it from `next` or `previous` as it is.")]
    )

    private func tag(_ payload: [UInt8], _ binding: CursorBinding) -> [UInt8] {
        var code = HMAC<SHA256>(key: key)
        code.update(data: binding.digest)
        code.update(data: payload)
        return Array(code.finalize().prefix(CursorSigner.tagLength))
    }
}

private func isEqualInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    var difference: UInt8 = 0
    for (one, other) in zip(left, right) { difference |= one ^ other }
    return difference == 0
}
