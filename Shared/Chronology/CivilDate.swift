public import Foundation

/// A day of the Gregorian calendar without a time or a zone, years 1 to 9999: `2026-12-01`.
public struct CivilDate: Hashable, Comparable, Sendable {
    /// Days since 1970-01-01; negative before it.
    public let daysSinceEpoch: Int

    /// The day that many days after 1970-01-01.
    public init(daysSinceEpoch: Int) {
        self.daysSinceEpoch = daysSinceEpoch
    }

    /// Nil if there is no such day.
    public init?(year: Int, month: Int, day: Int) {
        guard (1...9999).contains(year), (1...12).contains(month), day >= 1 else { return nil }
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
        let lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day <= lengths[month - 1] else { return nil }
        // Days from civil, Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        daysSinceEpoch = era * 146_097 + dayOfEra - 719_468
    }

    /// Year, month (1...12) and day of the month (1...31).
    public var components: (year: Int, month: Int, day: Int) {
        // Civil from days, same source; the offset keeps the era positive for all our years.
        let shifted = daysSinceEpoch + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthIndex + 2) / 5 + 1)
    }

    /// Earlier first.
    public static func < (left: CivilDate, right: CivilDate) -> Bool { left.daysSinceEpoch < right.daysSinceEpoch }

    /// The day that many days later.
    public func adding(days: Int) -> CivilDate { CivilDate(daysSinceEpoch: daysSinceEpoch + days) }

    /// The first moment of this day in a zone; where midnight is skipped by a change of clocks, the moment of the change.
    ///
    /// Within the years 1 to 9999 in UTC: the first and the last day of the calendar lie partly outside in some zones.
    public func start(in zone: TimeZone) -> Timestamp { unboundedStart(in: zone).bounded }

    /// The last microsecond of this day in a zone, within the same years.
    public func end(in zone: TimeZone) -> Timestamp {
        Timestamp(microseconds: adding(days: 1).unboundedStart(in: zone).microseconds - 1).bounded
    }

    private func unboundedStart(in zone: TimeZone) -> Timestamp {
        let midnight = Int64(daysSinceEpoch) * 86_400
        // Two offsets can be in force around a change; the earlier moment that is already this day is its start.
        let before = Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(midnight - 86_400))))
        let after = Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(midnight + 86_400))))
        let candidates = [midnight - max(before, after), midnight - min(before, after)]
        for candidate in candidates where Timestamp(seconds: candidate).civilDate(in: zone) == self {
            if Timestamp(seconds: candidate - 1).civilDate(in: zone) < self { return Timestamp(seconds: candidate) }
        }
        // Midnight does not exist: find the first second of the day between the two.
        var low = candidates[0] - 86_400
        var high = candidates[1] + 86_400
        while low < high {
            let middle = low + (high - low) / 2
            if Timestamp(seconds: middle).civilDate(in: zone) >= self { high = middle } else { low = middle + 1 }
        }
        return Timestamp(seconds: low)
    }
}

extension Timestamp {
    fileprivate var bounded: Timestamp { min(max(self, .earliest), .latest) }

    /// The day on which this moment falls in a zone.
    public func civilDate(in zone: TimeZone) -> CivilDate {
        let local = seconds + Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(seconds))))
        return CivilDate(daysSinceEpoch: Int(local >= 0 ? local / 86_400 : -((-local + 86_399) / 86_400)))
    }

    /// The hour of the day, 0...23, at this moment in a zone.
    public func hour(in zone: TimeZone) -> Int {
        let local = seconds + Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(seconds))))
        return Int(((local % 86_400) + 86_400) % 86_400) / 3600
    }
}

extension CivilDate: CustomStringConvertible, LosslessStringConvertible {
    /// ISO 8601: `2026-12-01`.
    public var description: String { ASCII.text(of: 10) { append(to: &$0) } }

    /// Appends the characters of ``description``.
    public func append(to bytes: inout [UInt8]) {
        let (year, month, day) = components
        ASCII.append(year, digits: 4, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        ASCII.append(month, digits: 2, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        ASCII.append(day, digits: 2, to: &bytes)
    }

    /// Reads exactly `YYYY-MM-DD`; nil for anything else or a day that does not exist.
    public init?(_ text: String) {
        var text = text
        guard let date = text.withUTF8({ CivilDate($0) }) else { return nil }
        self = date
    }

    /// Reads exactly `YYYY-MM-DD` in place.
    public init?(_ characters: UnsafeBufferPointer<UInt8>) {
        var scanner = DigitScanner(characters)
        guard let date = scanner.date(), scanner.isAtEnd else { return nil }
        self = date
    }
}

extension CivilDate: Codable {
    /// From `YYYY-MM-DD`.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let date = CivilDate(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not a date YYYY-MM-DD")
            )
        }
        self = date
    }

    /// As `YYYY-MM-DD`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
