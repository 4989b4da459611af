public import Chronology
public import Identity

/// A project was created. Its creator follows as its first collaborator.
public struct ProjectCreated: Event {
    /// The CloudEvents `type`.
    public static let type = "project.created"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.project
    /// The aggregate it is about.
    public var subject: String { "project/\(project)" }

    /// The project.
    public var project: ProjectID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The key for people.
    public var key: String
    /// The name.
    public var name: String
    /// The status, as the API names it.
    public var status: String
    /// `collaborators` or `project`.
    public var taskVisibility: String
    /// Who made it.
    public var createdBy: UserID

    /// An event with these values.
    public init(
        project: ProjectID,
        revision: Int64,
        key: String,
        name: String,
        status: String,
        taskVisibility: String,
        createdBy: UserID
    ) {
        self.project = project
        self.revision = revision
        self.key = key
        self.name = name
        self.status = status
        self.taskVisibility = taskVisibility
        self.createdBy = createdBy
    }
}

/// A project changed; only what changed is set.
public struct ProjectUpdated: Event {
    /// The CloudEvents `type`.
    public static let type = "project.updated"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.project
    /// The aggregate it is about.
    public var subject: String { "project/\(project)" }

    /// The project.
    public var project: ProjectID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The name.
    public var name: String?
    /// The status, as the API names it.
    public var status: String?
    /// `collaborators` or `project`.
    public var taskVisibility: String?

    /// An event with these values.
    public init(
        project: ProjectID,
        revision: Int64,
        name: String? = nil,
        status: String? = nil,
        taskVisibility: String? = nil
    ) {
        self.project = project
        self.revision = revision
        self.name = name
        self.status = status
        self.taskVisibility = taskVisibility
    }
}

/// A project went to the trash; its tasks vanish with it.
public struct ProjectDeleted: Event {
    /// The CloudEvents `type`.
    public static let type = "project.deleted"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.project
    /// The aggregate it is about.
    public var subject: String { "project/\(project)" }

    /// The project.
    public var project: ProjectID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// When it went to the trash.
    public var deletedAt: Timestamp

    /// An event with these values.
    public init(project: ProjectID, revision: Int64, deletedAt: Timestamp) {
        self.project = project
        self.revision = revision
        self.deletedAt = deletedAt
    }
}

/// A project came back from the trash.
public struct ProjectRestored: Event {
    /// The CloudEvents `type`.
    public static let type = "project.restored"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.project
    /// The aggregate it is about.
    public var subject: String { "project/\(project)" }

    /// The project.
    public var project: ProjectID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64

    /// An event with these values.
    public init(project: ProjectID, revision: Int64) {
        self.project = project
        self.revision = revision
    }
}

/// A project has left the trash for good: its tasks go with it.
public struct ProjectPurged: Event {
    /// The CloudEvents `type`.
    public static let type = "project.purged"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.project
    /// The aggregate it is about.
    public var subject: String { "project/\(project)" }

    /// The project.
    public var project: ProjectID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64

    /// An event with these values.
    public init(project: ProjectID, revision: Int64) {
        self.project = project
        self.revision = revision
    }
}

/// Someone became collaborator of a project.
public struct ProjectCollaboratorAdded: Event {
    /// The CloudEvents `type`.
    public static let type = "project.collaborator-added"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.project
    /// The aggregate it is about.
    public var subject: String { "project/\(project)" }

    /// The project.
    public var project: ProjectID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The user.
    public var user: UserID
    /// True for the creator of the project, who is told nothing.
    public var isCreator: Bool

    /// An event with these values.
    public init(project: ProjectID, revision: Int64, user: UserID, isCreator: Bool) {
        self.project = project
        self.revision = revision
        self.user = user
        self.isCreator = isCreator
    }
}

/// Someone no longer collaborates on a project, nor on its tasks.
public struct ProjectCollaboratorRemoved: Event {
    /// The CloudEvents `type`.
    public static let type = "project.collaborator-removed"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.project
    /// The aggregate it is about.
    public var subject: String { "project/\(project)" }

    /// The project.
    public var project: ProjectID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The user.
    public var user: UserID

    /// An event with these values.
    public init(project: ProjectID, revision: Int64, user: UserID) {
        self.project = project
        self.revision = revision
        self.user = user
    }
}
