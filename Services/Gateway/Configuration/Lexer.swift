/// A place in a configuration file; both count from 1.
struct SourcePlace: Sendable, Hashable {
    var line: Int
    var column: Int
}

/// A word, a mark or a comment of `gateway.conf`, with its place.
struct Token: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        /// Text without blanks, or whatever stood between quotes.
        case word(String, quoted: Bool)
        case open
        case close
        case newline
        /// With its `#`.
        case comment(String)
        case end
    }
    var kind: Kind
    var place: SourcePlace

    var word: String? {
        if case .word(let text, _) = kind { text } else { nil }
    }
}

/// One thing wrong with a configuration.
struct ConfigurationComplaint: Error, Sendable, Hashable {
    var place: SourcePlace
    var message: String

    init(_ place: SourcePlace, _ message: String) {
        self.place = place
        self.message = message
    }
}

/// Cuts the text of a configuration into tokens; the last one is `.end`.
struct Lexer {
    private var rest: Substring.UnicodeScalarView
    private var place = SourcePlace(line: 1, column: 1)

    init(_ text: String) { rest = text[...].unicodeScalars }

    static func tokens(of text: String) throws(ConfigurationComplaint) -> [Token] {
        var lexer = Lexer(text)
        var tokens: [Token] = []
        repeat { tokens.append(try lexer.next()) } while tokens.last?.kind != .end
        return tokens
    }

    private mutating func advance() -> Unicode.Scalar? {
        guard let scalar = rest.popFirst() else { return nil }
        if scalar == "\n" {
            place = SourcePlace(line: place.line + 1, column: 1)
        } else {
            place.column += 1
        }
        return scalar
    }

    private mutating func next() throws(ConfigurationComplaint) -> Token {
        while let scalar = rest.first, scalar == " " || scalar == "\t" || scalar == "\r" { _ = advance() }
        let start = place
        guard let scalar = rest.first else { return Token(kind: .end, place: start) }
        switch scalar {
        case "\n":
            _ = advance()
            return Token(kind: .newline, place: start)
        case "#":
            var text = ""
            while let next = rest.first, next != "\n" {
                if next != "\r" { try check(next) }
                text.unicodeScalars.append(advance() ?? next)
            }
            while text.last == " " || text.last == "\r" || text.last == "\t" { text.removeLast() }
            return Token(kind: .comment(text), place: start)
        case "\"": return Token(kind: .word(try quoted(from: start), quoted: true), place: start)
        default: return try bare(from: start)
        }
    }

    private mutating func quoted(from start: SourcePlace) throws(ConfigurationComplaint) -> String {
        _ = advance()
        var text = ""
        while let scalar = rest.first {
            if scalar == "\n" || scalar == "\r" { break }
            try check(scalar)
            _ = advance()
            if scalar == "\"" { return text }
            if scalar == "\\" {
                guard let next = advance(), next == "\"" || next == "\\" else {
                    throw ConfigurationComplaint(start, "in quotes a backslash stands before \" or \\ only")
                }
                text.unicodeScalars.append(next)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        throw ConfigurationComplaint(start, "the quotes opened here are not closed on this line")
    }

    private func check(_ scalar: Unicode.Scalar) throws(ConfigurationComplaint) {
        guard scalar == "\t" || (scalar.value >= 0x20 && scalar.value != 0x7F) else {
            throw ConfigurationComplaint(place, "a control character")
        }
    }

    /// A word goes on to the next blank. Braces are marks only when they stand alone, so that `/tasks/{id}` is a word.
    private mutating func bare(from start: SourcePlace) throws(ConfigurationComplaint) -> Token {
        var text = ""
        while let scalar = rest.first, scalar != " ", scalar != "\t", scalar != "\n", scalar != "\r" {
            try check(scalar)
            text.unicodeScalars.append(advance() ?? scalar)
        }
        switch text {
        case "{": return Token(kind: .open, place: start)
        case "}": return Token(kind: .close, place: start)
        default: return Token(kind: .word(text, quoted: false), place: start)
        }
    }
}
