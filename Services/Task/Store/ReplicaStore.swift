import Chronology
import Events
import Foundation
import Identity
import Messaging
import Postgres

/// What this service keeps of organizations, members and projects, as their services' events tell it.
///
/// Events of one aggregate come in order and once; those of different services come in any order. An organization that
/// was deleted stays so: `known_organization` remembers it, and what comes late finds nothing to hold on to. Its row
/// is held by whoever applies an event, before anything else, so that what is added while the organization is deleted
/// comes before that and goes, or after it and is not added.
struct ReplicaStore: Sendable {
    let database: TenantDatabase

    /// Whether the organization was deleted.
    func isGone(_ organization: OrganizationID) async throws -> Bool {
        let rows = try await database.pool.query(
            """
            SELECT FROM known_organization WHERE organization_id = \(organization) AND deleted_at IS NOT NULL
            """
        )
        return !rows.isEmpty
    }

    private func isLive(_ organization: OrganizationID) -> SQL {
        """
        NOT EXISTS (SELECT FROM known_organization k WHERE k.organization_id = \(organization) \
        AND k.deleted_at IS NOT NULL)
        """
    }

    /// Makes the organization known and holds it against its deletion until the transaction ends.
    private func hold(_ organization: OrganizationID, in transaction: WriteTransaction) {
        transaction.send(
            """
            INSERT INTO known_organization (organization_id) VALUES (\(organization)) \
            ON CONFLICT (organization_id) DO NOTHING
            """
        )
        transaction.send("SELECT FROM known_organization WHERE organization_id = \(organization) FOR SHARE")
    }

    // MARK: - Organizations

    func found(
        _ event: OrganizationFounded,
        _ organization: OrganizationID,
        at time: Timestamp,
        in transaction: WriteTransaction
    ) {
        hold(organization, in: transaction)
        // Where a later event came first, only the moment of the foundation is missing.
        transaction.send(
            """
            INSERT INTO organization (organization_id, revision, name, time_zone, sql_zone, reminder_hour, \
            created_at, updated_at) SELECT \(organization)::uuid, 1, \(event.organizationName)::text, 'UTC', 'UTC', 9, \
            \(time)::timestamptz, \(time)::timestamptz WHERE \(isLive(organization)) \
            ON CONFLICT (organization_id) DO UPDATE SET created_at = excluded.created_at
            """
        )
        transaction.send(
            """
            WITH kept AS (INSERT INTO member (organization_id, user_id, revision, email, first_name, last_name, role, \
            is_active, created_at, updated_at) SELECT \(organization)::uuid, \(event.user)::uuid, 1, \
            \(event.email)::text, \(event.firstName)::text, \(event.lastName)::text, 'ADMIN', true, \
            \(time)::timestamptz, \(time)::timestamptz WHERE \(isLive(organization)) \
            ON CONFLICT (organization_id, user_id) DO NOTHING RETURNING role) \
            UPDATE organization SET people_epoch = people_epoch + 1 WHERE organization_id = \(organization) \
            AND \(mayBeShown(event.user, organization))
            """
        )
    }

    func update(
        _ event: OrganizationUpdated,
        _ organization: OrganizationID,
        in transaction: WriteTransaction
    ) async throws {
        hold(organization, in: transaction)
        let before = try await transaction.query(
            "SELECT time_zone FROM organization WHERE organization_id = \(organization)"
        ).first?.get("time_zone", as: String.self)
        let isNewZone = before.map { !$0.utf8.elementsEqual(event.timeZone.utf8) } ?? true
        if isNewZone { transaction.send(TaskStore.exclusiveLock(organization)) }
        let updated = try await transaction.query(
            """
            INSERT INTO organization (organization_id, revision, name, time_zone, sql_zone, reminder_hour, \
            created_at, updated_at) SELECT \(organization)::uuid, \(event.revision)::bigint, \(event.name)::text, \
            \(event.timeZone)::text, COALESCE((SELECT z.name FROM pg_timezone_names z \
            WHERE z.name = \(event.timeZone) AND \(isNewZone)), 'UTC'), \(event.reminderHour)::integer, \
            \(event.updatedAt)::timestamptz, \(event.updatedAt)::timestamptz WHERE \(isLive(organization)) \
            ON CONFLICT (organization_id) DO UPDATE SET revision = excluded.revision, name = excluded.name, \
            sql_zone = CASE WHEN \(isNewZone) THEN excluded.sql_zone ELSE organization.sql_zone END, \
            time_zone = excluded.time_zone, reminder_hour = excluded.reminder_hour, updated_at = excluded.updated_at \
            WHERE organization.revision < excluded.revision
            """
        )
        if isNewZone, updated.affected > 0 {
            try await Moments.reckon(of: organization, zoneName: event.timeZone, transaction.query)
        }
    }

