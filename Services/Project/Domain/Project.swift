import Chronology
import Events
import Failures
import Identity

/// How far a project is; in the order in which lists sort it.
enum ProjectStatus: String, Sendable, CaseIterable {
    case pending = "PENDING"
    case inProgress = "IN_PROGRESS"
    case completed = "COMPLETED"
    case closed = "CLOSED"
}

/// Which tasks of a project its collaborators of the role DEVELOPER see.
enum TaskVisibility: String, Sendable, CaseIterable {
    /// Those they created or collaborate on.
    case collaborators
    /// All.
    case project
}

/// A person as other objects show them.
struct Person: Sendable, Hashable {
    let id: UserID
    let email: String
    let name: String
    let image: String?
}

/// A user as this service knows them.
struct Member: Sendable, Hashable {
    let person: Person
    let isActive: Bool
}

/// A project.
struct Project: Sendable, Hashable {
    let id: ProjectID
    /// Fixed for ever: tasks are named by it.
    let key: String
    var name: String
    var description: String
    var status: ProjectStatus
    var taskVisibility: TaskVisibility
    let createdBy: Person
    var updatedBy: Person
    let createdAt: Timestamp
    var updatedAt: Timestamp
    /// When it went to the trash; nil while it is live.
    var deletedAt: Timestamp?
    /// Counts the changes of what an answer shows; the ETag.
    var version: Int64
    /// Counts the events about it; what replicas go by.
    var revision: Int64

    /// What a row of a list shows.
    static let fieldNames = [
        "id", "key", "name", "description", "status", "task_visibility", "created_by", "updated_by", "created_at",
        "updated_at", "version",
    ]

    /// How long it can be taken out of the trash.
    static let trashPeriod = Duration.seconds(30 * 86_400)
}

/// Someone who collaborates on a project.
struct Collaborator: Sendable, Hashable {
    let person: Person
    let addedAt: Timestamp
    let addedBy: Person

    /// What an answer shows.
    static let fieldNames = ["user", "added_at", "added_by"]
}

/// A project with everybody on it.
struct ProjectDetail: Sendable, Hashable {
    var project: Project
    /// In the order in which they were added.
    var collaborators: [Collaborator]

    /// What an answer shows.
    static let fieldNames = Project.fieldNames + ["collaborators"]

    func collaborates(_ user: UserID) -> Bool { collaborators.contains { $0.person.id == user } }
}

/// What is needed for a new project.
struct ProjectDraft: Sendable {
    var name: String
    var description = ""
    /// Nil: made from the name.
    var key: String?
    var status = ProjectStatus.pending
    var taskVisibility = TaskVisibility.collaborators
}

/// What a PUT or PATCH wants of a project; nil leaves a field as it is.
struct ProjectPatch: Sendable {
    var name: String?
    var description: String?
    var status: ProjectStatus?
    var taskVisibility: TaskVisibility?
}

extension Project {
    /// The project after a patch, with the event that tells of it; nil if that changes nothing. Text is compared code
    /// point for code point: Swift's `==` takes canonically equivalent text for the same.
    func applying(_ patch: ProjectPatch, by person: Person, now: Timestamp) -> (
        project: Project, event: ProjectUpdated
    )? {
        var changed = self
        var event = ProjectUpdated(project: id, revision: revision + 1)
        if let name = patch.name, !name.utf8.elementsEqual(self.name.utf8) {
            changed.name = name
            event.name = name
        }
        if let status = patch.status, status != self.status {
            changed.status = status
            event.status = status.rawValue
        }
        if let visibility = patch.taskVisibility, visibility != taskVisibility {
            changed.taskVisibility = visibility
            event.taskVisibility = visibility.rawValue
        }
        let description = patch.description ?? self.description
        let isDescriptionSame = description.utf8.elementsEqual(self.description.utf8)
        changed.description = description
        guard event.name != nil || event.status != nil || event.taskVisibility != nil || !isDescriptionSame else {
            return nil
        }
        changed.updatedBy = person
        changed.updatedAt = now
        changed.version += 1
        changed.revision += 1
        return (changed, event)
    }
}
