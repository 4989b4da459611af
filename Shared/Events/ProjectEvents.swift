public import Chronology
public import Identity

/// A project was created. Its creator follows as its first collaborator.
public struct ProjectCreated: Event {
    public static let type = "project.created"
    public static let version = 1
    public static let producer = Producer.project
    public var subject: String { "project/\(project)" }

    public var project: ProjectID
    public var revision: Int64
    public var key: String
    public var name: String
    public var status: String
    /// `collaborators` or `project`.
    public var taskVisibility: String
    public var createdBy: UserID

    public init(
        project: ProjectID, revision: Int64, key: String, name: String, status: String, taskVisibility: String,
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
    public static let type = "project.updated"
    public static let version = 1
    public static let producer = Producer.project
    public var subject: String { "project/\(project)" }

    public var project: ProjectID
    public var revision: Int64
    public var name: String?
    public var status: String?
    public var taskVisibility: String?

    public init(
        project: ProjectID, revision: Int64, name: String? = nil, status: String? = nil, taskVisibility: String? = nil
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
    public static let type = "project.deleted"
    public static let version = 1
    public static let producer = Producer.project
    public var subject: String { "project/\(project)" }

    public var project: ProjectID
    public var revision: Int64
    public var deletedAt: Timestamp

    public init(project: ProjectID, revision: Int64, deletedAt: Timestamp) {
        self.project = project
        self.revision = revision
        self.deletedAt = deletedAt
    }
}

/// A project came back from the trash.
public struct ProjectRestored: Event {
    public static let type = "project.restored"
    public static let version = 1
    public static let producer = Producer.project
    public var subject: String { "project/\(project)" }

    public var project: ProjectID
    public var revision: Int64

    public init(project: ProjectID, revision: Int64) {
        self.project = project
        self.revision = revision
    }
}

/// Someone became collaborator of a project.
public struct ProjectCollaboratorAdded: Event {
    public static let type = "project.collaborator-added"
    public static let version = 1
    public static let producer = Producer.project
    public var subject: String { "project/\(project)" }

    public var project: ProjectID
    public var revision: Int64
    public var user: UserID
    /// True for the creator of the project, who is told nothing.
    public var isCreator: Bool

    public init(project: ProjectID, revision: Int64, user: UserID, isCreator: Bool) {
        self.project = project
        self.revision = revision
        self.user = user
        self.isCreator = isCreator
    }
}

/// Someone no longer collaborates on a project, nor on its tasks.
public struct ProjectCollaboratorRemoved: Event {
    public static let type = "project.collaborator-removed"
    public static let version = 1
    public static let producer = Producer.project
    public var subject: String { "project/\(project)" }

    public var project: ProjectID
    public var revision: Int64
    public var user: UserID

    public init(project: ProjectID, revision: Int64, user: UserID) {
        self.project = project
        self.revision = revision
        self.user = user
    }
}