    func delete(_ organization: OrganizationID, in transaction: WriteTransaction) async throws {
        transaction.send(
            """
            INSERT INTO known_organization (organization_id, deleted_at) VALUES (\(organization), \(transaction.now)) \
            ON CONFLICT (organization_id) DO UPDATE SET deleted_at = excluded.deleted_at
            """
        )
        transaction.send(TaskStore.exclusiveLock(organization))
        // Subtasks before their parents, which are in another piece.
        for which: SQL in ["parent_id IS NOT NULL", "parent_id IS NULL"] {
            try await Pieces.each(of: organization, transaction.query) { ids in
                _ = try await transaction.query(
                    """
                    DELETE FROM task WHERE organization_id = \(organization) AND id >= \(ids.lowerBound) \
                    AND id < \(ids.upperBound) AND \(which)
                    """
                )
            }
        }
        for table in ["task_collaborator", "task", "project_collaborator", "project", "member", "organization"] {
            transaction.send("DELETE FROM \(unsafe: table) WHERE organization_id = \(organization)")
        }
        try transaction.eraseOrganization()
    }

    // MARK: - Members

    /// Keeps a member's newest profile. Names, addresses and pictures are shown in tasks, and the role decides which
    /// subtasks one sees: when one of these changes, so does the version of every task of the organization, by one
    /// number kept beside it. The same when somebody becomes known whom tasks may have shown without a name.
    func keep(_ profile: UserProfile, _ organization: OrganizationID, in transaction: WriteTransaction) {
        hold(organization, in: transaction)
        transaction.send(
            """
            WITH old AS (SELECT email, first_name, last_name, role, profile_img FROM member \
            WHERE organization_id = \(organization) AND user_id = \(profile.user)), \
            kept AS (INSERT INTO member (organization_id, user_id, revision, email, first_name, last_name, role, \
            department_id, department_name, is_active, profile_img, created_at, updated_at) \
            SELECT \(organization)::uuid, \(profile.user)::uuid, \(profile.revision)::bigint, \(profile.email)::text, \
            \(profile.firstName)::text, \(profile.lastName)::text, \(profile.role)::text, \
            \(profile.department)::bigint, \(profile.departmentName)::text, \(profile.isActive)::boolean, \
            \(profile.profileImage)::text, \(profile.createdAt)::timestamptz, \(profile.updatedAt)::timestamptz \
            WHERE \(isLive(organization)) ON CONFLICT (organization_id, user_id) DO UPDATE SET \
            revision = excluded.revision, email = excluded.email, first_name = excluded.first_name, \
            last_name = excluded.last_name, role = excluded.role, department_id = excluded.department_id, \
            department_name = excluded.department_name, is_active = excluded.is_active, \
            profile_img = excluded.profile_img, created_at = excluded.created_at, updated_at = excluded.updated_at \
            WHERE member.revision < excluded.revision RETURNING email, first_name, last_name, role, profile_img) \
            UPDATE organization SET people_epoch = people_epoch + 1 WHERE organization_id = \(organization) \
            AND (EXISTS (SELECT FROM old, kept \
            WHERE (old.email, old.first_name, old.last_name, old.role, old.profile_img) \
            IS DISTINCT FROM (kept.email, kept.first_name, kept.last_name, kept.role, kept.profile_img)) \
            OR (NOT EXISTS (SELECT FROM old) AND \(mayBeShown(profile.user, organization))))
            """
        )
    }

    /// Whether somebody who has just become known, as `kept` says, can stand in a task: nobody else has had a hand in
    /// one than admins and those who collaborate on a project.
    private func mayBeShown(_ user: UserID, _ organization: OrganizationID) -> SQL {
        """
        EXISTS (SELECT FROM kept WHERE kept.role = 'ADMIN' OR EXISTS (SELECT FROM project_collaborator pc \
        WHERE pc.organization_id = \(organization) AND pc.user_id = \(user))) \
        AND EXISTS (SELECT FROM task t WHERE t.organization_id = \(organization))
        """
    }

    // MARK: - Projects

    func keep(_ event: ProjectCreated, _ organization: OrganizationID, in transaction: WriteTransaction) {
        hold(organization, in: transaction)
        transaction.send(
            """
            INSERT INTO project (organization_id, id, revision, key, name, status, task_visibility, created_by) \
            SELECT \(organization)::uuid, \(event.project)::bigint, \(event.revision)::bigint, \(event.key)::text, \
            \(event.name)::text, \(event.status)::text, \(event.taskVisibility)::text, \(event.createdBy)::uuid \
            WHERE \(isLive(organization)) ON CONFLICT (organization_id, id) DO NOTHING
            """
        )
    }

