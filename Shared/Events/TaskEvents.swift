public import Chronology
public import Identity

/// A day or a moment: exactly one of the two is set.
public struct EventDate: Codable, Sendable, Hashable {
    public var moment: Timestamp?
    public var day: CivilDate?

    public init(moment: Timestamp) { self.moment = moment }

    public init(day: CivilDate) { self.day = day }
}

/// What other services keep of a task.
public struct TaskSummary: Codable, Sendable, Hashable {
    public var key: String
    public var project: ProjectID
    public var parent: TaskID?
    public var title: String
    public var priority: String
    public var status: String
    public var startDate: EventDate?
    public var dueDate: EventDate?
    public var createdBy: UserID

    public init(
        key: String, project: ProjectID, parent: TaskID?, title: String, priority: String, status: String,
        startDate: EventDate?, dueDate: EventDate?, createdBy: UserID
    ) {
        self.key = key
        self.project = project
        self.parent = parent
        self.title = title
        self.priority = priority
        self.status = status
        self.startDate = startDate
        self.dueDate = dueDate
        self.createdBy = createdBy
    }
}

/// A task was created, with its first collaborators.
public struct TaskCreated: Event {
    public static let type = "task.created"
    public static let version = 1
    public static let producer = Producer.task
    public var subject: String { "task/\(task)" }

    public var task: TaskID
    public var revision: Int64
    public var summary: TaskSummary
    public var collaborators: [UserID]

    public init(task: TaskID, revision: Int64, summary: TaskSummary, collaborators: [UserID]) {
        self.task = task
        self.revision = revision
        self.summary = summary
        self.collaborators = collaborators
    }
}

/// A task changed. `changed` names the fields of the API that did; the summary is what they are now.
public struct TaskUpdated: Event {
    public static let type = "task.updated"
    public static let version = 1
    public static let producer = Producer.task
    public var subject: String { "task/\(task)" }

    public var task: TaskID
    public var revision: Int64
    public var changed: [String]
    public var summary: TaskSummary

    public init(task: TaskID, revision: Int64, changed: [String], summary: TaskSummary) {
        self.task = task
        self.revision = revision
        self.changed = changed
        self.summary = summary
    }
}

/// The overdue clock marked a task: its due moment has passed.
public struct TaskOverdue: Event {
    public static let type = "task.overdue"
    public static let version = 1
    public static let producer = Producer.task
    public var subject: String { "task/\(task)" }

    public var task: TaskID
    public var revision: Int64

    public init(task: TaskID, revision: Int64) {
        self.task = task
        self.revision = revision
    }
}

/// A task went to the trash.
public struct TaskDeleted: Event {
    public static let type = "task.deleted"
    public static let version = 1
    public static let producer = Producer.task
    public var subject: String { "task/\(task)" }

    public var task: TaskID
    public var revision: Int64

    public init(task: TaskID, revision: Int64) {
        self.task = task
        self.revision = revision
    }
}

/// A task came back from the trash.
public struct TaskRestored: Event {
    public static let type = "task.restored"
    public static let version = 1
    public static let producer = Producer.task
    public var subject: String { "task/\(task)" }

    public var task: TaskID
    public var revision: Int64

    public init(task: TaskID, revision: Int64) {
        self.task = task
        self.revision = revision
    }
}

/// Someone was made collaborator of a task after it was created.
public struct TaskCollaboratorAdded: Event {
    public static let type = "task.collaborator-added"
    public static let version = 1
    public static let producer = Producer.task
    public var subject: String { "task/\(task)" }

    public var task: TaskID
    public var revision: Int64
    public var user: UserID

    public init(task: TaskID, revision: Int64, user: UserID) {
        self.task = task
        self.revision = revision
        self.user = user
    }
}

/// Someone no longer collaborates on a task.
public struct TaskCollaboratorRemoved: Event {
    public static let type = "task.collaborator-removed"
    public static let version = 1
    public static let producer = Producer.task
    public var subject: String { "task/\(task)" }

    public var task: TaskID
    public var revision: Int64
    public var user: UserID

    public init(task: TaskID, revision: Int64, user: UserID) {
        self.task = task
        self.revision = revision
        self.user = user
    }
}
