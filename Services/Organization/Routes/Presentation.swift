import Chronology
import Identity
import ServiceKit

// How this service's things look in answers.

extension User {
    /// What an answer shows.
    static let fieldNames = [
        "id", "email", "first_name", "last_name", "name", "role", "department", "is_active", "profile_img",
        "created_at", "updated_at", "version",
    ]

    var json: JSON {
        .object([
            ("id", .string(id.description)),
            ("email", .string(email)),
            ("first_name", .string(firstName)),
            ("last_name", .string(lastName)),
            ("name", .string(name)),
            ("role", .string(role.rawValue)),
            ("department", department?.json ?? .null),
            ("is_active", .bool(isActive)),
            ("profile_img", .optional(picture?.url)),
            ("created_at", .string(createdAt.description)),
            ("updated_at", .string(updatedAt.description)),
            ("version", .integer(version)),
        ])
    }

    /// In the directory that every member sees.
    var memberJSON: JSON {
        .object([
            ("id", .string(id.description)),
            ("name", .string(name)),
            ("email", .string(email)),
            ("role", .string(role.rawValue)),
            ("profile_img", .optional(picture?.url)),
        ])
    }

    /// The path that GET answers.
    var path: String {
        "/api/organization/users/\(PercentCoding.encode(email).replacing("%40", with: "@"))/"
    }
}

extension DepartmentLabel {
    /// What an answer shows.
    static let fieldNames = ["id", "department_name"]

    var json: JSON { .object([("id", .integer(id.number)), ("department_name", .string(name))]) }
}

extension Department {
    var json: JSON { label.json }

    /// The path that GET answers.
    var path: String { "/api/organization/departments/\(id)/" }
}

extension Organization {
    /// What an answer shows.
    static let fieldNames = ["id", "name", "time_zone", "reminder_hour", "created_at", "updated_at"]

    var json: JSON {
        .object([
            ("id", .string(id.description)),
            ("name", .string(name)),
            ("time_zone", .string(timeZone)),
            ("reminder_hour", .integer(Int64(reminderHour))),
            ("created_at", .string(createdAt.description)),
            ("updated_at", .string(updatedAt.description)),
        ])
    }
}
