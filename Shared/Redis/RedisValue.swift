/// An answer of the server (RESP2).
public enum RedisValue: Sendable, Hashable {
    /// No such thing, or nothing came in time.
    case null
    /// A number.
    case integer(Int64)
    /// A simple or bulk string.
    case bytes([UInt8])
    /// Answers within an answer.
    case array([RedisValue])
    /// An error answer to one command of a pipeline.
    case error(String)

    /// The text of a string, decoded as UTF-8; nil for anything else.
    public var string: String? {
        if case .bytes(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { nil }
    }

    /// The number of an integer, or of a string that is one in decimal; nil for anything else.
    public var integer: Int64? {
        switch self {
        case .integer(let value): value
        case .bytes: string.flatMap { Int64($0) }
        case .null, .array, .error: nil
        }
    }

    /// The elements of an array; nil for anything else.
    public var elements: [RedisValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The message of an error; nil for anything else.
    public var errorMessage: String? {
        if case .error(let message) = self { message } else { nil }
    }
}

/// Why a command got no useful answer.
public struct RedisError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The kinds.
    public struct Code: Sendable, Hashable {
        enum Base: Sendable, Hashable {
            case unavailable
            case timeout
            case server
        }
        let base: Base
        /// No connection, or it broke before the answer; whether the command took effect is not known.
        public static let unavailable = Code(base: .unavailable)
        /// No answer in time; whether the command took effect is not known.
        public static let timeout = Code(base: .timeout)
        /// The server answered with an error.
        public static let server = Code(base: .server)
    }
    /// The kind.
    public let code: Code
    /// The server's words; for logs only.
    public let message: String

    /// An error with these values.
    public init(_ code: Code, message: String) {
        self.code = code
        self.message = message
    }

    /// True where the server is missing rather than the command wrong.
    public var isUnavailability: Bool { code != .server }

    /// Says nothing of hosts or data.
    public var description: String { "RedisError" }

    /// Says all.
    public var debugDescription: String { "RedisError \(code.base): \(message)" }
}

/// One command, its name and arguments as bytes.
public struct RedisCommand: Sendable {
    /// Name first.
    public var arguments: [[UInt8]]

    /// A command of text arguments.
    public init(_ arguments: String...) { self.arguments = arguments.map { Array($0.utf8) } }

    /// A command of text arguments.
    public init(_ arguments: [String]) { self.arguments = arguments.map { Array($0.utf8) } }

    /// A command of arguments of any bytes.
    public init(bytes arguments: [[UInt8]]) { self.arguments = arguments }
}
