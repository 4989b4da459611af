import Failures
import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Users and the members' directory.
struct UserRoutes: Sendable {
    let directory: Directory
    let cursors: CursorSigner

    func add(to group: RouterGroup<AppContext>) {
        group.get("/api/organization/users", use: list)
        group.post("/api/organization/users", use: create)
        group.get("/api/organization/users/:email", use: read)
        group.put("/api/organization/users/:email", use: replace)
        group.patch("/api/organization/users/:email", use: patch)
        group.get("/api/organization/members", use: members)
    }

    @Sendable func list(_ request: Request, context: AppContext) async throws -> Response {
        let organization = try context.requirePrincipal().organization
        let list = try DirectoryStore.userList.parse(request.queryItems, organization: organization, signer: cursors)
        let page = try await directory.users(list, as: try context.requireRole(.admin))
        return try Reply.page(page, request: request, encode: \.json)
    }

    @Sendable func members(_ request: Request, context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let list = try DirectoryStore.memberList.parse(
            request.queryItems,
            organization: principal.organization,
            signer: cursors
        )
        return try Reply.page(try await directory.members(list, as: principal), request: request, encode: \.memberJSON)
    }

    @Sendable func create(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        let body = try await request.jsonObject()
        return try await idempotent(request, context, body: body) {
            try await directory.createUser(
                as: try context.requireRole(.admin),
                naming: DepartmentReference(body["department"])
            ) { named in
                try UserRoutes.draft(body, named)
            }
        } answer: { user in
            Reply.created(user.json, version: user.version, location: user.path)
        }
    }

    @Sendable func read(_ request: Request, context: AppContext) async throws -> Response {
        try request.requireFields(among: User.fieldNames)
        let principal = try context.requireRole(.admin)
        let user = try await directory.user(email: try context.text("email"), as: principal)
        return try Reply.object(user.json, version: user.version, request: request)
    }

    @Sendable func replace(_ request: Request, context: AppContext) async throws -> Response {
        try await change(request, context, isComplete: true)
    }

    @Sendable func patch(_ request: Request, context: AppContext) async throws -> Response {
        try await change(request, context, isComplete: false)
    }

    private func change(_ request: Request, _ context: AppContext, isComplete: Bool) async throws -> Response {
        try request.requireFields(among: User.fieldNames)
        let body = try await request.jsonObject()
        let principal = try context.requireRole(.admin)
        let user = try await directory.changeUser(
            email: try context.text("email"),
            as: principal,
            naming: DepartmentReference(body["department"])
        ) { user, named in
            try request.requireMatch(version: user.version)
            return try UserRoutes.patch(body, of: user, named, isComplete: isComplete)
        }
        return try Reply.object(user.json, version: user.version, request: request)
    }

    // MARK: Bodies

    static func draft(_ body: JSON, _ named: DepartmentLabel?) throws -> UserDraft {
        var fields = BodyFields(body)
        for name in ["email", "first_name", "last_name", "role"] { fields.require(name) }
        let email = fields.text("email", maximumLength: EmailAddress.maximumLength)
        let address = email.flatMap { EmailAddress($0) }
        if email != nil, address == nil { fields.fail("email", "bad-email", "Must be an e-mail address.") }
        let firstName = fields.text("first_name", maximumLength: 100, allowsBlank: false)
        let lastName = fields.text("last_name", maximumLength: 100, allowsBlank: false)
        let role = fields.choice("role", Role.self)
        let department = fields.department(named)
        try fields.finish()
        // Whatever is missing here has been refused above.
        guard let address, let firstName, let lastName, let role else { throw Failure.invalid([]) }
        return UserDraft(
            email: address,
            firstName: firstName,
            lastName: lastName,
            role: role,
            department: department ?? nil
        )
    }

    static func patch(
        _ body: JSON,
        of user: User,
        _ named: DepartmentLabel?,
        isComplete: Bool
    ) throws -> UserPatch {
        var fields = BodyFields(body)
        if isComplete {
            for name in ["first_name", "last_name", "role"] { fields.require(name) }
        }
        var patch = UserPatch()
        patch.firstName = fields.text("first_name", maximumLength: 100, allowsBlank: false)
        patch.lastName = fields.text("last_name", maximumLength: 100, allowsBlank: false)
        patch.role = fields.choice("role", Role.self)
        patch.department = fields.department(named)
        // What a PUT leaves out becomes what it would be in a new user; being active is no such field.
        if isComplete, patch.department == nil { patch.department = .some(nil) }
        patch.isActive = fields.bool("is_active")
        fields.readOnly(
            ["id", "email", "name", "profile_img", "created_at", "updated_at", "version"],
            as: user.json
        )
        try fields.finish()
        return patch
    }
}

extension DepartmentReference {
    /// What a body names, if it is of a form that can name a department at all.
    init?(_ value: JSON?) {
        if let number = value?.integer, number > 0 {
            self = .id(DepartmentID(number))
        } else if let name = value?.text {
            self = .name(name)
        } else {
            return nil
        }
    }
}

extension BodyFields {
    /// The department that a body names by id or name; `.some(nil)` for null, nil if it is absent or wrong.
    mutating func department(_ named: DepartmentLabel?) -> DepartmentLabel?? {
        switch value("department") {
        case .none: return nil
        case .null?: return .some(nil)
        case .integer?, .string?:
            if let named { return .some(named) }
            fail("department", "not-found", "There is no such department.")
            return nil
        default:
            fail("department", "wrong-type", "Must be a department's id or name, or null.")
            return nil
        }
    }

    /// Members that cannot be changed: they may be repeated as an answer showed them.
    mutating func readOnly(_ names: [String], as answer: JSON) {
        for name in names { readOnly(name, equals: answer[name] ?? .null) }
    }
}
