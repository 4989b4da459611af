/// An address as HTML's `input type=email` takes it, without the marks that mean something in a URL (`/ ? # %`),
/// since addresses stand in paths. The same grammar as at sign-up.
struct EmailAddress: Sendable, Hashable {
    /// As typed.
    let text: String

    /// At most 254 ASCII characters; nil for anything else.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard
            bytes.count <= EmailAddress.maximumLength, let at = bytes.lastIndex(of: UInt8(ascii: "@")), at > 0,
            bytes[..<at].allSatisfy(EmailAddress.isLocal)
        else { return nil }
        let labels = bytes[(at + 1)...].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.allSatisfy(EmailAddress.isLabel) else { return nil }
        self.text = text
    }

    /// Of an address, in characters.
    static let maximumLength = 254

    /// What addresses are compared by: ASCII letters in lower case. Nothing else is folded, so that no letter of
    /// another script (a Kelvin sign) ever finds somebody's address.
    static func key(_ text: String) -> String {
        String(decoding: text.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    private static func isLocal(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || Array(".!$&'*+=^_`{|}~-".utf8).contains(byte)
    }

    private static func isLabel(_ label: ArraySlice<UInt8>) -> Bool {
        guard (1...63).contains(label.count), let first = label.first, let last = label.last else { return false }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }
}