    func update(
        _ event: ProjectUpdated,
        _ organization: OrganizationID,
        in transaction: WriteTransaction
    ) async throws {
        hold(organization, in: transaction)
        let updated = try await transaction.query(
            """
            UPDATE project SET revision = \(event.revision), name = COALESCE(\(event.name), name), \
            status = COALESCE(\(event.status), status), \
            task_visibility = COALESCE(\(event.taskVisibility), task_visibility) \
            WHERE organization_id = \(organization) AND id = \(event.project) AND revision <= \(event.revision)
            """
        )
        guard event.taskVisibility != nil, updated.affected > 0 else { return }
        // Developers now see more or fewer subtasks in a parent.
        transaction.send(TaskStore.exclusiveLock(organization))
        transaction.send(
            """
            UPDATE task t SET version = t.version + 1 WHERE t.organization_id = \(organization) \
            AND t.project_id = \(event.project) AND EXISTS (SELECT FROM task s \
            WHERE s.organization_id = t.organization_id AND s.parent_id = t.id)
            """
        )
    }

    /// A project goes to the trash (`deletedAt` set) or comes back; its tasks vanish and return with it.
    func setDeleted(
        _ project: ProjectID,
        at deletedAt: Timestamp?,
        revision: Int64,
        _ organization: OrganizationID,
        in transaction: WriteTransaction
    ) {
        hold(organization, in: transaction)
        transaction.send(
            """
            UPDATE project SET deleted_at = \(deletedAt)::timestamptz, revision = \(revision) \
            WHERE organization_id = \(organization) AND id = \(project) AND revision <= \(revision)
            """
        )
    }

    /// A project is gone for good. Its tasks are seen by nobody without it; the trash clock removes them, in pieces. It
    /// knows by the counter of their numbers, which is marked, under the lock that nobody creates a task meanwhile.
    func forget(_ project: ProjectID, _ organization: OrganizationID, in transaction: WriteTransaction) {
        hold(organization, in: transaction)
        transaction.send(TaskStore.exclusiveLock(organization))
        transaction.send(
            """
            UPDATE counter SET kind = 'purged-project:' || \(project)::bigint \
            WHERE organization_id = \(organization) AND kind = 'task-number:' || \(project)::bigint
            """
        )
        transaction.send(
            """
            DELETE FROM project_collaborator WHERE organization_id = \(organization) AND project_id = \(project)
            """
        )
        transaction.send("DELETE FROM project WHERE organization_id = \(organization) AND id = \(project)")
    }

    func add(
        _ user: UserID,
        to project: ProjectID,
        _ organization: OrganizationID,
        in transaction: WriteTransaction
    ) {
        hold(organization, in: transaction)
        transaction.send(
            """
            INSERT INTO project_collaborator (organization_id, project_id, user_id) \
            SELECT \(organization)::uuid, \(project)::bigint, \(user)::uuid WHERE \(isLive(organization)) \
            ON CONFLICT (organization_id, project_id, user_id) DO NOTHING
            """
        )
    }

    /// Who leaves a project leaves its tasks, those in the trash too, in the same transaction.
    func remove(
        _ user: UserID,
        from project: ProjectID,
        _ organization: OrganizationID,
        in transaction: WriteTransaction
    ) async throws {
        hold(organization, in: transaction)
        let left = try await transaction.query(
            [
                TaskStore.exclusiveLock(organization),
                """
                DELETE FROM project_collaborator WHERE organization_id = \(organization) \
                AND project_id = \(project) AND user_id = \(user)
                """,
                """
                WITH gone AS (DELETE FROM task_collaborator c USING task t WHERE c.organization_id = \(organization) \
                AND c.user_id = \(user) AND t.organization_id = c.organization_id AND t.id = c.task_id \
                AND t.project_id = \(project) RETURNING c.task_id) \
                UPDATE task t SET version = t.version + 1, revision = t.revision + 1 FROM gone \
                WHERE t.organization_id = \(organization) AND t.id = gone.task_id \
                RETURNING t.id, t.revision, t.parent_id
                """,
            ]
        )[2]
        var parents: Set<TaskID> = []
        for row in left {
            try transaction.publish(
                TaskCollaboratorRemoved(task: try row.get("id"), revision: try row.get("revision"), user: user)
            )
            if let parent = try row.get("parent_id", as: TaskID?.self) { parents.insert(parent) }
        }
        guard !parents.isEmpty else { return }
        transaction.send(
            """
            UPDATE task SET version = version + 1 WHERE organization_id = \(organization) \
            AND id = ANY(\(parents.sorted())::bigint[])
            """
        )
    }
}
