import Chronology
import Events
import Failures
import Identity
import Messaging
import Postgres

/// Which picture is whose, and which stored pictures are nobody's.
struct PortraitStore: Sendable {
    let database: TenantDatabase
    /// Called once pictures have been condemned.
    let condemned: @Sendable () -> Void

    /// No upload takes longer; one that was never finished is then swept.
    static let uploadDeadline = Duration.seconds(900)

    /// Writes down that something is about to be stored under this name.
    func begin(_ storage: String, _ name: String, in organization: OrganizationID) async throws {
        try await database.write(in: organization) { transaction in
            _ = try await transaction.query(
                """
                INSERT INTO loose_media (storage, name, state, due_at)
                VALUES (\(storage), \(name), 'uploading', \(transaction.now + PortraitStore.uploadDeadline))
                """
            )
        }
    }

    /// Makes the user's row name another picture, or none, and condemns the one it named.
    func refer(
        _ user: UserID,
        to picture: Picture?,
        in organization: OrganizationID,
        change: (User?, Timestamp) throws -> Change<User>
    ) async throws -> User {
        let condemned = condemned
        return try await database.write(in: organization) { transaction in
            var statements = DirectoryStore.locking(user, in: organization)
            if let picture {
                statements.append(
                    """
                    DELETE FROM loose_media
                    WHERE storage = \(picture.storage) AND name = \(picture.name) AND state = 'uploading'
                    RETURNING name
                    """
                )
            }
            let answers = try await transaction.query(statements)
            if picture != nil, answers[2].isEmpty {
                // It took so long that the sweep has begun to remove it.
                throw Failure.unavailable("upload-expired", "The upload took too long. Please try again.")
            }
            let stored = try answers[1].first.map(DirectoryStore.user)
            let change = try change(stored, transaction.now)
            transaction.send(DirectoryStore.update(of: change.value, in: organization))
            if let old = stored?.picture {
                transaction.send(
                    """
                    INSERT INTO loose_media (storage, name, state, due_at)
                    VALUES (\(old.storage), \(old.name), 'condemned', \(transaction.now))
                    ON CONFLICT (storage, name) DO UPDATE SET state = 'condemned', due_at = EXCLUDED.due_at
                    """
                )
                transaction.afterCommit { condemned() }
            }
            for event in change.events { try transaction.publish(event) }
            return change.value
        }
    }

    /// Leaves a picture to the sweep that is stored and that nobody's row will name; one that a row does name stays.
    func condemn(_ picture: Picture, in organization: OrganizationID) async throws {
        let condemned = condemned
        try await database.write(in: organization) { transaction in
            transaction.send(
                """
                UPDATE loose_media SET state = 'condemned', due_at = \(transaction.now)
                WHERE storage = \(picture.storage) AND name = \(picture.name) AND state = 'uploading'
                """
            )
            transaction.afterCommit { condemned() }
        }
    }

    // MARK: The sweep, over all organizations

    /// Takes some pictures whose time has come, for this sweep alone; should it fail, they come again later.
    func claim(limit: Int, now: Timestamp) async throws -> [LooseMedia] {
        let rows = try await database.pool.query(
            """
            UPDATE loose_media
            SET state = 'condemned', attempts = attempts + 1,
                due_at = \(now)::timestamptz + least(interval '15 minutes', interval '30 seconds' * 2 ^ least(attempts, 10))
            WHERE (storage, name) IN (
                SELECT storage, name FROM loose_media WHERE due_at <= \(now)::timestamptz
                ORDER BY due_at LIMIT \(limit)::bigint FOR UPDATE SKIP LOCKED
            )
            RETURNING storage, name, attempts
            """
        )
        return try rows.map {
            LooseMedia(storage: try $0.get("storage"), name: try $0.get("name"), attempts: try $0.get("attempts"))
        }
    }

    /// Forgets a picture that is no longer stored.
    func forget(_ media: LooseMedia) async throws {
        _ = try await database.pool.query(
            "DELETE FROM loose_media WHERE storage = \(media.storage) AND name = \(media.name) AND state = 'condemned'"
        )
    }
}

/// A stored picture that nobody's row names.
struct LooseMedia: Sendable, Hashable {
    let storage: String
    let name: String
    /// How often its removal has been tried, this time included.
    let attempts: Int
}
