import Chronology
import Events
import Identity
import Messaging
import Postgres

// What becomes of tasks that nobody can restore any more.
extension TaskStore {
    /// Purges tasks that went to the trash at that moment or earlier, and those of projects that are gone for good, a
    /// few in a transaction; gives how many.
    ///
    /// Subtasks go before their parents, which no deleted parent outlives. Numbers are counted on: none is given again.
    /// Rows that another transaction holds are left for the next time.
    func purge(deletedUpTo moment: Timestamp, in organization: OrganizationID, limit: Int = 500) async throws -> Int {
        let gone = try await goneProjects(in: organization)
        let due: SQL = """
            SELECT t.id FROM task t WHERE t.organization_id = \(organization) \
            AND (t.deleted_at <= \(moment)::timestamptz OR t.project_id = ANY(\(gone)::bigint[])) \
            AND NOT EXISTS (SELECT FROM task s WHERE s.organization_id = t.organization_id AND s.parent_id = t.id) \
            ORDER BY t.id LIMIT \(limit)
            """
        let isDue = try await !database.read(in: organization, due).isEmpty
        guard isDue || !gone.isEmpty else { return 0 }
        return try await database.write(in: organization) { transaction in
            let rows = try await transaction.query([
                TaskStore.sharedLock(organization),
                """
                DELETE FROM task d WHERE d.organization_id = \(organization) \
                AND d.id = ANY(ARRAY(\(due) FOR UPDATE SKIP LOCKED)) RETURNING d.id, d.revision
                """,
                // The mark of a purged project tells that it had tasks; once they are gone it goes too.
                """
                DELETE FROM counter n WHERE n.organization_id = \(organization) \
                AND n.kind = ANY(ARRAY(SELECT 'purged-project:' || g.id FROM unnest(\(gone)::bigint[]) g(id) \
                WHERE NOT EXISTS (SELECT FROM task t WHERE t.organization_id = \(organization) AND t.project_id = g.id)))
                """,
            ])[1]
            for row in rows {
                let revision = try row.get("revision", as: Int64.self) + 1
                try transaction.publish(TaskPurged(task: try row.get("id"), revision: revision))
            }
            return rows.count
        }
    }

    /// Projects that have had tasks and are gone for good, as was heard: see ``ReplicaStore/forget(_:_:in:)``. That a
    /// project's row is missing says nothing, since a replica can be lost and written anew.
    private func goneProjects(in organization: OrganizationID) async throws -> [ProjectID] {
        try await database.read(
            in: organization,
            """
            SELECT substr(n.kind, 16)::bigint AS id FROM counter n \
            WHERE n.organization_id = \(organization) AND n.kind LIKE 'purged-project:%'
            """
        ).map { try $0.get("id") }
    }
}
