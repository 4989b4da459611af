import Chronology
import Failures
import Foundation
import Identity
import Messaging
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import OrganizationService

/// Storage in memory that fails when it is told to.
final class FakeStorage: MediaStorage {
    let kind = "fake-\(UInt64.random(in: .min ... .max))"
    private let state = Mutex<(files: Set<String>, isDown: Bool)>(([], false))

    var files: Set<String> { state.withLock { $0.files } }

    func goDown(_ isDown: Bool) { state.withLock { $0.isDown = isDown } }

    func makeName(for user: UserID, in organization: OrganizationID, format: PictureFormat) -> String {
        "\(organization)/\(RandomName.make())"
    }

    func store(_ bytes: [UInt8], name: String, format: PictureFormat) async throws -> String {
        let isDown = state.withLock { state in
            // The worst that can happen: it was stored, and nobody was told.
            state.files.insert(name)
            return state.isDown
        }
        if isDown { throw Failure.unavailable("picture-storage-unavailable", "") }
        return "https://pictures.example/\(name)"
    }

    func remove(_ name: String) async throws {
        let isDown = state.withLock { state in
            if !state.isDown { state.files.remove(name) }
            return state.isDown
        }
        if isDown { throw Failure.unavailable("picture-storage-unavailable", "") }
    }
}

/// Counts how often the sweep was called.
final class CountedBell: Sendable {
    private let strokes = Mutex(0)

    var count: Int { strokes.withLock { $0 } }

    func ring() { strokes.withLock { $0 += 1 } }
}

// One after the other: a sweep that looks ahead takes up what other tests are about to upload.
@Suite(.serialized) struct PortraitDatabaseTests {
    private struct Studio {
        let world: DirectoryWorld
        let storage = FakeStorage()
        let store: PortraitStore
        let portraits: Portraits
        let bell: CountedBell

        init() async throws {
            world = try await DirectoryWorld()
            let bell = CountedBell()
            self.bell = bell
            store = PortraitStore(database: world.database, condemned: { bell.ring() })
            portraits = Portraits(store: store, storage: storage)
        }

        let upload = PictureUpload(fileName: "a.png", mediaType: "image/png", bytes: Pictures.png())

        func replace() async throws -> Picture { try await portraits.replace(with: upload, as: world.admin) }

        func shown() async throws -> String? {
            try await world.directory.user(email: "admin@example.com", as: world.admin).picture?.url
        }

        /// The sweep for the storage of this test, that much later; the others' pictures are left to come again.
        func sweep(after delay: Duration) async throws {
            let late = WallClock.system.now + delay
            for _ in 0..<20 {
                for media in try await store.claim(limit: 1000, now: late) where media.storage == storage.kind {
                    try? await storage.remove(media.name)
                    if !storage.files.contains(media.name) { try await store.forget(media) }
                }
            }
        }

        func loose() async throws -> Int {
            let rows = try await world.test.pool.query(
                "SELECT count(*) AS count FROM loose_media WHERE storage = \(storage.kind)"
            )
            return try rows.first?.get("count") ?? 0
        }
    }

    @Test func replacesAndRemoves() async throws {
        let studio = try await Studio()
        let first = try await studio.replace()
        #expect(try await studio.shown() == first.url)
        #expect(try await studio.loose() == 0)
        let second = try await studio.replace()
        #expect(try await studio.shown() == second.url)
        #expect(studio.storage.files == [first.name, second.name])
        try await studio.sweep(after: .seconds(1))
        #expect(studio.storage.files == [second.name])
        try await studio.portraits.remove(as: studio.world.admin)
        #expect(try await studio.shown() == nil)
        #expect(await code { try await studio.portraits.remove(as: studio.world.admin) } == "not-found")
        try await studio.sweep(after: .seconds(1))
        #expect(studio.storage.files.isEmpty)
        #expect(try await studio.loose() == 0)
        #expect(try await studio.world.events().map(\.type) == ["user.updated", "user.updated", "user.updated"])
    }

    /// UP-4: whatever happens on the way, nobody has half a picture, and nothing stays behind.
    @Test func aFailedUploadLeavesNothing() async throws {
        let studio = try await Studio()
        let first = try await studio.replace()
        studio.storage.goDown(true)
        #expect(await code { _ = try await studio.replace() } == "picture-storage-unavailable")
        #expect(try await studio.shown() == first.url)
        #expect(studio.storage.files.count == 2)
        // While it may still be going on, nobody sweeps it; while the storage is down, nobody forgets it.
        try await studio.sweep(after: .seconds(60))
        #expect(try await studio.loose() == 1)
        try await studio.sweep(after: .seconds(1000))
        #expect(try await studio.loose() == 1)
        studio.storage.goDown(false)
        try await studio.sweep(after: .seconds(3000))
        #expect(studio.storage.files == [first.name])
        #expect(try await studio.loose() == 0)
    }

    @Test func whatIsSweptIsNotReferredTo() async throws {
        let studio = try await Studio()
        try await studio.store.begin(studio.storage.kind, "late", in: studio.world.organization)
        _ = try await studio.store.claim(limit: 1000, now: WallClock.system.now + .seconds(1000))
        let late = Picture(storage: studio.storage.kind, name: "late", url: "x")
        let refused = await code {
            _ = try await studio.store.refer(studio.world.admin.user, to: late, in: studio.world.organization) {
                user,
                _ in
                guard let user else { throw Failure.notFound }
                return .unchanged(user)
            }
        }
        #expect(refused == "upload-expired")
        #expect(try await studio.shown() == nil)
    }

    @Test func picturesGoWithTheirOrganization() async throws {
        let studio = try await Studio()
        _ = try await studio.replace()
        try await studio.world.directory.deleteOrganization(as: studio.world.admin) { $0.name }
        try await studio.sweep(after: .seconds(1))
        #expect(studio.storage.files.isEmpty)
        #expect(try await studio.loose() == 0)
    }

    /// TEN-13: an upload that was under way does not outlive its organization until its deadline.
    @Test func aPictureThatCameTooLateGoesAtOnce() async throws {
        let studio = try await Studio()
        try await studio.world.directory.deleteOrganization(as: studio.world.admin) { $0.name }
        #expect(await code { _ = try await studio.replace() } == "not-found")
        #expect(studio.storage.files.count == 1)
        #expect(studio.bell.count == 1)
        try await studio.sweep(after: .seconds(1))
        #expect(studio.storage.files.isEmpty)
        #expect(try await studio.loose() == 0)
    }
}

@Suite struct DiskStorageTests {
    @Test func keepsReadsAndRemoves() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("media-\(RandomName.make())").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let disk = DiskStorage(
            directory: directory,
            publicURL: "https://taskflow.example",
            work: BlockingWork(name: "test", threads: 2, maximumWaiting: 8)
        )
        let organization = OrganizationID.make(milliseconds: 1)
        let name = disk.makeName(for: UserID.make(milliseconds: 1), in: organization, format: .gif)
        let url = try await disk.store([1, 2, 3], name: name, format: .gif)
        #expect(url == "https://taskflow.example/media/\(name)")
        let media = try #require(MediaName(name))
        #expect(try await disk.read(media) == [1, 2, 3])
        await #expect(throws: (any Error).self) { try await disk.store([4], name: name, format: .gif) }
        try await disk.remove(name)
        try await disk.remove(name)
        #expect(try await disk.read(media) == nil)
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/\(organization)"))
    }
}
