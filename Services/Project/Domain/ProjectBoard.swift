import Chronology
import Events
import Failures
import Identity
import Lists

/// What can be done with projects; routes and event handlers both go through it.
///
/// Closures named `read` hand in the fields of a body. They run once rights are judged and may check what they are
/// given (a version, read-only fields) against it; whatever they throw leaves everything as it was.
struct ProjectBoard: Sendable {
    let store: ProjectStore
    let clock: WallClock

    // MARK: Reading

    func projects(_ request: ListRequest, as principal: Principal) async throws -> Page<Project> {
        try await store.projects(request, in: principal.organization, of: principal.userUnlessAdmin)
    }

    func project(_ id: ProjectID, as principal: Principal) async throws -> ProjectDetail {
        guard let detail = try await store.project(id, in: principal.organization) else { throw Failure.notFound }
        try ProjectRights(principal, on: detail).require(.read)
        return detail
    }

    func trash(_ request: ListRequest, as principal: Principal) async throws -> Page<Project> {
        try ProjectRights.requireTrash(principal.role)
        return try await store.trash(
            request,
            in: principal.organization,
            of: principal.userUnlessAdmin,
            since: clock.now - Project.trashPeriod
        )
    }

    func collaborators(
        _ request: ListRequest,
        of id: ProjectID,
        as principal: Principal
    ) async throws -> Page<Collaborator> {
        let page = try await store.collaborators(
            request,
            of: id,
            in: principal.organization,
            seenBy: principal.userUnlessAdmin
        )
        // An empty page may be that of a project without collaborators, or of one that is not to be seen.
        if page.items.isEmpty { _ = try await project(id, as: principal) }
        return page
    }

    /// One collaborator, with the version of the project, which changes whenever the entry does.
    func collaborator(
        email: String,
        of id: ProjectID,
        as principal: Principal
    ) async throws -> (entry: Collaborator, version: Int64) {
        let detail = try await project(id, as: principal)
        let key = EmailKey.of(email)
        guard let entry = detail.collaborators.first(where: { EmailKey.of($0.person.email) == key }) else {
            throw Failure.notFound
        }
        return (entry, detail.project.version)
    }

    // MARK: Writing

    func create(as principal: Principal, read: () throws -> ProjectDraft) async throws -> ProjectDetail {
        try ProjectRights.requireCreation(principal.role)
        return try await store.create(in: principal.organization, by: principal.user, read: read) { project in
            [
                ProjectCreated(
                    project: project.id,
                    revision: 1,
                    key: project.key,
                    name: project.name,
                    status: project.status.rawValue,
                    taskVisibility: project.taskVisibility.rawValue,
                    createdBy: principal.user
                ),
                ProjectCollaboratorAdded(project: project.id, revision: 2, user: principal.user, isCreator: true),
            ]
        }
    }

    func update(
        _ id: ProjectID,
        as principal: Principal,
        read: (ProjectDetail) throws -> ProjectPatch
    ) async throws -> ProjectDetail {
        try await store.change(id, in: principal.organization, by: principal.user) { detail, actor, now in
            let detail = try ProjectBoard.require(.update, on: detail, as: principal)
            let patch = try read(detail)
            guard let actor else { throw ProjectBoard.unknownActor }
            guard let (project, event) = detail.project.applying(patch, by: actor, now: now) else {
                return .unchanged(detail.project)
            }
            return .changed(project, event)
        }
    }

    /// Moves a project to the trash.
    func delete(_ id: ProjectID, as principal: Principal, read: (ProjectDetail) throws -> Void) async throws {
        _ = try await store.change(id, in: principal.organization, by: principal.user) { detail, _, now in
            let detail = try ProjectBoard.require(.delete, on: detail, as: principal)
            try read(detail)
            var project = detail.project
            project.deletedAt = now
            project.countUp()
            return .changed(
                project,
                ProjectDeleted(project: id, revision: project.revision, deletedAt: now)
            )
        }
    }

    /// Takes a project out of the trash.
    func restore(_ id: ProjectID, as principal: Principal, read: () throws -> Void) async throws -> ProjectDetail {
        try await store.changeOnce(
            id,
            in: principal.organization,
            judge: { detail in _ = try ProjectBoard.require(.restore, on: detail, as: principal) },
            change: { detail, now in
                guard var project = detail?.project else { throw Failure.notFound }
                try read()
                guard let deletedAt = project.deletedAt else {
                    throw Failure.conflict("not-deleted", "The project is not in the trash.")
                }
                guard deletedAt > now - Project.trashPeriod else { throw Failure.notFound }
                project.deletedAt = nil
                project.countUp()
                return .changed(project, ProjectRestored(project: id, revision: project.revision))
            }
        )
    }

