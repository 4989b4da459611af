import Chronology
import Failures
import Identity
import Messaging
import Postgres

extension TaskStore {
    /// Changes a task and its family in one transaction.
    ///
    /// - Parameters:
    ///   - wantedParent: locked and loaded beside the family.
    ///   - person: looked up by e-mail.
    ///   - comparesShown: loads what is shown now.
    ///   - claimsKey: the request's `Idempotency-Key` counts.
    ///   - judge: says whether the caller may; throws if not.
    ///   - decide: says what changes.
    func change(
        _ reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal,
        wantedParent: TaskID? = nil,
        person: String? = nil,
        comparesShown: Bool = false,
        claimsKey: Bool = false,
        answer: TaskAnswer = .task,
        judge: (Family) throws -> Void,
        decide: (Family) throws -> Ledger
    ) async throws -> TaskView {
        let organization = principal.organization
        return try await writing(in: organization) { transaction in
            let family = try await load(
                reference,
                in: project,
                by: principal,
                wantedParent: wantedParent,
                person: person,
                comparesShown: comparesShown,
                transaction
            )
            try judge(family)
            if claimsKey { try await transaction.claimIdempotencyKey() }
            let ledger = try decide(family)
            let target = family.target.id
            var statements = ledger.items.map { TaskRows.save($0, family.calendar, in: organization) }
            for user in ledger.added {
                statements.append(
                    """
                    INSERT INTO task_collaborator (organization_id, task_id, user_id, added_at, added_by) \
                    VALUES (\(organization), \(target), \(user), \(family.calendar.now), \(principal.user))
                    """
                )
            }
            for user in ledger.removed {
                statements.append(
                    """
                    DELETE FROM task_collaborator WHERE organization_id = \(organization) \
                    AND task_id = \(target) AND user_id = \(user)
                    """
                )
            }
            for event in ledger.events { try transaction.publish(event) }
            switch answer {
            case .nothing:
                for statement in statements { transaction.send(statement) }
                return TaskView(id: target, version: 0, json: [])
            case .task:
                statements.append(singleStatement(id: "\(target)", principal))
            case .collaborator:
                statements.append(collaboratorStatement(target, family.person?.user, organization))
            }
            guard let row = try await transaction.query(statements).last?.first else { throw Failure.notFound }
            return try TaskStore.view(row)
        }
    }

    /// Locks and loads a family: one round trip.
    private func load(
        _ reference: TaskReference,
        in project: ProjectID?,
        by principal: Principal,
        wantedParent: TaskID?,
        person: String?,
        comparesShown: Bool,
        _ transaction: WriteTransaction
    ) async throws -> Family {
        let organization = principal.organization
        let id = reference.sql(in: organization)
        let parentID: SQL = """
            (SELECT x.parent_id FROM task x WHERE x.organization_id = \(organization) AND x.id = \(id))
            """
        let wanted: SQL = "\(wantedParent)::bigint"
        var statements: [SQL] = [
            TaskStore.sharedLock(organization),
            """
            SELECT id FROM task WHERE organization_id = \(organization) AND (id = COALESCE(\(parentID), \(id)) \
            OR (id = \(wanted) AND parent_id IS NULL)) ORDER BY id FOR UPDATE
            """,
            """
            SELECT id FROM task WHERE organization_id = \(organization) AND (id = \(id) OR parent_id = \(id)) \
            ORDER BY id FOR UPDATE
            """,
            """
            SELECT \(TaskRows.columns), \(TaskRows.standing(organization, principal.user)), (t.id = \(id)) IS TRUE AS is_target \
            FROM task t JOIN project p ON p.organization_id = t.organization_id AND p.id = t.project_id \
            WHERE t.organization_id = \(organization) \
            AND (t.id = ANY(ARRAY[\(id), \(parentID), \(wanted)]) OR t.parent_id = \(id)) ORDER BY t.id
            """,
            factsStatement(organization, target: id, parent: parentID, wanted: wanted),
        ]
        if let person { statements += personStatements([person], organization, task: id) }
        if comparesShown { statements.append(singleStatement(id: id, principal)) }

        let results = try await transaction.query(statements)
        let locked = try results[1].map { try $0.get("id", as: TaskID.self) }
        let rows = try results[3].map { (row: $0, item: try TaskRows.item($0)) }
        guard
            let (row, target) = try rows.first(where: { try $0.row.get("is_target") }), let facts = results[4].first,
            project == nil || project == target.project
        else { throw Failure.notFound }
        guard locked.contains(target.parent ?? target.id) else { throw FamilyMoved() }

        var family = Family(
            calendar: OrganizationCalendar(
                zoneName: try facts.get("time_zone", as: String?.self) ?? "UTC",
                now: transaction.now
            ),
            peopleEpoch: try facts.get("people_epoch", as: Int64?.self) ?? 0,
            target: target,
            standing: try TaskRows.standing(row, of: target, for: principal.user),
            isProjectLive: try row.get("project_live"),
            parent: rows.first { $0.item.id == target.parent }?.item,
            siblingsOpen: try facts.get("siblings_open"),
            subtasks: rows.map(\.item).filter { $0.parent == target.id }
        )
        if let asked = rows.first(where: { $0.item.id == wantedParent }), try asked.row.get("project_live") {
            family.wanted = WantedParent(
                item: asked.item,
                standing: try TaskRows.standing(asked.row, of: asked.item, for: principal.user),
                subtasksOpen: try facts.get("wanted_open")
            )
        }
        if person != nil { family.person = try TaskStore.people(results[5], results[6])[0] }
        if comparesShown { family.shown = try results.last?.first.map(TaskStore.view)?.json }
        return family
    }

