import Events
import Failures
import Identity

/// How a request says where a new task belongs, and whom it names, before its body is judged.
struct Creation: Sendable {
    /// `/api/project/{project_id}/tasks/`.
    var pathProject: ProjectID?
    /// `/api/project/tasks/{id}/subtasks/`.
    var pathParent: TaskReference?
    /// The body's `project`, if it has the form of one.
    var bodyProject: ProjectID?
    /// The body's `parent_task`, if it has the form of one.
    var bodyParent: TaskID?
    /// The texts among the body's `collaborators`, in order.
    var people: [String]
}

extension TaskBoard {
    /// Creates a task.
    ///
    /// - Parameter reading: reads the body, given project and parent where the path says them.
    func create(
        _ asked: Creation,
        by principal: Principal,
        reading: (_ project: ProjectID?, _ parent: TaskID?) throws -> ReadFields<TaskDraft>
    ) async throws -> TaskView {
        try await store.create(
            asked,
            by: principal,
            judge: { facts in try judge(asked, facts, principal) },
            decide: { facts in
                let read = try reading(
                    asked.pathParent == nil && asked.pathProject == nil ? nil : facts.project?.id,
                    asked.pathParent == nil ? nil : facts.parent?.item.id
                )
                return try created(asked, facts, read, by: principal)
            }
        )
    }

    /// Throws what is said before the body is read. Gives whether the caller may see what the request names: without
    /// that the body will be refused, and until then nothing of an earlier answer under the same key is given away.
    private func judge(_ asked: Creation, _ facts: CreationFacts, _ principal: Principal) throws -> Bool {
        let role = principal.role
        if asked.pathProject != nil || asked.pathParent != nil {
            guard visibleProject(facts, principal) != nil else { throw Failure.notFound }
        }
        if asked.pathParent != nil {
            guard
                let parent = facts.parent, role.canRead(parent.standing),
                asked.pathProject == nil || asked.pathProject == parent.item.project
            else { throw Failure.notFound }
        }
        if let parent = facts.parent, role.canRead(parent.standing), !role.canUpdate(parent.standing) {
            throw Failure.forbidden
        }
        if role == .developer {
            for email in asked.people where !isCaller(email, facts) {
                throw Failure(.forbidden, "own-tasks-only", "You may create tasks for yourself only.")
            }
        }
        let seesParent = facts.parent.map { role.canRead($0.standing) } ?? (asked.bodyParent == nil)
        return visibleProject(facts, principal) != nil && seesParent
    }

    private func created(
        _ asked: Creation,
        _ facts: CreationFacts,
        _ read: ReadFields<TaskDraft>,
        by principal: Principal
    ) throws -> NewTask {
        let draft = read.value
        let calendar = facts.calendar
        var failures = read.failures

        let project = visibleProject(facts, principal)
        if project == nil, asked.bodyProject != nil {
            failures.append(
                FieldFailure(pointer: "/project", "not-found", "There is no such project that you may see.")
            )
        }
        let parent = try parent(asked, facts, principal, project, &failures)
        let start: TaskDate? =
            switch draft.start {
            case .keep: TaskRules.defaultStart(parent: parent?.item, calendar)
            case .clear: nil
            case .set(let date): date
            }
        let due = draft.due.applied(to: nil)
        failures += TaskRules.status(draft.status, stored: nil)
        failures += TaskRules.dates(start: start, due: due, old: nil, startGiven: draft.start != .keep, calendar)
        if let parent { failures += TaskRules.bounds(start: start, due: due, parent: parent.item, calendar) }
        let collaborators = collaborators(draft, facts, principal, project, &failures)
        guard failures.isEmpty, let project, let title = draft.title else { throw Failure.invalid(failures) }

        let status = draft.status ?? .pending
        var new = NewTask(
            project: project,
            parent: parent?.item.id,
            title: title,
            description: draft.description ?? "",
            priority: draft.priority ?? .medium,
            status: status,
            start: start,
            due: due,
            collaborators: collaborators,
            ledger: Ledger()
        )
        if let parent {
            settle(
                parent.item,
                with: status,
                previous: nil,
                isCompletion: status == .completed,
                othersOpen: parent.subtasksOpen,
                by: principal,
                calendar,
                in: &new.ledger
            )
        }
        return new
    }

    /// The project, if the caller may see it: then they may also create in it.
    private func visibleProject(_ facts: CreationFacts, _ principal: Principal) -> ProjectFacts? {
        guard let project = facts.project, principal.role == .admin || project.isCollaborator else { return nil }
        return project
    }

    private func parent(
        _ asked: Creation,
        _ facts: CreationFacts,
        _ principal: Principal,
        _ project: ProjectFacts?,
        _ failures: inout [FieldFailure]
    ) throws -> WantedParent? {
        guard asked.pathParent != nil || asked.bodyParent != nil else { return nil }
        func fail(_ code: String, _ detail: String) -> WantedParent? {
            failures.append(FieldFailure(pointer: "/parent_task", code, detail))
            return nil
        }
        guard let parent = facts.parent, principal.role.canRead(parent.standing) else {
            return fail("not-found", "There is no such task that you may see.")
        }
        if let project, parent.item.project != project.id {
            return fail("other-project", "The parent task belongs to another project.")
        }
        if parent.item.parent != nil { return fail("nested-subtask", "A subtask cannot have subtasks.") }
        return parent
    }

    /// Who collaborates on the new task; one refused name refuses the whole request.
    private func collaborators(
        _ draft: TaskDraft,
        _ facts: CreationFacts,
        _ principal: Principal,
        _ project: ProjectFacts?,
        _ failures: inout [FieldFailure]
    ) -> [UserID] {
        // A list of the wrong form has failed already, and then people and pointers would not go together.
        let people = draft.collaborators == nil ? [] : facts.people
        var users: [UserID] = []
        for (index, person) in people.enumerated() {
            func fail(_ code: String, _ detail: String) {
                failures.append(FieldFailure(pointer: "/collaborators/\(index)", code, detail))
            }
            guard let person else {
                fail("not-found", "There is no such person.")
                continue
            }
            if users.contains(person.user) {
                fail("duplicate", "The person is named twice.")
            } else if !person.isActive {
                fail("inactive-user", "The person has been deactivated.")
            } else if project != nil, !person.isProjectCollaborator {
                fail("not-a-project-collaborator", "The person does not collaborate on the project.")
            } else {
                users.append(person.user)
            }
        }
        if principal.role == .developer { return [principal.user] }
        if draft.alsoCollaborator == true, !users.contains(principal.user) {
            if project == nil || facts.caller?.isProjectCollaborator == true {
                users.append(principal.user)
            } else {
                failures.append(
                    FieldFailure(
                        pointer: "/also_collaborator",
                        "not-a-project-collaborator",
                        "You do not collaborate on the project."
                    )
                )
            }
        }
        return users
    }

    private func isCaller(_ email: String, _ facts: CreationFacts) -> Bool {
        guard let own = facts.callerEmail else { return false }
        return email.lowercased().utf8.elementsEqual(own.lowercased().utf8)
    }
}
