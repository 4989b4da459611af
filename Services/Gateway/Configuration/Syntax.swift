import ServiceKit

/// How many words follow a directive's name.
enum DirectiveShape: Sendable, Hashable {
    /// Exactly so many.
    case words(Int)
    /// Words in capitals, up to the first that is not or the end of the line: `GET POST`.
    case capitals
    /// One word, and as many more as commas say: `user, organization`.
    case commas
    /// All words up to the end of the line or a brace.
    case line
}

/// A directive that may stand in a block.
struct DirectiveForm: Sendable {
    var shape: DirectiveShape
    /// The kind of block that follows, if one does.
    var block: BlockKind?
    /// Whether it may stand more than once.
    var repeats: Bool

    init(_ shape: DirectiveShape, block: BlockKind? = nil, repeats: Bool = false) {
        self.shape = shape
        self.block = block
        self.repeats = repeats
    }
}

/// The kinds of blocks and the directives that each knows.
enum BlockKind: String, Sendable {
    case file
    case limits
    case jwt
    case upstream
    case route

    var forms: [String: DirectiveForm] {
        switch self {
        case .file: Self.fileForms
        case .limits: Self.limitForms
        case .jwt: Self.tokenForms
        case .upstream: Self.upstreamForms
        case .route: Self.routeForms
        }
    }

    private static let fileForms: [String: DirectiveForm] = [
        "listen": .init(.words(1)), "admin": .init(.words(1)), "trusted_proxies": .init(.line),
        "limits": .init(.words(0), block: .limits), "jwt": .init(.words(0), block: .jwt),
        "upstream": .init(.words(1), block: .upstream, repeats: true), "rate": .init(.line, repeats: true),
        "route": .init(.words(1), block: .route, repeats: true),
    ]
    private static let limitForms: [String: DirectiveForm] = [
        "header_bytes": .init(.words(1)), "header_count": .init(.words(1)), "line_bytes": .init(.words(1)),
        "header_timeout": .init(.words(1)), "body_timeout": .init(.words(1)), "idle_timeout": .init(.words(1)),
        "min_rate": .init(.words(1)), "connections": .init(.words(1)), "connections_per_address": .init(.words(1)),
    ]
    private static let tokenForms: [String: DirectiveForm] = [
        "issuer": .init(.words(1)), "audience": .init(.words(1)), "jwks": .init(.words(1)),
        "algorithms": .init(.capitals), "leeway": .init(.words(1)),
    ]
    private static let upstreamForms: [String: DirectiveForm] = [
        "server": .init(.words(1), repeats: true), "connect": .init(.words(1)), "timeout": .init(.words(1)),
        "max_in_flight": .init(.words(1)), "queue": .init(.words(1)), "eject": .init(.words(5)),
        "health": .init(.words(4)),
    ]
    private static let routeForms: [String: DirectiveForm] = [
        "methods": .init(.capitals), "to": .init(.words(1)), "auth": .init(.words(1)), "limit": .init(.commas),
        "body": .init(.words(1)), "timeout": .init(.words(1)), "cache": .init(.words(1)),
        "retry": .init(.line), "log_path": .init(.words(1)),
    ]
}

/// A directive with its words and, for some, its block.
struct Statement: Sendable {
    var name: Token
    var arguments: [Token]
    var block: [Statement]?

    var word: String { name.word ?? "" }
    var place: SourcePlace { name.place }
}

/// Puts tokens together to statements; knows which directives there are but not what their words mean.
struct SyntaxParser {
    private let tokens: [Token]
    private var index = 0

    static func statements(of tokens: [Token]) throws(ConfigurationComplaint) -> [Statement] {
        var parser = SyntaxParser(
            tokens: tokens.filter { if case .comment = $0.kind { false } else { true } }
        )
        return try parser.statements(in: .file, opened: nil)
    }

    private init(tokens: [Token]) { self.tokens = tokens }

    private var current: Token { tokens[index] }

