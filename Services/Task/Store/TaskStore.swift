import Chronology
import Failures
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

    /// One task as its caller may see it, in one round trip.
    func find(_ reference: TaskReference, in project: ProjectID?, by principal: Principal) async throws -> TaskView? {
        let visible = Visibility(principal: principal)
        let rows = try await database.read(
            in: principal.organization,
            """
            \(singleColumns(principal)) FROM task t JOIN project p \
            ON p.organization_id = t.organization_id AND p.id = t.project_id \
            WHERE \(visible.tasks()) AND t.id = \(reference.sql(in: principal.organization))\(inProject(project))
            """
        )
        return try rows.first.map(TaskStore.view)
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

    /// The columns `id, version, json` of a single task.
    func singleColumns(_ principal: Principal) -> SQL {
        let json = TaskJSON(organization: principal.organization)
        let visible = Visibility(principal: principal)
        return """
            SELECT t.id, t.version + \(json.peopleEpoch) AS version, \(json.single(visible: visible.tasks("s")))::text AS json
            """
    }

    func inProject(_ project: ProjectID?) -> SQL {
        project.map { " AND t.project_id = \($0)" } ?? ""
    }

    static func view(_ row: Row) throws -> TaskView {
        TaskView(
            id: try row.get("id"),
            version: try row.get("version"),
            json: try row.bytes("json")
        )
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
