import Chronology
import Identity
import Messaging
import Postgres
import Synchronization

/// People as tasks show them: finished JSON by id. Whoever is missing is not known here.
typealias People = [UserID: [UInt8]]

/// Keeps people between requests, so that showing a task asks Postgres for nobody.
///
/// What is kept goes with the organization's `people_epoch`, which every statement that shows tasks reads beside them
/// and which rises in the transaction that changes a name, an address or a picture: another epoch, and all is read
/// anew. Nobody is kept as unknown, since not every new person raises it. An entry lasts a minute at most: a database
/// that was restored counts the same epochs again, and what was deleted is not to stay in memory.
final class PeopleCache: Sendable {
    private struct Entry {
        var epoch: Int64
        var since: Timestamp
        var people: People
    }

    private static let lifetime = Duration.seconds(60)
    /// People kept in all; some 300 bytes each.
    private let capacity: Int
    private let entries = Mutex<[OrganizationID: Entry]>([:])

    /// A cache of up to `capacity` people; with more, all of it is let go.
    init(capacity: Int = 20_000) { self.capacity = capacity }

    /// Those who are known at that epoch.
    func people(of organization: OrganizationID, epoch: Int64, at now: Timestamp) -> People {
        entries.withLock { entries in
            guard let entry = entries[organization], entry.epoch == epoch, isFresh(entry, now) else { return [:] }
            return entry.people
        }
    }

    /// Adds people as they were at that epoch.
    func keep(_ people: People, of organization: OrganizationID, epoch: Int64, at now: Timestamp) {
        entries.withLock { entries in
            var fresh = Entry(epoch: epoch, since: now, people: people)
            if let entry = entries[organization], isFresh(entry, now) {
                // Somebody slower has read an older state.
                if entry.epoch > epoch { return }
                if entry.epoch == epoch {
                    fresh.since = entry.since
                    fresh.people.merge(entry.people) { new, _ in new }
                }
            }
            entries[organization] = fresh
            if entries.values.reduce(0, { $0 + $1.people.count }) > capacity {
                entries = [organization: Entry(epoch: epoch, since: now, people: people)]
            }
        }
    }

    private func isFresh(_ entry: Entry, _ now: Timestamp) -> Bool {
        now >= entry.since && now - entry.since < PeopleCache.lifetime
    }
}

extension TaskStore {
    /// The people that are shown: those kept, and the others read by `asking`, one round trip if there are any.
    ///
    /// Nothing is kept for an organization that has no row of its own yet: its epoch would not rise.
    func people(
        _ users: Set<UserID>,
        epoch: Int64?,
        in organization: OrganizationID,
        asking: (SQL) async throws -> Rows
    ) async throws -> People {
        var known = epoch.map { people.people(of: organization, epoch: $0, at: now) } ?? [:]
        let missing = users.filter { known[$0] == nil }
        if missing.isEmpty { return known }
        let rows = try await asking(
            """
            SELECT (SELECT o.people_epoch FROM organization o WHERE o.organization_id = \(organization)) AS people_epoch, \
            m.user_id, m.email, m.first_name, m.last_name, m.profile_img FROM member m \
            WHERE m.organization_id = \(organization) AND m.user_id = ANY(\(Array(missing))::uuid[])
            """
        )
        var found: People = [:]
        for row in rows {
            let user: UserID = try row.get("user_id")
            found[user] = TaskJSON.person(
                user,
                email: try row.get("email"),
                name: "\(try row.get("first_name", as: String.self)) \(try row.get("last_name", as: String.self))",
                picture: try row.get("profile_img")
            )
        }
        if let epoch = try rows.first?.get("people_epoch", as: Int64?.self) {
            people.keep(found, of: organization, epoch: epoch, at: now)
        }
        known.merge(found) { _, new in new }
        return known
    }
}
