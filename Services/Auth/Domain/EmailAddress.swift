import Failures

/// An e-mail address of the form that HTML's `input type=email` accepts, without `/ ? # %`: addresses stand in paths.
struct EmailAddress: Sendable, Hashable {
    /// As typed.
    let text: String
    /// In lower case; what addresses are compared by. The grammar is ASCII, so this is the same everywhere.
    var key: String { text.lowercased() }

    /// The longest address, in characters (RFC 5321's path less its angle brackets).
    static let maximumLength = 254

    /// Nil for what is not such an address.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count <= EmailAddress.maximumLength, let at = bytes.firstIndex(of: UInt8(ascii: "@")), at > 0 else {
            return nil
        }
        guard bytes[..<at].allSatisfy(EmailAddress.isLocal) else { return nil }
        let labels = bytes[(at + 1)...].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        for label in labels {
            guard
                (1...63).contains(label.count), let first = label.first, let last = label.last,
                EmailAddress.isAlphanumeric(first), EmailAddress.isAlphanumeric(last),
                label.allSatisfy({ EmailAddress.isAlphanumeric($0) || $0 == UInt8(ascii: "-") })
            else { return nil }
        }
        self.text = text
    }

    /// The failure for a text that is no address.
    static func failure(at pointer: String) -> FieldFailure {
        FieldFailure(pointer: pointer, "bad-email", "Give an e-mail address such as ada@example.com.")
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    private static let marks = Set(".!$&'*+=^_`{|}~-".utf8)

    private static func isLocal(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || marks.contains(byte) }
}
