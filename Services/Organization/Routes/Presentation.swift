import Chronology
import Identity
import ServiceKit

// How this service's things look in answers.

extension User {
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
    var json: JSON { .object([("id", .integer(id.number)), ("department_name", .string(name))]) }
}

extension Department {
    var json: JSON { label.json }

    /// The path that GET answers.
    var path: String { "/api/organization/departments/\(id)/" }
}

extension Organization {
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
