import Chronology
import Failures
import HTTPTypes
import Hummingbird
import Identity
import ServiceKit

extension HTTPField.Name {
    /// Tells the gateway which session an answer's tokens are of, so that it can remember what that session has seen.
    static let internalSession = ours("X-Internal-Session")
    /// Tells the gateway which organization they are for, so that it can seal a position for the client.
    static let internalOrganization = ours("X-Internal-Organization")

    private static func ours(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("not a header name: \(name)") }
        return name
    }
}

extension AppContext {
    /// Where the request comes from.
    var client: Client { Client(address: clientAddress, userAgent: userAgent) }
}

extension JSON {
    /// The part of an answer that holds tokens.
    static func tokenMembers(_ tokens: TokenPair) -> [(key: String, value: JSON)] {
        [
            ("access", .string(tokens.access)), ("refresh", .string(tokens.refresh)), ("token_type", .string("Bearer")),
            ("expires_in", .integer(tokens.expiresIn)),
        ]
    }

    /// The answer to a login: tokens, who one is, where, and where else one could be.
    static func login(_ grant: Grant, _ tokens: TokenPair) -> JSON {
        .object(
            tokenMembers(tokens) + [
                ("user", .user(grant.membership)), ("organization", .organization(grant.organization)),
                (
                    "organizations",
                    .array(
                        grant.choices.map { choice in
                            .object([
                                ("id", .string(choice.id.description)), ("name", .string(choice.name)),
                                ("role", .string(choice.role.rawValue)),
                            ])
                        }
                    )
                ),
            ]
        )
    }

    private static func user(_ user: Membership) -> JSON {
        let department: JSON =
            user.department.map { department in
                .object([("id", .integer(department.number)), ("department_name", .optional(user.departmentName))])
            } ?? .null
        return .object([
            ("id", .string(user.user.description)), ("email", .string(user.email)),
            ("first_name", .string(user.firstName)), ("last_name", .string(user.lastName)),
            ("name", .string(user.name)), ("role", .string(user.role.rawValue)), ("department", department),
            ("is_active", .bool(user.isActive)), ("profile_img", .optional(user.profileImage)),
            ("version", .integer(user.version)), ("created_at", .string(user.createdAt.description)),
            ("updated_at", .string(user.updatedAt.description)),
        ])
    }

    private static func organization(_ organization: OrganizationRecord) -> JSON {
        .object([
            ("id", .string(organization.id.description)), ("name", .string(organization.name)),
            ("time_zone", .string(organization.timeZone)),
            ("reminder_hour", .integer(Int64(organization.reminderHour))),
            ("created_at", .string(organization.createdAt.description)),
            ("updated_at", .string(organization.updatedAt.description)),
        ])
    }

    /// An answer that only says that it was done.
    static func done(_ detail: String) -> JSON { .object([("detail", .string(detail))]) }
}

extension Response {
    /// The same answer, naming the session whose tokens it holds.
    func of(_ tokens: TokenPair) -> Response {
        var response = self
        response.headers[.internalSession] = tokens.session.description
        response.headers[.internalOrganization] = tokens.organization.description
        return response
    }
}

extension BodyFields {
    /// A text that is a password: no rule yet, but nothing that could not be one.
    mutating func password(_ name: String) -> String? {
        require(name)
        guard let text = text(name, maximumLength: PasswordRule.maximumBytes) else { return nil }
        guard text.utf8.count <= PasswordRule.maximumBytes else {
            fail(name, "too-long", "May have at most \(PasswordRule.maximumBytes) bytes.")
            return nil
        }
        return text
    }

    /// A text that has to be there.
    mutating func required(_ name: String, maximumLength: Int, allowsBlank: Bool = true) -> String? {
        require(name)
        return text(name, maximumLength: maximumLength, allowsBlank: allowsBlank)
    }

    /// An e-mail address that has to be there and be one.
    mutating func email(_ name: String) -> EmailAddress? {
        guard let text = required(name, maximumLength: EmailAddress.maximumLength) else { return nil }
        guard let address = EmailAddress(text) else {
            let failure = EmailAddress.failure(at: "/\(name)")
            fail(name, failure.code, failure.detail)
            return nil
        }
        return address
    }

    /// Values of members that are there once `finish` has not thrown.
    func unwrap<Value>(_ value: Value?) throws -> Value {
        guard let value else { throw MissingField() }
        return value
    }
}

/// A member was required and has no value although nothing was found wrong: a mistake of ours.
struct MissingField: Error, Sendable {}
