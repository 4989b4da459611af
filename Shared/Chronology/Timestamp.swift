/// A moment as microseconds since 1970-01-01T00:00:00Z, the resolution Postgres keeps.
///
/// `Foundation.Date` is a binary fraction of seconds and cannot hold every microsecond of a date a century away;
/// answers must give back the microseconds that came in. Range: years 1 to 9999.
public struct Timestamp: Hashable, Comparable, Sendable {
    /// Microseconds since the Unix epoch; negative before it.
    public var microseconds: Int64

    /// The moment that many microseconds after the Unix epoch.
    public init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// The moment that many whole seconds after the Unix epoch.
    public init(seconds: Int64) {
        self.microseconds = seconds * 1_000_000
    }

    /// Whole seconds since the Unix epoch, rounded down.
    public var seconds: Int64 {
        microseconds >= 0 ? microseconds / 1_000_000 : -((-microseconds + 999_999) / 1_000_000)
    }

    /// Earlier first.
    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

    /// The moment that long after `left`.
    public static func + (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(microseconds: left.microseconds + right.wholeMicroseconds)
    }

    /// The moment that long before `left`.
    public static func - (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(microseconds: left.microseconds - right.wholeMicroseconds)
    }

    /// The time from `right` to `left`; negative if `left` is earlier.
    public static func - (left: Timestamp, right: Timestamp) -> Duration {
        .microseconds(left.microseconds - right.microseconds)
    }
}

extension Duration {
    /// This duration in microseconds, the rest cut off.
    public var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    }
}

extension Timestamp: CustomStringConvertible, LosslessStringConvertible {
    /// RFC 3339 in UTC with six digits of fraction: `2026-12-01T09:30:00.000000Z`.
    public var description: String { ASCII.text(of: 27) { append(to: &$0) } }

    /// Appends the characters of ``description``.
    public func append(to bytes: inout [UInt8]) {
        let day =
            microseconds >= 0 ? microseconds / 86_400_000_000 : -((-microseconds + 86_399_999_999) / 86_400_000_000)
        let rest = microseconds - day * 86_400_000_000
        let seconds = rest / 1_000_000
        let (year, month, dayOfMonth) = CivilDate(daysSinceEpoch: Int(day)).components
        // All at once: a page has some four hundred of these.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 27) { text in
            func put(_ number: Int, at place: Int) {
                text[place] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: number / 10 % 10)
                text[place + 1] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: number % 10)
            }
            _ = text.initialize(fromContentsOf: "0000-00-00T00:00:00.000000Z".utf8)
            put(year / 100, at: 0)
            put(year, at: 2)
            put(month, at: 5)
            put(dayOfMonth, at: 8)
            put(Int(seconds / 3600), at: 11)
            put(Int(seconds / 60 % 60), at: 14)
            put(Int(seconds % 60), at: 17)
            let fraction = Int(rest % 1_000_000)
            put(fraction / 10_000, at: 20)
            put(fraction / 100, at: 22)
            put(fraction, at: 24)
            bytes.append(contentsOf: text)
        }
    }

    /// Reads an RFC 3339 date-time, section 5.6: an offset is required, digits beyond the microsecond are cut off.
    ///
    /// Nil for anything else, days that do not exist, a leap second and years outside 1...9999 among them.
    public init?(_ text: String) {
        var text = text
        guard let moment = text.withUTF8({ Timestamp($0, hasOffset: true) }) else { return nil }
        self = moment
    }

    /// Reads the same form without an offset, meant in UTC: `2026-12-01 09:30:00.5`.
    public init?(utc characters: UnsafeBufferPointer<UInt8>) { self.init(characters, hasOffset: false) }

    private init?(_ characters: UnsafeBufferPointer<UInt8>, hasOffset: Bool) {
        var scanner = DigitScanner(characters)
        guard
            let date = scanner.date(),
            scanner.skip("T") || scanner.skip("t") || scanner.skip(" "),
            let hour = scanner.number(2), hour < 24, scanner.skip(":"),
            let minute = scanner.number(2), minute < 60, scanner.skip(":"),
            let second = scanner.number(2), second < 60
        else { return nil }
        var fraction = 0
        if scanner.skip(".") {
            guard let read = scanner.fraction() else { return nil }
            fraction = read
        }
        var offset = 0
        if hasOffset, !(scanner.skip("Z") || scanner.skip("z")) {
            let negative = scanner.skip("-")
            guard
                negative || scanner.skip("+"),
                let hours = scanner.number(2), hours < 24, scanner.skip(":"),
                let minutes = scanner.number(2), minutes < 60
            else { return nil }
            offset = (hours * 60 + minutes) * (negative ? -60 : 60)
        }
        guard scanner.isAtEnd else { return nil }
        let seconds = date.daysSinceEpoch * 86_400 + hour * 3600 + minute * 60 + second - offset
        let moment = Timestamp(microseconds: Int64(seconds) * 1_000_000 + Int64(fraction))
        guard moment >= .earliest, moment <= .latest else { return nil }
        self = moment
    }

    /// 0001-01-01T00:00:00Z.
    public static let earliest = Timestamp(microseconds: -62_135_596_800_000_000)
    /// 9999-12-31T23:59:59.999999Z.
    public static let latest = Timestamp(microseconds: 253_402_300_799_999_999)
}

