/// What a user may do in an organization, at large; the rules of each resource say the rest.
public enum Role: String, Sendable, Codable, CaseIterable {
    /// Everything in the organization.
    case admin = "ADMIN"
    /// Creates projects, manages those they collaborate on.
    case manager = "MANAGER"
    /// Works on the projects and tasks they collaborate on.
    case developer = "DEVELOPER"
}

/// Who is asking: what a verified access token says.
public struct Principal: Sendable, Hashable {
    /// The user, `sub`.
    public let user: UserID
    /// The organization the session is in, `org`.
    public let organization: OrganizationID
    /// The user's role there when the token was made; a change of role kills the token.
    public let role: Role
    /// The session, `sid`.
    public let session: SessionID
    /// Which generation of the session's tokens this is, `gen`; Auth raises it to kill the older ones.
    public let generation: Int64

    /// A principal with these claims.
    public init(
        user: UserID,
        organization: OrganizationID,
        role: Role,
        session: SessionID,
        generation: Int64
    ) {
        self.user = user
        self.organization = organization
        self.role = role
        self.session = session
        self.generation = generation
    }
}
