import Chronology
import Failures
import Foundation
import Identity
import Lists
import Messaging
import Postgres

/// How tasks are kept. It owns the transactions and the locks; what changes is decided by the closures it is given.
///
/// Locks are taken in one order everywhere: the organization's shared lock, the parent, its subtasks by id, counters,
/// and at commit the shard of the log. Who holds the parent has the whole family to himself. Work on many tasks at
/// once, done for events of other services, takes the organization's lock alone.
struct TaskStore: Sendable {
    let database: TenantDatabase
    let people = PeopleCache()

    /// The moment now, by the service's clock.
    var now: Timestamp { database.clock.now }

    /// The namespace of this service's advisory locks on organizations.
    private static let lockClass = 7004

    /// Held by whoever writes tasks of the organization, many at a time.
    static func sharedLock(_ organization: OrganizationID) -> SQL {
        """
        SELECT pg_advisory_xact_lock_shared(\(unsafe: String(lockClass)), hashtext(\(organization.description)::text))
        """
    }

    /// Held alone, while time zone, collaborators of a project or the organization itself change.
    static func exclusiveLock(_ organization: OrganizationID) -> SQL {
        """
        SELECT pg_advisory_xact_lock(\(unsafe: String(lockClass)), hashtext(\(organization.description)::text))
        """
    }

    /// The organization's zone; UTC while the organization is not known here.
    func zone(of organization: OrganizationID) async throws -> TimeZone {
        let rows = try await database.read(
            in: organization,
            "SELECT time_zone FROM organization WHERE organization_id = \(organization)"
        )
        return try rows.first.map { try OrganizationCalendar.zone(named: $0.get("time_zone")) } ?? .gmt
    }

    /// One task as its caller may see it, in one round trip if its people are kept.
    func find(_ reference: TaskReference, in project: ProjectID?, by principal: Principal) async throws -> TaskView? {
        let organization = principal.organization
        let rows = try await database.read(
            in: organization,
            family(of: reference.sql(in: organization), in: project, by: principal)
        )
        return try await view(rows, in: organization) { try await database.read(in: organization, $0) }
    }

    /// A task and those of its subtasks that the caller may see, as ``TaskRows/shown(_:)`` with `is_target`.
    ///
    /// - Parameter isJudged: the task itself is shown whatever the caller's rights, which have been judged.
    func family(
        of id: SQL,
        in project: ProjectID? = nil,
        by principal: Principal,
        isJudged: Bool = false
    ) -> SQL {
        let organization = principal.organization
        let visible = Visibility(principal: principal).joined()
        return """
            SELECT \(TaskRows.shown(organization)), t.is_target FROM (\
            SELECT x.*, true AS is_target FROM task x WHERE x.organization_id = \(organization) AND x.id = \(id) \
            UNION ALL \
            SELECT x.*, false FROM task x WHERE x.organization_id = \(organization) AND x.parent_id = \(id)) t \
            JOIN project p ON p.organization_id = \(organization) AND p.id = t.project_id \
            WHERE \(isJudged ? "(t.is_target OR (\(visible)))" : visible)\(inProject(project))
            """
    }

    /// The single object of ``family(of:in:by:isJudged:)``; nil if the task is not among the rows.
    func view(
        _ rows: Rows,
        in organization: OrganizationID,
        asking: (SQL) async throws -> Rows
    ) async throws -> TaskView? {
        var target: ShownTask?
        var subtasks: [ShownTask] = []
        for row in rows {
            let task = try TaskRows.shownTask(row)
            if try row.get("is_target") { target = task } else { subtasks.append(task) }
        }
        guard let target else { return nil }
        subtasks.sort { $0.item.id < $1.item.id }
        let users = (subtasks + [target]).people
        let json = try await json(showing: users, rows.first, in: organization, asking: asking)
        return TaskView(
            id: target.item.id,
            version: target.item.version + json.peopleEpoch,
            json: json.single(target, subtasks: subtasks)
        )
    }

    /// What writes tasks that show these people; `row` is any of theirs and says `people_epoch`.
    func json(
        showing users: Set<UserID>,
        _ row: Row?,
        in organization: OrganizationID,
        asking: (SQL) async throws -> Rows
    ) async throws -> TaskJSON {
        let epoch = try row?.get("people_epoch", as: Int64?.self)
        let people = try await people(users, epoch: epoch, in: organization, asking: asking)
        return TaskJSON(people: people, peopleEpoch: epoch ?? 0)
    }

    /// Whether the caller may see the project.
    func canSee(_ project: ProjectID, by principal: Principal) async throws -> Bool {
        let rows = try await database.read(
            in: principal.organization,
            "SELECT \(project)::bigint = ANY(\(Visibility(principal: principal).projects)) AS visible"
        )
        return try rows.first?.get("visible") ?? false
    }

    /// A transaction, done again when the family changed its parent before it could be locked.
    func writing<Result: Sendable>(
        in organization: OrganizationID,
        _ body: (WriteTransaction) async throws -> Result
    ) async throws -> Result {
        for _ in 0..<5 {
            do {
                return try await database.write(in: organization, body)
            } catch is FamilyMoved {
                continue
            }
        }
        throw Failure.unavailable("busy", "Too many people are changing this at once.")
    }

    func inProject(_ project: ProjectID?) -> SQL {
        project.map { " AND t.project_id = \($0)" } ?? ""
    }
}

/// The task got another parent between being looked up and being locked.
struct FamilyMoved: Error {}

/// What a change answers with.
enum TaskAnswer: Sendable {
    /// The task as it is now.
    case task
    /// The collaborator whom the request names.
    case collaborator
    case nothing
}
