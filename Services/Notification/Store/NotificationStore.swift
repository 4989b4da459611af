import Chronology
import Identity
import Messaging
import Postgres

/// Everything this service keeps: replicas, notices, preferences, reminders and mails.
struct NotificationStore: Sendable {
    /// A transaction that the rules hand on from call to call without looking inside.
    typealias Transaction = WriteTransaction

    let database: TenantDatabase
    /// Called after a transaction that has queued mails has committed.
    let mailsQueued: @Sendable () -> Void

    init(_ database: TenantDatabase, mailsQueued: @escaping @Sendable () -> Void = {}) {
        self.database = database
        self.mailsQueued = mailsQueued
    }

    /// A transaction of an organization.
    func write<Result: Sendable>(
        in organization: OrganizationID,
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        try await database.write(in: organization, body)
    }

    /// Lets what follows in the transaction happen once under the request's `Idempotency-Key`, if it has one.
    func claimIdempotencyKey(_ transaction: Transaction) async throws {
        try await transaction.claimIdempotencyKey()
    }
}

/// A transaction was to touch an organization's rows and is in none: a mistake in the program.
struct NoOrganization: Error {}

extension NotificationStore.Transaction {
    /// The organization that the statements name.
    var tenant: OrganizationID {
        get throws {
            guard let organization else { throw NoOrganization() }
            return organization
        }
    }
}