    private mutating func statements(
        in kind: BlockKind,
        opened: SourcePlace?
    ) throws(ConfigurationComplaint) -> [Statement] {
        var statements: [Statement] = []
        var seen: [String: SourcePlace] = [:]
        while true {
            switch current.kind {
            case .newline, .comment: index += 1
            case .end:
                guard let opened else { return statements }
                throw ConfigurationComplaint(opened, "this block is not closed: a } is missing")
            case .close:
                guard opened != nil else { throw ConfigurationComplaint(current.place, "there is no block to close") }
                index += 1
                return statements
            case .open: throw ConfigurationComplaint(current.place, "no directive before this {")
            case .word(let name, let quoted):
                guard !quoted, let form = kind.forms[name] else { throw unknown(name, in: kind) }
                if !form.repeats, let first = seen[name] {
                    throw ConfigurationComplaint(current.place, "\(name) is already given in line \(first.line)")
                }
                seen[name] = current.place
                statements.append(try statement(form, in: kind))
            }
        }
    }

    private func unknown(_ name: String, in kind: BlockKind) -> ConfigurationComplaint {
        let known = kind.forms.keys
        let place = kind == .file ? "" : " in \(kind.rawValue)"
        return ConfigurationComplaint(
            current.place,
            "unknown directive \"\(name)\"\(place)" + Suggestion.text(for: name, among: known)
        )
    }

    private mutating func statement(_ form: DirectiveForm, in kind: BlockKind) throws(ConfigurationComplaint)
        -> Statement
    {
        let name = current
        index += 1
        let arguments = try arguments(form.shape, of: name)
        for argument in arguments {
            if let word = argument.word, word.contains("${") {
                throw ConfigurationComplaint(
                    argument.place,
                    "${NAME} is for secrets, and \(name.word ?? "") holds none: write the value"
                )
            }
        }
        guard let block = form.block else { return Statement(name: name, arguments: arguments, block: nil) }
        guard current.kind == .open else {
            throw ConfigurationComplaint(current.place, "expected { after \(name.word ?? "")")
        }
        index += 1
        guard current.kind == .newline || current.kind == .close else {
            throw ConfigurationComplaint(current.place, "a line ends after {")
        }
        return Statement(name: name, arguments: arguments, block: try statements(in: block, opened: name.place))
    }

    private mutating func arguments(
        _ shape: DirectiveShape,
        of name: Token
    ) throws(ConfigurationComplaint) -> [Token] {
        var arguments: [Token] = []
        switch shape {
        case .words(let count):
            while arguments.count < count {
                guard current.word != nil else {
                    let expected = count == 1 ? "a value" : "\(count) words"
                    throw ConfigurationComplaint(current.place, "\(name.word ?? "") wants \(expected)")
                }
                arguments.append(current)
                index += 1
            }
        case .capitals:
            while let word = current.word,
                word.unicodeScalars.allSatisfy({ ("A"..."Z").contains($0) }) || arguments.isEmpty
            {
                arguments.append(current)
                index += 1
            }
        case .commas:
            var more = true
            while more, let word = current.word {
                more = word.hasSuffix(",")
                var token = current
                token.kind = .word(more ? String(word.dropLast()) : word, quoted: false)
                arguments.append(token)
                index += 1
            }
            if more, !arguments.isEmpty {
                throw ConfigurationComplaint(current.place, "a word is missing after the comma")
            }
        case .line:
            while current.word != nil {
                arguments.append(current)
                index += 1
            }
        }
        guard !arguments.isEmpty || shape == .words(0) else {
            throw ConfigurationComplaint(current.place, "\(name.word ?? "") wants a value")
        }
        return arguments
    }
}

/// Finds the word that was probably meant.
enum Suggestion {
    /// ` (did you mean "x"?)`, or nothing.
    static func text(for word: String, among known: some Sequence<String>) -> String {
        let typed = Array(word.lowercased().unicodeScalars.prefix(64))
        let best = known.map { (Spelling.distance(typed, Array($0.lowercased().unicodeScalars)), $0) }.min { $0 < $1 }
        guard let best, best.0 <= max(1, min(3, typed.count / 2)) else { return "" }
        return " (did you mean \"\(best.1)\"?)"
    }
}
