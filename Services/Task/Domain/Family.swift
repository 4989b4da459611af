import Events
import Failures
import Identity

/// A task with all that a change of it may touch, as it stands under lock.
struct Family: Sendable {
    var calendar: OrganizationCalendar
    /// What the version shown adds to the version kept.
    var peopleEpoch: Int64
    var target: TaskItem
    var standing: TaskStanding
    /// The project is not in the trash.
    var isProjectLive: Bool
    var parent: TaskItem?
    /// Another live subtask of the parent is open.
    var siblingsOpen: Bool
    /// The target's own subtasks, those in the trash too.
    var subtasks: [TaskItem]
    /// The parent that the request asks for, if it is there at all.
    var wanted: WantedParent?
    /// The person that the request names by e-mail.
    var person: PersonFacts?
    /// The single object as it is shown now, if the request has read-only members to compare.
    var shown: [UInt8]?

    /// The version as clients see it.
    var shownVersion: Int64 { target.version + peopleEpoch }

    var liveSubtasks: [TaskItem] { subtasks.filter { $0.deletedAt == nil } }
}

/// A task that another one is to hang under.
struct WantedParent: Sendable {
    var item: TaskItem
    var standing: TaskStanding
    /// Another live subtask of it is open.
    var subtasksOpen: Bool
}

/// A person named by e-mail, as far as a task is concerned.
struct PersonFacts: Sendable, Hashable {
    var user: UserID
    var isActive: Bool
    var isProjectCollaborator: Bool
    var isTaskCollaborator: Bool
}

/// A project as far as its tasks are concerned.
struct ProjectFacts: Sendable, Hashable {
    var id: ProjectID
    var key: String
    /// Whether the caller collaborates on it.
    var isCollaborator: Bool
}

/// What creating a task needs to know.
struct CreationFacts: Sendable {
    var calendar: OrganizationCalendar
    /// The caller's own address.
    var callerEmail: String?
    /// The caller as a possible collaborator.
    var caller: PersonFacts?
    /// Nil if there is none with that id outside the trash.
    var project: ProjectFacts?
    /// The parent named in path or body, nil if it is not there or in the trash.
    var parent: WantedParent?
    /// One for each address of the request, in order; nil if unknown.
    var people: [PersonFacts?]
}

/// A task to be inserted, with what it does to its parent.
struct NewTask: Sendable {
    var project: ProjectFacts
    var parent: TaskID?
    var title: String
    var description: String
    var priority: TaskPriority
    var status: TaskStatus
    var start: TaskDate?
    var due: TaskDate?
    var collaborators: [UserID]
    /// Changes of the parent.
    var ledger: Ledger

    /// What is said of it once it has its numbers.
    func event(id: TaskID, number: Int64, by user: UserID) -> TaskCreated {
        TaskCreated(
            task: id,
            revision: 1,
            summary: TaskSummary(
                key: "\(project.key)-\(number)",
                project: project.id,
                parent: parent,
                title: title,
                priority: priority.rawValue,
                status: status.rawValue,
                startDate: start?.inEvent,
                dueDate: due?.inEvent,
                createdBy: user
            ),
            collaborators: collaborators
        )
    }
}

/// Collects what an operation changes: rows to save, events to publish, collaborators to add and remove.
struct Ledger: Sendable {
    private(set) var items: [TaskItem] = []
    private(set) var events: [any Event] = []
    var added: [UserID] = []
    var removed: [UserID] = []

    /// The latest state of a row that may have been changed already.
    func latest(_ item: TaskItem) -> TaskItem { items.first { $0.id == item.id } ?? item }

    /// A change that clients see in the task but that is no event of its own, as of a parent whose subtask changed.
    mutating func touch(_ item: TaskItem) {
        var item = latest(item)
        item.version += 1
        put(item)
    }

    /// A change with the event it makes, which is told the task's new revision.
    mutating func change(_ item: TaskItem, saying event: (TaskItem) -> any Event) {
        var item = item
        item.version += 1
        item.revision += 1
        put(item)
        events.append(event(item))
    }

    private mutating func put(_ item: TaskItem) {
        if let index = items.firstIndex(where: { $0.id == item.id }) {
            items[index] = item
        } else {
            items.append(item)
        }
    }
}

/// A single object ready to be answered.
struct TaskView: Sendable {
    var id: TaskID
    /// As clients see it, the ETag.
    var version: Int64
    /// Finished JSON.
    var json: [UInt8]
}
