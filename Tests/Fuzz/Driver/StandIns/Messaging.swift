public import Identity
public import Postgres

/// Stands in for the type that the declaration of a list mentions: no fuzz target runs a statement, and without it the
/// whole event log would have to be built along.
public struct TenantDatabase: Sendable {
    /// Traps: nobody reads here.
    public func read(in organization: OrganizationID, _ statements: [SQL]) async throws -> [Rows] {
        fatalError("no fuzz target has a database")
    }
}