    func addCollaborator(
        email: String,
        to id: ProjectID,
        as principal: Principal,
        read: () throws -> Void
    ) async throws -> AddedCollaborator {
        try await store.addCollaborator(
            email: EmailKey.of(email),
            to: id,
            in: principal.organization,
            by: principal.user,
            judge: { detail in _ = try ProjectBoard.require(.manageCollaborators, on: detail, as: principal) },
            add: { situation in
                guard let detail = situation.project, let named = situation.named else { throw Failure.notFound }
                guard let actor = situation.actor else { throw ProjectBoard.unknownActor }
                try read()
                guard named.isActive else {
                    throw Failure(.invalidFields, "inactive-user", "This person has been deactivated.")
                }
                guard !detail.collaborates(named.person.id) else {
                    throw Failure.conflict("already-collaborator", "This person collaborates on the project already.")
                }
                var project = detail.project
                project.countUp()
                let event = ProjectCollaboratorAdded(
                    project: id,
                    revision: project.revision,
                    user: named.person.id,
                    isCreator: false
                )
                let entry = Collaborator(person: named.person, addedAt: situation.now, addedBy: actor)
                return (entry, .changed(project, event))
            }
        )
    }

    func removeCollaborator(
        email: String,
        from id: ProjectID,
        as principal: Principal,
        read: (ProjectDetail) throws -> Void
    ) async throws {
        try await store.removeCollaborator(
            email: EmailKey.of(email),
            from: id,
            in: principal.organization,
            by: principal.user
        ) { situation in
            let isSelf = situation.named?.person.id == principal.user
            let detail = try ProjectBoard.require(
                isSelf ? .leave : .manageCollaborators,
                on: situation.project,
                as: principal
            )
            guard let named = situation.named, detail.collaborates(named.person.id) else { throw Failure.notFound }
            try read(detail)
            var project = detail.project
            project.countUp()
            let event = ProjectCollaboratorRemoved(project: id, revision: project.revision, user: named.person.id)
            return (named.person.id, .changed(project, event))
        }
    }

    private static func require(
        _ action: ProjectAction,
        on detail: ProjectDetail?,
        as principal: Principal
    ) throws -> ProjectDetail {
        guard let detail else { throw Failure.notFound }
        try ProjectRights(principal, on: detail).require(action)
        return detail
    }

    private static let unknownActor = Failure.unavailable("not-caught-up", "You are not known here yet.")

    // MARK: The trash clock

    func organizations() async throws -> [OrganizationID] { try await store.organizations() }

    /// Removes for good what can no longer be taken out of the trash; gives how many projects it removed.
    func purgeTrash(in organization: OrganizationID) async throws -> Int {
        var total = 0
        while true {
            let purged = try await store.purge(deletedUpTo: clock.now - Project.trashPeriod, in: organization)
            total += purged
            if purged == 0 || Task.isCancelled { return total }
        }
    }

    // MARK: What others say

    /// A sign-up was accepted: the organization and its first admin begin to be here.
    func found(
        _ event: OrganizationFounded,
        organization: OrganizationID,
        at moment: Timestamp,
        in transaction: ProjectTransaction
    ) async throws {
        let founder = UserProfile(
            user: event.user,
            revision: 1,
            email: event.email,
            firstName: event.firstName,
            lastName: event.lastName,
            role: .admin,
            department: nil,
            departmentName: nil,
            isActive: true,
            profileImage: nil,
            createdAt: moment,
            updatedAt: moment
        )
        try await transaction.found(organization, at: moment, founder: founder)
    }

    func take(_ profile: UserProfile, of organization: OrganizationID, in transaction: ProjectTransaction) async throws
    {
        try await transaction.put(profile, in: organization)
    }

    func forget(_ organization: OrganizationID, in transaction: ProjectTransaction) throws {
        try transaction.delete(organization)
    }
}

extension Project {
    /// Another version, and another event to tell of it.
    mutating func countUp() {
        version += 1
        revision += 1
    }
}

extension Principal {
    /// The user by whom lists are narrowed; nil for admins, who see all.
    fileprivate var userUnlessAdmin: UserID? { role == .admin ? nil : user }
}

/// What addresses are compared by.
enum EmailKey {
    /// ASCII letters in lower case. Nothing else is folded, so that no letter of another script (a Kelvin sign) ever
    /// finds somebody's address.
    static func of(_ email: String) -> String {
        String(decoding: email.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
    }
}
