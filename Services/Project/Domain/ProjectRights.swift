import Failures
import Identity

/// What people do with a project.
enum ProjectAction: Sendable, CaseIterable {
    case read
    case update
    case delete
    case restore
    /// Adding, and removing others.
    case manageCollaborators
    /// Removing oneself.
    case leave
}

/// Who may do what with one project: the table of roles as a function.
struct ProjectRights: Sendable {
    let role: Role
    /// All rights below the role ADMIN presuppose it.
    let collaborates: Bool
    let isCreator: Bool
    let isDeleted: Bool

    init(role: Role, collaborates: Bool, isCreator: Bool, isDeleted: Bool) {
        self.role = role
        self.collaborates = collaborates
        self.isCreator = isCreator
        self.isDeleted = isDeleted
    }

    /// The rights that a principal has on a project.
    init(_ principal: Principal, on detail: ProjectDetail) {
        self.init(
            role: principal.role,
            collaborates: detail.collaborates(principal.user),
            isCreator: detail.project.createdBy.id == principal.user,
            isDeleted: detail.project.deletedAt != nil
        )
    }

    /// Throws 404 if the project may not be seen, 403 if it may be seen but that not done.
    func require(_ action: ProjectAction) throws {
        guard canSee(for: action) else { throw Failure.notFound }
        guard isAllowed(action) else { throw Failure.forbidden }
    }

    private func canSee(for action: ProjectAction) -> Bool {
        guard isDeleted else { return role == .admin || collaborates }
        // What is in the trash is there for those alone who can take it out.
        return action == .restore && isAllowed(.restore)
    }

    private func isAllowed(_ action: ProjectAction) -> Bool {
        switch action {
        case .read: role == .admin || collaborates
        case .update, .manageCollaborators: role == .admin || role == .manager && collaborates
        case .delete, .restore: role == .admin || role == .manager && collaborates && isCreator
        case .leave: true
        }
    }

    /// Who creates projects.
    static func requireCreation(_ role: Role) throws {
        guard role != .developer else { throw Failure.forbidden }
    }

    /// Who has a trash to look into.
    static func requireTrash(_ role: Role) throws {
        guard role != .developer else { throw Failure.forbidden }
    }
}
