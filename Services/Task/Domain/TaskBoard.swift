import Chronology
import Events
import Failures
import Identity
import Lists

/// Everything that can be done with tasks. Routes, event handlers and the overdue clock all come through here, so that
/// no rule can be skipped by coming in another door.
struct TaskBoard: Sendable {
    let store: TaskStore
    let replicas: ReplicaStore

    /// One task with its subtasks, as far as the caller may see them.
    func find(_ reference: TaskReference, in project: ProjectID?, by principal: Principal) async throws -> TaskView {
        guard let view = try await store.find(reference, in: project, by: principal) else { throw Failure.notFound }
        return view
    }

    /// Changes a task.
    ///
    /// - Parameters:
    ///   - precondition: `If-Match`, given the version as clients see it.
    ///   - wantedParent: the parent named in the body, if it has the form of one: it is locked before the task.
    ///   - comparesShown: whether the body has read-only members, which must equal what is shown.
    ///   - reading: reads the body against the stored task; called once the caller's rights are judged.
    func edit(
        _ reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal,
        wantedParent: TaskID?,
        comparesShown: Bool,
        precondition: (Int64) throws -> Void,
        reading: (_ shown: [UInt8]?) throws -> ReadFields<TaskEdit>
    ) async throws -> TaskView {
        try await store.change(
            reference,
            in: project,
            by: principal,
            wantedParent: wantedParent,
            comparesShown: comparesShown,
            judge: { family in
                try requireReadable(family, principal)
                guard principal.role.canUpdate(family.standing) else { throw Failure.forbidden }
                if let wanted = visibleParent(family, principal), wanted.item.id != family.target.parent,
                    !principal.role.canUpdate(wanted.standing)
                {
                    throw Failure.forbidden
                }
                try precondition(family.shownVersion)
            },
            decide: { family in
                let read = try reading(family.shown)
                return try edited(family, read, by: principal)
            }
        )
    }

    /// Deletes a task and its subtasks; they go to the trash.
    func delete(
        _ reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal,
        precondition: (Int64) throws -> Void
    ) async throws {
        _ = try await store.change(
            reference,
            in: project,
            by: principal,
            answer: .nothing,
            judge: { family in
                try requireReadable(family, principal)
                guard principal.role.canDelete(family.standing) else { throw Failure.forbidden }
                try precondition(family.shownVersion)
            },
            decide: { family in
                var ledger = Ledger()
                var target = family.target
                target.deletedAt = family.calendar.now
                target.deletedBy = principal.user
                target.deletedWith = nil
                ledger.change(target) { TaskDeleted(task: $0.id, revision: $0.revision) }
                for var subtask in family.liveSubtasks {
                    subtask.deletedAt = family.calendar.now
                    subtask.deletedBy = principal.user
                    subtask.deletedWith = target.id
                    ledger.change(subtask) { TaskDeleted(task: $0.id, revision: $0.revision) }
                }
                if let parent = family.parent { ledger.touch(parent) }
                return ledger
            }
        )
    }

    /// Brings a task back from the trash, with the subtasks that went along with it.
    func restore(
        _ reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal,
        reading: () throws -> Void
    ) async throws -> TaskView {
        try await store.change(
            reference,
            in: project,
            by: principal,
            claimsKey: true,
            judge: { family in
                // What is in the trash is seen by those who may restore it.
                guard family.isProjectLive else { throw Failure.notFound }
                let role = principal.role
                if let deletedAt = family.target.deletedAt {
                    // Gone already, though the clock that purges has not come by yet.
                    guard deletedAt > store.now - TaskItem.trashPeriod else { throw Failure.notFound }
                    guard role.canDelete(family.standing) else { throw Failure.notFound }
                } else {
                    guard role.canRead(family.standing) else { throw Failure.notFound }
                    guard role.canDelete(family.standing) else { throw Failure.forbidden }
                }
            },
            decide: { family in
                try reading()
                return try restored(family, by: principal)
            }
        )
    }

    private func restored(_ family: Family, by principal: Principal) throws -> Ledger {
        guard family.target.deletedAt != nil else {
            throw Failure.conflict("not-deleted", "The task is not in the trash.")
        }
        if let parent = family.parent {
            guard parent.deletedAt == nil else {
                throw Failure.conflict("parent-deleted", "The parent task is in the trash; restore that first.")
            }
            guard parent.parent == nil else {
                throw Failure.conflict("nested-subtask", "The parent task has become a subtask meanwhile.")
            }
            let (start, due) = (family.target.start, family.target.due)
            guard TaskRules.bounds(start: start, due: due, parent: parent, family.calendar).isEmpty else {
                throw Failure.conflict(
                    "outside-parent",
                    "The parent task's dates have changed meanwhile, and the subtask's are no longer within them."
                )
            }
        }
        var ledger = Ledger()
        var target = family.target
        target.deletedAt = nil
        target.deletedBy = nil
        target.deletedWith = nil
        ledger.change(target) { TaskRestored(task: $0.id, revision: $0.revision) }
        for var subtask in family.subtasks where subtask.deletedWith == target.id {
            subtask.deletedAt = nil
            subtask.deletedBy = nil
            subtask.deletedWith = nil
            ledger.change(subtask) { TaskRestored(task: $0.id, revision: $0.revision) }
        }
        if let parent = family.parent {
            // An open subtask comes back as if it were added: a completed parent has none.
            settle(
                parent,
                with: target.status,
                previous: nil,
                isCompletion: false,
                othersOpen: family.siblingsOpen,
                by: principal,
                family.calendar,
                in: &ledger
            )
        }
        return ledger
    }

