import Chronology
import Events
import Identity
import Messaging
import Postgres

/// What event handlers write, in the transaction that moves their cursor.
struct ProjectTransaction: Sendable {
    private let transaction: WriteTransaction

    init(_ transaction: WriteTransaction) { self.transaction = transaction }

    /// An organization begins to be here, unless it is gone already: Auth tells of its beginning, Organization of its
    /// end, and nothing orders the two.
    func found(_ organization: OrganizationID, at moment: Timestamp, founder: UserProfile) async throws {
        let gone = try await transaction.query([
            ProjectTransaction.lock(organization),
            "SELECT 1 AS gone FROM deleted_organization WHERE id = \(organization)",
        ])
        guard gone[1].isEmpty else { return }
        transaction.send(
            """
            INSERT INTO organization (organization_id, founded_at) VALUES (\(organization), \(moment))
            ON CONFLICT DO NOTHING
            """
        )
        transaction.send("INSERT INTO live_organization (id) VALUES (\(organization)) ON CONFLICT DO NOTHING")
        try await put(founder, in: organization)
    }

    /// Takes a user's profile over if it is newer than what is known.
    ///
    /// Answers that show the person are other answers from now on: where the shown part has changed, the projects get
    /// new versions, and no others do.
    func put(_ profile: UserProfile, in organization: OrganizationID) async throws {
        let rows = try await transaction.query([
            """
            SELECT email, first_name, last_name, profile_img FROM member
            WHERE organization_id = \(organization) AND user_id = \(profile.user) FOR UPDATE
            """,
            """
            INSERT INTO member (organization_id, user_id, revision, email, first_name, last_name, is_active, profile_img)
            VALUES (\(organization), \(profile.user), \(profile.revision), \(profile.email), \(profile.firstName),
                \(profile.lastName), \(profile.isActive), \(profile.profileImage))
            ON CONFLICT (organization_id, user_id) DO UPDATE SET revision = EXCLUDED.revision, email = EXCLUDED.email,
                first_name = EXCLUDED.first_name, last_name = EXCLUDED.last_name, is_active = EXCLUDED.is_active,
                profile_img = EXCLUDED.profile_img
            WHERE member.revision < EXCLUDED.revision
            RETURNING user_id
            """,
        ])
        guard !rows[1].isEmpty else { return }
        if let old = rows[0].first, try ProjectTransaction.shows(old, the: profile) { return }
        transaction.send(
            """
            UPDATE project p SET version = p.version + 1
            WHERE p.organization_id = \(organization) AND (
                p.created_by = \(profile.user) OR p.updated_by = \(profile.user) OR EXISTS (
                    SELECT FROM project_collaborator pc
                    WHERE pc.organization_id = p.organization_id AND pc.project_id = p.id
                    AND (pc.user_id = \(profile.user) OR pc.added_by = \(profile.user))
                )
            )
            """
        )
    }

    /// Removes all of an organization, and remembers that there was one.
    func delete(_ organization: OrganizationID) throws {
        transaction.send(ProjectTransaction.lock(organization))
        transaction.send("INSERT INTO deleted_organization (id) VALUES (\(organization)) ON CONFLICT DO NOTHING")
        transaction.send("DELETE FROM live_organization WHERE id = \(organization)")
        // First what others hold while they add: each statement sees what was committed while it waited for the locks.
        transaction.send("DELETE FROM organization WHERE organization_id = \(organization)")
        transaction.send("SELECT 1 FROM project WHERE organization_id = \(organization) FOR UPDATE")
        transaction.send("DELETE FROM project_collaborator WHERE organization_id = \(organization)")
        transaction.send("DELETE FROM project WHERE organization_id = \(organization)")
        transaction.send("DELETE FROM member WHERE organization_id = \(organization)")
        try transaction.eraseOrganization()
    }

    private static func shows(_ old: Row, the profile: UserProfile) throws -> Bool {
        let image: String? = try old.get("profile_img", as: String?.self)
        let before = [
            try old.get("email", as: String.self), try old.get("first_name", as: String.self),
            try old.get("last_name", as: String.self), image,
        ]
        let after = [profile.email, profile.firstName, profile.lastName, profile.profileImage]
        return zip(before, after).allSatisfy { left, right in
            left.map { Array($0.utf8) } == right.map { Array($0.utf8) }
        }
    }

    /// One at a time of what begins and what ends an organization.
    private static func lock(_ organization: OrganizationID) -> SQL {
        "SELECT pg_advisory_xact_lock(hashtextextended('organization/' || \(organization.description), 0))"
    }
}
