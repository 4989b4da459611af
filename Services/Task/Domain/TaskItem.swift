import Chronology
import Events
import Identity

/// Where a task stands; in the API's order.
enum TaskStatus: String, Sendable, CaseIterable {
    case pending = "PENDING"
    case inProgress = "IN_PROGRESS"
    case completed = "COMPLETED"
    case overdue = "OVERDUE"
    case onHold = "ON_HOLD"
    case cancelled = "CANCELLED"

    /// Whether there is still something to do.
    var isOpen: Bool { self != .completed && self != .cancelled }
}

/// How much a task matters; in ascending order.
enum TaskPriority: String, Sendable, CaseIterable {
    case low = "LOW"
    case medium = "MEDIUM"
    case high = "HIGH"
}

/// A day of the organization's calendar, or a moment.
enum TaskDate: Sendable, Hashable {
    case day(CivilDate)
    case moment(Timestamp)

    /// The form that travels in events.
    var inEvent: EventDate {
        switch self {
        case .day(let day): EventDate(day: day)
        case .moment(let moment): EventDate(moment: moment)
        }
    }
}

/// How a path names a task.
enum TaskReference: Sendable, Hashable, CustomStringConvertible {
    case id(TaskID)
    /// `WEB-42`: the project's key and the number counted there.
    case key(project: String, number: Int64)

    /// As in a path.
    var description: String {
        switch self {
        case .id(let id): id.description
        case .key(let project, let number): "\(project)-\(number)"
        }
    }

    /// Reads `42` or `WEB-42`; nil for anything else.
    init?(_ text: String) {
        if let id = TaskID(text) {
            self = .id(id)
            return
        }
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard
            parts.count == 2, (2...10).contains(parts[0].count), let first = parts[0].first,
            (0x41...0x5A).contains(first),
            parts[0].allSatisfy({ (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) }),
            let key = String(parts[0]), let digits = String(parts[1]), let number = TaskID(digits)
        else { return nil }
        self = .key(project: key, number: number.number)
    }
}

/// A task as it is kept, without its collaborators.
struct TaskItem: Sendable, Hashable {
    var id: TaskID
    var key: String
    var project: ProjectID
    var parent: TaskID?
    var title: String
    var description: String
    var priority: TaskPriority
    var status: TaskStatus
    var start: TaskDate?
    var due: TaskDate?
    var completedAt: Timestamp?
    /// What an overdue task was before.
    var statusBeforeOverdue: TaskStatus?
    /// Whether the overdue clock has had its turn with this due date.
    var isOverdueMarked: Bool
    var createdBy: UserID
    var updatedBy: UserID
    var createdAt: Timestamp
    var updatedAt: Timestamp
    /// Rises whenever an answer about the task would change.
    var version: Int64
    /// Counts the events about the task.
    var revision: Int64
    var deletedAt: Timestamp?
    var deletedBy: UserID?
    /// The parent in whose deletion this task went along.
    var deletedWith: TaskID?

    /// How long it stays in the trash.
    static let trashPeriod = Duration.seconds(30 * 86_400)

    /// What other services keep of it.
    var summary: TaskSummary {
        TaskSummary(
            key: key,
            project: project,
            parent: parent,
            title: title,
            priority: priority.rawValue,
            status: status.rawValue,
            startDate: start?.inEvent,
            dueDate: due?.inEvent,
            createdBy: createdBy
        )
    }

    /// Puts it in a status, with what hangs on that: the moment of completion and the status before overdue.
    mutating func enter(_ next: TaskStatus, at now: Timestamp) {
        guard next != status else { return }
        if next == .completed { completedAt = now }
        if status == .completed { completedAt = nil }
        statusBeforeOverdue = next == .overdue ? status : nil
        status = next
    }

    /// The API's names of the fields in which it differs from an earlier state; text by code point.
    func changes(from old: TaskItem) -> [String] {
        var names: [String] = []
        if !title.utf8.elementsEqual(old.title.utf8) { names.append("title") }
        if !description.utf8.elementsEqual(old.description.utf8) { names.append("description") }
        if priority != old.priority { names.append("priority") }
        if status != old.status { names.append("status") }
        if start != old.start { names.append("start_date") }
        if due != old.due { names.append("due_date") }
        if completedAt != old.completedAt { names.append("completed_date") }
        if parent != old.parent { names.append("parent_task") }
        return names
    }
}
