/// A request's target, cut into path and query after it has been found to be in its one normal form.
///
/// Nothing is ever normalised: what two programs could read in two ways is refused, so that the path that was matched
/// and the path that the service sees cannot differ.
struct RequestTarget: Sendable, Hashable {
    /// As received, percent-encoding included.
    let path: String
    /// After the `?`; nil without one.
    let query: String?

    /// What goes upstream: exactly what was received.
    var text: String { query.map { "\(path)?\($0)" } ?? path }

    /// Reads an origin-form target. Throws the reason for a 400.
    init(_ target: String) throws(TargetComplaint) {
        guard target.utf8.first == UInt8(ascii: "/") else {
            throw TargetComplaint(reason: "The target must begin with a slash.")
        }
        guard !target.utf8.contains(UInt8(ascii: "#")) else {
            throw TargetComplaint(reason: "A fragment is not part of a request.")
        }
        let path: Substring.UTF8View
        if let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) {
            path = target.utf8[..<mark]
            query = String(target[target.utf8.index(after: mark)...])
        } else {
            path = target.utf8[...]
            query = nil
        }
        if let reason = Self.complaint(about: path) { throw TargetComplaint(reason: reason) }
        self.path = String(Substring(path))
    }

    /// The segments of the path, without the empty one after a trailing slash.
    var segments: [Substring] { path.split(separator: "/") }

    static func complaint(aboutPath path: String) -> String? { complaint(about: path.utf8[...]) }

    private static func complaint(about path: Substring.UTF8View) -> String? {
        var rest = path
        var segment: [UInt8] = []
        var isFirst = true
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "/"):
                if !isFirst, segment.isEmpty { return "The path has an empty segment." }
                if isDots(segment) { return "The path has a dot segment." }
                segment.removeAll(keepingCapacity: true)
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst().flatMap(hex), let low = rest.popFirst().flatMap(hex) else {
                    return "The path has a broken percent-encoding."
                }
                if let reason = complaint(aboutEncoded: high << 4 | low) { return reason }
                segment.append(UInt8(ascii: "%"))
            case UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "^"),
                UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"):
                return "The path has a character that must be percent-encoded."
            case 0x21...0x7E: segment.append(byte)
            default: return "The path has a character that must be percent-encoded."
            }
            isFirst = false
        }
        return isDots(segment) ? "The path has a dot segment." : nil
    }

    private static func complaint(aboutEncoded byte: UInt8) -> String? {
        switch byte {
        case 0x00...0x1F, 0x7F: "The path has an encoded control character."
        case UInt8(ascii: "/"), UInt8(ascii: "\\"): "The path has an encoded slash."
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            "The path encodes a character that stands for itself."
        default: nil
        }
    }

    private static func isDots(_ segment: [UInt8]) -> Bool {
        let dot = UInt8(ascii: ".")
        return segment == [dot] || segment == [dot, dot]
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}

/// Why a target is answered with 400.
struct TargetComplaint: Error, Hashable {
    var reason: String
}
