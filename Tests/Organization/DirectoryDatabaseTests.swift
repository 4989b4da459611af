import Chronology
import Events
import Failures
import Foundation
import Identity
import Lists
import Messaging
import Postgres
import Testing

@testable import OrganizationService

@Suite struct DirectoryDatabaseTests {
    @Test func aSignUpFoundsOnce() async throws {
        let world = try await DirectoryWorld()
        try await world.found()
        let organization = try await world.directory.organization(as: world.admin)
        #expect(organization.name == "Example" && organization.timeZone == "UTC" && organization.reminderHour == 9)
        let users = try await world.users()
        #expect(users.count == 1 && users[0].role == .admin && users[0].version == 1 && users[0].isActive)
        // Auth has told everybody already.
        #expect(try await world.events().isEmpty)
    }

    @Test func createsUsers() async throws {
        let world = try await DirectoryWorld()
        let research = try await world.department("Research")
        let user = try await world.create("New.Person@Example.com", role: .manager, department: .name("rESEARCH"))
        #expect(user.department?.id == research.id)
        #expect(try await world.create("b@example.com", department: .id(research.id)).department?.name == "Research")
        let found = try await world.directory.user(email: "NEW.person@EXAMPLE.com", as: world.admin)
        #expect(found == user)
        #expect(await code { try await world.create("new.PERSON@example.com") } == "email-taken")
        #expect(await code { try await world.create("admin@example.com") } == "email-taken")
        let said = try await world.events().map(\.type)
        #expect(said == ["user.created", "user.created"])
        // Nobody in another organization is in the way, or found.
        let other = try await DirectoryWorld()
        try await other.create("New.Person@Example.com")
        #expect(
            await code { _ = try await other.directory.user(email: "b@example.com", as: other.admin) } == "not-found"
        )
        #expect(try await other.department("Research").id == DepartmentID(1))
    }

    @Test func theBooksCountNotTheToken() async throws {
        let world = try await DirectoryWorld()
        let second = try await world.create("second@example.com", role: .admin)
        let stale = world.principal(second)
        try await world.change("second@example.com", UserPatch(role: .manager))
        #expect(await code { try await world.create("x@example.com", as: stale) } == "forbidden")
        try await world.change("second@example.com", UserPatch(isActive: false))
        #expect(await code { try await world.create("x@example.com", as: stale) } == "session-changed")
        #expect(await code { try await world.change("admin@example.com", UserPatch(), as: stale) } == "session-changed")
    }

    @Test func lists() async throws {
        let world = try await DirectoryWorld()
        try await world.department("Research")
        try await world.department("42")
        try await world.create("b@example.com", role: .manager, firstName: "100%", department: .name("Research"))
        try await world.create("C@example.com", firstName: "Zo\u{EB}", department: .name("42"))
        try await world.change("b@example.com", UserPatch(isActive: false))
        func addresses(_ query: String) async throws -> [String] { try await world.users(query).map(\.email) }
        #expect(try await addresses("") == ["Admin@Example.com", "b@example.com", "C@example.com"])
        #expect(try await addresses("ordering=-email").first == "C@example.com")
        #expect(try await addresses("ordering=role") == ["Admin@Example.com", "b@example.com", "C@example.com"])
        #expect(try await addresses("ordering=name").first == "b@example.com")
        #expect(try await addresses("role=MANAGER&role=DEVELOPER") == ["b@example.com", "C@example.com"])
        #expect(try await addresses("department=research") == ["b@example.com"])
        #expect(try await addresses("department=1") == ["b@example.com"])
        #expect(try await addresses("department=42") == ["C@example.com"])
        #expect(try await addresses("department=9&department=none") == [])
        #expect(try await addresses("is_active=false") == ["b@example.com"])
        #expect(try await addresses("search=100%25".replacingOccurrences(of: "%25", with: "%")) == ["b@example.com"])
        #expect(try await addresses("search=zo\u{CB}") == ["C@example.com"])
        #expect(try await addresses("search=ADMIN") == ["Admin@Example.com"])
        let signer = CursorSigner(key: [UInt8](repeating: 7, count: 32))
        let request = try DirectoryStore.memberList.parse([], organization: world.organization, signer: signer)
        let members = try await world.directory.members(request, as: world.admin).items
        #expect(members.map(\.email) == ["Admin@Example.com", "C@example.com"])
    }

    @Test func changesAreCountedToldAndAwaited() async throws {
        let world = try await DirectoryWorld()
        let user = try await world.create("b@example.com")
        let same = try await world.change("B@example.com", UserPatch(firstName: "Robin"))
        #expect(same == user)
        #expect(world.revocation.count == 0)
        let changed = try await world.change("b@example.com", UserPatch(role: .manager))
        #expect(changed.version == 2 && world.revocation.count == 1)
        // Said again, it may still have to be waited for.
        #expect(try await world.change("b@example.com", UserPatch(role: .manager)).version == 2)
        #expect(world.revocation.count == 2)
        #expect(try await world.events().map(\.type) == ["user.created", "user.updated"])
        world.revocation.fail(with: .unavailable("not-caught-up", ""))
        #expect(await code { try await world.change("b@example.com", UserPatch(isActive: false)) } == "not-caught-up")
        // It is saved nevertheless.
        #expect(try await world.directory.user(email: "b@example.com", as: world.admin).isActive == false)
        #expect(await code { try await world.change("nobody@example.com", UserPatch()) } == "not-found")
    }

    @Test func twoAdminsCannotDemoteEachOtherAtOnce() async throws {
        for _ in 0..<10 {
            let world = try await DirectoryWorld()
            let second = try await world.create("second@example.com", role: .admin)
            let pairs = [(world.admin, "second@example.com"), (world.principal(second), "admin@example.com")]
            let codes = await withTaskGroup(of: String?.self) { group in
                for (principal, email) in pairs {
                    group.addTask {
                        await code { try await world.change(email, UserPatch(role: .developer), as: principal) }
                    }
                }
                return await group.reduce(into: [String?]()) { $0.append($1) }
            }
            // The slower one is no admin any longer, or the last.
            #expect(codes.count { $0 == nil } == 1, "\(codes)")
            #expect(try await world.users("role=ADMIN").count == 1)
        }
    }

    @Test func departments() async throws {
        let world = try await DirectoryWorld()
        let made = try await world.department("\u{DC}nïque")
        #expect(await code { try await world.department("\u{FC}NÏQUE") } == "name-taken")
        let user = try await world.create("b@example.com", department: .id(made.id))
        func rename(_ name: String?) async throws -> Department {
            try await world.directory.renameDepartment(made.id, as: world.admin) { _ in name }
        }
        #expect(try await rename(made.name).version == 1)
        #expect(try await rename("\u{FC}nïque").version == 2)
        let shown = try await world.directory.user(email: "b@example.com", as: world.admin)
        #expect(shown.department?.name == "\u{FC}nïque" && shown.version == 2 && shown.updatedAt == user.updatedAt)
        try await world.department("Other")
        #expect(await code { _ = try await rename("OTHER") } == "name-taken")
        try await world.directory.deleteDepartment(made.id, as: world.admin) { _ in }
        #expect(
            await code { try await world.directory.deleteDepartment(made.id, as: world.admin) { _ in } } == "not-found"
        )
        let left = try await world.directory.user(email: "b@example.com", as: world.admin)
        #expect(left.department == nil && left.version == 3)
        let said = try await world.events()
        #expect(said.map(\.type) == ["user.created", "user.updated", "user.updated"])
        #expect(said[1].payload.contains("\u{FC}nïque"))
        // A number is never given twice.
        #expect(try await world.department("Next").id == DepartmentID(3))
    }

    /// Whoever is put into a department while it goes is in none afterwards, or was refused.
    @Test func aDepartmentGoesWhilePeopleAreAdded() async throws {
        let world = try await DirectoryWorld()
        let made = try await world.department("Going")
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<8 {
                group.addTask {
                    _ = await code {
                        _ = try await world.directory.createUser(as: world.admin, naming: .id(made.id)) { named in
                            guard let named, let email = EmailAddress("u\(index)@example.com") else {
                                throw Failure.invalid("/department", "not-found", "")
                            }
                            return UserDraft(
                                email: email,
                                firstName: "A",
                                lastName: "B",
                                role: .developer,
                                department: named
                            )
                        }
                    }
                }
            }
            group.addTask {
                _ = await code { try await world.directory.deleteDepartment(made.id, as: world.admin) { _ in } }
            }
        }
        #expect(try await world.users().allSatisfy { $0.department == nil })
        #expect(try await world.count("department") == 0)
    }

    @Test func organizations() async throws {
        let world = try await DirectoryWorld()
        let changed = try await world.directory.changeOrganization(as: world.admin) { _ in
            OrganizationPatch(timeZone: "Asia/Kolkata", reminderHour: 7)
        }
        #expect(changed.version == 2)
        #expect(try await world.directory.organization(as: world.admin) == changed)
        let developer = world.principal(try await world.create("b@example.com"))
        #expect(
            await code { _ = try await world.directory.changeOrganization(as: developer) { _ in OrganizationPatch() } }
                == "forbidden"
        )
        #expect(
            await code { try await world.directory.deleteOrganization(as: world.admin) { _ in "example" } }
                == "name-mismatch"
        )
        try await world.department("Research")
        try await world.directory.deleteOrganization(as: world.admin) { $0.name }
        for table in ["organization", "department", "app_user", "counter", "idempotency"] {
            #expect(try await world.count(table) == 0, "\(table)")
        }
        // The log keeps its numbers and nothing personal.
        let events = try await world.events()
        #expect(events.last?.type == "organization.deleted")
        #expect(events.count > 1 && events.dropLast().allSatisfy { $0.type == "tombstone" })
        #expect(await code { _ = try await world.directory.organization(as: world.admin) } == "not-found")
        #expect(await code { try await world.create("c@example.com") } == "not-found")
        #expect(world.revocation.count == 1)
    }

    @Test func peopleChangeTheirNames() async throws {
        let world = try await DirectoryWorld()
        let developer = world.principal(try await world.create("b@example.com"))
        let changed = try await world.directory.changeSelf(as: developer) { _ in UserPatch(lastName: "Neu") }
        #expect(changed.name == "Robin Neu" && changed.version == 2)
        try await world.change("b@example.com", UserPatch(isActive: false))
        #expect(
            await code { _ = try await world.directory.changeSelf(as: developer) { _ in UserPatch() } }
                == "session-changed"
        )
    }

    /// A row that was locked by a change of its department shows the department it has afterwards.
    @Test func aWaitingChangeSeesTheDepartmentAsItIs() async throws {
        let world = try await DirectoryWorld()
        try await world.department("One")
        let two = try await world.department("Two")
        let user = try await world.create("b@example.com", department: .name("One"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for round in 0..<20 {
                group.addTask {
                    let label: DepartmentLabel? = round % 2 == 0 ? two.label : user.department
                    try await world.change("b@example.com", UserPatch(department: .some(label)))
                }
                group.addTask {
                    _ = try await world.directory.changeSelf(as: world.principal(user)) { _ in
                        UserPatch(firstName: "Robin \(round)")
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await world.directory.user(email: "b@example.com", as: world.admin).department != nil)
    }
}
