import Chronology
import Identity
import ServiceKit

// How this service's things look in answers.

extension Person {
    var json: JSON {
        .object([
            ("id", .string(id.description)),
            ("email", .string(email)),
            ("name", .string(name)),
            ("profile_img", .optional(image)),
        ])
    }
}

extension Project {
    /// A row of a list.
    var json: JSON { .object(members) }

    /// A row of the trash.
    var trashJSON: JSON { .object(members + [("deleted_at", .optional(deletedAt?.description))]) }

    fileprivate var members: [(key: String, value: JSON)] {
        [
            ("id", .integer(id.number)),
            ("key", .string(key)),
            ("name", .string(name)),
            ("description", .string(description)),
            ("status", .string(status.rawValue)),
            ("task_visibility", .string(taskVisibility.rawValue)),
            ("created_by", createdBy.json),
            ("updated_by", updatedBy.json),
            ("created_at", .string(createdAt.description)),
            ("updated_at", .string(updatedAt.description)),
            ("version", .integer(version)),
        ]
    }

    /// The path that GET answers.
    var path: String { "/api/project_management/projects/\(id)/" }
}

extension Collaborator {
    var json: JSON {
        .object([
            ("user", person.json),
            ("added_at", .string(addedAt.description)),
            ("added_by", addedBy.json),
        ])
    }

    /// The path that GET answers.
    func path(of project: ProjectID) -> String {
        let email = PercentCoding.encode(person.email).replacing("%40", with: "@")
        return "/api/project_management/projects/\(project)/collaborators/\(email)/"
    }
}

extension ProjectDetail {
    /// A single project.
    var json: JSON { .object(project.members + [("collaborators", .array(collaborators.map(\.json)))]) }
}
