import Chronology
import Events
import Identity
import Messaging
import Postgres

/// What other services have told, each row as of its highest revision.
extension NotificationStore {
    /// Whether the organization still is; one that is gone takes no more rows, however late its events come. The row
    /// is locked against deletion until the transaction ends, but not against the reminder clock.
    func isLiving(_ transaction: Transaction) async throws -> Bool {
        let organization = try transaction.tenant
        let rows = try await transaction.query(
            """
            SELECT deleted_at IS NULL AS living FROM known_organization
            WHERE organization_id = \(organization) FOR KEY SHARE
            """
        )
        return try rows.first?.get("living", as: Bool.self) ?? true
    }

    func found(_ event: OrganizationFounded, _ transaction: Transaction) throws {
        let organization = try transaction.tenant
        transaction.send(
            """
            INSERT INTO organization (organization_id, revision, name, time_zone, reminder_hour)
            VALUES (\(organization), 1, \(event.organizationName), 'UTC', 9)
            ON CONFLICT (organization_id) DO NOTHING
            """
        )
        transaction.send(
            """
            INSERT INTO member (organization_id, user_id, revision, email, first_name, last_name, is_active)
            VALUES (\(organization), \(event.user), 1, \(event.email), \(event.firstName), \(event.lastName), true)
            ON CONFLICT (organization_id, user_id) DO NOTHING
            """
        )
    }

    func save(_ event: OrganizationUpdated, _ transaction: Transaction) throws {
        transaction.send(
            """
            INSERT INTO organization (organization_id, revision, name, time_zone, reminder_hour)
            VALUES (\(try transaction.tenant), \(event.revision), \(event.name), \(event.timeZone),
                \(event.reminderHour))
            ON CONFLICT (organization_id) DO UPDATE SET revision = excluded.revision, name = excluded.name,
                time_zone = excluded.time_zone, reminder_hour = excluded.reminder_hour
            WHERE organization.revision < excluded.revision
            """
        )
    }

    /// Nothing is left of the organization but its id, so that late events cannot bring it back.
    func erase(_ transaction: Transaction) async throws {
        let organization = try transaction.tenant
        _ = try await transaction.query([
            """
            INSERT INTO known_organization (organization_id, deleted_at)
            VALUES (\(organization), \(transaction.now))
            ON CONFLICT (organization_id) DO NOTHING
            """,
            // The lock waits for transactions that found the organization living.
            "SELECT 1 FROM known_organization WHERE organization_id = \(organization) FOR UPDATE",
            """
            UPDATE known_organization SET deleted_at = \(transaction.now)
            WHERE organization_id = \(organization) AND deleted_at IS NULL
            """,
            "DELETE FROM mail_queue WHERE organization_id = \(organization)",
            "DELETE FROM mail WHERE organization_id = \(organization)",
            "DELETE FROM reminder_day WHERE organization_id = \(organization)",
            "DELETE FROM preference WHERE organization_id = \(organization)",
            "DELETE FROM notice WHERE organization_id = \(organization)",
            "DELETE FROM task_collaborator WHERE organization_id = \(organization)",
            "DELETE FROM task WHERE organization_id = \(organization)",
            "DELETE FROM project WHERE organization_id = \(organization)",
            "DELETE FROM member WHERE organization_id = \(organization)",
            "DELETE FROM organization WHERE organization_id = \(organization)",
        ])
        try transaction.eraseOrganization()
    }

    func save(_ profile: UserProfile, _ transaction: Transaction) throws {
        transaction.send(
            """
            INSERT INTO member (organization_id, user_id, revision, email, first_name, last_name, is_active)
            VALUES (\(try transaction.tenant), \(profile.user), \(profile.revision), \(profile.email),
                \(profile.firstName), \(profile.lastName), \(profile.isActive))
            ON CONFLICT (organization_id, user_id) DO UPDATE SET revision = excluded.revision,
                email = excluded.email, first_name = excluded.first_name, last_name = excluded.last_name,
                is_active = excluded.is_active
            WHERE member.revision < excluded.revision
            """
        )
    }

    func save(_ event: ProjectCreated, _ transaction: Transaction) throws {
        transaction.send(
            """
            INSERT INTO project (organization_id, id, revision, name)
            VALUES (\(try transaction.tenant), \(event.project), \(event.revision), \(event.name))
            ON CONFLICT (organization_id, id) DO NOTHING
            """
        )
    }

    /// A new name, or gone to the trash, or back from it; what is nil stays.
    func change(
        _ project: ProjectID,
        revision: Int64,
        name: String?,
        isDeleted: Bool?,
        _ transaction: Transaction
    ) throws {
        transaction.send(
            """
            UPDATE project SET revision = \(revision), name = COALESCE(\(name), name),
                is_deleted = COALESCE(\(isDeleted), is_deleted)
            WHERE organization_id = \(try transaction.tenant) AND id = \(project) AND revision < \(revision)
            """
        )
    }

