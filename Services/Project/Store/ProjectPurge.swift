import Chronology
import Events
import Identity
import Messaging
import Postgres

// What becomes of projects that nobody can restore any more.
extension ProjectStore {
    /// Every organization there is.
    func organizations() async throws -> [OrganizationID] {
        try await database.pool.query("SELECT id FROM live_organization ORDER BY id").map { try $0.get("id") }
    }

    /// Purges projects that went to the trash at that moment or earlier, a few in a transaction; gives how many.
    ///
    /// What stays is a row with the number and the key, neither of which is ever given again; it is known by its empty
    /// name, which no project can have. Rows that another transaction holds are left for the next time.
    func purge(deletedUpTo moment: Timestamp, in organization: OrganizationID, limit: Int = 100) async throws -> Int {
        let due: SQL = """
            SELECT p.id, p.revision FROM project p WHERE p.organization_id = \(organization)
            AND p.deleted_at <= \(moment)::timestamptz AND p.name <> '' ORDER BY p.deleted_at, p.id LIMIT \(limit)
            """
        guard try await !database.read(in: organization, due).isEmpty else { return 0 }
        return try await database.write(in: organization) { transaction in
            let rows = try await transaction.query("\(due) FOR UPDATE SKIP LOCKED")
            let ids = try rows.map { try $0.get("id", as: ProjectID.self) }
            transaction.send(
                """
                DELETE FROM project_collaborator
                WHERE organization_id = \(organization) AND project_id = ANY(\(ids)::bigint[])
                """
            )
            transaction.send(
                """
                UPDATE project SET name = '', description = '', version = version + 1, revision = revision + 1
                WHERE organization_id = \(organization) AND id = ANY(\(ids)::bigint[])
                """
            )
            for row in rows {
                let revision = try row.get("revision", as: Int64.self) + 1
                try transaction.publish(ProjectPurged(project: try row.get("id"), revision: revision))
            }
            return rows.count
        }
    }
}
