import Chronology
import Events
import Failures
import Identity
import Messaging
import Postgres

extension DirectoryStore {
    private static let organizationColumns: SQL = """
        organization_id, name, time_zone, reminder_hour, version, created_at, updated_at
        """

    func organization(_ id: OrganizationID) async throws -> Organization? {
        let rows = try await database.read(
            in: id,
            "SELECT \(DirectoryStore.organizationColumns) FROM organization WHERE organization_id = \(id)"
        )
        return try rows.first.map(DirectoryStore.organization)
    }

    func changeOrganization(
        _ id: OrganizationID,
        by actor: UserID,
        change: (Standing?, Organization?, Timestamp) throws -> Change<Organization>
    ) async throws -> Organization {
        try await database.write(in: id) { transaction in
            let answers = try await transaction.query([
                """
                SELECT \(DirectoryStore.organizationColumns) FROM organization WHERE organization_id = \(id)
                FOR NO KEY UPDATE
                """,
                DirectoryStore.standing(of: actor, in: id),
            ])
            let change = try change(
                try DirectoryStore.standing(answers[1]),
                try answers[0].first.map(DirectoryStore.organization),
                transaction.now
            )
            let organization = change.value
            if change.isChanged {
                transaction.send(
                    """
                    UPDATE organization SET name = \(organization.name), time_zone = \(organization.timeZone),
                        reminder_hour = \(organization.reminderHour), version = \(organization.version),
                        updated_at = \(organization.updatedAt)
                    WHERE organization_id = \(id)
                    """
                )
            }
            for event in change.events { try transaction.publish(event) }
            return organization
        }
    }

    /// Removes an organization with all its rows, and leaves its pictures to the sweep.
    func deleteOrganization(
        _ id: OrganizationID,
        by actor: UserID,
        check: (Standing?, Organization?) throws -> [any Event]
    ) async throws {
        let condemned = condemned
        try await database.write(in: id) { transaction in
            // The row's lock ends whatever would still add to the organization; what is added after it finds no row.
            let answers = try await transaction.query([
                """
                SELECT \(DirectoryStore.organizationColumns) FROM organization WHERE organization_id = \(id) FOR UPDATE
                """,
                DirectoryStore.standing(of: actor, in: id),
            ])
            let events = try check(
                try DirectoryStore.standing(answers[1]),
                try answers[0].first.map(DirectoryStore.organization)
            )
            _ = try await transaction.query("SELECT 1 FROM app_user WHERE organization_id = \(id) FOR UPDATE")
            transaction.send(
                """
                INSERT INTO loose_media (storage, name, state, due_at)
                SELECT picture_storage, picture_name, 'condemned', \(transaction.now)::timestamptz FROM app_user
                WHERE organization_id = \(id) AND picture_name IS NOT NULL
                ON CONFLICT (storage, name) DO UPDATE SET state = 'condemned', due_at = EXCLUDED.due_at
                """
            )
            transaction.send("DELETE FROM app_user WHERE organization_id = \(id)")
            transaction.send("DELETE FROM department WHERE organization_id = \(id)")
            transaction.send("DELETE FROM organization WHERE organization_id = \(id)")
            try transaction.eraseOrganization()
            for event in events { try transaction.publish(event) }
            transaction.afterCommit { condemned() }
        }
    }

    private static func organization(_ row: Row) throws -> Organization {
        Organization(
            id: try row.get("organization_id"),
            name: try row.get("name"),
            timeZone: try row.get("time_zone"),
            reminderHour: try row.get("reminder_hour"),
            version: try row.get("version"),
            createdAt: try row.get("created_at"),
            updatedAt: try row.get("updated_at")
        )
    }
}
