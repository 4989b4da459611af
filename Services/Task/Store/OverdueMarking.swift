import Events
import Identity
import Messaging
import Postgres

extension TaskStore {
    /// Every organization that is not deleted.
    func organizations() async throws -> [OrganizationID] {
        try await database.pool.query(
            "SELECT organization_id FROM known_organization WHERE deleted_at IS NULL ORDER BY organization_id"
        ).map { try $0.get("organization_id") }
    }

    /// Marks tasks whose due moment has passed, at most `limit` in one transaction; gives how many it marked.
    ///
    /// Safe with many replicas: rows that another transaction holds are left for the next tick, and a row that was
    /// changed since it was looked up is judged again when it is locked.
    func markOverdue(in organization: OrganizationID, limit: Int = 500) async throws -> Int {
        let due: SQL = """
            t.organization_id = \(organization) AND t.deleted_at IS NULL AND NOT t.overdue_marked \
            AND t.status IN ('PENDING', 'IN_PROGRESS') AND t.due_moment < \(now)::timestamptz
            """
        // Tasks of a project in the trash have vanished; they are marked when it returns.
        let candidates: SQL = """
            SELECT t.id, t.parent_id FROM task t WHERE \(due) AND EXISTS (SELECT FROM project p \
            WHERE p.organization_id = t.organization_id AND p.id = t.project_id AND p.deleted_at IS NULL) \
            ORDER BY t.due_moment, t.id LIMIT \(limit)
            """
        guard try await database.read(in: organization, "SELECT FROM (\(candidates)) c LIMIT 1").first != nil else {
            return 0
        }
        return try await database.write(in: organization) { transaction in
            let found = try await transaction.query([TaskStore.sharedLock(organization), candidates])[1].map {
                (id: try $0.get("id", as: TaskID.self), parent: try $0.get("parent_id", as: TaskID?.self))
            }
            let parents = Array(Set(found.compactMap(\.parent))).sorted()
            let locked = Set(
                try await transaction.query(
                    """
                    SELECT id FROM task WHERE organization_id = \(organization) \
                    AND id = ANY(\(parents)::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED
                    """
                ).map { try $0.get("id", as: TaskID.self) }
            )
            let free = found.filter { $0.parent.map(locked.contains) ?? true }.map(\.id)
            let marked = try await transaction.query(
                """
                UPDATE task u SET status_before_overdue = u.status, status = 'OVERDUE', overdue_marked = true, \
                updated_at = \(transaction.now), version = u.version + 1, revision = u.revision + 1 \
                FROM (SELECT t.id FROM task t WHERE \(due) AND t.id = ANY(\(free)::bigint[]) \
                ORDER BY t.id FOR UPDATE SKIP LOCKED) x \
                WHERE u.organization_id = \(organization) AND u.id = x.id RETURNING u.id, u.revision, u.parent_id
                """
            )
            var shown: Set<TaskID> = []
            for row in marked {
                try transaction.publish(
                    TaskOverdue(task: try row.get("id"), revision: try row.get("revision"))
                )
                if let parent = try row.get("parent_id", as: TaskID?.self) { shown.insert(parent) }
            }
            transaction.send(
                """
                UPDATE task SET version = version + 1 WHERE organization_id = \(organization) \
                AND id = ANY(\(shown.sorted())::bigint[])
                """
            )
            return marked.count
        }
    }
}