    private func factsStatement(
        _ organization: OrganizationID,
        target: SQL,
        parent: SQL,
        wanted: SQL
    ) -> SQL {
        """
        SELECT o.time_zone, o.people_epoch, \
        \(hasOpen(organization, under: parent, except: target)) AS siblings_open, \
        \(hasOpen(organization, under: wanted, except: target)) AS wanted_open \
        FROM (SELECT) one LEFT JOIN organization o ON o.organization_id = \(organization)
        """
    }

    private func hasOpen(_ organization: OrganizationID, under parent: SQL, except id: SQL) -> SQL {
        """
        EXISTS (SELECT FROM task s WHERE s.organization_id = \(organization) AND s.parent_id = \(parent) \
        AND s.id IS DISTINCT FROM \(id) AND s.deleted_at IS NULL AND s.status NOT IN ('COMPLETED', 'CANCELLED'))
        """
    }

    private func singleStatement(id: SQL, _ principal: Principal) -> SQL {
        """
        \(singleColumns(principal)) FROM task t JOIN project p \
        ON p.organization_id = t.organization_id AND p.id = t.project_id \
        WHERE t.organization_id = \(principal.organization) AND t.id = \(id)
        """
    }

    private func collaboratorStatement(_ task: TaskID, _ user: UserID?, _ organization: OrganizationID) -> SQL {
        let json = TaskJSON(organization: organization)
        return """
            SELECT t.id, t.version + \(json.peopleEpoch) AS version, \(json.collaborator)::text AS json \
            FROM task t JOIN task_collaborator c ON c.organization_id = t.organization_id AND c.task_id = t.id \
            WHERE t.organization_id = \(organization) AND t.id = \(task) AND c.user_id = \(user)::uuid
            """
    }

    /// People by e-mail, in order: first those who collaborate on the task's project, held there until the end of
    /// the transaction, then all of them. The project is that of `task`, or `project`.
    private func personStatements(
        _ emails: [String],
        _ organization: OrganizationID,
        task: SQL = "NULL::bigint",
        project: SQL = "NULL::bigint"
    ) -> [SQL] {
        // U+0000 cannot be sent to Postgres, and no address holds it.
        let emails = emails.map { $0.utf8.contains(0) ? "" : $0 }
        let projectID: SQL = """
            COALESCE(\(project), (SELECT x.project_id FROM task x WHERE x.organization_id = \(organization) \
            AND x.id = \(task)))
            """
        return [
            """
            SELECT pc.user_id FROM project_collaborator pc WHERE pc.organization_id = \(organization) \
            AND pc.project_id = \(projectID) AND pc.user_id IN (SELECT m.user_id FROM member m \
            WHERE m.organization_id = \(organization) \
            AND lower(m.email) IN (SELECT lower(e) FROM unnest(\(emails)::text[]) e)) \
            ORDER BY pc.user_id FOR KEY SHARE
            """,
            """
            SELECT m.user_id, m.is_active, EXISTS (SELECT FROM task_collaborator tc \
            WHERE tc.organization_id = \(organization) AND tc.task_id = \(task) AND tc.user_id = m.user_id) AS on_task \
            FROM unnest(\(emails)::text[]) WITH ORDINALITY e(email, position) \
            LEFT JOIN member m ON m.organization_id = \(organization) AND lower(m.email) = lower(e.email) \
            ORDER BY e.position
            """,
        ]
    }

