public import Chronology
public import Identity

/// An organization's settings changed. Carries all that other services keep of it, so the newest one is enough.
public struct OrganizationUpdated: Event {
    /// The CloudEvents `type`.
    public static let type = "organization.updated"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.organization
    /// The aggregate it is about.
    public var subject: String { "organization" }

    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The name.
    public var name: String
    /// IANA name.
    public var timeZone: String
    /// 0...23, local.
    public var reminderHour: Int
    /// When it last changed.
    public var updatedAt: Timestamp

    /// An event with these values.
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
    /// The CloudEvents `type`.
    public static let type = "organization.deleted"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.organization
    /// The aggregate it is about.
    public var subject: String { "organization" }

    /// An event with these values.
    public init() {}
}

/// What other services keep of a user.
public struct UserProfile: Codable, Sendable, Hashable {
    /// The user.
    public var user: UserID
    /// Counts the user's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The address, as its owner wrote it.
    public var email: String
    /// First name.
    public var firstName: String
    /// Last name.
    public var lastName: String
    /// The role in the organization.
    public var role: Role
    /// The department; nil for none.
    public var department: DepartmentID?
    /// The department's name; nil for none.
    public var departmentName: String?
    /// Whether the person may do anything there.
    public var isActive: Bool
    /// Absolute URL of the picture.
    public var profileImage: String?
    /// When it was made.
    public var createdAt: Timestamp
    /// When it last changed.
    public var updatedAt: Timestamp

    /// With these values.
    public init(
        user: UserID,
        revision: Int64,
        email: String,
        firstName: String,
        lastName: String,
        role: Role,
        department: DepartmentID?,
        departmentName: String?,
        isActive: Bool,
        profileImage: String?,
        createdAt: Timestamp,
        updatedAt: Timestamp
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
    /// The CloudEvents `type`.
    public static let type = "user.created"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.organization
    /// The aggregate it is about.
    public var subject: String { "user/\(profile.user)" }

    /// What the user is now.
    public var profile: UserProfile

    /// An event with these values.
    public init(profile: UserProfile) { self.profile = profile }
}

/// A user's names, role, department, picture or activity changed, or their department was renamed or removed.
public struct UserUpdated: Event {
    /// The CloudEvents `type`.
    public static let type = "user.updated"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.organization
    /// The aggregate it is about.
    public var subject: String { "user/\(profile.user)" }

    /// What the user is now.
    public var profile: UserProfile

    /// An event with these values.
    public init(profile: UserProfile) { self.profile = profile }
}
