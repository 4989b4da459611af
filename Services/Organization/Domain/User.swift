import Chronology
import Events
import Failures
import Identity

/// An account's membership of an organization.
struct User: Sendable, Hashable {
    let id: UserID
    let email: String
    var firstName: String
    var lastName: String
    var role: Role
    var department: DepartmentLabel?
    var isActive: Bool
    var picture: Picture?
    /// Counts the changes, 1 and up; the ETag, and the revision that replicas go by.
    var version: Int64
    let createdAt: Timestamp
    var updatedAt: Timestamp

    /// For people.
    var name: String { "\(firstName) \(lastName)" }

    var isActiveAdmin: Bool { role == .admin && isActive }

    /// What other services keep.
    var profile: UserProfile {
        UserProfile(
            user: id,
            revision: version,
            email: email,
            firstName: firstName,
            lastName: lastName,
            role: role,
            department: department?.id,
            departmentName: department?.name,
            isActive: isActive,
            profileImage: picture?.url,
            createdAt: createdAt,
            updatedAt: updatedAt
        )
    }
}

/// The department a user is in, as the user's own answer shows it.
struct DepartmentLabel: Sendable, Hashable {
    let id: DepartmentID
    let name: String
}

/// A department named by a body: by its id (a number) or by its name (a string).
enum DepartmentReference: Sendable, Hashable {
    case id(DepartmentID)
    case name(String)
}

/// A stored profile picture.
struct Picture: Sendable, Hashable {
    /// Which kind of storage holds it.
    let storage: String
    /// What it is called there.
    let name: String
    /// The address that clients get.
    let url: String
}

/// What is needed for a new user.
struct UserDraft: Sendable {
    var email: EmailAddress
    var firstName: String
    var lastName: String
    var role: Role
    var department: DepartmentLabel?
}

/// What a PUT or PATCH wants of a user; nil leaves a field as it is.
struct UserPatch: Sendable {
    var firstName: String?
    var lastName: String?
    var role: Role?
    /// `.some(nil)`: no department.
    var department: DepartmentLabel??
    var isActive: Bool?

    /// Whether it says anything about what the user's tokens stand for.
    var concernsTokens: Bool { role != nil || isActive != nil }
}

extension User {
    /// The user after a patch; nil if that changes nothing.
    ///
    /// - Parameters:
    ///   - patch: what is wanted.
    ///   - activeAdmins: how many active admins the organization has, counted under a lock that every change of a
    ///     role holds; two admins who demote each other at once would otherwise leave none.
    ///   - now: the moment of the change.
    func applying(_ patch: UserPatch, activeAdmins: Int, now: Timestamp) throws -> User? {
        var changed = self
        if let firstName = patch.firstName { changed.firstName = firstName }
        if let lastName = patch.lastName { changed.lastName = lastName }
        if let role = patch.role { changed.role = role }
        if let department = patch.department { changed.department = department }
        if let isActive = patch.isActive { changed.isActive = isActive }
        guard changed.isDifferent(from: self) else { return nil }
        if isActiveAdmin, !changed.isActiveAdmin, activeAdmins <= 1 {
            throw Failure.conflict("last-admin", "The organization must keep at least one active admin.")
        }
        changed.version += 1
        changed.updatedAt = now
        return changed
    }

    /// Text is compared code point for code point: Swift's `==` takes canonically equivalent text for the same.
    private func isDifferent(from other: User) -> Bool {
        !firstName.utf8.elementsEqual(other.firstName.utf8) || !lastName.utf8.elementsEqual(other.lastName.utf8)
            || role != other.role || department?.id != other.department?.id || isActive != other.isActive
    }
}

/// What the acting user is, by the organization's own books: a token may be a few minutes behind them.
struct Standing: Sendable, Hashable {
    let role: Role
    let isActive: Bool
}

extension Standing? {
    /// Throws unless the acting user is here and active: their sessions have ended or are about to.
    func requireActive() throws {
        guard self?.isActive == true else {
            throw Failure(.unauthenticated, "session-changed", "The session no longer stands for this user.")
        }
    }

    /// Throws unless the acting user is an active admin still.
    func requireAdmin() throws {
        try requireActive()
        guard self?.role == .admin else { throw Failure.forbidden }
    }
}
