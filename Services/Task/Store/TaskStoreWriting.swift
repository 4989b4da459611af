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
                statements.append(self.family(of: "\(target)", by: principal, isJudged: true))
            case .collaborator:
                statements.append(collaboratorStatement(target, family.person?.user, organization))
            }
            guard
                let rows = try await transaction.query(statements).last,
                let view = answer == .task
                    ? try await view(rows, in: organization, asking: transaction.query)
                    : try await collaboratorView(rows.first, in: organization, asking: transaction.query)
            else { throw Failure.notFound }
            return view
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
        if comparesShown { statements.append(self.family(of: id, by: principal, isJudged: true)) }

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
        // It has become one that a task can hang under, or come about, only after the locks were taken.
        if let item = family.wanted?.item, item.parent == nil, !locked.contains(item.id) { throw FamilyMoved() }
        if person != nil { family.person = try TaskStore.people(results[5], results[6])[0] }
        if comparesShown, let rows = results.last {
            family.shown = try await view(rows, in: organization, asking: transaction.query)?.json
        }
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

    func hasOpen(_ organization: OrganizationID, under parent: SQL, except id: SQL) -> SQL {
        """
        EXISTS (SELECT FROM task s WHERE s.organization_id = \(organization) AND s.parent_id = \(parent) \
        AND s.id IS DISTINCT FROM \(id) AND s.deleted_at IS NULL AND s.status NOT IN ('COMPLETED', 'CANCELLED'))
        """
    }

    private func collaboratorStatement(_ task: TaskID, _ user: UserID?, _ organization: OrganizationID) -> SQL {
        """
        SELECT t.id, t.version, \(TaskStore.collaboratorColumns(organization)) \
        FROM task t JOIN task_collaborator c ON c.organization_id = t.organization_id AND c.task_id = t.id \
        WHERE t.organization_id = \(organization) AND t.id = \(task) AND c.user_id = \(user)::uuid
        """
    }

    /// People by e-mail, in order: first those who collaborate on the task's project, held there until the end of
    /// the transaction, then all of them. The project is that of `task`, or `project`.
    func personStatements(
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
            AND m.email_key IN (SELECT lower(e) FROM unnest(\(emails)::text[]) e)) \
            ORDER BY pc.user_id FOR KEY SHARE
            """,
            """
            SELECT m.user_id, m.is_active, EXISTS (SELECT FROM task_collaborator tc \
            WHERE tc.organization_id = \(organization) AND tc.task_id = \(task) AND tc.user_id = m.user_id) AS on_task \
            FROM unnest(\(emails)::text[]) WITH ORDINALITY e(email, position) \
            LEFT JOIN member m ON m.organization_id = \(organization) AND m.email_key = lower(e.email) \
            ORDER BY e.position
            """,
        ]
    }

    static func people(_ collaborators: Rows, _ rows: Rows) throws -> [PersonFacts?] {
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
