public import Chronology
public import Identity

/// An organization's settings changed. Carries all that other services keep of it, so the newest one is enough.
public struct OrganizationUpdated: Event {
    public static let type = "organization.updated"
    public static let version = 1
    public static let producer = Producer.organization
    public var subject: String { "organization" }

    public var revision: Int64
    public var name: String
    /// IANA name.
    public var timeZone: String
    /// 0...23, local.
    public var reminderHour: Int
    public var updatedAt: Timestamp

    public init(revision: Int64, name: String, timeZone: String, reminderHour: Int, updatedAt: Timestamp) {
        self.revision = revision
        self.name = name
        self.timeZone = timeZone
        self.reminderHour = reminderHour
        self.updatedAt = updatedAt
    }
}

/// An organization is gone for good; every service removes what it keeps of it.
public struct OrganizationDeleted: Event {
    public static let type = "organization.deleted"
    public static let version = 1
    public static let producer = Producer.organization
    public var subject: String { "organization" }

    public init() {}
}

/// What other services keep of a user.
public struct UserProfile: Codable, Sendable, Hashable {
    public var user: UserID
    /// Counts the user's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    public var email: String
    public var firstName: String
    public var lastName: String
    public var role: Role
    public var department: DepartmentID?
    public var departmentName: String?
    public var isActive: Bool
    /// Absolute URL of the picture.
    public var profileImage: String?
    public var createdAt: Timestamp
    public var updatedAt: Timestamp

    public init(
        user: UserID, revision: Int64, email: String, firstName: String, lastName: String, role: Role,
        department: DepartmentID?, departmentName: String?, isActive: Bool, profileImage: String?,
        createdAt: Timestamp, updatedAt: Timestamp
    ) {
        self.user = user
        self.revision = revision
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.role = role
        self.department = department
        self.departmentName = departmentName
        self.isActive = isActive
        self.profileImage = profileImage
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

/// An admin created a user; Auth finds or makes the account.
public struct UserCreated: Event {
    public static let type = "user.created"
    public static let version = 1
    public static let producer = Producer.organization
    public var subject: String { "user/\(profile.user)" }

    public var profile: UserProfile

    public init(profile: UserProfile) { self.profile = profile }
}

/// A user's names, role, department, picture or activity changed, or their department was renamed or removed.
public struct UserUpdated: Event {
    public static let type = "user.updated"
    public static let version = 1
    public static let producer = Producer.organization
    public var subject: String { "user/\(profile.user)" }

    public var profile: UserProfile

    public init(profile: UserProfile) { self.profile = profile }
}
