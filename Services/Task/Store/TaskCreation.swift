import Chronology
import Failures
import Identity
import Messaging
import Postgres

extension TaskStore {
    /// Creates a task in one transaction of two round trips: the facts and the task's numbers; its rows, the event and
    /// the commit. An `Idempotency-Key` takes two more in between, people who are not kept one.
    ///
    /// - Parameters:
    ///   - judge: says whether the caller may; gives whether the request's `Idempotency-Key` counts.
    ///   - decide: says what to create.
    func create(
        _ asked: Creation,
        by principal: Principal,
        judge: (CreationFacts) throws -> Bool,
        decide: (CreationFacts) throws -> NewTask
    ) async throws -> TaskView {
        let organization = principal.organization
        return try await writing(in: organization) { transaction in
            let place = Place(asked, organization)
            let count = TaskRows.count(project: place.project, in: organization)
            // A second request with the key is told so at once and does not wait at the counters for the first.
            let countsLater = transaction.hasIdempotencyKey
            var results = try await transaction.query(
                factStatements(asked, place, by: principal) + (countsLater ? [] : [count])
            )
            let facts = try facts(asked, place, results, by: principal, now: transaction.now)
            if try judge(facts) { try await transaction.claimIdempotencyKey() }
            let new = try decide(facts)
            if countsLater { results.append(try await transaction.query(count)) }
            guard let numbers = results.last, numbers.count == 2 else { throw Failure.notFound }
            let id: TaskID = try numbers[0].get("value")
            let number: Int64 = try numbers[1].get("value")
            let task = new.shown(id: id, number: number, by: principal.user, at: transaction.now)

            for item in new.ledger.items { transaction.send(TaskRows.save(item, facts.calendar, in: organization)) }
            transaction.send(TaskRows.insert(task.item, number: number, facts.calendar, in: organization))
            if !task.collaborators.isEmpty {
                transaction.send(TaskRows.insert(task.collaborators, of: id, in: organization))
            }
            try transaction.publish(new.event(id: id, number: number, by: principal.user))
            for event in new.ledger.events { try transaction.publish(event) }
            let json = try await json(
                showing: [task].people,
                results[place.facts].first,
                in: organization,
                asking: transaction.query
            )
            return TaskView(
                id: id,
                version: task.item.version + json.peopleEpoch,
                json: json.single(task, subtasks: [])
            )
        }
    }

    /// Where the new task belongs, as SQL values, and where the answers about that stand among the results.
    private struct Place {
        var project: SQL
        var parent: SQL?

        init(_ asked: Creation, _ organization: OrganizationID) {
            if let path = asked.pathParent?.sql(in: organization) {
                parent = path
                project = """
                    (SELECT x.project_id FROM task x WHERE x.organization_id = \(organization) AND x.id = \(path))
                    """
            } else {
                parent = asked.bodyParent.map { "\($0)::bigint" }
                project = "\(asked.pathProject ?? asked.bodyProject)::bigint"
            }
        }

        let parentLock = 1
        let parentRow = 2
        var facts: Int { parent == nil ? 1 : 3 }
        var hold: Int { facts + 1 }
        var people: Int { facts + 2 }
    }

    private func factStatements(_ asked: Creation, _ place: Place, by principal: Principal) -> [SQL] {
        let organization = principal.organization
        var statements = [TaskStore.sharedLock(organization)]
        if let parent = place.parent {
            statements += [
                "SELECT id FROM task WHERE organization_id = \(organization) AND id = \(parent) FOR UPDATE",
                """
                SELECT \(TaskRows.columns), \(TaskRows.standing(organization, principal.user)), \
                \(hasOpen(organization, under: "t.id", except: "NULL::bigint")) AS subtasks_open \
                FROM task t JOIN project p ON p.organization_id = t.organization_id AND p.id = t.project_id \
                WHERE t.organization_id = \(organization) AND t.id = \(parent) \
                AND t.deleted_at IS NULL AND p.deleted_at IS NULL
                """,
            ]
        }
        statements += [
            """
            SELECT o.time_zone, o.people_epoch, p.id, p.key, m.email, m.is_active \
            FROM (SELECT) one LEFT JOIN organization o ON o.organization_id = \(organization) \
            LEFT JOIN project p ON p.organization_id = \(organization) AND p.id = \(place.project) \
            AND p.deleted_at IS NULL \
            LEFT JOIN member m ON m.organization_id = \(organization) AND m.user_id = \(principal.user)
            """,
            // Held so that nobody stops collaborating on the project between here and the commit.
            """
            SELECT user_id FROM project_collaborator WHERE organization_id = \(organization) \
            AND project_id = \(place.project) AND user_id = \(principal.user) FOR KEY SHARE
            """,
        ]
        if !asked.people.isEmpty { statements += personStatements(asked.people, organization, project: place.project) }
        return statements
    }

    private func facts(
        _ asked: Creation,
        _ place: Place,
        _ results: [Rows],
        by principal: Principal,
        now: Timestamp
    ) throws -> CreationFacts {
        guard let row = results[place.facts].first else { throw Failure.notFound }
        let isCollaborator = !results[place.hold].isEmpty
        var facts = CreationFacts(
            calendar: OrganizationCalendar(zoneName: try row.get("time_zone", as: String?.self) ?? "UTC", now: now),
            callerEmail: try row.get("email"),
            people: asked.people.isEmpty
                ? [] : try TaskStore.people(results[place.people], results[place.people + 1])
        )
        if let id = try row.get("id", as: ProjectID?.self) {
            facts.project = ProjectFacts(id: id, key: try row.get("key"), isCollaborator: isCollaborator)
        }
        facts.caller = PersonFacts(
            user: principal.user,
            isActive: try row.get("is_active", as: Bool?.self) ?? false,
            isProjectCollaborator: isCollaborator,
            isTaskCollaborator: false
        )
        if place.parent != nil, let parent = results[place.parentRow].first {
            // It came about between the statements, and nobody holds it.
            if results[place.parentLock].isEmpty { throw FamilyMoved() }
            let item = try TaskRows.item(parent)
            facts.parent = WantedParent(
                item: item,
                standing: try TaskRows.standing(parent, of: item, for: principal.user),
                subtasksOpen: try parent.get("subtasks_open")
            )
        }
        return facts
    }
}

extension NewTask {
    /// The task with its numbers, as it is kept and shown.
    fileprivate func shown(id: TaskID, number: Int64, by user: UserID, at now: Timestamp) -> ShownTask {
        ShownTask(
            item: TaskItem(
                id: id,
                key: "\(project.key)-\(number)",
                project: project.id,
                parent: parent,
                title: title,
                description: description,
                priority: priority,
                status: status,
                start: start,
                due: due,
                completedAt: status == .completed ? now : nil,
                isOverdueMarked: false,
                createdBy: user,
                updatedBy: user,
                createdAt: now,
                updatedAt: now,
                version: 1,
                revision: 1
            ),
            collaborators: collaborators.sorted { $0.uuid < $1.uuid }
                .map { TaskCollaborator(user: $0, addedAt: now, addedBy: user) }
        )
    }
}
