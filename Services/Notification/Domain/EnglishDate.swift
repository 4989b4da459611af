import Chronology
import Foundation

/// Dates as the mails write them. The texts are English, whatever the locale of the machine.
enum EnglishDate {
    private static let weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Tue, 1 Dec 2026`, for a moment with the time and the zone: `Tue, 1 Dec 2026 09:30 (Europe/Berlin)`.
    static func text(_ date: DueDate, in zone: TimeZone) -> String {
        switch date {
        case .day(let day): text(day)
        case .moment(let moment): text(moment, in: zone)
        }
    }

    /// `Tue, 1 Dec 2026 09:30 (Europe/Berlin)`.
    static func text(_ moment: Timestamp, in zone: TimeZone) -> String {
        let minute = twoDigits(minuteOfDay(moment, zone) % 60)
        let name = zone.identifier == "GMT" ? "UTC" : zone.identifier
        return "\(text(moment.civilDate(in: zone))) \(twoDigits(moment.hour(in: zone))):\(minute) (\(name))"
    }

    /// `Tue, 1 Dec 2026`.
    static func text(_ day: CivilDate) -> String {
        let (year, month, dayOfMonth) = day.components
        return "\(weekday(day)), \(dayOfMonth) \(months[month - 1]) \(year)"
    }

    /// The `Date` header, RFC 5322 section 3.3: `Tue, 01 Dec 2026 09:30:00 +0000`.
    static func header(_ moment: Timestamp) -> String {
        let day = moment.civilDate(in: .gmt)
        let (year, month, dayOfMonth) = day.components
        let second = Int(((moment.seconds % 60) + 60) % 60)
        return "\(weekday(day)), \(twoDigits(dayOfMonth)) \(months[month - 1]) \(year) "
            + "\(twoDigits(moment.hour(in: .gmt))):\(twoDigits(minuteOfDay(moment, .gmt) % 60)):\(twoDigits(second)) +0000"
    }

    private static func weekday(_ day: CivilDate) -> String {
        // 1970-01-01 was a Thursday.
        weekdays[((day.daysSinceEpoch + 3) % 7 + 7) % 7]
    }

    private static func minuteOfDay(_ moment: Timestamp, _ zone: TimeZone) -> Int {
        let offset = zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(moment.seconds)))
        let local = moment.seconds + Int64(offset)
        return Int(((local % 86_400) + 86_400) % 86_400) / 60
    }

    private static func twoDigits(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }
}
