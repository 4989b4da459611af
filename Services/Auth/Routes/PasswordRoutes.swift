import Failures
import HTTPTypes
import Hummingbird
import ServiceKit

/// Sign-up, mailed links and passwords.
extension AccountRoutes {
    // MARK: Sign-up

    @Sendable func signUp(_ request: Request, _ context: AppContext) async throws -> Response {
        let body = try await request.jsonObject(limit: AccountRoutes.bodyLimit)
        try accounts.requireOpenSignUp()
        let form = try signUpForm(body)
        guard accounts.policy.verifiesEmail else {
            let (grant, tokens) = try await accounts.signUp(form, client: context.client)
            return Reply.created(
                .login(grant, tokens),
                version: nil,
                location: "/api/organization/",
                noStore: true
            ).of(tokens)
        }
        try await accounts.requestSignUp(form, client: context.client)
        return Reply.json(.done("Check your mail to finish signing up."), status: .accepted, noStore: true)
    }

    private func signUpForm(_ body: JSON) throws -> Accounts.SignUpForm {
        var fields = BodyFields(body)
        let email = fields.email("email")
        let password = fields.password("password")
        let firstName = fields.required("first_name", maximumLength: 100, allowsBlank: false)
        let lastName = fields.required("last_name", maximumLength: 100, allowsBlank: false)
        let organization = fields.required("organization", maximumLength: 255, allowsBlank: false)
        if let password {
            let person = PasswordRule.Person(
                email: email?.text ?? "",
                names: [firstName, lastName].compactMap { $0 },
                organizations: [organization].compactMap { $0 }
            )
            if let failure = accounts.rule.failure(password, of: person, at: "/password") {
                fields.fail("password", failure.code, failure.detail)
            }
        }
        try fields.finish()
        return Accounts.SignUpForm(
            email: try fields.unwrap(email),
            password: try fields.unwrap(password),
            firstName: try fields.unwrap(firstName),
            lastName: try fields.unwrap(lastName),
            organizationName: try fields.unwrap(organization)
        )
    }

    @Sendable func verificationPage(_ request: Request, _ context: AppContext) async throws -> Response {
        try await page(for: request) {
            _ = try await accounts.link(
                uid: try context.text("uid"),
                token: try context.text("token"),
                for: Links.verificationPurposes
            )
            return pages.verificationForm()
        }
    }

    /// A program may send nothing, and the password is the one of the sign-up. A person always chooses one: the page
    /// cannot know who signed up.
    @Sendable func verify(_ request: Request, _ context: AppContext) async throws -> Response {
        let uid = try context.text("uid")
        let token = try context.text("token")
        let body =
            request.isForm
            ? JSON.object(try await request.form().map { (key: $0.name, value: JSON.string($0.value)) })
            : try await request.jsonObject(limit: AccountRoutes.bodyLimit, allowsEmpty: true)
        // Some clients call nothing at all a form.
        if request.isForm, request.wantsPage || !body.isEmptyObject {
            return try await page(for: request, again: pages.verificationForm) {
                _ = try await accounts.verifySignUp(uid: uid, token: token, client: context.client) {
                    try AccountRoutes.newPassword(body)
                }
                return pages.verified()
            }
        }
        let (grant, tokens) = try await accounts.verifySignUp(uid: uid, token: token, client: context.client) {
            body.isEmptyObject ? nil : try AccountRoutes.newPassword(body)
        }
        return Reply.json(.login(grant, tokens), noStore: true).of(tokens)
    }

    // MARK: Passwords

    @Sendable func changePassword(_ request: Request, _ context: AppContext) async throws -> Response {
        let body = try await request.jsonObject(limit: AccountRoutes.bodyLimit)
        try await accounts.changePassword(try context.requirePrincipal(), client: context.client) {
            var fields = BodyFields(body)
            let old = fields.password("old_password")
            let new = fields.password("new_password")
            try fields.finish()
            return (old: try fields.unwrap(old), new: try fields.unwrap(new))
        }
        return Reply.json(.done("Your password is changed; your other sessions have ended."), noStore: true)
    }

