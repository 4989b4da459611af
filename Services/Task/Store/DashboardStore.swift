import Chronology
import Identity
import Messaging
import Postgres

/// The dashboard's four parts, each as finished JSON.
struct Dashboard: Sendable {
    var user: [UInt8]
    var organization: [UInt8]
    var stats: [UInt8]
    /// The rows, not yet an array.
    var upcoming: [[UInt8]]
}

extension TaskStore {
    /// What someone sees first, in two round trips, the first of which tells the organization's zone; nil if user or
    /// organization are not known here.
    func dashboard(of principal: Principal, at now: Timestamp) async throws -> Dashboard? {
        let organization = principal.organization
        guard let who = try await database.read(in: organization, userStatement(principal)).first else { return nil }
        let calendar = OrganizationCalendar(zoneName: try who.get("time_zone"), now: now)
        let results = try await database.read(
            in: organization,
            [statsStatement(principal, until: calendar.dueMoment(.day(calendar.today))), upcomingStatement(principal)]
        )
        guard let stats = results[0].first else { return nil }
        func bytes(_ row: Row, _ column: String) throws -> [UInt8] { try row.bytes(column) }
        let upcoming = try results[1].map(TaskRows.shownTask)
        let json = try await json(showing: upcoming.people, results[1].first, in: organization) {
            try await database.read(in: organization, $0)
        }
        return Dashboard(
            user: try bytes(who, "person"),
            organization: try bytes(who, "home"),
            stats: try bytes(stats, "stats"),
            upcoming: upcoming.map { json.row($0) }
        )
    }

    private func userStatement(_ principal: Principal) -> SQL {
        """
        SELECT (SELECT row_to_json(x) FROM (SELECT m.user_id AS id, m.email, m.first_name, m.last_name, \
        m.first_name || ' ' || m.last_name AS name, m.role, \
        CASE WHEN m.department_id IS NOT NULL THEN (SELECT row_to_json(y) FROM (SELECT m.department_id AS id, \
        m.department_name) y) END AS department, m.is_active, m.profile_img, \
        \(TaskJSON.moment("m.created_at")) AS created_at, \(TaskJSON.moment("m.updated_at")) AS updated_at, \
        m.revision AS version) x)::text AS person, \
        (SELECT row_to_json(x) FROM (SELECT o.organization_id AS id, o.name, o.time_zone, o.reminder_hour, \
        \(TaskJSON.moment("o.created_at")) AS created_at, \(TaskJSON.moment("o.updated_at")) AS updated_at) x)::text \
        AS home, o.time_zone FROM member m JOIN organization o ON o.organization_id = m.organization_id \
        WHERE m.organization_id = \(principal.organization) AND m.user_id = \(principal.user)
        """
    }

    /// Counts over what the caller may see; `end` is that of today.
    private func statsStatement(_ principal: Principal, until end: Timestamp) -> SQL {
        let organization = principal.organization
        let visible = Visibility(principal: principal)
        return """
            SELECT (SELECT row_to_json(x) FROM (SELECT q.total_projects, q.completed_projects, \
            w.pending_tasks, w.due_tasks, w.overdue_tasks) x)::text AS stats \
            FROM (SELECT count(*) AS total_projects, count(*) FILTER (WHERE p.status = 'COMPLETED') AS completed_projects \
            FROM project p WHERE p.organization_id = \(organization) AND p.id = ANY(\(visible.projects))) q, \
            (SELECT count(*) FILTER (WHERE t.status <> 'OVERDUE') AS pending_tasks, \
            count(*) FILTER (WHERE t.status <> 'OVERDUE' AND t.due_moment <= \(end)::timestamptz) AS due_tasks, \
            count(*) FILTER (WHERE t.status = 'OVERDUE') AS overdue_tasks FROM task t WHERE \(visible.gathered()) \
            AND t.status IN ('PENDING', 'IN_PROGRESS', 'ON_HOLD', 'OVERDUE')) w
            """
    }

    /// The first ten open tasks with a due date that the caller collaborates on.
    private func upcomingStatement(_ principal: Principal) -> SQL {
        let organization = principal.organization
        return """
            SELECT \(TaskRows.shown(organization)) \
            FROM task t JOIN project p ON p.organization_id = t.organization_id AND p.id = t.project_id \
            WHERE \(Visibility(principal: principal).tasks()) AND t.status NOT IN ('COMPLETED', 'CANCELLED') \
            AND t.due_moment IS NOT NULL AND t.id = ANY(ARRAY(SELECT mc.task_id FROM task_collaborator mc \
            WHERE mc.organization_id = \(organization) AND mc.user_id = \(principal.user))) \
            ORDER BY t.due_moment, t.id LIMIT 10
            """
    }
}