    func projectName(_ project: ProjectID, _ transaction: Transaction) async throws -> String? {
        let rows = try await transaction.query(
            "SELECT name FROM project WHERE organization_id = \(try transaction.tenant) AND id = \(project)"
        )
        return try rows.first?.get("name", as: String.self)
    }

    func save(_ task: TaskID, revision: Int64, _ summary: TaskSummary, _ transaction: Transaction) throws {
        transaction.send(
            """
            INSERT INTO task (organization_id, id, revision, project_id, key, title, priority, status, due_day, due_at,
                created_by)
            VALUES (\(try transaction.tenant), \(task), \(revision), \(summary.project), \(summary.key),
                \(summary.title), \(summary.priority), \(summary.status), \(summary.dueDate?.day),
                \(summary.dueDate?.moment), \(summary.createdBy))
            ON CONFLICT (organization_id, id) DO UPDATE SET revision = excluded.revision,
                project_id = excluded.project_id, key = excluded.key, title = excluded.title,
                priority = excluded.priority, status = excluded.status, due_day = excluded.due_day,
                due_at = excluded.due_at, created_by = excluded.created_by
            WHERE task.revision < excluded.revision
            """
        )
    }

    /// A new status, or gone to the trash, or back from it; what is nil stays.
    func change(
        _ task: TaskID,
        revision: Int64,
        status: String?,
        isDeleted: Bool?,
        _ transaction: Transaction
    ) throws {
        transaction.send(
            """
            UPDATE task SET revision = \(revision), status = COALESCE(\(status), status),
                is_deleted = COALESCE(\(isDeleted), is_deleted)
            WHERE organization_id = \(try transaction.tenant) AND id = \(task) AND revision < \(revision)
            """
        )
    }

    /// A purged project, and its tasks with it: Task purges them at an hour of its own, and until then a reminder would
    /// name what nobody can see.
    func forget(_ project: ProjectID, _ transaction: Transaction) throws {
        let organization = try transaction.tenant
        transaction.send(
            """
            DELETE FROM task_collaborator c USING task t
            WHERE c.organization_id = \(organization) AND t.organization_id = \(organization)
                AND t.id = c.task_id AND t.project_id = \(project)
            """
        )
        transaction.send("DELETE FROM task WHERE organization_id = \(organization) AND project_id = \(project)")
        transaction.send("DELETE FROM project WHERE organization_id = \(organization) AND id = \(project)")
    }

    func forget(_ task: TaskID, _ transaction: Transaction) throws {
        let organization = try transaction.tenant
        transaction.send("DELETE FROM task_collaborator WHERE organization_id = \(organization) AND task_id = \(task)")
        transaction.send("DELETE FROM task WHERE organization_id = \(organization) AND id = \(task)")
    }

    func add(_ collaborators: [UserID], to task: TaskID, _ transaction: Transaction) throws {
        guard !collaborators.isEmpty else { return }
        transaction.send(
            """
            INSERT INTO task_collaborator (organization_id, user_id, task_id)
            SELECT \(try transaction.tenant)::uuid, user_id, \(task)::bigint
            FROM unnest(\(collaborators)::uuid[]) AS added (user_id)
            ON CONFLICT DO NOTHING
            """
        )
    }

    func remove(_ collaborator: UserID, from task: TaskID, _ transaction: Transaction) throws {
        transaction.send(
            """
            DELETE FROM task_collaborator
            WHERE organization_id = \(try transaction.tenant) AND user_id = \(collaborator) AND task_id = \(task)
            """
        )
    }

    /// A task as its mails show it, with the people on it; nil if no event has told of it.
    func task(_ id: TaskID, _ transaction: Transaction) async throws -> KnownTask? {
        let organization = try transaction.tenant
        let answers = try await transaction.query([
            """
            SELECT project_id, key, title, priority, due_day, due_at, created_by FROM task
            WHERE organization_id = \(organization) AND id = \(id)
            """,
            """
            SELECT c.user_id, m.is_active FROM task_collaborator c
            LEFT JOIN member m ON m.organization_id = c.organization_id AND m.user_id = c.user_id
            WHERE c.organization_id = \(organization) AND c.task_id = \(id) ORDER BY c.user_id
            """,
        ])
        guard let row = answers[0].first else { return nil }
        return KnownTask(
            id: id,
            project: try row.get("project_id"),
            key: try row.get("key"),
            title: try row.get("title"),
            priority: try row.get("priority"),
            due: try DueDate(row),
            createdBy: try row.get("created_by"),
            collaborators: try answers[1].map { row in
                KnownTask.Collaborator(user: try row.get("user_id"), isActive: try row.get("is_active") ?? true)
            }
        )
    }
}

extension DueDate {
    /// Of the columns `due_day` and `due_at`.
    init?(_ row: Row) throws {
        if let day = try row.get("due_day", as: CivilDate?.self) {
            self = .day(day)
        } else if let moment = try row.get("due_at", as: Timestamp?.self) {
            self = .moment(moment)
        } else {
            return nil
        }
    }
}