    /// The person named by the request becomes collaborator of the task.
    func addCollaborator(
        _ email: String,
        to reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal,
        reading: () throws -> Void
    ) async throws -> TaskView {
        try await store.change(
            reference,
            in: project,
            by: principal,
            person: email,
            claimsKey: true,
            answer: .collaborator,
            judge: { family in
                try requireReadable(family, principal)
                guard principal.role.canManageCollaborators(family.standing) else { throw Failure.forbidden }
                guard family.person != nil else { throw Failure.notFound }
            },
            decide: { family in
                guard let person = family.person else { throw Failure.notFound }
                try reading()
                guard person.isActive else {
                    throw refused("inactive-user", "The person has been deactivated.")
                }
                guard person.isProjectCollaborator else {
                    throw refused(
                        "not-a-project-collaborator",
                        "The person does not collaborate on the project."
                    )
                }
                guard !person.isTaskCollaborator else {
                    throw Failure.conflict("already-collaborator", "The person collaborates on the task already.")
                }
                var ledger = Ledger()
                ledger.added = [person.user]
                ledger.change(family.target) {
                    TaskCollaboratorAdded(task: $0.id, revision: $0.revision, user: person.user)
                }
                if let parent = family.parent { ledger.touch(parent) }
                return ledger
            }
        )
    }

    /// The person named by the request is collaborator of the task no longer.
    func removeCollaborator(
        _ email: String,
        from reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal,
        precondition: (Int64) throws -> Void
    ) async throws {
        _ = try await store.change(
            reference,
            in: project,
            by: principal,
            person: email,
            answer: .nothing,
            judge: { family in
                try requireReadable(family, principal)
                guard
                    principal.role.canManageCollaborators(family.standing) || family.person?.user == principal.user
                else { throw Failure.forbidden }
                guard family.person?.isTaskCollaborator == true else { throw Failure.notFound }
                try precondition(family.shownVersion)
            },
            decide: { family in
                guard let person = family.person else { throw Failure.notFound }
                var ledger = Ledger()
                ledger.removed = [person.user]
                ledger.change(family.target) {
                    TaskCollaboratorRemoved(task: $0.id, revision: $0.revision, user: person.user)
                }
                if let parent = family.parent { ledger.touch(parent) }
                return ledger
            }
        )
    }

    /// Every organization, for the overdue clock.
    func organizations() async throws -> [OrganizationID] { try await store.organizations() }

    /// Marks what has become overdue in an organization; gives how many tasks it marked.
    func markOverdue(in organization: OrganizationID) async throws -> Int {
        var total = 0
        while true {
            let marked = try await store.markOverdue(in: organization)
            total += marked
            if marked == 0 || Task.isCancelled { return total }
        }
    }

    /// Removes for good what has been in the trash for too long; gives how many tasks it removed.
    func purgeTrash(in organization: OrganizationID) async throws -> Int {
        var total = 0
        while true {
            let purged = try await store.purge(deletedUpTo: store.now - TaskItem.trashPeriod, in: organization)
            total += purged
            if purged == 0 || Task.isCancelled { return total }
        }
    }

    /// 422 about the person in the path: there is no field to point at.
    private func refused(_ code: String, _ detail: String) -> Failure {
        Failure(.invalidFields, code, detail, fields: [FieldFailure(pointer: "", code, detail)])
    }

    // MARK: - Shared by the operations

    func requireReadable(_ family: Family, _ principal: Principal) throws {
        guard family.isProjectLive, family.target.deletedAt == nil, principal.role.canRead(family.standing) else {
            throw Failure.notFound
        }
    }

    /// The parent asked for, if the caller may see it.
    func visibleParent(_ family: Family, _ principal: Principal) -> WantedParent? {
        guard
            let wanted = family.wanted, wanted.item.deletedAt == nil, principal.role.canRead(wanted.standing)
        else { return nil }
        return wanted
    }

    /// Records what a change of a subtask does to its parent: it shows the subtask, and may change its status.
    func settle(
        _ parent: TaskItem,
        with status: TaskStatus,
        previous: TaskStatus?,
        isCompletion: Bool,
        othersOpen: Bool,
        by principal: Principal,
        _ calendar: OrganizationCalendar,
        in ledger: inout Ledger
    ) {
        let next = Cascade.parentStatus(
            of: parent.status,
            after: status,
            previous: previous,
            isCompletion: isCompletion,
            othersOpen: othersOpen
        )
        guard let next else {
            ledger.touch(parent)
            return
        }
        var changed = parent
        changed.enter(next, at: calendar.now)
        update(changed, from: parent, by: principal, calendar, in: &ledger)
    }

    /// Records an update with its event.
    func update(
        _ item: TaskItem,
        from old: TaskItem,
        by principal: Principal,
        _ calendar: OrganizationCalendar,
        in ledger: inout Ledger
    ) {
        var item = item
        item.updatedBy = principal.user
        item.updatedAt = calendar.now
        let changed = item.changes(from: old)
        ledger.change(item) {
            TaskUpdated(task: $0.id, revision: $0.revision, changed: changed, summary: $0.summary)
        }
    }
}
