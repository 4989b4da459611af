import Chronology
import Events
import Failures
import Foundation
import Identity
import Messaging
import Postgres
import ServiceKit
import Synchronization
import TestSupport

@testable import TaskService

/// A clock that a test moves.
final class TestClock: Sendable {
    private let moment: Mutex<Timestamp>

    init(_ text: String = "2026-06-15T12:00:00Z") {
        moment = Mutex(Timestamp(text) ?? Timestamp(seconds: 0))
    }

    var now: Timestamp { moment.withLock { $0 } }
    var wallClock: WallClock { WallClock { self.now } }

    func move(to text: String) {
        guard let next = Timestamp(text) else { return }
        moment.withLock { $0 = next }
    }
}

/// An organization of its own for one test, with an admin and a project `WEB` on which a manager and two developers
/// collaborate.
struct World: Sendable {
    let clock: TestClock
    let database: TenantDatabase
    let board: TaskBoard
    let organization: OrganizationID
    let admin: Principal
    let manager: Principal
    let developer: Principal
    let other: Principal
    /// Collaborates on nothing.
    let outsider: Principal
    let project = ProjectID(1)

    init(clock: TestClock = TestClock()) async throws {
        self.clock = clock
        let test = try await TestDatabase.shared(for: ServiceFoundation.withLog(TaskApp.schema))
        database = test.tenant(producer: .task, clock: clock.wallClock)
        board = TaskBoard(store: TaskStore(database: database), replicas: ReplicaStore(database: database))
        let organization = OrganizationID.make(milliseconds: 1_780_000_000_000)
        self.organization = organization
        func person(_ role: Role) -> Principal {
            Principal(
                user: UserID.make(milliseconds: 1_780_000_000_000),
                organization: organization,
                role: role,
                session: SessionID.make(milliseconds: 1_780_000_000_000),
                generation: 1
            )
        }
        admin = person(.admin)
        manager = person(.manager)
        developer = person(.developer)
        other = person(.developer)
        outsider = person(.developer)
        try await write { transaction in
            board.replicas.found(
                OrganizationFounded(
                    account: AccountID.make(milliseconds: 1),
                    user: admin.user,
                    email: "admin@example.com",
                    firstName: "Ada",
                    lastName: "Admin",
                    organizationName: "Example"
                ),
                organization,
                at: clock.now,
                in: transaction
            )
        }
        try await join(manager, "manager@example.com")
        try await join(developer, "developer@example.com")
        try await join(other, "other@example.com")
        try await join(outsider, "outsider@example.com")
        try await addProject(project, key: "WEB")
        for principal in [manager, developer, other] { try await collaborate(principal, on: project) }
    }

    func write<Value: Sendable>(_ body: (WriteTransaction) async throws -> Value) async throws -> Value {
        try await database.write(in: organization, body)
    }

    /// What the events of the other services would do.
    func join(_ principal: Principal, _ email: String, revision: Int64 = 1, name: String = "Robin", active: Bool = true)
        async throws
    {
        let profile = UserProfile(
            user: principal.user,
            revision: revision,
            email: email,
            firstName: name,
            lastName: "Tester",
            role: principal.role,
            department: nil,
            departmentName: nil,
            isActive: active,
            profileImage: nil,
            createdAt: clock.now,
            updatedAt: clock.now
        )
        try await write { board.replicas.keep(profile, organization, in: $0) }
    }

    func addProject(_ project: ProjectID, key: String, visibility: String = "collaborators") async throws {
        let event = ProjectCreated(
            project: project,
            revision: 1,
            key: key,
            name: "Project \(key)",
            status: "PENDING",
            taskVisibility: visibility,
            createdBy: admin.user
        )
        try await write { board.replicas.keep(event, organization, in: $0) }
    }

    func collaborate(_ principal: Principal, on project: ProjectID) async throws {
        try await write { board.replicas.add(principal.user, to: project, organization, in: $0) }
    }

