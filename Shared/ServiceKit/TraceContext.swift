import Synchronization

/// W3C trace context: which trace a piece of work belongs to, and which span of it this is.
///
/// Kept as the `traceparent` that says so: that is all a request needs, and one text is made where four were.
public struct TraceContext: Sendable, Hashable, CustomStringConvertible {
    /// The `traceparent` that says this, version 00.
    public let description: String

    /// 32 lower-case hexadecimal digits.
    public var traceID: String { part(3..<35) }
    /// 16 lower-case hexadecimal digits.
    public var spanID: String { part(36..<52) }

    /// A new trace, sampled.
    public init() {
        description = TraceContext.make { room in
            room.writeHex(TraceNumbers.next(), at: 3)
            room.writeHex(TraceNumbers.next(), at: 19)
        }
    }

    /// Reads a `traceparent`; nil for what the specification calls invalid. Later versions are read as version 00,
    /// as it asks.
    public init?(traceparent: String) {
        var traceparent = traceparent
        let description = traceparent.withUTF8 { text -> String? in
            guard TraceContext.isValid(text) else { return nil }
            return TraceContext.make(isSampled: text[54] & 1 == 1) { room in
                for index in 3..<52 { room[index] = text[index] }
            }
        }
        guard let description else { return nil }
        self.description = description
    }

    private init(description: String) { self.description = description }

    /// The same trace, a span of our own.
    public func child() -> TraceContext {
        var parent = description
        return parent.withUTF8 { text in
            TraceContext(
                description: TraceContext.make(isSampled: text[54] & 1 == 1) { room in
                    for index in 3..<35 { room[index] = text[index] }
                }
            )
        }
    }

    /// Version 00 with a new span; `fill` writes the trace, and its own span if it has one.
    private static func make(isSampled: Bool = true, _ fill: (UnsafeMutableBufferPointer<UInt8>) -> Void) -> String {
        String(unsafeUninitializedCapacity: length) { room in
            for (index, byte) in "00-".utf8.enumerated() { room[index] = byte }
            room[35] = UInt8(ascii: "-")
            room.writeHex(TraceNumbers.next(), at: 36)
            room[52] = UInt8(ascii: "-")
            room[53] = UInt8(ascii: "0")
            room[54] = UInt8(ascii: isSampled ? "1" : "0")
            fill(room)
            return length
        }
    }

    private static func isValid(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard text.count >= length, text[2] == 0x2D, text[35] == 0x2D, text[52] == 0x2D else { return false }
        func isHex(_ range: Range<Int>) -> Bool {
            text[range].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        }
        func isZero(_ range: Range<Int>) -> Bool { text[range].allSatisfy { $0 == 0x30 } }
        guard isHex(0..<2), isHex(3..<35), isHex(36..<52), isHex(53..<55), !isZero(3..<35), !isZero(36..<52) else {
            return false
        }
        if text[0] == 0x66, text[1] == 0x66 { return false }
        if text.count == length { return true }
        return !isZero(0..<2) && text[length] == 0x2D
    }

    /// Of version 00.
    private static let length = 55

    private func part(_ range: Range<Int>) -> String {
        let text = description.utf8
        let start = text.index(text.startIndex, offsetBy: range.lowerBound)
        return String(description[start..<text.index(start, offsetBy: range.count)])
    }
}

extension UnsafeMutableBufferPointer<UInt8> {
    /// Writes sixteen lower-case hexadecimal digits.
    fileprivate func writeHex(_ number: UInt64, at start: Int) {
        for index in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: number >> (60 - 4 * UInt64(index))) & 15
            self[start + index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
        }
    }
}

/// Numbers for the ids of traces, spans and requests: unlikely to come twice, and no secret. Asking the system for each
/// took more calls of it than all the rest of a request.
///
/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014) from a seed of the system's:
/// within a process no number comes twice in 2^64.
private enum TraceNumbers {
    private static let state = Atomic<UInt64>(UInt64.random(in: .min ... .max))
    private static let step: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// Never 0, which would be no id.
    static func next() -> UInt64 {
        while true {
            var word = state.wrappingAdd(step, ordering: .relaxed).newValue
            word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            word ^= word >> 31
            if word != 0 { return word }
        }
    }
}

/// `X-Request-Id`: taken over where it has the right form, else made.
public enum RequestIdentifier {
    /// The identifier to use for a request that came with this header.
    public static func accept(_ header: String?) -> String {
        if let header, isValid(header) { return header }
        return make()
    }

    /// 1 to 64 letters, digits and dashes.
    public static func isValid(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                byte == 0x2D || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                    || (0x61...0x7A).contains(byte)
            }
    }

    /// A new one, 32 hexadecimal digits.
    public static func make() -> String {
        String(unsafeUninitializedCapacity: 32) { room in
            room.writeHex(TraceNumbers.next(), at: 0)
            room.writeHex(TraceNumbers.next(), at: 16)
            return 32
        }
    }
}
