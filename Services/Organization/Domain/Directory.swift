import Chronology
import Events
import Failures
import Identity
import Lists

/// Waits until no token stands any longer for what has just been changed.
protocol TokenRevocation: Sendable {
    /// Returns when Auth has applied every change of the organization so far and its revocations are in force; throws
    /// ``Failures/Failure`` 503 `not-caught-up` if that cannot be said in time.
    func isInForce(in organization: OrganizationID) async throws
}

/// What can be done with users, departments and the organization itself; routes and event handlers both go through it.
///
/// Closures named `read` hand in the fields of a body. They run once rights are judged and may check what they are
/// given (a version, read-only fields) against it; whatever they throw leaves everything as it was.
struct Directory: Sendable {
    let store: DirectoryStore
    let revocation: any TokenRevocation

    // MARK: Users

    func users(_ request: ListRequest, as principal: Principal) async throws -> Page<User> {
        try await store.users(request, in: principal.organization)
    }

    func members(_ request: ListRequest, as principal: Principal) async throws -> Page<User> {
        try await store.members(request, in: principal.organization)
    }

    func user(email: String, as principal: Principal) async throws -> User {
        // No address holds U+0000, and Postgres would not take it as text.
        guard !email.utf8.contains(0) else { throw Failure.notFound }
        guard let user = try await store.user(email: EmailAddress.key(email), in: principal.organization) else {
            throw Failure.notFound
        }
        return user
    }

    func createUser(
        as principal: Principal,
        naming reference: DepartmentReference?,
        read: (_ named: DepartmentLabel?) throws -> UserDraft
    ) async throws -> User {
        try await store.createUser(
            in: principal.organization,
            by: principal.user,
            naming: reference,
            judge: { try $0.requireAdmin() },
            make: { named, now in
                let draft = try read(named)
                let user = User(
                    id: UserID.make(milliseconds: now.microseconds / 1000),
                    email: draft.email.text,
                    firstName: draft.firstName,
                    lastName: draft.lastName,
                    role: draft.role,
                    department: draft.department,
                    isActive: true,
                    picture: nil,
                    version: 1,
                    createdAt: now,
                    updatedAt: now
                )
                return .changed(user, UserCreated(profile: user.profile))
            }
        )
    }

    func changeUser(
        email: String,
        as principal: Principal,
        naming reference: DepartmentReference?,
        read: (User, _ named: DepartmentLabel?) throws -> UserPatch
    ) async throws -> User {
        guard !email.utf8.contains(0) else { throw Failure.notFound }
        var concernsTokens = false
        let change = try await store.changeUser(
            email: EmailAddress.key(email),
            in: principal.organization,
            by: principal.user,
            naming: reference
        ) { situation in
            try situation.standing.requireAdmin()
            guard let user = situation.user else { throw Failure.notFound }
            let patch = try read(user, situation.named)
            concernsTokens = patch.concernsTokens
            guard
                let changed = try user.applying(patch, activeAdmins: situation.activeAdmins, now: situation.now)
            else { return .unchanged(user) }
            return .changed(changed, UserUpdated(profile: changed.profile))
        }
        // Also when nothing changed: an earlier attempt may have been saved and then not have been waited for.
        if concernsTokens { try await revocation.isInForce(in: principal.organization) }
        return change.value
    }

    func changeSelf(as principal: Principal, read: (User) throws -> UserPatch) async throws -> User {
        try await store.changeSelf(principal.user, in: principal.organization) { user, now in
            guard let user else { throw Failure.notFound }
            try Standing?(Standing(role: user.role, isActive: user.isActive)).requireActive()
            let patch = try read(user)
            // Names change no rights, so the number of admins does not matter.
            guard let changed = try user.applying(patch, activeAdmins: .max, now: now) else { return .unchanged(user) }
            return .changed(changed, UserUpdated(profile: changed.profile))
        }.value
    }

    // MARK: Departments

    func departments(_ request: ListRequest, as principal: Principal) async throws -> Page<Department> {
        try await store.departments(request, in: principal.organization)
    }

    func department(_ id: DepartmentID, as principal: Principal) async throws -> Department {
        guard let department = try await store.department(id, in: principal.organization) else {
            throw Failure.notFound
        }
        return department
    }

    func createDepartment(as principal: Principal, read: () throws -> String) async throws -> Department {
        try await store.createDepartment(
            in: principal.organization,
            by: principal.user,
            judge: { try $0.requireAdmin() },
            name: read
        )
    }

    func renameDepartment(
        _ id: DepartmentID,
        as principal: Principal,
        read: (Department) throws -> String?
    ) async throws -> Department {
        try await store.renameDepartment(
            id,
            in: principal.organization,
            by: principal.user,
            judge: { try $0.requireAdmin() },
            change: { department in
                guard let department else { throw Failure.notFound }
                return try read(department).flatMap { department.renamed($0) }
            },
            announce: { UserUpdated(profile: $0.profile) }
        )
    }

    func deleteDepartment(
        _ id: DepartmentID,
        as principal: Principal,
        read: (Department) throws -> Void
    ) async throws {
        try await store.deleteDepartment(
            id,
            in: principal.organization,
            by: principal.user,
            judge: { try $0.requireAdmin() },
            check: { department in
                guard let department else { throw Failure.notFound }
                try read(department)
            },
            announce: { UserUpdated(profile: $0.profile) }
        )
    }

    // MARK: The organization

    func organization(as principal: Principal) async throws -> Organization {
        guard let organization = try await store.organization(principal.organization) else { throw Failure.notFound }
        return organization
    }

    func changeOrganization(
        as principal: Principal,
        read: (Organization) throws -> OrganizationPatch
    ) async throws -> Organization {
        try await store.changeOrganization(principal.organization, by: principal.user) { standing, organization, now in
            guard let organization else { throw Failure.notFound }
            try standing.requireAdmin()
            guard let changed = organization.applying(try read(organization), now: now) else {
                return .unchanged(organization)
            }
            return .changed(changed, changed.announcement)
        }
    }

    /// Removes the organization. `read` checks the version and gives the name that the body repeats.
    func deleteOrganization(as principal: Principal, read: (Organization) throws -> String) async throws {
        try await store.deleteOrganization(principal.organization, by: principal.user) { standing, organization in
            guard let organization else { throw Failure.notFound }
            try standing.requireAdmin()
            try organization.confirmDeletion(by: try read(organization))
            return [OrganizationDeleted()]
        }
        try await revocation.isInForce(in: principal.organization)
    }

    // MARK: What others say

    /// A sign-up was accepted: the organization and its first admin begin to be here.
    func found(
        _ event: OrganizationFounded,
        organization id: OrganizationID,
        at moment: Timestamp,
        in transaction: DirectoryTransaction
    ) {
        let organization = Organization(
            id: id,
            name: event.organizationName,
            timeZone: Organization.defaultTimeZone,
            reminderHour: Organization.defaultReminderHour,
            version: 1,
            createdAt: moment,
            updatedAt: moment
        )
        let founder = User(
            id: event.user,
            email: event.email,
            firstName: event.firstName,
            lastName: event.lastName,
            role: .admin,
            department: nil,
            isActive: true,
            picture: nil,
            version: 1,
            createdAt: moment,
            updatedAt: moment
        )
        transaction.insert(organization, founder: founder)
    }
}
