import Identity

/// What decides what someone may do with a task, apart from their role.
struct TaskStanding: Sendable, Hashable {
    /// Collaborates on the task's project, now.
    var isProjectCollaborator: Bool
    var isCreator: Bool
    var isTaskCollaborator: Bool
    /// The project shows all of its tasks to those who collaborate on it.
    var projectShowsAll: Bool
}

/// The table of rights. The lists say the same in SQL (`Visibility`); a test compares the two.
extension Role {
    /// May see the task.
    func canRead(_ standing: TaskStanding) -> Bool {
        switch self {
        case .admin: true
        case .manager: standing.isProjectCollaborator
        case .developer:
            standing.isProjectCollaborator
                && (standing.isCreator || standing.isTaskCollaborator || standing.projectShowsAll)
        }
    }

    /// May change the task, and add subtasks to it.
    func canUpdate(_ standing: TaskStanding) -> Bool {
        switch self {
        case .admin: true
        case .manager: standing.isProjectCollaborator
        case .developer: standing.isProjectCollaborator && (standing.isCreator || standing.isTaskCollaborator)
        }
    }

    /// May delete the task, see it in the trash and restore it.
    func canDelete(_ standing: TaskStanding) -> Bool {
        switch self {
        case .admin: true
        case .manager: standing.isProjectCollaborator
        case .developer: standing.isProjectCollaborator && standing.isCreator
        }
    }

    /// May add and remove collaborators; removing oneself takes no right but to read.
    func canManageCollaborators(_ standing: TaskStanding) -> Bool {
        switch self {
        case .admin: true
        case .manager: standing.isProjectCollaborator
        case .developer: false
        }
    }
}
