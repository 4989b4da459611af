import Chronology
import Foundation

/// What "today" and "passed" mean for an organization at one moment.
///
/// A civil date stays one and is judged in the organization's zone: as soon as one of two compared dates is civil,
/// days there are compared.
struct OrganizationCalendar: Sendable {
    let zone: TimeZone
    let now: Timestamp

    init(zone: TimeZone, now: Timestamp) {
        self.zone = zone
        self.now = now
    }

    init(zoneName: String, now: Timestamp) {
        self.init(zone: OrganizationCalendar.zone(named: zoneName), now: now)
    }

    /// The zone by its IANA name; UTC for a name that this system does not know.
    static func zone(named name: String) -> TimeZone { TimeZone(identifier: name) ?? .gmt }

    var today: CivilDate { now.civilDate(in: zone) }

    /// The day of a date in the organization's zone.
    func day(of date: TaskDate) -> CivilDate {
        switch date {
        case .day(let day): day
        case .moment(let moment): moment.civilDate(in: zone)
        }
    }

    /// The moment a start compares by: a civil one is the first of its day.
    func startMoment(_ date: TaskDate) -> Timestamp {
        switch date {
        case .day(let day): day.start(in: zone)
        case .moment(let moment): moment
        }
    }

    /// The moment a due date compares by: a civil one is the last microsecond of its day.
    func dueMoment(_ date: TaskDate) -> Timestamp {
        switch date {
        case .day(let day): day.end(in: zone)
        case .moment(let moment): moment
        }
    }

    /// Whether one date comes before another.
    func isBefore(_ left: TaskDate, _ right: TaskDate) -> Bool {
        if case .moment(let leftMoment) = left, case .moment(let rightMoment) = right {
            return leftMoment < rightMoment
        }
        return day(of: left) < day(of: right)
    }

    /// Whether a due date may not be chosen any more: a civil one only when its day is over.
    func isPast(due date: TaskDate) -> Bool {
        switch date {
        case .day(let day): day < today
        case .moment(let moment): moment < now
        }
    }
}
