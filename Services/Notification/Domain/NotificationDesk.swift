import Failures
import Identity
import Lists

/// Everything people can ask of this service and everything it does on hearing of others; routes, event handlers and
/// the reminder clock all come through here.
struct NotificationDesk: Sendable {
    typealias Transaction = NotificationStore.Transaction

    let store: NotificationStore

    /// A page of one's own notices.
    func notices(of person: Principal, _ request: ListRequest) async throws -> Page<Notice> {
        try await store.notices(of: person.user, in: person.organization, request)
    }

    /// Marks a notice of one's own as read; again changes nothing. Others' notices are not found.
    func read(_ notice: NoticeID, by person: Principal) async throws -> Notice {
        try await store.write(in: person.organization) { transaction in
            // Who asks twice under one key gets the first answer; nobody but the reader of the notice has one.
            try await store.claimIdempotencyKey(transaction)
            guard let notice = try await store.read(notice, of: person.user, transaction) else {
                throw Failure.notFound
            }
            return notice
        }
    }

    /// Marks all of one's own notices as read; how many were not. 404 once the organization is gone.
    func readAll(by person: Principal) async throws -> Int {
        try await store.write(in: person.organization) { transaction in
            guard try await store.isLiving(transaction) else { throw Failure.notFound }
            try await store.claimIdempotencyKey(transaction)
            return try await store.readAll(of: person.user, transaction)
        }
    }

    /// One's own preferences.
    func preferences(of person: Principal) async throws -> StoredPreferences {
        try await store.preferences(of: person.user, in: person.organization)
    }

    /// Replaces one's own preferences. `change` gets the stored ones, judges the precondition and reads the new ones.
    /// 404 once the organization is gone.
    func replacePreferences(
        of person: Principal,
        _ change: @Sendable (StoredPreferences) throws -> Preferences
    ) async throws -> StoredPreferences {
        try await store.write(in: person.organization) { transaction in
            guard try await store.isLiving(transaction) else { throw Failure.notFound }
            var stored = try await store.lockPreferences(of: person.user, transaction)
            let preferences = try change(stored)
            guard preferences != stored.preferences else { return stored }
            let before = stored.preferences
            stored.preferences = preferences
            stored.version += 1
            try store.save(stored, of: person.user, transaction)
            if before.reminderHour != preferences.reminderHour || before.timeZone != preferences.timeZone {
                try store.lookAgain(transaction)
            }
            return stored
        }
    }

    /// Stops one kind of mail, as the link in one of them asks; again changes nothing. A link whose organization or
    /// user is gone is as bad as a forged one.
    func unsubscribe(_ request: UnsubscribeRequest) async throws {
        try await store.write(in: request.organization) { transaction in
            guard
                try await store.isLiving(transaction), try await store.isMember(request.user, transaction)
            else { throw UnsubscribeRequest.invalidLink }
            var stored = try await store.lockPreferences(of: request.user, transaction)
            guard stored.preferences.mutedMail.insert(request.kind).inserted else { return }
            stored.version += 1
            try store.save(stored, of: request.user, transaction)
        }
    }
}

/// What the link at the foot of a mail asks for.
struct UnsubscribeRequest: Sendable, Hashable {
    var organization: OrganizationID
    var user: UserID
    var kind: NoticeKind

    static let invalidLink = Failure(.badRequest, "invalid-link", "This link is not valid.")
}
