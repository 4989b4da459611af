import Chronology
import Failures
import Identity

/// What a request says of a field that can be empty.
enum FieldEdit<Value: Sendable & Hashable>: Sendable, Hashable {
    case keep
    case clear
    case set(Value)

    /// The value after the edit.
    func applied(to value: Value?) -> Value? {
        switch self {
        case .keep: value
        case .clear: nil
        case .set(let new): new
        }
    }
}

/// What was read from a body, with what is wrong with its form: rules are judged on the rest, and all of it is said
/// at once.
struct ReadFields<Value: Sendable>: Sendable {
    var value: Value
    var failures: [FieldFailure]
}

/// A new task as asked for. What is absent takes its default.
struct TaskDraft: Sendable {
    var title: String?
    var description: String?
    var priority: TaskPriority?
    var status: TaskStatus?
    var start: FieldEdit<TaskDate> = .keep
    var due: FieldEdit<TaskDate> = .keep
    /// E-mail addresses as given; nil if absent or not a list of texts.
    var collaborators: [String]?
    /// The creator too.
    var alsoCollaborator: Bool?
}

/// A change of a task as asked for.
struct TaskEdit: Sendable, Hashable {
    var title: String?
    var description: String?
    var priority: TaskPriority?
    var status: TaskStatus?
    var start: FieldEdit<TaskDate> = .keep
    var due: FieldEdit<TaskDate> = .keep
    var parent: FieldEdit<TaskID> = .keep
}

/// The rules of dates and statuses, as pure functions. Each gives what is wrong, nothing if all is well.
enum TaskRules {
    /// The start of a task that names none: today, of a subtask not before its parent's.
    static func defaultStart(parent: TaskItem?, _ calendar: OrganizationCalendar) -> TaskDate {
        let today = TaskDate.day(calendar.today)
        guard let start = parent?.start, calendar.isBefore(today, start) else { return today }
        return start
    }

    /// Nobody sets OVERDUE by hand; naming it when it is so already sets nothing.
    static func status(_ asked: TaskStatus?, stored: TaskStatus?) -> [FieldFailure] {
        guard asked == .overdue, stored != .overdue else { return [] }
        return [
            FieldFailure(pointer: "/status", "not-settable", "Only the clock marks a task as overdue.")
        ]
    }

    /// Judges the dates of a task that is new (`old` nil) or changed: only what changed is judged. A start that is
    /// only a default, or stays, is not held against a due date that cannot be anyway.
    static func dates(
        start: TaskDate?,
        due: TaskDate?,
        old: TaskItem?,
        startGiven: Bool,
        _ calendar: OrganizationCalendar
    ) -> [FieldFailure] {
        let startChanged = old.map { $0.start != start } ?? true
        let dueChanged = old.map { $0.due != due } ?? true
        guard let due else { return [] }
        var failures: [FieldFailure] = []
        if dueChanged, calendar.isPast(due: due) {
            failures.append(FieldFailure(pointer: "/due_date", "in-past", "The due date has passed already."))
        }
        if startChanged || dueChanged, failures.isEmpty || startGiven, let start, calendar.isBefore(due, start) {
            failures.append(
                FieldFailure(pointer: "/due_date", "before-start", "The due date is before the start date.")
            )
        }
        return failures
    }

    /// A subtask starts not before its parent and is not due after it; a parent without a date sets no bound.
    static func bounds(
        start: TaskDate?,
        due: TaskDate?,
        parent: TaskItem,
        _ calendar: OrganizationCalendar
    ) -> [FieldFailure] {
        var failures: [FieldFailure] = []
        if let start, let bound = parent.start, calendar.isBefore(start, bound) {
            failures.append(
                FieldFailure(pointer: "/start_date", "outside-parent", "The parent task starts later than that.")
            )
        }
        if let due, let bound = parent.due, calendar.isBefore(bound, due) {
            failures.append(
                FieldFailure(pointer: "/due_date", "outside-parent", "The parent task is due before that.")
            )
        }
        return failures
    }

    /// The same seen from the parent, whose dates have changed.
    static func bounds(
        start: TaskDate?,
        due: TaskDate?,
        old: TaskItem,
        subtasks: [TaskItem],
        _ calendar: OrganizationCalendar
    ) -> [FieldFailure] {
        var failures: [FieldFailure] = []
        let starts = subtasks.compactMap(\.start)
        let dues = subtasks.compactMap(\.due)
        if let start, start != old.start, starts.contains(where: { calendar.isBefore($0, start) }) {
            failures.append(
                FieldFailure(pointer: "/start_date", "outside-parent", "A subtask starts earlier than that.")
            )
        }
        if let due, due != old.due, dues.contains(where: { calendar.isBefore(due, $0) }) {
            failures.append(
                FieldFailure(pointer: "/due_date", "outside-parent", "A subtask is due after that.")
            )
        }
        return failures
    }

    /// A task goes under another one: one level, of the same project, not under itself.
    static func parent(
        _ parent: TaskItem?,
        of item: TaskItem,
        hasSubtasks: Bool
    ) -> [FieldFailure] {
        func failure(_ code: String, _ detail: String) -> [FieldFailure] {
            [FieldFailure(pointer: "/parent_task", code, detail)]
        }
        guard let parent else { return failure("not-found", "There is no such task that you may see.") }
        if parent.id == item.id { return failure("own-parent", "A task cannot be its own parent.") }
        if parent.project != item.project {
            return failure("other-project", "The parent task belongs to another project.")
        }
        if parent.parent != nil { return failure("nested-subtask", "A subtask cannot have subtasks.") }
        if hasSubtasks { return failure("nested-subtask", "A task with subtasks cannot become a subtask.") }
        return []
    }
}