    func leave(_ principal: Principal, _ project: ProjectID) async throws {
        try await write { try await board.replicas.remove(principal.user, from: project, organization, in: $0) }
    }

    /// Creates a task as the route would.
    @discardableResult
    func create(
        _ title: String = "A task",
        by principal: Principal? = nil,
        in project: ProjectID? = nil,
        under parent: TaskID? = nil,
        status: TaskStatus? = nil,
        start: TaskDate? = nil,
        due: TaskDate? = nil,
        people: [String] = [],
        also: Bool? = nil
    ) async throws -> TaskID {
        let asked = Creation(
            bodyProject: project ?? self.project,
            bodyParent: parent,
            people: people
        )
        let view = try await board.create(asked, by: principal ?? admin) { _, _ in
            ReadFields(
                value: TaskDraft(
                    title: title,
                    status: status,
                    start: start.map { .set($0) } ?? .keep,
                    due: due.map { .set($0) } ?? .keep,
                    collaborators: people,
                    alsoCollaborator: also
                ),
                failures: []
            )
        }
        return view.id
    }

    @discardableResult
    func edit(_ task: TaskID, by principal: Principal? = nil, _ edit: TaskEdit) async throws -> TaskView {
        var wanted: TaskID?
        if case .set(let parent) = edit.parent { wanted = parent }
        return try await board.edit(
            .id(task),
            in: nil,
            by: principal ?? admin,
            wantedParent: wanted,
            comparesShown: false,
            precondition: { _ in },
            reading: { _ in ReadFields(value: edit, failures: []) }
        )
    }

    func delete(_ task: TaskID, by principal: Principal? = nil) async throws {
        try await board.delete(.id(task), in: nil, by: principal ?? admin) { _ in }
    }

    func restore(_ task: TaskID, by principal: Principal? = nil) async throws -> TaskView {
        try await board.restore(.id(task), in: nil, by: principal ?? admin) {}
    }

    /// The single object as someone sees it.
    func see(_ task: TaskID, by principal: Principal? = nil) async throws -> JSON {
        try JSON(parsing: try await board.find(.id(task), in: nil, by: principal ?? admin).json)
    }

    func status(_ task: TaskID) async throws -> String? { try await see(task)["status"]?.text }

    func version(_ task: TaskID) async throws -> Int64 {
        try await board.find(.id(task), in: nil, by: admin).version
    }

    /// Waits until somebody waits for a lock that the transaction holds, or `isOver` says that nobody will.
    func waitUntilBlocked(
        by holder: WriteTransaction,
        orUntil isOver: () async throws -> Bool = { false }
    ) async throws {
        while true {
            let waiting = try await holder.query(
                "SELECT FROM pg_locks l WHERE NOT l.granted AND pg_backend_pid() = ANY(pg_blocking_pids(l.pid)) LIMIT 1"
            )
            if !waiting.isEmpty { return }
            if try await isOver() { return }
        }
    }

    /// The types of the events said so far, with what they are about.
    func said() async throws -> [String] {
        let rows = try await database.read(
            in: organization,
            """
            SELECT type || ' ' || subject AS line FROM outbox WHERE organization_id = \(organization) ORDER BY shard, seq
            """
        )
        return try rows.map { try $0.get("line") }
    }
}

/// The code of the failure that `body` throws: its own, or that of its first field.
func code(_ body: () async throws -> Void) async -> String? {
    do {
        try await body()
        return nil
    } catch let failure as Failure {
        return failure.fields.first?.code ?? failure.code
    } catch {
        return String(reflecting: error)
    }
}

extension TaskDate {
    /// `2026-06-20` or `2026-06-20T12:00:00Z`.
    static func text(_ text: String) -> TaskDate {
        if let day = CivilDate(text) { return .day(day) }
        return .moment(Timestamp(text) ?? .earliest)
    }
}
