import Chronology
import Events
import Failpoints
import Failures
import Identity

/// Where the bytes of pictures are kept.
protocol MediaStorage: Sendable {
    /// `disk` or `cloudinary`; stands beside every name, so that a change of storage leaves old pictures where they are.
    var kind: String { get }
    /// A new name that nobody can guess.
    func makeName(for user: UserID, in organization: OrganizationID, format: PictureFormat) -> String
    /// Keeps the bytes and gives the address at which clients find them.
    func store(_ bytes: [UInt8], name: String, format: PictureFormat) async throws -> String
    /// Removes what is kept under a name; what is not there counts as removed.
    func remove(_ name: String) async throws
}

/// A file as it came in, in one field of a form.
struct PictureUpload: Sendable {
    var fileName: String
    var mediaType: String?
    var bytes: [UInt8]

    /// Of the file, in bytes.
    static let maximumSize = 5 * 1_048_576

    /// Checks the file and gives its format; throws 422 at `pointer`.
    func check(pointer: String) throws -> PictureFormat {
        guard bytes.count <= PictureUpload.maximumSize else {
            throw Failure.invalid(pointer, "too-large", "May have at most 5 MiB.")
        }
        do {
            let header = try PictureHeader(bytes)
            guard header.format.agrees(fileName: fileName, mediaType: mediaType) else {
                throw BadPicture("The file's name or type does not fit what is in it.")
            }
            return header.format
        } catch let error as BadPicture {
            throw Failure.invalid(pointer, "bad-picture", error.detail)
        }
    }
}

/// The pictures of users.
///
/// A picture is *uploading* from before the first byte is stored, *referenced* once the user's row names it, and
/// *condemned* from the moment the row names it no longer. Each step is a transaction of its own, so that a crash
/// between two leaves a row from which the sweep goes on; the user's row never names a picture that is not stored.
struct Portraits: Sendable {
    let store: PortraitStore
    let storage: any MediaStorage

    /// Gives the user a new picture.
    func replace(with upload: PictureUpload, as principal: Principal) async throws -> Picture {
        let format = try upload.check(pointer: "/profile_img")
        let name = storage.makeName(for: principal.user, in: principal.organization, format: format)
        try await store.begin(storage.kind, name, in: principal.organization)
        let url = try await storage.store(upload.bytes, name: name, format: format)
        try await Failpoint.hit(.uploadAfterReply)
        let picture = Picture(storage: storage.kind, name: name, url: url)
        do {
            _ = try await store.refer(principal.user, to: picture, in: principal.organization) { user, now in
                try Portraits.showing(picture, user, now)
            }
        } catch {
            // Should this fail, the upload's deadline does the same.
            try? await store.condemn(picture, in: principal.organization)
            throw error
        }
        return picture
    }

    /// Takes the user's picture away; 404 if there is none.
    func remove(as principal: Principal) async throws {
        _ = try await store.refer(principal.user, to: nil, in: principal.organization) { user, now in
            guard user?.picture != nil else { throw Failure.notFound }
            return try Portraits.showing(nil, user, now)
        }
    }

    private static func showing(_ picture: Picture?, _ user: User?, _ now: Timestamp) throws -> Change<User> {
        guard var user else { throw Failure.notFound }
        try Standing?(Standing(role: user.role, isActive: user.isActive)).requireActive()
        user.picture = picture
        user.version += 1
        user.updatedAt = now
        return .changed(user, UserUpdated(profile: user.profile))
    }
}
