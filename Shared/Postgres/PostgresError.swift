/// What went wrong with Postgres. `description` says nothing of data, statement or host; `debugDescription` says all.
public struct PostgresError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The kinds; static members so that adding one breaks nobody.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        enum Base: String, Sendable, Hashable {
            case unavailable
            case poolExhausted
            case connectionLost
            case cancelled
            case server
            case decoding
        }
        let base: Base
        /// No connection could be made: the server is down or refuses.
        public static let unavailable = Code(base: .unavailable)
        /// No connection came free before the deadline.
        public static let poolExhausted = Code(base: .poolExhausted)
        /// The connection broke in mid-statement; whether a COMMIT took effect is not known.
        public static let connectionLost = Code(base: .connectionLost)
        /// The Swift task was cancelled.
        public static let cancelled = Code(base: .cancelled)
        /// The server refused the statement; see ``PostgresError/sqlState``.
        public static let server = Code(base: .server)
        /// A column is missing or not of the type asked for.
        public static let decoding = Code(base: .decoding)

        /// The kind's name.
        public var description: String { base.rawValue }
    }

    /// The kind.
    public let code: Code
    /// Five characters, Appendix A of the manual: `23505`.
    public let sqlState: String?
    /// The constraint that was violated: `project_name_key`.
    public let constraint: String?
    /// The server's or libpq's own words; for logs only.
    public let message: String

    /// An error with these values.
    public init(_ code: Code, sqlState: String? = nil, constraint: String? = nil, message: String) {
        self.code = code
        self.sqlState = sqlState
        self.constraint = constraint
        self.message = message
    }

    /// True for 23505, unique_violation, of that constraint or index.
    public func isUniqueViolation(of constraint: String) -> Bool {
        sqlState == "23505" && self.constraint == constraint
    }

    /// True where the dependency is missing rather than the request wrong: answered with 503.
    public var isUnavailability: Bool {
        switch code.base {
        case .unavailable, .poolExhausted, .connectionLost: return true
        case .cancelled, .decoding: return false
        case .server: break
        }
        guard let sqlState else { return false }
        if sqlState.hasPrefix("08") { return true }
        switch sqlState {
        case "57P01", "57P02", "57P03", "57P05": return true  // shutting down, crashed, starting, idle too long
        case "53100", "53200", "53300": return true  // disk full, out of memory, too many connections
        // Statement, lock and idle timeouts; nobody is told of the cancels we send ourselves.
        case "57014", "55P03", "25P03": return true
        case "25006": return true  // read-only: the server has become a standby
        default: return false
        }
    }

    /// True for a statement that the server has ended because it took longer than `statement_timeout` allows.
    public var isTooSlow: Bool { code == .server && sqlState == "57014" }

    /// True for a deadlock or serialization failure: the same transaction, run again, may succeed.
    public var isRetryable: Bool { code == .server && (sqlState == "40001" || sqlState == "40P01") }

    /// The kind and the SQLSTATE, nothing else.
    public var description: String {
        guard let sqlState else { return "PostgresError(\(code))" }
        return "PostgresError(\(code), \(sqlState))"
    }

    /// Everything that is known; may hold data of a row.
    public var debugDescription: String {
        var text = "PostgresError(\(code)"
        if let sqlState { text += ", \(sqlState)" }
        if let constraint { text += ", constraint \(constraint)" }
        return text + "): \(message)"
    }
}
