/// Reads the values of directives. Units are never guessed: a bare number of bytes or seconds is a complaint.
enum ConfigurationValue {
    /// `16KiB`, `6MiB`, `512B`.
    static func bytes(_ token: Token) throws(ConfigurationComplaint) -> Int {
        try scaled(token, [("KiB", 1024), ("MiB", 1_048_576), ("GiB", 1_073_741_824), ("B", 1)], "16KiB or 6MiB")
    }

    /// `200ms`, `10s`, `5m`, `1h`.
    static func duration(_ token: Token) throws(ConfigurationComplaint) -> Duration {
        .milliseconds(try scaled(token, [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)], "10s or 5m"))
    }

    /// `1KiB/s`, in bytes a second.
    static func byteRate(_ token: Token) throws(ConfigurationComplaint) -> Int {
        let word = token.word ?? ""
        guard word.hasSuffix("/s") else {
            throw ConfigurationComplaint(token.place, "\"\(word)\" has no unit: write it like 1KiB/s")
        }
        return try bytes(Token(kind: .word(String(word.dropLast(2)), quoted: false), place: token.place))
    }

    /// What a token has to say in a claim: no token says nothing.
    static func claim(_ token: Token) throws(ConfigurationComplaint) -> String {
        guard let word = token.word, !word.isEmpty else {
            throw ConfigurationComplaint(token.place, "an empty value would refuse every token")
        }
        return word
    }

    /// A whole number of at least 1.
    static func count(_ token: Token) throws(ConfigurationComplaint) -> Int {
        guard let word = token.word, let number = digits(word), number >= 1 else {
            throw ConfigurationComplaint(token.place, "\"\(token.word ?? "")\" is not a whole number of at least 1")
        }
        return number
    }

    /// `20/min`, `10/h`, `5/s`.
    static func rate(_ token: Token) throws(ConfigurationComplaint) -> (count: Int, window: Duration) {
        let word = token.word ?? ""
        let parts = word.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let windows: [String: Duration] = ["s": .seconds(1), "min": .seconds(60), "h": .seconds(3600)]
        guard parts.count == 2, let count = digits(parts[0]), count >= 1, let window = windows[parts[1]] else {
            throw ConfigurationComplaint(token.place, "\"\(word)\" is no rate: write it like 20/min, 10/h or 5/s")
        }
        return (count, window)
    }

    /// `host:port`, `[v6]:port`.
    static func address(_ token: Token) throws(ConfigurationComplaint) -> ListenAddress {
        guard let word = token.word, let address = ListenAddress(word) else {
            throw ConfigurationComplaint(token.place, "\"\(token.word ?? "")\" is no host:port")
        }
        return address
    }

    /// One of a few words.
    static func choice<Choice: RawRepresentable & CaseIterable>(
        _ token: Token,
        _ type: Choice.Type
    ) throws(ConfigurationComplaint) -> Choice where Choice.RawValue == String {
        let word = token.word ?? ""
        guard let choice = Choice(rawValue: word) else {
            let all = Choice.allCases.map(\.rawValue)
            throw ConfigurationComplaint(
                token.place,
                "\"\(word)\" is none of \(all.joined(separator: ", "))" + Suggestion.text(for: word, among: all)
            )
        }
        return choice
    }

    /// A fixed word of a directive: the `by` of `rate`.
    static func keyword(_ token: Token, _ expected: String) throws(ConfigurationComplaint) {
        guard token.word == expected else {
            throw ConfigurationComplaint(token.place, "expected \"\(expected)\" instead of \"\(token.word ?? "")\"")
        }
    }

    /// Letters, digits, `-` and `_`.
    static func name(_ token: Token) throws(ConfigurationComplaint) -> String {
        let word = token.word ?? ""
        let good = word.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D
                || $0 == 0x5F
        }
        guard good, !word.isEmpty else {
            throw ConfigurationComplaint(token.place, "\"\(word)\" is no name: letters, digits, - and _ only")
        }
        return word
    }

    static func digits(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 9, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }

    private static func scaled(
        _ token: Token,
        _ units: [(String, Int)],
        _ example: String
    ) throws(ConfigurationComplaint) -> Int {
        let word = token.word ?? ""
        let number = word.prefix { ("0"..."9").contains($0) }
        let unit = word.dropFirst(number.count)
        guard let value = digits(String(number)) else {
            throw ConfigurationComplaint(token.place, "\"\(word)\" is no amount: write it like \(example)")
        }
        guard !unit.isEmpty else {
            throw ConfigurationComplaint(token.place, "\"\(word)\" has no unit: write it like \(example)")
        }
        guard let scale = units.first(where: { $0.0 == unit })?.1 else {
            throw ConfigurationComplaint(
                token.place,
                "unknown unit \"\(unit)\"" + Suggestion.text(for: String(unit), among: units.map(\.0))
            )
        }
        guard value > 0 else { throw ConfigurationComplaint(token.place, "it must be more than 0") }
        return value * scale
    }
}
