import Failures
import Hummingbird
import Identity
import ServiceKit

/// The two places where tasks are found.
enum TaskPaths {
    static let all = ["/api/project/tasks", "/api/project/{project_id}/tasks"]
}

/// What a path says.
struct TaskPath: Sendable {
    /// The project, where it is part of the path.
    let project: ProjectID?

    init(_ context: AppContext) throws {
        project = context.parameters["project_id"] == nil ? nil : try context.number("project_id")
    }

    /// Where the tasks are: `/api/project/7/tasks/`.
    var location: String { project.map { "/api/project/\($0)/tasks/" } ?? "/api/project/tasks/" }

    /// The task, by id or key; throws 404 for what is neither.
    func task(_ context: AppContext) throws -> TaskReference {
        guard let reference = TaskReference(try context.text("task")) else { throw Failure.notFound }
        return reference
    }
}

/// The fields that `?fields=` can name; checked before anything is looked for, so that an empty page refuses a wrong
/// name too.
enum TaskFields {
    static let row = [
        "id", "key", "project", "parent_task", "title", "description", "priority", "status", "start_date", "due_date",
        "completed_date", "collaborators", "created_by", "updated_by", "created_at", "updated_at", "version",
    ]
    static let single = row + ["subtasks"]
    static let trash = row + ["deleted_at"]
    static let collaborator = ["user", "added_at", "added_by"]
    static let dashboard = ["user", "organization", "stats", "upcoming"]

    static func require(_ asked: [String]?, among names: [String]) throws {
        for name in asked ?? [] where !names.contains(where: { $0.utf8.elementsEqual(name.utf8) }) {
            throw Failure.badParameter("fields", "unknown-field", "There is no field of that name here.")
        }
    }
}

extension JSON {
    /// A number that could be an id.
    var positiveInteger: Int64? { integer.flatMap { $0 > 0 ? $0 : nil } }
}
