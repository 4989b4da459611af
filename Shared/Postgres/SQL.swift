public import Identity

/// A statement whose interpolated values are bound, never pasted.
///
/// ```swift
/// let sql: SQL = "SELECT name FROM project WHERE organization_id = \(organization) AND id = \(id)"
/// let both: SQL = "\(sql) AND deleted_at IS NULL"          // a fragment is spliced, its values stay bound
/// ```
/// `\(unsafe: text)` pastes text as it is: only for names that come from our own source.
public struct SQL: Sendable, ExpressibleByStringInterpolation {
    enum Piece: Sendable {
        case text(String)
        case value(SQLParameter)
        /// Stands in every condition, and there is only one in a statement: written out once, and one value to the server.
        case organization(OrganizationID)
    }

    var pieces: [Piece] = []

    /// A statement without values.
    public init(stringLiteral value: String) { pieces = [.text(value)] }

    /// A statement with the values of its interpolations.
    public init(stringInterpolation interpolation: StringInterpolation) { pieces = interpolation.pieces }

    /// Pastes text that is not bound; never with anything from outside.
    public init(unsafe text: String) { pieces = [.text(text)] }

    /// The fragments with `separator` between them.
    public static func joined(_ fragments: [SQL], separator: String) -> SQL {
        var result = SQL(unsafe: "")
        for (index, fragment) in fragments.enumerated() {
            if index > 0 { result.pieces.append(.text(separator)) }
            result.pieces += fragment.pieces
        }
        return result
    }

    /// One after the other.
    public static func + (left: SQL, right: SQL) -> SQL {
        var result = left
        result.pieces += right.pieces
        return result
    }

    /// Collects the pieces of a literal.
    public struct StringInterpolation: StringInterpolationProtocol {
        var pieces: [Piece] = []

        /// Nothing collected yet.
        public init(literalCapacity: Int, interpolationCount: Int) {
            pieces.reserveCapacity(2 * interpolationCount + 1)
        }

        /// Takes over the text between values.
        public mutating func appendLiteral(_ literal: String) {
            if !literal.isEmpty { pieces.append(.text(literal)) }
        }

        /// Binds a value.
        public mutating func appendInterpolation(_ value: some SQLEncodable) {
            pieces.append(.value(value.sqlParameter))
        }

        /// Binds the organization.
        public mutating func appendInterpolation(_ value: OrganizationID) { pieces.append(.organization(value)) }

        /// Binds a value or NULL. Beside the general form because the compiler warns of an optional in any other.
        public mutating func appendInterpolation(_ value: (some SQLEncodable)?) {
            pieces.append(.value(value.sqlParameter))
        }

        /// Splices a fragment.
        public mutating func appendInterpolation(_ fragment: SQL) { pieces += fragment.pieces }

        /// Pastes text as it is; only for names of our own.
        public mutating func appendInterpolation(unsafe text: String) { pieces.append(.text(text)) }
    }
}

/// A statement as it is sent: text with `$1`, `$2` and the values for them.
struct Statement: Sendable {
    let text: String
    let parameters: [SQLParameter]

    init(_ text: String, _ parameters: [SQLParameter] = []) {
        self.text = text
        self.parameters = parameters
    }

    /// U+0000 cannot be stored in Postgres, and in C would end the value early: refused as the server would refuse it.
    func check() throws(PostgresError) {
        for parameter in parameters {
            guard let text = parameter.text, text.utf8.contains(0) else { continue }
            throw PostgresError(.server, sqlState: "22021", message: "a parameter contains U+0000")
        }
    }
}

extension SQL.Piece {
    /// Bytes in the statement's text; a `$` and up to three digits for a value.
    fileprivate var length: Int { if case .text(let part) = self { part.utf8.count } else { 4 } }
}

extension SQL {
    /// The numbered form.
    var statement: Statement {
        if pieces.count == 1, case .text(let text) = pieces[0] { return Statement(text) }
        var text = ""
        text.reserveCapacity(pieces.reduce(0) { $0 + $1.length })
        var parameters: [SQLParameter] = []
        var known: (organization: OrganizationID, number: Int)?
        for piece in pieces {
            switch piece {
            case .text(let part): text += part
            case .value(let parameter):
                parameters.append(parameter)
                text += "$\(parameters.count)"
            case .organization(let organization):
                if known?.organization != organization {
                    parameters.append(organization.sqlParameter)
                    known = (organization, parameters.count)
                }
                text += "$\(known?.number ?? 0)"
            }
        }
        return Statement(text, parameters)
    }
}
