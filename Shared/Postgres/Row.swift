import CLibPQ
import Glibc
import Synchronization

/// A result of libpq, freed with the last row that refers to it.
///
/// `@unchecked Sendable`: nothing writes to a PGresult once PQgetResult has returned it. The functions used on it
/// (PQntuples, PQnfields, PQfname, PQgetvalue, PQgetlength, PQgetisnull, PQcmdTuples) only read, and PQclear runs in
/// deinit, when there is no other reference.
@usableFromInline
final class ResultBox: @unchecked Sendable {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { PQclear(pointer) }

    var count: Int { Int(PQntuples(pointer)) }

    /// Where the last column asked for was. Rows are read in the order of their statement, so the next one is mostly
    /// right behind it; only a guess, which any thread may overwrite.
    private let lastColumn = Atomic<Int32>(-1)

    /// The position of a column, its name compared byte by byte; PQfnumber would fold the case and allocate.
    @usableFromInline
    func column(_ name: String) -> Int32? {
        var name = name
        return name.withUTF8 { wanted in
            guard let start = wanted.baseAddress else { return nil }
            let count = PQnfields(pointer)
            var index = lastColumn.load(ordering: .relaxed)
            for _ in 0..<count {
                index = index + 1 < count ? index + 1 : 0
                guard let candidate = PQfname(pointer, index) else { continue }
                let isEqual = start.withMemoryRebound(to: CChar.self, capacity: wanted.count) {
                    strncmp(candidate, $0, wanted.count) == 0
                }
                if isEqual, candidate[wanted.count] == 0 {
                    lastColumn.store(index, ordering: .relaxed)
                    return index
                }
            }
            return nil
        }
    }

    @usableFromInline
    func isNull(row: Int32, column: Int32) -> Bool { PQgetisnull(pointer, row, column) == 1 }

    /// The bytes of a value, only to be used while the box is kept alive.
    @usableFromInline
    func bytes(row: Int32, column: Int32) -> UnsafeBufferPointer<UInt8> {
        let length = Int(PQgetlength(pointer, row, column))
        guard let start = PQgetvalue(pointer, row, column), length > 0 else {
            return UnsafeBufferPointer(start: nil, count: 0)
        }
        return UnsafeBufferPointer(start: UnsafeRawPointer(start).assumingMemoryBound(to: UInt8.self), count: length)
    }
}

/// The rows a statement answered, and how many it changed.
///
/// They are decoded from libpq's own memory when asked for; keeping one row keeps that memory.
public struct Rows: Sendable, RandomAccessCollection {
    /// Rows changed or returned, from the command tag.
    public let affected: Int
    let box: ResultBox?

    init(_ box: ResultBox) {
        self.box = box
        endIndex = box.count
        affected = PQcmdTuples(box.pointer).flatMap { Int(String(cString: $0)) } ?? 0
    }

    /// No rows and nothing changed.
    init() {
        box = nil
        endIndex = 0
        affected = 0
    }

    /// Zero.
    public var startIndex: Int { 0 }
    /// How many rows there are.
    public let endIndex: Int

    /// The row at a position; traps where there is none.
    public subscript(position: Int) -> Row {
        guard let box, position >= 0, position < endIndex else { preconditionFailure("no such row") }
        return Row(box: box, index: Int32(position))
    }

    /// The first word or words of the command tag: `COMMIT`.
    var commandTag: String {
        guard let box, let text = PQcmdStatus(box.pointer) else { return "" }
        return String(cString: text)
    }
}

/// One row. Columns are named as the statement names them.
///
/// What reads values is inlinable: there are a thousand of them in a page, and unspecialized generic code takes longer
/// to find out what it reads than to read it.
public struct Row: Sendable {
    @usableFromInline let box: ResultBox
    @usableFromInline let index: Int32

    @usableFromInline
    init(box: ResultBox, index: Int32) {
        self.box = box
        self.index = index
    }

    /// The column's value; throws ``PostgresError`` if there is no such column, it is NULL or not of the type.
    @inlinable
    public func get<Value: SQLDecodable>(_ column: String, as type: Value.Type = Value.self) throws -> Value {
        guard let value = try decode(column, as: Value.self) else { throw Row.failure("column \(column) is NULL") }
        return value
    }

    /// The column's value or nil for NULL; throws ``PostgresError`` if there is no such column or it is not of the type.
    @inlinable
    public func get<Value: SQLDecodable>(_ column: String, as type: Value?.Type = Value?.self) throws -> Value? {
        try decode(column, as: Value.self)
    }

    /// The text form of the column as bytes, empty for NULL; for JSON that the server has finished.
    public func bytes(_ column: String) throws -> [UInt8] {
        try withUTF8(column) { Array($0) }
    }

    /// Reads the text form of the column in place, empty for NULL. The buffer is gone when `body` returns.
    @inlinable
    public func withUTF8<Result>(
        _ column: String,
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
    ) throws -> Result {
        let position = try position(of: column)
        return try withExtendedLifetime(box) { try body(box.bytes(row: index, column: position)) }
    }

    /// True for NULL.
    public func isNull(_ column: String) throws -> Bool {
        box.isNull(row: index, column: try position(of: column))
    }

    @usableFromInline
    func position(of column: String) throws -> Int32 {
        guard let position = box.column(column) else { throw Row.failure("no column \(column)") }
        return position
    }

    @inlinable @inline(__always)
    func decode<Value: SQLDecodable>(_ column: String, as type: Value.Type) throws -> Value? {
        let position = try position(of: column)
        if box.isNull(row: index, column: position) { return nil }
        let value = withExtendedLifetime(box) { Value(sqlBytes: box.bytes(row: index, column: position)) }
        guard let value else { throw Row.failure("column \(column) is not a \(Value.self)") }
        return value
    }

    @usableFromInline
    static func failure(_ message: String) -> PostgresError { PostgresError(.decoding, message: message) }
}
