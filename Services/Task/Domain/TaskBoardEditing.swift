import Events
import Failures
import Identity

extension TaskBoard {
    /// What an edit does to a family; an empty ledger if it changes nothing.
    func edited(_ family: Family, _ read: ReadFields<TaskEdit>, by principal: Principal) throws -> Ledger {
        let edit = read.value
        let old = family.target
        let calendar = family.calendar
        var failures = read.failures

        var item = old
        if let title = edit.title { item.title = title }
        if let description = edit.description { item.description = description }
        if let priority = edit.priority { item.priority = priority }
        item.start = edit.start.applied(to: old.start)
        item.due = edit.due.applied(to: old.due)
        item.parent = edit.parent.applied(to: old.parent)

        failures += TaskRules.status(edit.status, stored: old.status)
        failures += TaskRules.dates(
            start: item.start,
            due: item.due,
            old: old,
            startGiven: item.start != old.start,
            calendar
        )
        let parent = try newParent(of: item, family, principal, &failures)
        let datesChanged = item.start != old.start || item.due != old.due
        if let parent, datesChanged || item.parent != old.parent {
            failures += TaskRules.bounds(start: item.start, due: item.due, parent: parent, calendar)
        }
        failures += TaskRules.bounds(
            start: item.start,
            due: item.due,
            old: old,
            subtasks: family.liveSubtasks,
            calendar
        )
        guard failures.isEmpty else { throw Failure.invalid(failures) }

        if item.due != old.due { Overdue.dueDateChanged(&item, at: calendar.now) }
        if let status = edit.status, status != .overdue { item.enter(status, at: calendar.now) }

        var ledger = Ledger()
        guard !item.changes(from: old).isEmpty else { return ledger }
        update(item, from: old, by: principal, calendar, in: &ledger)
        for subtask in Cascade.completed(by: item.status, previous: old.status, of: family.subtasks) {
            var completed = subtask
            completed.enter(.completed, at: calendar.now)
            update(completed, from: subtask, by: principal, calendar, in: &ledger)
        }
        let moved = item.parent != old.parent
        if moved, let left = family.parent { ledger.touch(left) }
        if let parent {
            settle(
                parent,
                with: item.status,
                previous: moved ? nil : old.status,
                isCompletion: item.status == .completed && old.status != .completed,
                othersOpen: moved ? family.wanted?.subtasksOpen ?? false : family.siblingsOpen,
                by: principal,
                calendar,
                in: &ledger
            )
        }
        return ledger
    }

    /// The parent that the task has after the edit; adds what is wrong with a new one.
    private func newParent(
        of item: TaskItem,
        _ family: Family,
        _ principal: Principal,
        _ failures: inout [FieldFailure]
    ) throws -> TaskItem? {
        guard item.parent != family.target.parent else { return family.parent }
        guard item.parent != nil else { return nil }
        let wanted = visibleParent(family, principal)?.item
        let wrong = TaskRules.parent(wanted, of: family.target, hasSubtasks: !family.liveSubtasks.isEmpty)
        failures += wrong
        return wrong.isEmpty ? wanted : nil
    }
}
