import Chronology
import Events
import Failures
import Identity
import Lists
import Messaging
import Postgres

/// Where projects are kept.
///
/// Transactions lock in this order: members, the project, its collaborators.
struct ProjectStore: Sendable {
    let database: TenantDatabase

    /// The part that runs in a transaction which somebody else began: an event's.
    func within(_ transaction: WriteTransaction) -> ProjectTransaction { ProjectTransaction(transaction) }

    // MARK: One project

    /// A project with everybody on it, live or in the trash.
    func project(_ id: ProjectID, in organization: OrganizationID) async throws -> ProjectDetail? {
        let answers = try await database.read(
            in: organization,
            [
                ProjectStore.projectStatement(id, in: organization),
                ProjectStore.collaboratorsStatement(id, in: organization),
            ]
        )
        return try ProjectStore.detail(answers[0], answers[1])
    }

    /// The users with these addresses, compared by their keys.
    private static func memberStatement(email key: String, in organization: OrganizationID) -> SQL {
        """
        SELECT \(memberColumns) FROM member m
        WHERE m.organization_id = \(organization) AND m.email_key = \(key)
        ORDER BY m.user_id LIMIT 1 FOR SHARE
        """
    }

    private static func memberStatement(_ user: UserID, in organization: OrganizationID) -> SQL {
        "SELECT \(memberColumns) FROM member m WHERE m.organization_id = \(organization) AND m.user_id = \(user) FOR SHARE"
    }

    // MARK: Writing

    /// A new project with its creator as its first collaborator.
    ///
    /// - Parameters:
    ///   - read: the draft; after the key of an earlier attempt has been looked at.
    ///   - events: what to tell of the project.
    func create(
        in organization: OrganizationID,
        by user: UserID,
        read: () throws -> ProjectDraft,
        events: (Project) -> [any Event]
    ) async throws -> ProjectDetail {
        try await database.write(in: organization) { transaction in
            let first = try await transaction.query([
                // Nothing is added to an organization that is going.
                "SELECT 1 AS here FROM organization WHERE organization_id = \(organization) FOR KEY SHARE",
                ProjectStore.memberStatement(user, in: organization),
            ])
            guard !first[0].isEmpty, let creator = try first[1].first.map(ProjectStore.member) else {
                throw Failure.unavailable("not-caught-up", "The organization is not known here yet.")
            }
            try await transaction.claimIdempotencyKey()
            let draft = try read()
            let project = try await insert(draft, by: creator.person, in: organization, transaction)
            transaction.send(
                """
                INSERT INTO project_collaborator (organization_id, project_id, user_id, added_at, added_by)
                VALUES (\(organization), \(project.id), \(user), \(transaction.now), \(user))
                """
            )
            for event in events(project) { try transaction.publish(event) }
            let collaborator = Collaborator(
                person: creator.person,
                addedAt: transaction.now,
                addedBy: creator.person
            )
            return ProjectDetail(project: project, collaborators: [collaborator])
        }
    }

    private func insert(
        _ draft: ProjectDraft,
        by creator: Person,
        in organization: OrganizationID,
        _ transaction: WriteTransaction
    ) async throws -> Project {
        let now = transaction.now
        func attempt(_ key: String) async throws -> Project? {
            let rows = try await ProjectStore.reportingTakenName {
                try await transaction.query(
                    """
                    WITH n AS (
                        INSERT INTO counter (organization_id, kind, value) VALUES (\(organization), 'project', 1)
                        ON CONFLICT (organization_id, kind) DO UPDATE SET value = counter.value + 1 RETURNING value
                    )
                    INSERT INTO project (organization_id, id, key, name, description, status, task_visibility,
                        created_by, updated_by, created_at, updated_at, version, revision)
                    SELECT \(organization)::uuid, n.value, \(key)::text, \(draft.name)::text,
                        \(draft.description)::text, \(draft.status.rawValue)::project_status,
                        \(draft.taskVisibility.rawValue)::text, \(creator.id)::uuid, \(creator.id)::uuid,
                        \(now)::timestamptz, \(now)::timestamptz, 1, 2
                    FROM n
                    ON CONFLICT (organization_id, key) DO NOTHING
                    RETURNING id
                    """
                )
            }
            guard let id: ProjectID = try rows.first?.get("id") else { return nil }
            return Project(
                id: id,
                key: key,
                name: draft.name,
                description: draft.description,
                status: draft.status,
                taskVisibility: draft.taskVisibility,
                createdBy: creator,
                updatedBy: creator,
                createdAt: now,
                updatedAt: now,
                deletedAt: nil,
                version: 1,
                revision: 2
            )
        }
        if let key = draft.key {
            guard let project = try await attempt(key) else {
                throw Failure.conflict("key-taken", "There is a project with this key already, live or in the trash.")
            }
            return project
        }
        // Keys that are taken are known in one question; one that is taken meanwhile costs another attempt.
        var taken = try await ProjectStore.takenKeys(in: organization, transaction)
        for key in ProjectKey.candidates(for: draft.name) where !taken.contains(key) {
            if let project = try await attempt(key) { return project }
            taken.insert(key)
        }
        throw Failure.conflict("key-taken", "No key could be made for this project; please give one.")
    }

    private static func takenKeys(
        in organization: OrganizationID,
        _ transaction: WriteTransaction
    ) async throws -> Set<String> {
        let rows = try await transaction.query("SELECT key FROM project WHERE organization_id = \(organization)")
        return Set(try rows.map { try $0.get("key", as: String.self) })
    }

