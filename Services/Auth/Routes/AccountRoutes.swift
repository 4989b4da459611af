import Chronology
import Failures
import HTTPTypes
import Hummingbird
import Identity
import Lists
import ServiceKit

/// Accounts, sessions and tokens over HTTP.
struct AccountRoutes: Sendable {
    let accounts: Accounts
    let ring: KeyRing
    let signer: CursorSigner
    let clock: WallClock
    let pages: Pages

    /// Bodies here are a few short fields.
    static let bodyLimit = 16_384

    /// Who may call what: `open` needs no token.
    func add(authenticated: RouterGroup<AppContext>, open: RouterGroup<AppContext>) {
        open.post("/api/account/signup", use: signUp)
        open.get("/api/account/verify-email/:uid/:token", use: verificationPage)
        open.post("/api/account/verify-email/:uid/:token", use: verify)
        open.post("/api/account/login", use: login)
        open.post("/api/account/token/refresh", use: refresh)
        open.post("/api/account/request-reset-password", use: requestReset)
        open.get("/api/account/request-reset-password/:uid/:token", use: passwordPage)
        open.post("/api/account/request-reset-password/:uid/:token", use: resetPassword)
        open.get("/.well-known/jwks.json", use: keySet)
        authenticated.post("/api/account/logout", use: logout)
        authenticated.post("/api/account/change-password", use: changePassword)
        authenticated.get("/api/account/sessions", use: sessions)
        authenticated.delete("/api/account/sessions", use: endOtherSessions)
        authenticated.delete("/api/account/sessions/:id", use: endSession)
        authenticated.post("/api/account/switch-organization", use: switchOrganization)
    }

    // MARK: Login and tokens

    @Sendable func login(_ request: Request, _ context: AppContext) async throws -> Response {
        var fields = BodyFields(try await request.jsonObject(limit: AccountRoutes.bodyLimit))
        let email = fields.required("email", maximumLength: EmailAddress.maximumLength)
        let password = fields.password("password")
        var organization: String?
        if case .value(let text) = fields.nullableText("organization", maximumLength: 64) { organization = text }
        try fields.finish()
        let (grant, tokens) = try await accounts.login(
            email: try fields.unwrap(email),
            password: try fields.unwrap(password),
            organization: organization,
            client: context.client
        )
        return Reply.json(.login(grant, tokens), noStore: true).of(tokens)
    }

    @Sendable func refresh(_ request: Request, _ context: AppContext) async throws -> Response {
        var fields = BodyFields(try await request.jsonObject(limit: AccountRoutes.bodyLimit))
        let token = fields.required("refresh", maximumLength: 1024)
        try fields.finish()
        let tokens = try await accounts.refresh(try fields.unwrap(token), client: context.client)
        return Reply.json(.object(JSON.tokenMembers(tokens)), noStore: true).of(tokens)
    }

    @Sendable func logout(_ request: Request, _ context: AppContext) async throws -> Response {
        let body = try await request.jsonObject(limit: AccountRoutes.bodyLimit, allowsEmpty: true)
        try await accounts.logout(try context.requirePrincipal(), client: context.client) {
            var fields = BodyFields(body)
            let change = fields.nullableText("refresh", maximumLength: 1024)
            try fields.finish()
            if case .value(let token) = change { return token }
            return nil
        }
        return Reply.json(.done("You are logged out."), noStore: true)
    }

    @Sendable func keySet(_ request: Request, _ context: AppContext) async throws -> Response {
        let keys = try await ring.keySet(now: clock.now)
        return Reply.bytes(keys, type: MediaType.json, headers: [.cacheControl: "public, max-age=300"])
    }

    // MARK: Sessions

    private static var gone: Response {
        var response = Reply.noContent
        response.headers[.cacheControl] = "no-store"
        return response
    }

    private static let sessionList = ListDeclaration(
        name: "sessions",
        defaultOrdering: "-last_used_at",
        hiddenKeys: [SortKey("last_used_at", "s.last_used_at", type: "timestamptz")],
        identifier: SortKey("id", "s.id", type: "uuid")
    )

    @Sendable func sessions(_ request: Request, _ context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        let list = try AccountRoutes.sessionList.parse(
            try request.queryItems,
            organization: principal.organization,
            signer: signer
        )
        let page = try await accounts.sessions(of: principal, list)
        var response = try Reply.page(page, request: request) { session in
            .object([
                ("id", .string(session.id.description)), ("created_at", .string(session.createdAt.description)),
                ("last_used_at", .string(session.lastUsedAt.description)), ("ip", .optional(session.ip)),
                ("user_agent", .optional(session.userAgent)), ("current", .bool(session.id == principal.session)),
            ])
        }
        response.headers[.cacheControl] = "no-store"
        return response
    }

    @Sendable func endSession(_ request: Request, _ context: AppContext) async throws -> Response {
        _ = try request.parameters()
        try await accounts.endSession(
            try context.uuid("id"),
            principal: try context.requirePrincipal(),
            client: context.client
        )
        return AccountRoutes.gone
    }

    @Sendable func endOtherSessions(_ request: Request, _ context: AppContext) async throws -> Response {
        _ = try request.parameters()
        try await accounts.endOtherSessions(try context.requirePrincipal(), client: context.client)
        return AccountRoutes.gone
    }

    @Sendable func switchOrganization(_ request: Request, _ context: AppContext) async throws -> Response {
        let body = try await request.jsonObject(limit: AccountRoutes.bodyLimit)
        let (grant, tokens) = try await accounts.switchOrganization(
            try context.requirePrincipal(),
            client: context.client
        ) {
            var fields = BodyFields(body)
            let organization = fields.required("organization", maximumLength: 64)
            try fields.finish()
            return try fields.unwrap(organization)
        }
        return Reply.json(.login(grant, tokens), noStore: true).of(tokens)
    }
}
