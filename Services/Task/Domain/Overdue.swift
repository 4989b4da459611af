import Chronology

/// What becomes of an overdue mark when the due date changes.
enum Overdue {
    /// Applies a changed due date: the clock gets a new turn, and a task that was overdue is what it was before.
    /// A due date can only be changed to one that has not passed, or cleared.
    static func dueDateChanged(_ item: inout TaskItem, at now: Timestamp) {
        item.isOverdueMarked = false
        if item.status == .overdue { item.enter(item.statusBeforeOverdue ?? .pending, at: now) }
    }
}
