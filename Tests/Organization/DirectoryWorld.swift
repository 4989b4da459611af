import Chronology
import Events
import Failures
import Foundation
import Identity
import Lists
import Messaging
import Postgres
import ServiceKit
import Synchronization
import TestSupport

@testable import OrganizationService

/// An organization of its own for one test, founded as a sign-up does it.
struct DirectoryWorld: Sendable {
    let test: TestDatabase
    let database: TenantDatabase
    let store: DirectoryStore
    let directory: Directory
    let revocation = CountedRevocation()
    let organization = OrganizationID.make(milliseconds: 1_780_000_000_000)
    let admin: Principal

    init() async throws {
        test = try await TestDatabase.shared(for: ServiceFoundation.withLog(OrganizationApp.schema))
        database = test.tenant(producer: .organization)
        store = DirectoryStore(database: database)
        directory = Directory(store: store, revocation: revocation)
        admin = DirectoryWorld.principal(.admin, UserID.make(milliseconds: 1_780_000_000_000), organization)
        try await found()
    }

    static func principal(_ role: Role, _ user: UserID, _ organization: OrganizationID) -> Principal {
        Principal(
            user: user,
            organization: organization,
            role: role,
            session: SessionID.make(milliseconds: 1_780_000_000_000),
            generation: 1
        )
    }

    /// What the event of a sign-up does.
    func found() async throws {
        let event = OrganizationFounded(
            account: AccountID.make(milliseconds: 1),
            user: admin.user,
            email: "Admin@Example.com",
            firstName: "Ada",
            lastName: "Admin",
            organizationName: "Example"
        )
        try await database.write(in: organization) { transaction in
            directory.found(
                event,
                organization: organization,
                at: Timestamp(seconds: 1_780_000_000),
                in: store.within(transaction)
            )
        }
    }

    @discardableResult
    func create(
        _ email: String,
        role: Role = .developer,
        firstName: String = "Robin",
        department: DepartmentReference? = nil,
        as principal: Principal? = nil
    ) async throws -> User {
        try await directory.createUser(as: principal ?? admin, naming: department) { named in
            guard let address = EmailAddress(email) else { throw Failure.invalid("/email", "bad-email", "") }
            return UserDraft(email: address, firstName: firstName, lastName: "Tester", role: role, department: named)
        }
    }

    @discardableResult
    func change(_ email: String, _ patch: UserPatch, as principal: Principal? = nil) async throws -> User {
        try await directory.changeUser(email: email, as: principal ?? admin, naming: nil) { _, _ in patch }
    }

    @discardableResult
    func department(_ name: String) async throws -> Department {
        try await directory.createDepartment(as: admin) { name }
    }

    func principal(_ user: User) -> Principal { DirectoryWorld.principal(user.role, user.id, organization) }

    /// The rows of a list.
    func users(_ query: String = "") async throws -> [User] {
        let items = query.split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            return (name: parts[0], value: parts.count > 1 ? parts[1] : "")
        }
        let signer = CursorSigner(key: [UInt8](repeating: 7, count: 32))
        let request = try DirectoryStore.userList.parse(items, organization: organization, signer: signer)
        return try await directory.users(request, as: admin).items
    }

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

/// Counts how often it was asked.
final class CountedRevocation: TokenRevocation {
    private let asked = Mutex(0)
    private let failure = Mutex<Failure?>(nil)

    var count: Int { asked.withLock { $0 } }

    func fail(with failure: Failure?) { self.failure.withLock { $0 = failure } }

    func isInForce(in organization: OrganizationID) async throws {
        asked.withLock { $0 += 1 }
        if let failure = failure.withLock({ $0 }) { throw failure }
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
