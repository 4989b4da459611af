/// A header's value with parameters: `form-data; name="profile_img"; filename="me.png"`.
enum HeaderParameters {
    /// The value and the names in lower case; nil if it is not of this form.
    static func parse(_ text: String) -> (value: String, parameters: [(name: String, value: String)])? {
        var rest = text.unicodeScalars[...]
        let value = trimmed(take(&rest) { $0 != ";" }).lowercased()
        var parameters: [(name: String, value: String)] = []
        while rest.popFirst() != nil {
            let name = trimmed(take(&rest) { $0 != "=" && $0 != ";" }).lowercased()
            if rest.first != "=" {
                // A mark at the end with nothing behind it is common and harmless.
                guard name.isEmpty else { return nil }
                continue
            }
            rest.removeFirst()
            _ = take(&rest, while: isSpace)
            if rest.first == "\"" {
                guard let quoted = quoted(&rest) else { return nil }
                parameters.append((name, quoted))
                guard trimmed(take(&rest) { $0 != ";" }).isEmpty else { return nil }
            } else {
                parameters.append((name, trimmed(take(&rest) { $0 != ";" })))
            }
        }
        return (value, parameters)
    }

    /// What stands between quotation marks; nil if the second one is missing.
    private static func quoted(_ rest: inout Substring.UnicodeScalarView) -> String? {
        rest.removeFirst()
        var text = String.UnicodeScalarView()
        while let next = rest.popFirst() {
            if next == "\"" { return String(text) }
            // Only the two that need it are escaped; old browsers put Windows paths in as they are.
            if next == "\\", let escaped = rest.first, escaped == "\"" || escaped == "\\" {
                text.append(escaped)
                rest.removeFirst()
            } else {
                text.append(next)
            }
        }
        return nil
    }

    private static func take(
        _ rest: inout Substring.UnicodeScalarView,
        while isPart: (Unicode.Scalar) -> Bool
    ) -> Substring.UnicodeScalarView {
        let part = rest.prefix(while: isPart)
        rest = rest[part.endIndex...]
        return part
    }

    private static func trimmed(_ part: Substring.UnicodeScalarView) -> String {
        var part = part
        while let first = part.first, isSpace(first) { part.removeFirst() }
        while let last = part.last, isSpace(last) { part.removeLast() }
        return String(part)
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar == " " || scalar == "\t" }
}
