import Events
import Messaging

/// Memberships as Organization tells them. The rows and the revocations change in the transaction of the event; the
/// gateways are told after its commit, before the reader goes on.
struct Members: Sendable {
    let store: AuthStore
    let gate: RevocationGate

    /// A user was created by an admin.
    func attach(_ profile: UserProfile, in transaction: WriteTransaction) async throws {
        try await store.attach(profile, in: transaction)
    }

    /// A user changed.
    func update(_ profile: UserProfile, in transaction: WriteTransaction) async throws {
        publish(try await store.update(profile, in: transaction), after: transaction)
    }

    /// An organization changed.
    func update(_ event: OrganizationUpdated, in transaction: WriteTransaction) async throws {
        try await store.update(event, in: transaction)
    }

    /// An organization is gone.
    func removeOrganization(in transaction: WriteTransaction) async throws {
        publish(try await store.removeOrganization(in: transaction), after: transaction)
    }

    private func publish(_ revocations: [Revocation], after transaction: WriteTransaction) {
        guard !revocations.isEmpty else { return }
        transaction.afterCommit { [gate] in await gate.publishQuietly(revocations) }
    }
}
