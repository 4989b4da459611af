public import Chronology
public import Identity

/// A day or a moment: exactly one of the two is set.
public struct EventDate: Codable, Sendable, Hashable {
    /// The moment; nil if a day is set.
    public var moment: Timestamp?
    /// The day; nil if a moment is set.
    public var day: CivilDate?

    /// A moment.
    public init(moment: Timestamp) { self.moment = moment }

    /// A day.
    public init(day: CivilDate) { self.day = day }
}

/// What other services keep of a task.
public struct TaskSummary: Codable, Sendable, Hashable {
    /// The key for people.
    public var key: String
    /// The project.
    public var project: ProjectID
    /// The parent, for a subtask.
    public var parent: TaskID?
    /// The title.
    public var title: String
    /// The priority, as the API names it.
    public var priority: String
    /// The status, as the API names it.
    public var status: String
    /// When work starts; nil if not said.
    public var startDate: EventDate?
    /// When it is due; nil if not said.
    public var dueDate: EventDate?
    /// Who made it.
    public var createdBy: UserID

    /// With these values.
    public init(
        key: String,
        project: ProjectID,
        parent: TaskID?,
        title: String,
        priority: String,
        status: String,
        startDate: EventDate?,
        dueDate: EventDate?,
        createdBy: UserID
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
    /// The CloudEvents `type`.
    public static let type = "task.created"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// What the task is now.
    public var summary: TaskSummary
    /// Who collaborates on it.
    public var collaborators: [UserID]

    /// An event with these values.
    public init(task: TaskID, revision: Int64, summary: TaskSummary, collaborators: [UserID]) {
        self.task = task
        self.revision = revision
        self.summary = summary
        self.collaborators = collaborators
    }
}

/// A task changed. `changed` names the fields of the API that did; the summary is what they are now.
public struct TaskUpdated: Event {
    /// The CloudEvents `type`.
    public static let type = "task.updated"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// Names of the fields that changed, as the API has them.
    public var changed: [String]
    /// What the task is now.
    public var summary: TaskSummary

    /// An event with these values.
    public init(task: TaskID, revision: Int64, changed: [String], summary: TaskSummary) {
        self.task = task
        self.revision = revision
        self.changed = changed
        self.summary = summary
    }
}

/// The overdue clock marked a task: its due moment has passed.
public struct TaskOverdue: Event {
    /// The CloudEvents `type`.
    public static let type = "task.overdue"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64

    /// An event with these values.
    public init(task: TaskID, revision: Int64) {
        self.task = task
        self.revision = revision
    }
}

/// A task went to the trash.
public struct TaskDeleted: Event {
    /// The CloudEvents `type`.
    public static let type = "task.deleted"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64

    /// An event with these values.
    public init(task: TaskID, revision: Int64) {
        self.task = task
        self.revision = revision
    }
}

/// A task came back from the trash.
public struct TaskRestored: Event {
    /// The CloudEvents `type`.
    public static let type = "task.restored"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64

    /// An event with these values.
    public init(task: TaskID, revision: Int64) {
        self.task = task
        self.revision = revision
    }
}

/// A task has left the trash for good: nothing of it is kept but its number.
public struct TaskPurged: Event {
    /// The CloudEvents `type`.
    public static let type = "task.purged"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64

    /// An event with these values.
    public init(task: TaskID, revision: Int64) {
        self.task = task
        self.revision = revision
    }
}

/// Someone was made collaborator of a task after it was created.
public struct TaskCollaboratorAdded: Event {
    /// The CloudEvents `type`.
    public static let type = "task.collaborator-added"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The user.
    public var user: UserID

    /// An event with these values.
    public init(task: TaskID, revision: Int64, user: UserID) {
        self.task = task
        self.revision = revision
        self.user = user
    }
}

/// Someone no longer collaborates on a task.
public struct TaskCollaboratorRemoved: Event {
    /// The CloudEvents `type`.
    public static let type = "task.collaborator-removed"
    /// The payload's version.
    public static let version = 1
    /// Who says it.
    public static let producer = Producer.task
    /// The aggregate it is about.
    public var subject: String { "task/\(task)" }

    /// The task.
    public var task: TaskID
    /// Counts the aggregate's changes, 1 and up; a replica takes only a higher one.
    public var revision: Int64
    /// The user.
    public var user: UserID

    /// An event with these values.
    public init(task: TaskID, revision: Int64, user: UserID) {
        self.task = task
        self.revision = revision
        self.user = user
    }
}
