import Chronology
import Foundation
import Identity

/// When a person's daily reminder is due.
struct ReminderSchedule: Sendable, Hashable {
    /// 0...23.
    var hour: Int
    var zone: TimeZone

    /// The first moment of a day at which the person's clocks show the hour or a later one. Where clocks skip the hour
    /// it is the moment they jump, where they show it twice the first time.
    func moment(on day: CivilDate) -> Timestamp {
        let start = day.start(in: zone)
        if start.hour(in: zone) >= hour { return start }
        // Hours before the wanted one, then the wanted one or later: the first later one ends the search, and hours
        // shown again after clocks were set back lie behind it.
        var low = start.seconds
        var high = low
        while Timestamp(seconds: high).hour(in: zone) < hour, high - low < 27 * 3600 {
            low = high
            high += 900
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if Timestamp(seconds: middle).hour(in: zone) >= hour { high = middle } else { low = middle }
        }
        // Clocks that skip the hour by jumping to the next day: the day is judged at its end.
        return min(Timestamp(seconds: high), day.end(in: zone))
    }
}

/// Someone whose day may have to be judged.
struct ReminderCandidate: Sendable {
    var user: UserID
    var schedule: ReminderSchedule
    var preferences: Preferences
}

/// A person's local day.
struct ReminderDay: Sendable, Hashable {
    var user: UserID
    var day: CivilDate
}

/// What one look at an organization decides: whose day is to be judged now, and when to look again.
struct ReminderPlan: Sendable {
    /// Those whose hour has come today and whose today has not been judged.
    var due: [(candidate: ReminderCandidate, day: CivilDate)] = []
    /// Nothing changes before this moment unless people or settings do.
    var next: Timestamp

    /// The most people judged in one transaction; the rest follows in the next one.
    static let batch = 200

    init(_ candidates: [ReminderCandidate], judged: Set<ReminderDay>, now: Timestamp) {
        next = now + .seconds(86_400)
        for candidate in candidates {
            let today = now.civilDate(in: candidate.schedule.zone)
            let moment = candidate.schedule.moment(on: today)
            if judged.contains(ReminderDay(user: candidate.user, day: today)) {
                next = min(next, candidate.schedule.moment(on: today.adding(days: 1)))
            } else if now < moment {
                next = min(next, moment)
            } else if due.count < ReminderPlan.batch {
                due.append((candidate, today))
                next = min(next, candidate.schedule.moment(on: today.adding(days: 1)))
            } else {
                next = now
            }
        }
    }
}

/// An open task that someone collaborates on.
struct OpenTask: Sendable {
    var user: UserID
    var project: ProjectID
    /// Nil while the event that names the project is still on its way.
    var projectName: String?
    var task: TaskID
    var key: String
    var title: String
    var priority: String
    var due: DueDate?
}

/// A task's due date: a day, or a moment.
enum DueDate: Sendable, Hashable {
    case day(CivilDate)
    case moment(Timestamp)

    /// The moment that counts: of a day its last microsecond in the organization's zone.
    func moment(in zone: TimeZone) -> Timestamp {
        switch self {
        case .day(let day): day.end(in: zone)
        case .moment(let moment): moment
        }
    }
}

/// The day's list of one person.
enum Reminder {
    /// How many tasks a mail names; the rest is only counted.
    static let maximumTasks = 100

    /// The tasks by project, within it by priority, HIGH first, and then by due date, those without one last.
    static func groups(
        _ tasks: [OpenTask],
        organizationZone: TimeZone,
        personZone: TimeZone
    ) -> [Letter.TaskGroup] {
        let ranks = ["HIGH": 0, "MEDIUM": 1, "LOW": 2]
        func precedes(_ left: OpenTask, _ right: OpenTask) -> Bool {
            let (leftName, rightName) = ((left.projectName ?? "").lowercased(), (right.projectName ?? "").lowercased())
            if leftName != rightName { return leftName < rightName }
            if left.project != right.project { return left.project < right.project }
            let (leftRank, rightRank) = (ranks[left.priority] ?? 3, ranks[right.priority] ?? 3)
            if leftRank != rightRank { return leftRank < rightRank }
            let leftDue = left.due?.moment(in: organizationZone) ?? .latest
            let rightDue = right.due?.moment(in: organizationZone) ?? .latest
            return leftDue == rightDue ? left.task < right.task : leftDue < rightDue
        }
        var groups: [(project: ProjectID, group: Letter.TaskGroup)] = []
        for task in tasks.sorted(by: precedes).prefix(maximumTasks) {
            let line = Letter.TaskLine(
                key: task.key,
                title: task.title,
                priority: task.priority,
                due: task.due.map { EnglishDate.text($0, in: personZone) }
            )
            if groups.last?.project == task.project {
                groups[groups.count - 1].group.tasks.append(line)
            } else {
                let name = task.projectName ?? String(task.key.prefix { $0 != "-" })
                groups.append((task.project, Letter.TaskGroup(project: name, tasks: [line])))
            }
        }
        return groups.map(\.group)
    }
}