    @Sendable func requestReset(_ request: Request, _ context: AppContext) async throws -> Response {
        var fields = BodyFields(try await request.jsonObject(limit: AccountRoutes.bodyLimit))
        let email = fields.email("email")
        try fields.finish()
        try await accounts.requestReset(try fields.unwrap(email), client: context.client)
        return Reply.json(
            .done("If there is an account with this address, a mail with a link is on its way."),
            status: .accepted,
            noStore: true
        )
    }

    @Sendable func passwordPage(_ request: Request, _ context: AppContext) async throws -> Response {
        try await page(for: request) {
            _ = try await accounts.link(
                uid: try context.text("uid"),
                token: try context.text("token"),
                for: Links.passwordPurposes
            )
            return pages.passwordForm()
        }
    }

    @Sendable func resetPassword(_ request: Request, _ context: AppContext) async throws -> Response {
        let uid = try context.text("uid")
        let token = try context.text("token")
        if request.isForm {
            let form = try await request.form()
            return try await page(for: request) {
                try await setPassword(
                    uid,
                    token,
                    context,
                    JSON.object(form.map { (key: $0.name, value: JSON.string($0.value)) })
                )
                return pages.passwordSet()
            }
        }
        let body = try await request.jsonObject(limit: AccountRoutes.bodyLimit)
        try await setPassword(uid, token, context, body)
        return Reply.json(.done("Your password is set; log in with it."), noStore: true)
    }

    private func setPassword(_ uid: String, _ token: String, _ context: AppContext, _ body: JSON) async throws {
        try await accounts.resetPassword(uid: uid, token: token, client: context.client) {
            try AccountRoutes.newPassword(body)
        }
    }

    private static func newPassword(_ body: JSON) throws -> Accounts.NewPassword {
        var fields = BodyFields(body)
        let password1 = fields.password("password1")
        let password2 = fields.password("password2")
        try fields.finish()
        return (password1: try fields.unwrap(password1), password2: try fields.unwrap(password2))
    }

    /// A page for people, also where something is refused; a problem for programs, which do not ask for a page.
    /// `again` is the form that names what was wrong.
    private func page(
        for request: Request,
        again: (([FieldFailure]) -> Response)? = nil,
        _ make: () async throws -> Response
    ) async throws -> Response {
        guard request.wantsPage else { return try await make() }
        do {
            return try await make()
        } catch let failure as Failure where failure.kind == .invalidFields && !failure.fields.isEmpty {
            return again?(failure.fields) ?? pages.passwordForm(wrong: failure.fields)
        } catch let failure as Failure {
            return pages.problem(failure)
        }
    }
}

extension JSON {
    /// `{}`, or no object at all.
    fileprivate var isEmptyObject: Bool {
        guard case .object(let members) = self else { return true }
        return members.isEmpty
    }
}

extension Request {
    /// Whether the body is what a browser's form sends.
    fileprivate var isForm: Bool {
        let type = (headers[.contentType] ?? "").prefix { $0 != ";" && $0 != " " }
        return type.lowercased() == "application/x-www-form-urlencoded"
    }

    /// Whether whoever asks would rather read a page.
    fileprivate var wantsPage: Bool { headers[.accept]?.contains("text/html") == true }

    /// The fields of a form; throws 400 for bad escapes or a field given twice.
    fileprivate func form() async throws -> [(name: String, value: String)] {
        let text = String(decoding: try await bodyBytes(limit: AccountRoutes.bodyLimit), as: UTF8.self)
        let bad = Failure(.badRequest, "bad-form", "The form cannot be read.")
        var fields: [(name: String, value: String)] = []
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard
                let name = PercentCoding.decode(parts[0], plusIsSpace: true),
                let value = PercentCoding.decode(parts.count > 1 ? parts[1] : "", plusIsSpace: true),
                !fields.contains(where: { $0.name == name })
            else { throw bad }
            fields.append((name: name, value: value))
        }
        return fields
    }
}
