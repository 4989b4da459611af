import Chronology
import Events
import Failures
import Identity
import Lists
import Messaging
import Postgres
import ServiceKit
import Synchronization
import TestSupport

@testable import ProjectService

/// A clock that a test moves.
final class TestClock: Sendable {
    private let moment = Mutex(Timestamp(seconds: 1_780_000_000))

    var wallClock: WallClock { WallClock { self.moment.withLock { $0 } } }

    func advance(by duration: Duration) { moment.withLock { $0 = $0 + duration } }
}

/// An organization of its own for one test, with an admin, two managers and a developer.
struct ProjectWorld: Sendable {
    let clock = TestClock()
    let test: TestDatabase
    let database: TenantDatabase
    let board: ProjectBoard
    let organization = OrganizationID.make(milliseconds: 1_780_000_000_000)
    let admin: Principal
    let manager: Principal
    let otherManager: Principal
    let developer: Principal

    init() async throws {
        test = try await TestDatabase.shared(for: ServiceFoundation.withLog(ProjectApp.schema))
        database = test.tenant(producer: .project, clock: clock.wallClock)
        board = ProjectBoard(store: ProjectStore(database: database), clock: clock.wallClock)
        let organization = organization
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
        otherManager = person(.manager)
        developer = person(.developer)
        try await found()
        try await join(manager, "manager@example.com")
        try await join(otherManager, "other@example.com")
        try await join(developer, "Developer@Example.com")
    }

    /// What the event of a sign-up does.
    func found() async throws {
        let event = OrganizationFounded(
            account: AccountID.make(milliseconds: 1),
            user: admin.user,
            email: "admin@example.com",
            firstName: "Ada",
            lastName: "Admin",
            organizationName: "Example"
        )
        try await database.write(in: organization) { transaction in
            try await board.found(
                event,
                organization: organization,
                at: transaction.now,
                in: board.store.within(transaction)
            )
        }
    }

    /// What the events of the organization service do.
    func join(
        _ principal: Principal,
        _ email: String,
        revision: Int64 = 1,
        name: String = "Robin",
        image: String? = nil,
        isActive: Bool = true
    ) async throws {
        let profile = UserProfile(
            user: principal.user,
            revision: revision,
            email: email,
            firstName: name,
            lastName: "Tester",
            role: principal.role,
            department: nil,
            departmentName: nil,
            isActive: isActive,
            profileImage: image,
            createdAt: Timestamp(seconds: 1),
            updatedAt: Timestamp(seconds: 1)
        )
        try await database.write(in: organization) { transaction in
            try await board.take(profile, of: organization, in: board.store.within(transaction))
        }
    }

    /// What the end of the organization does.
    func forget() async throws {
        try await database.write(in: organization) { transaction in
            try board.forget(organization, in: board.store.within(transaction))
        }
    }

    @discardableResult
    func create(_ name: String, key: String? = nil, by principal: Principal? = nil) async throws -> ProjectDetail {
        try await board.create(as: principal ?? admin) { ProjectDraft(name: name, key: key) }
    }

    func add(_ email: String, to project: ProjectDetail, by principal: Principal? = nil) async throws {
        _ = try await board.addCollaborator(email: email, to: project.project.id, as: principal ?? admin) {}
    }

    func remove(_ email: String, from project: ProjectDetail, by principal: Principal? = nil) async throws {
        try await board.removeCollaborator(email: email, from: project.project.id, as: principal ?? admin) { _ in }
    }

    func rename(_ project: ProjectDetail, _ name: String, by principal: Principal? = nil) async throws -> ProjectDetail
    {
        try await board.update(project.project.id, as: principal ?? admin) { _ in ProjectPatch(name: name) }
    }

    func delete(_ project: ProjectDetail, by principal: Principal? = nil) async throws {
        try await board.delete(project.project.id, as: principal ?? admin) { _ in }
    }

    @discardableResult
    func restore(_ project: ProjectDetail, by principal: Principal? = nil) async throws -> ProjectDetail {
        try await board.restore(project.project.id, as: principal ?? admin) {}
    }

    func read(_ project: ProjectDetail, by principal: Principal? = nil) async throws -> ProjectDetail {
        try await board.project(project.project.id, as: principal ?? admin)
    }

    func names(by principal: Principal, _ query: QueryItems = []) async throws -> [String] {
        let request = try ProjectStore.projectList.parse(query, organization: organization, signer: signer)
        return try await board.projects(request, as: principal).items.map(\.name)
    }

    func trash(by principal: Principal) async throws -> [String] {
        let request = try ProjectStore.trashList.parse([], organization: organization, signer: signer)
        return try await board.trash(request, as: principal).items.map(\.name)
    }

    func collaborators(of project: ProjectDetail, by principal: Principal) async throws -> [String] {
        let id = project.project.id
        let list = ProjectStore.collaboratorList(of: id)
        let request = try list.parse([], organization: organization, signer: signer)
        return try await board.collaborators(request, of: id, as: principal).items.map(\.person.email)
    }

    private var signer: CursorSigner { CursorSigner(key: [UInt8](repeating: 7, count: 32)) }

    /// What was said of this organization, oldest first.
    func events() async throws -> [(type: String, payload: String)] {
        let rows = try await test.pool.query(
            "SELECT type, payload FROM outbox WHERE organization_id = \(organization) ORDER BY seq"
        )
        return try rows.map { (try $0.get("type"), try $0.get("payload")) }
    }

    /// How many rows of the organization a table has.
    func count(_ table: String) async throws -> Int {
        let rows = try await database.read(
            in: organization,
            "SELECT count(*) AS count FROM \(unsafe: table) WHERE organization_id = \(organization)"
        )
        return try rows.first?.get("count") ?? 0
    }
}

/// The slug of the failure that `body` ends with, nil if it ends well.
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