    /// Changes a project, live or in the trash, and stores what `change` makes of it.
    func change(
        _ id: ProjectID,
        in organization: OrganizationID,
        by user: UserID,
        change: (ProjectDetail?, _ actor: Person?, Timestamp) throws -> Change<Project>
    ) async throws -> ProjectDetail {
        try await database.write(in: organization) { transaction in
            let answers = try await transaction.query([
                ProjectStore.memberStatement(user, in: organization),
                ProjectStore.lockStatement(id, in: organization),
                ProjectStore.projectStatement(id, in: organization),
                ProjectStore.collaboratorsStatement(id, in: organization),
            ])
            let stored = try ProjectStore.detail(answers[2], answers[3])
            let actor = try answers[0].first.map(ProjectStore.member)?.person
            let change = try change(stored, actor, transaction.now)
            try await save(change, in: organization, transaction)
            return ProjectDetail(project: change.value, collaborators: stored?.collaborators ?? [])
        }
    }

    /// The same under an idempotency key: `judge` says whether the acting user may, before an earlier attempt is
    /// looked for.
    func changeOnce(
        _ id: ProjectID,
        in organization: OrganizationID,
        judge: (ProjectDetail?) throws -> Void,
        change: (ProjectDetail?, Timestamp) throws -> Change<Project>
    ) async throws -> ProjectDetail {
        try await database.write(in: organization) { transaction in
            let answers = try await transaction.query([
                ProjectStore.lockStatement(id, in: organization),
                ProjectStore.projectStatement(id, in: organization),
                ProjectStore.collaboratorsStatement(id, in: organization),
            ])
            let stored = try ProjectStore.detail(answers[1], answers[2])
            try judge(stored)
            try await transaction.claimIdempotencyKey()
            let change = try change(stored, transaction.now)
            try await save(change, in: organization, transaction)
            return ProjectDetail(project: change.value, collaborators: stored?.collaborators ?? [])
        }
    }

    /// What a change of collaborators is judged by.
    struct Situation: Sendable {
        let project: ProjectDetail?
        let actor: Person?
        /// The user whom the path names; nil if there is none of that address.
        let named: Member?
        let now: Timestamp
    }

    /// Adds a collaborator; `judge` as above, `add` gives the entry and the project with its new counts.
    func addCollaborator(
        email key: String,
        to id: ProjectID,
        in organization: OrganizationID,
        by user: UserID,
        judge: (ProjectDetail?) throws -> Void,
        add: (Situation) throws -> (entry: Collaborator, change: Change<Project>)
    ) async throws -> AddedCollaborator {
        try await database.write(in: organization) { transaction in
            let situation = try await situation(email: key, id, in: organization, by: user, transaction)
            try judge(situation.project)
            try await transaction.claimIdempotencyKey()
            let (entry, change) = try add(situation)
            transaction.send(
                """
                INSERT INTO project_collaborator (organization_id, project_id, user_id, added_at, added_by)
                VALUES (\(organization), \(id), \(entry.person.id), \(entry.addedAt), \(entry.addedBy.id))
                """
            )
            try await save(change, in: organization, transaction)
            return AddedCollaborator(entry: entry, version: change.value.version)
        }
    }

    /// Removes a collaborator; `remove` says whom, and gives the project with its new counts.
    func removeCollaborator(
        email key: String,
        from id: ProjectID,
        in organization: OrganizationID,
        by user: UserID,
        remove: (Situation) throws -> (user: UserID, change: Change<Project>)
    ) async throws {
        try await database.write(in: organization) { transaction in
            let situation = try await situation(email: key, id, in: organization, by: user, transaction)
            let (removed, change) = try remove(situation)
            transaction.send(
                """
                DELETE FROM project_collaborator
                WHERE organization_id = \(organization) AND project_id = \(id) AND user_id = \(removed)
                """
            )
            try await save(change, in: organization, transaction)
        }
    }

    private func situation(
        email key: String,
        _ id: ProjectID,
        in organization: OrganizationID,
        by user: UserID,
        _ transaction: WriteTransaction
    ) async throws -> Situation {
        let answers = try await transaction.query([
            ProjectStore.memberStatement(user, in: organization),
            ProjectStore.memberStatement(email: key, in: organization),
            ProjectStore.lockStatement(id, in: organization),
            ProjectStore.projectStatement(id, in: organization),
            ProjectStore.collaboratorsStatement(id, in: organization),
        ])
        return Situation(
            project: try ProjectStore.detail(answers[3], answers[4]),
            actor: try answers[0].first.map(ProjectStore.member)?.person,
            named: try answers[1].first.map(ProjectStore.member),
            now: transaction.now
        )
    }

    private func save(
        _ change: Change<Project>,
        in organization: OrganizationID,
        _ transaction: WriteTransaction
    ) async throws {
        guard change.isChanged else { return }
        let project = change.value
        _ = try await ProjectStore.reportingTakenName {
            try await transaction.query(
                """
                UPDATE project SET name = \(project.name), description = \(project.description),
                    status = \(project.status.rawValue)::project_status, task_visibility = \(project.taskVisibility.rawValue),
                    updated_by = \(project.updatedBy.id), updated_at = \(project.updatedAt),
                    deleted_at = \(project.deletedAt), version = \(project.version), revision = \(project.revision)
                WHERE organization_id = \(organization) AND id = \(project.id)
                """
            )
        }
        for event in change.events { try transaction.publish(event) }
    }

    private static func reportingTakenName<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as PostgresError where error.isUniqueViolation(of: "project_name_key") {
            throw Failure.conflict("name-taken", "There is a live project of this name already.")
        }
    }
}

/// A collaborator just added, with the version that the project has got by it.
struct AddedCollaborator: Sendable {
    let entry: Collaborator
    let version: Int64
}
