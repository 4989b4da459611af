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
    public var description: String {
        let day =
            microseconds >= 0 ? microseconds / 86_400_000_000 : -((-microseconds + 86_399_999_999) / 86_400_000_000)
        var rest = microseconds - day * 86_400_000_000
        let fraction = rest % 1_000_000
        rest /= 1_000_000
        let date = CivilDate(daysSinceEpoch: Int(day))
        return "\(date)T\(padded(rest / 3600, 2)):\(padded(rest / 60 % 60, 2)):\(padded(rest % 60, 2))"
            + ".\(padded(fraction, 6))Z"
    }

    /// Reads an RFC 3339 date-time, section 5.6: an offset is required, digits beyond the microsecond are cut off.
    ///
    /// Nil for anything else, days that do not exist, a leap second and years outside 1...9999 among them.
    public init?(_ text: String) {
        var scanner = DigitScanner(text)
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
        if !(scanner.skip("Z") || scanner.skip("z")) {
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

/// `number` in decimal with leading zeros up to `width` digits.
func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(number)
    return digits.utf8.count >= width ? digits : String(repeating: "0", count: width - digits.utf8.count) + digits
}

/// Reads fixed-width decimal numbers and single marks from ASCII text.
struct DigitScanner {
    private var rest: Substring.UTF8View

    init(_ text: String) { rest = text[...].utf8 }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ mark: Unicode.Scalar) -> Bool {
        guard let first = rest.first, UInt32(first) == mark.value else { return false }
        rest.removeFirst()
        return true
    }

    mutating func number(_ width: Int) -> Int? {
        var value = 0
        for _ in 0..<width {
            guard let byte = rest.first, (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
            rest.removeFirst()
        }
        return value
    }

    /// One or more digits as microseconds.
    mutating func fraction() -> Int? {
        var value = 0
        var digits = 0
        while let byte = rest.first, (0x30...0x39).contains(byte) {
            if digits < 6 { value = value * 10 + Int(byte - 0x30) }
            digits += 1
            rest.removeFirst()
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
