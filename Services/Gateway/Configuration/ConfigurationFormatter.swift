/// The one layout of `gateway.conf`: four spaces for each block, three between the directives of a line, at most one
/// empty line in a row. Which directives share a line is the author's choice and stays.
enum ConfigurationFormatter {
    static func format(_ text: String) throws(ConfigurationComplaint) -> String {
        let tokens = try Lexer.tokens(of: text)
        // Where a directive begins is what the parser knows; the layout needs nothing else of it.
        var beginnings: Set<SourcePlace> = []
        note(try SyntaxParser.statements(of: tokens), in: &beginnings)

        var lines: [String] = []
        var depth = 0
        for line in tokens.split(omittingEmptySubsequences: false, whereSeparator: { $0.kind == .newline }) {
            if case .close = line.first?.kind { depth -= 1 }
            let written = layout(of: line, beginnings)
            if written.isEmpty {
                if let last = lines.last, !last.isEmpty, !last.hasSuffix("{") { lines.append("") }
            } else {
                if case .close = line.first?.kind, lines.last == "" { lines.removeLast() }
                lines.append(String(repeating: "    ", count: max(0, depth)) + written)
            }
            for token in line {
                if case .open = token.kind { depth += 1 }
                if case .close = token.kind, token.place != line.first?.place { depth -= 1 }
            }
        }
        while lines.last == "" { lines.removeLast() }
        return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
    }

    private static func note(_ statements: [Statement], in beginnings: inout Set<SourcePlace>) {
        for statement in statements {
            beginnings.insert(statement.place)
            note(statement.block ?? [], in: &beginnings)
        }
    }

    private static func layout(of line: ArraySlice<Token>, _ beginnings: Set<SourcePlace>) -> String {
        var written = ""
        for token in line {
            let (separator, text): (String, String)
            switch token.kind {
            case .word(let word, let quoted):
                separator = beginnings.contains(token.place) ? "   " : " "
                text = quoted ? "\"" + escaped(word) + "\"" : word
            case .open: (separator, text) = (" ", "{")
            case .close: (separator, text) = (" ", "}")
            case .comment(let comment): (separator, text) = ("  ", comment)
            case .newline, .end: continue
            }
            written += written.isEmpty ? text : separator + text
        }
        return written
    }

    /// Scalar by scalar, as the lexer reads: a quote with an accent on it is one character, and still a quote.
    private static func escaped(_ word: String) -> String {
        var text = ""
        for scalar in word.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { text.unicodeScalars.append("\\") }
            text.unicodeScalars.append(scalar)
        }
        return text
    }
}