extension Timestamp: Codable {
    /// From an RFC 3339 date-time.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let moment = Timestamp(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not an RFC 3339 date-time")
            )
        }
        self = moment
    }

    /// As ``description``.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Decimal numbers of fixed width.
enum ASCII {
    /// `number` in decimal with leading zeros up to `digits`; more if it needs more.
    static func append(_ number: Int, digits: Int, to bytes: inout [UInt8]) {
        if digits == 2, number < 100 {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / 10))
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
            return
        }
        if digits > 2, number < 1_000_000 {
            append(number / 100, digits: digits - 2, to: &bytes)
            append(number % 100, digits: 2, to: &bytes)
            return
        }
        var divisor = 1
        for _ in 1..<digits { divisor *= 10 }
        while number / divisor > 9 { divisor *= 10 }
        while divisor > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }

    /// What `write` appends, as text; `length` is a guess.
    static func text(of length: Int, _ write: (inout [UInt8]) -> Void) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length)
        write(&bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Reads fixed-width decimal numbers and single marks from ASCII text.
struct DigitScanner {
    private let characters: UnsafeBufferPointer<UInt8>
    private var position = 0

    /// The text must stay where it is while it is scanned.
    init(_ characters: UnsafeBufferPointer<UInt8>) { self.characters = characters }

    var isAtEnd: Bool { position == characters.count }

    mutating func skip(_ mark: Unicode.Scalar) -> Bool {
        guard position < characters.count, UInt32(characters[position]) == mark.value else { return false }
        position += 1
        return true
    }

    private mutating func digit() -> Int? {
        guard position < characters.count, (0x30...0x39).contains(characters[position]) else { return nil }
        position += 1
        return Int(characters[position - 1] - 0x30)
    }

    mutating func number(_ width: Int) -> Int? {
        var value = 0
        for _ in 0..<width {
            guard let digit = digit() else { return nil }
            value = value * 10 + digit
        }
        return value
    }

    /// One or more digits as microseconds.
    mutating func fraction() -> Int? {
        var value = 0
        var digits = 0
        while let digit = digit() {
            if digits < 6 { value = value * 10 + digit }
            digits += 1
        }
        guard digits > 0 else { return nil }
        for _ in min(digits, 6)..<6 { value *= 10 }
        return value
    }

    mutating func date() -> CivilDate? {
        guard
            let year = number(4), skip("-"), let month = number(2), skip("-"), let day = number(2)
        else { return nil }
        return CivilDate(year: year, month: month, day: day)
    }
}
