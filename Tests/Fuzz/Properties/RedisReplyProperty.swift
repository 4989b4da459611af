@testable import Redis

/// Answers of Redis: however the bytes are cut they are the same answers up to the same fault, and an answer, written
/// again, is the same answer. Commands are read back as the arguments they were made of.
enum RedisReplyProperty {
    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let all = Array(bytes)
        guard !announcesMillions(all) else { return }
        let whole = try replies(in: [all[...]])
        var chooser = Chooser(all)
        for longest in [1, chooser.within(2...24)] {
            let pieces = chooser.pieces(of: all, longest: longest)
            let cut = try replies(in: pieces)
            try expect(cut.values == whole.values, "other answers in pieces: \(cut.values), \(whole.values) at once")
            try expect(cut.isBroken == whole.isBroken, "a fault depends on how the bytes are cut")
        }
        for value in whole.values {
            try expect(try replies(in: [written(value)[...]]).values == [value], "a value does not come back: \(value)")
        }
        try judgeCommand(all)
        let made = value(&chooser, depth: 5)
        try expect(try replies(in: [written(made)[...]]).values == [made], "an answer is read as another: \(made)")
    }

    /// An answer made for the occasion; hiredis reads seven levels.
    private static func value(_ chooser: inout Chooser, depth: Int) -> RedisValue {
        switch chooser.below(depth > 0 ? 5 : 4) {
        case 0: return .null
        case 1: return .integer(Int64(truncatingIfNeeded: chooser.next()) >> chooser.below(64))
        case 2: return .bytes(chooser.bytes(chooser.below(9)))
        case 3: return .error("ERR \(chooser.below(1000))")
        default: return .array((0..<chooser.below(4)).map { _ in value(&chooser, depth: depth - 1) })
        }
    }

    /// hiredis makes room for as many elements as an array says it has, up to 16 GiB: nobody but our own Redis could say
    /// so, and what would be found here is known.
    private static func announcesMillions(_ bytes: [UInt8]) -> Bool {
        bytes.split(separator: UInt8(ascii: "*")).dropFirst(bytes.first == UInt8(ascii: "*") ? 0 : 1)
            .contains { $0.prefix { (0x30...0x39).contains($0) }.count > 6 }
    }

    private static func replies(in pieces: [ArraySlice<UInt8>]) throws -> (values: [RedisValue], isBroken: Bool) {
        guard let parser = ReplyParser() else { throw Violation("no memory") }
        var values: [RedisValue] = []
        for piece in pieces {
            do {
                try withExactCopy(of: piece) { try parser.feed(UnsafeRawBufferPointer($0)) }
                while let value = try parser.next() { values.append(value) }
            } catch {
                return (values, true)
            }
        }
        return (values, false)
    }

    /// As a server of RESP2 writes it.
    private static func written(_ value: RedisValue) -> [UInt8] {
        switch value {
        case .null: Array("$-1\r\n".utf8)
        case .integer(let number): Array(":\(number)\r\n".utf8)
        case .bytes(let bytes): "$\(bytes.count)\r\n".utf8 + bytes + [0x0D, 0x0A]
        case .error(let message): Array("-\(message)\r\n".utf8)
        case .array(let elements): "*\(elements.count)\r\n".utf8 + elements.flatMap(written)
        }
    }

    /// A command has the form of an answer that is an array of strings.
    private static func judgeCommand(_ bytes: [UInt8]) throws {
        let arguments = bytes.split(separator: 0, omittingEmptySubsequences: false).map { Array($0) }
        var sent: [UInt8] = []
        RedisCommand(bytes: arguments).encode(into: &sent)
        RedisCommand(bytes: [bytes]).encode(into: &sent)
        try expect(
            try replies(in: [sent[...]]).values == [.array(arguments.map { .bytes($0) }), .array([.bytes(bytes)])],
            "a command is read as something else"
        )
    }
}
