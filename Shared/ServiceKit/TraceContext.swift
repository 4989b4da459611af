import Synchronization

/// W3C trace context: which trace a piece of work belongs to, and which span of it this is.
public struct TraceContext: Sendable, Hashable, CustomStringConvertible {
    /// 32 lower-case hexadecimal digits.
    public let traceID: String
    /// 16 lower-case hexadecimal digits.
    public let spanID: String
    /// Whether the trace is sampled.
    public let isSampled: Bool

    /// A new trace.
    public init() {
        traceID = TraceContext.random(words: 2)
        spanID = TraceContext.random(words: 1)
        isSampled = true
    }

    private init(traceID: String, spanID: String, isSampled: Bool) {
        self.traceID = traceID
        self.spanID = spanID
        self.isSampled = isSampled
    }

    /// Reads a `traceparent`; nil for what the specification calls invalid. Later versions are read as version 00,
    /// as it asks.
    public init?(traceparent: String) {
        let bytes = Array(traceparent.utf8)
        guard bytes.count >= 55, bytes[2] == 0x2D, bytes[35] == 0x2D, bytes[52] == 0x2D else { return nil }
        func isHex(_ range: Range<Int>) -> Bool {
            bytes[range].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        }
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        guard isHex(0..<2), isHex(3..<35), isHex(36..<52), isHex(53..<55) else { return nil }
        let version = text(0..<2)
        guard version != "ff" else { return nil }
        if version == "00" {
            guard bytes.count == 55 else { return nil }
        } else {
            guard bytes.count == 55 || bytes[55] == 0x2D else { return nil }
        }
        guard bytes[3..<35].contains(where: { $0 != 0x30 }), bytes[36..<52].contains(where: { $0 != 0x30 }) else {
            return nil
        }
        let flags = UInt8(text(53..<55), radix: 16) ?? 0
        self.init(traceID: text(3..<35), spanID: text(36..<52), isSampled: flags & 1 == 1)
    }

    /// The same trace, a span of our own.
    public func child() -> TraceContext {
        TraceContext(traceID: traceID, spanID: TraceContext.random(words: 1), isSampled: isSampled)
    }

    /// The `traceparent` that says this.
    public var description: String { "00-\(traceID)-\(spanID)-\(isSampled ? "01" : "00")" }

    fileprivate static func random(words: Int) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(words * 8)
        for _ in 0..<words {
            withUnsafeBytes(of: TraceNumbers.next()) { bytes += $0 }
        }
        return Hex.encode(bytes)
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
    public static func make() -> String { TraceContext.random(words: 2) }
}