    private static func people(_ collaborators: Rows, _ rows: Rows) throws -> [PersonFacts?] {
        let onProject = Set(try collaborators.map { try $0.get("user_id", as: UserID.self) })
        return try rows.map { row in
            guard let user = try row.get("user_id", as: UserID?.self) else { return nil }
            return PersonFacts(
                user: user,
                isActive: try row.get("is_active"),
                isProjectCollaborator: onProject.contains(user),
                isTaskCollaborator: try row.get("on_task")
            )
        }
    }
}

// MARK: - Creation

extension TaskStore {
    /// Creates a task in one transaction of three round trips: facts, insert with the answer, commit.
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
            let facts = try await facts(asked, by: principal, transaction)
            if try judge(facts) { try await transaction.claimIdempotencyKey() }
            let new = try decide(facts)
            var statements = new.ledger.items.map { TaskRows.save($0, facts.calendar, in: organization) }
            statements.append(TaskRows.insert(new, by: principal.user, facts.calendar, in: organization))
            // The counter is locked by the insert: its value is the new task's id.
            let id: SQL = """
                (SELECT n.value FROM counter n WHERE n.organization_id = \(organization) AND n.kind = 'task')
                """
            statements.append(singleStatement(id: id, principal))
            let results = try await transaction.query(statements)
            guard let inserted = results[results.count - 2].first, let row = results.last?.first else {
                throw Failure.notFound
            }
            try transaction.publish(
                new.event(id: try inserted.get("id"), number: try inserted.get("number"), by: principal.user)
            )
            for event in new.ledger.events { try transaction.publish(event) }
            return try TaskStore.view(row)
        }
    }

    private func facts(
        _ asked: Creation,
        by principal: Principal,
        _ transaction: WriteTransaction
    ) async throws -> CreationFacts {
        let organization = principal.organization
        let parentID = asked.pathParent?.sql(in: organization) ?? "\(asked.bodyParent)::bigint"
        let projectID: SQL =
            asked.pathParent == nil
            ? "\(asked.pathProject ?? asked.bodyProject)::bigint"
            : "(SELECT x.project_id FROM task x WHERE x.organization_id = \(organization) AND x.id = \(parentID))"
        let results = try await transaction.query(
            [
                TaskStore.sharedLock(organization),
                "SELECT id FROM task WHERE organization_id = \(organization) AND id = \(parentID) FOR UPDATE",
                """
                SELECT \(TaskRows.columns), \(TaskRows.standing(organization, principal.user)), \
                \(hasOpen(organization, under: "t.id", except: "NULL::bigint")) AS subtasks_open \
                FROM task t JOIN project p ON p.organization_id = t.organization_id AND p.id = t.project_id \
                WHERE t.organization_id = \(organization) AND t.id = \(parentID) \
                AND t.deleted_at IS NULL AND p.deleted_at IS NULL
                """,
                """
                SELECT o.time_zone, p.id, p.key, m.email, m.is_active, EXISTS (SELECT FROM project_collaborator pc \
                WHERE pc.organization_id = \(organization) AND pc.project_id = p.id \
                AND pc.user_id = \(principal.user)) AS on_project \
                FROM (SELECT) one LEFT JOIN organization o ON o.organization_id = \(organization) \
                LEFT JOIN project p ON p.organization_id = \(organization) AND p.id = \(projectID) \
                AND p.deleted_at IS NULL \
                LEFT JOIN member m ON m.organization_id = \(organization) AND m.user_id = \(principal.user)
                """,
                // Held so that nobody stops collaborating on the project between here and the commit.
                """
                SELECT user_id FROM project_collaborator WHERE organization_id = \(organization) \
                AND project_id = \(projectID) AND user_id = \(principal.user) FOR KEY SHARE
                """,
            ] + (asked.people.isEmpty ? [] : personStatements(asked.people, organization, project: projectID))
        )
        guard let row = results[3].first else { throw Failure.notFound }
        let isCollaborator = !results[4].isEmpty
        var facts = CreationFacts(
            calendar: OrganizationCalendar(
                zoneName: try row.get("time_zone", as: String?.self) ?? "UTC",
                now: transaction.now
            ),
            callerEmail: try row.get("email"),
            people: asked.people.isEmpty ? [] : try TaskStore.people(results[5], results[6])
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
        if let parent = results[2].first {
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
