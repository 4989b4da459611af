import Chronology
import Identity

/// What completing and reopening do to the rest of a family: a parent and its subtasks.
enum Cascade {
    /// What a change of a subtask does to its parent.
    ///
    /// - Parameters:
    ///   - status: where the subtask stands now.
    ///   - previous: where it stood; nil if it is new under this parent.
    ///   - isCompletion: whether it was completed by this change; a completed one that is only moved was not.
    ///   - othersOpen: whether another subtask of the parent is open.
    /// - Returns: the parent's new status, nil to leave it.
    static func parentStatus(
        of parent: TaskStatus,
        after status: TaskStatus,
        previous: TaskStatus?,
        isCompletion: Bool,
        othersOpen: Bool
    ) -> TaskStatus? {
        if isCompletion {
            return othersOpen || parent == .completed || parent == .cancelled ? nil : .completed
        }
        let becameOpen = status.isOpen && !(previous?.isOpen ?? false)
        return becameOpen && parent == .completed ? .inProgress : nil
    }

    /// The subtasks that a change of their parent completes.
    static func completed(
        by status: TaskStatus,
        previous: TaskStatus,
        of subtasks: [TaskItem]
    ) -> [TaskItem] {
        guard status == .completed, previous != .completed else { return [] }
        return subtasks.filter { $0.deletedAt == nil && $0.status.isOpen }
    }
}
