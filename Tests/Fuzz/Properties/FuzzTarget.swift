import Foundation
import Identity

/// A parser under test: what must hold for whatever bytes it is given.
///
/// The same function judges what libFuzzer makes up (`Tests/Fuzz/fuzz.py`) and what is kept in `Tests/Fuzz/corpus`
/// (the replay in `swift test`).
struct FuzzTarget: Sendable, CustomStringConvertible {
    /// Also the name of its folder in `corpus` and of its file in `dictionaries`.
    let name: String
    /// Throws ``Violation`` if the product breaks a promise. The memory behind the bytes is not ours to read.
    let judge: @Sendable (UnsafeRawBufferPointer) throws -> Void

    var description: String { name }

    static let all: [FuzzTarget] = [
        FuzzTarget(name: "configuration", judge: ConfigurationProperty.judge),
        FuzzTarget(name: "cursor", judge: CursorProperty.judge),
        FuzzTarget(name: "json", judge: JSONProperty.judge),
        FuzzTarget(name: "list-query", judge: ListQueryProperty.judge),
        FuzzTarget(name: "multipart", judge: MultipartProperty.judge),
        FuzzTarget(name: "picture", judge: PictureProperty.judge),
        FuzzTarget(name: "position", judge: PositionProperty.judge),
        FuzzTarget(name: "redis-reply", judge: RedisReplyProperty.judge),
        FuzzTarget(name: "request", judge: RequestProperty.judge),
        FuzzTarget(name: "response", judge: ResponseProperty.judge),
        FuzzTarget(name: "row", judge: RowProperty.judge),
        FuzzTarget(name: "token", judge: TokenProperty.judge),
    ]
}

/// A promise that was not kept.
struct Violation: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Throws ``Violation`` unless `condition` holds.
func expect(_ condition: Bool, _ promise: @autoclosure () -> String) throws {
    if !condition { throw Violation(promise()) }
}

/// SplitMix64 seeded by an input: what else a property needs to choose follows from the input alone, so that the input
/// is all that is kept of a finding.
struct Chooser {
    private var state: UInt64

    init(_ bytes: some Sequence<UInt8>) {
        // FNV-1a: every byte has a say.
        state = bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// 0 ..< `bound`.
    mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() >> 33) % bound }

    mutating func within(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

    /// `bytes` in pieces of 1 to `longest`.
    mutating func pieces(of bytes: [UInt8], longest: Int) -> [ArraySlice<UInt8>] {
        var pieces: [ArraySlice<UInt8>] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let length = within(1...longest)
            pieces.append(rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        return pieces
    }
}

extension UUIDIdentifier {
    /// An id that only its first byte tells from others.
    init(first byte: UInt8) { self.init(UUID(uuid: (byte, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16))) }
}

/// Gives `body` the bytes in memory of exactly their size, so that a look behind them is seen.
func withExactCopy<Bytes: Sequence<UInt8>, Result>(
    of bytes: Bytes,
    _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
) rethrows -> Result {
    let all = Array(bytes)
    let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: all.count)
    defer { room.deallocate() }
    _ = room.initialize(from: all)
    return try body(UnsafeBufferPointer(room))
}

/// The bytes with one of them changed.
func changed(_ bytes: [UInt8], _ chooser: inout Chooser) -> [UInt8] {
    var bytes = bytes
    if !bytes.isEmpty { bytes[chooser.below(bytes.count)] ^= UInt8(chooser.within(1...255)) }
    return bytes
}
