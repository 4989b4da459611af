import Chronology
import Events
import Foundation
import Identity
import Messaging
import Postgres
import ServiceKit
import Testing

@testable import TaskService

/// People kept between requests are those of the epoch that was read, and no others.
@Suite struct PeopleCacheTests {
    let organization = OrganizationID(UUID())
    let now = Timestamp(seconds: 1_780_000_000)

    private func people(_ count: Int) -> People {
        Dictionary(uniqueKeysWithValues: (0..<count).map { (UserID(UUID()), Array("\($0)".utf8)) })
    }

    @Test func anotherEpochOrOrganizationKnowsNobody() {
        let cache = PeopleCache()
        let ada = people(1)
        cache.keep(ada, of: organization, epoch: 4, at: now)
        #expect(cache.people(of: organization, epoch: 4, at: now) == ada)
        #expect(cache.people(of: organization, epoch: 5, at: now).isEmpty)
        #expect(cache.people(of: organization, epoch: 3, at: now).isEmpty)
        #expect(cache.people(of: OrganizationID(UUID()), epoch: 4, at: now).isEmpty)
    }

    @Test func aSlowerReaderDoesNotBringBackAnOldState() {
        let cache = PeopleCache()
        let (old, new, more) = (people(1), people(1), people(1))
        cache.keep(new, of: organization, epoch: 5, at: now)
        cache.keep(old, of: organization, epoch: 4, at: now)
        #expect(cache.people(of: organization, epoch: 4, at: now).isEmpty)
        cache.keep(more, of: organization, epoch: 5, at: now)
        #expect(cache.people(of: organization, epoch: 5, at: now) == new.merging(more) { $1 })
    }

    @Test func nothingIsKeptForMoreThanAMinute() {
        let cache = PeopleCache()
        cache.keep(people(1), of: organization, epoch: 1, at: now)
        cache.keep(people(1), of: organization, epoch: 1, at: now + .seconds(59))
        #expect(cache.people(of: organization, epoch: 1, at: now + .seconds(59)).count == 2)
        #expect(cache.people(of: organization, epoch: 1, at: now + .seconds(60)).isEmpty)
        // A clock that was put back makes nothing live longer; a restored database may count from below.
        #expect(cache.people(of: organization, epoch: 1, at: now - .seconds(1)).isEmpty)
        let restored = people(1)
        cache.keep(restored, of: organization, epoch: 0, at: now + .seconds(60))
        #expect(cache.people(of: organization, epoch: 0, at: now + .seconds(60)) == restored)
    }

    @Test func noMoreThanSoManyAreKept() {
        let cache = PeopleCache(capacity: 10)
        cache.keep(people(6), of: organization, epoch: 1, at: now)
        let other = OrganizationID(UUID())
        let crowd = people(7)
        cache.keep(crowd, of: other, epoch: 1, at: now)
        #expect(cache.people(of: organization, epoch: 1, at: now).isEmpty)
        #expect(cache.people(of: other, epoch: 1, at: now) == crowd)
        let more = people(8)
        cache.keep(more, of: other, epoch: 1, at: now)
        #expect(cache.people(of: other, epoch: 1, at: now) == more)
    }

    @Test func aNewNameShowsAtOnceAndAStrangerBecomesKnown() async throws {
        let world = try await World()
        let task = try await world.create(people: ["developer@example.com"])
        func names() async throws -> [String?] {
            let shown = try await world.see(task)
            let collaborator = shown["collaborators"]?.elements?.first
            return [collaborator?["user"]?["name"]?.text, shown["created_by"]?["name"]?.text]
        }
        #expect(try await names() == ["Robin Tester", "Ada Admin"])
        try await world.join(world.developer, "developer@example.com", revision: 2, name: "Alex")
        #expect(try await names() == ["Alex Tester", "Ada Admin"])

        // Known to the project before their own event has come.
        let stranger = Principal(
            user: UserID(UUID()),
            organization: world.organization,
            role: .manager,
            session: SessionID(UUID()),
            generation: 1
        )
        try await world.collaborate(stranger, on: world.project)
        let theirs = try await world.create(by: stranger)
        #expect(try await world.see(theirs)["created_by"]?["name"]?.text == "")
        let version = try await world.version(theirs)
        try await world.join(stranger, "stranger@example.com", name: "Sam")
        #expect(try await world.see(theirs)["created_by"]?["name"]?.text == "Sam Tester")
        #expect(try await world.version(theirs) == version + 1)
        // Nobody was shown this one.
        try await world.join(world.principal(.developer), "new@example.com")
        #expect(try await world.version(theirs) == version + 1)
    }

    /// Auth's events may come after those of the founder's first project.
    @Test func aFounderWhoBecomesKnownChangesWhatIsShown() async throws {
        let world = try await World()
        let task = try await world.create()
        _ = try await world.write {
            try await $0.query(
                "DELETE FROM member WHERE organization_id = \(world.organization) AND user_id = \(world.admin.user)"
            )
        }
        let version = try await world.version(task)
        let founded = OrganizationFounded(
            account: AccountID.make(milliseconds: 1),
            user: world.admin.user,
            email: "admin@example.com",
            firstName: "Ada",
            lastName: "Admin",
            organizationName: "Example"
        )
        for _ in 0..<2 {
            try await world.write {
                world.board.replicas.found(founded, world.organization, at: world.clock.now, in: $0)
            }
            #expect(try await world.version(task) == version + 1)
        }
    }
}
