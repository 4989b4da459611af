import Chronology
import Failures
import Foundation
import Identity

/// The account at Cloudinary.
struct CloudinaryAccount: Sendable {
    /// The cloud's name.
    let cloud: String
    /// Public half of the credentials.
    let key: String
    /// Secret half, and how requests are signed with it.
    let signature: CloudinarySignature
    /// `https://api.cloudinary.com`.
    let origin: String
}

/// Keeps pictures at Cloudinary; clients get them from there.
struct CloudinaryStorage: MediaStorage {
    let account: CloudinaryAccount
    let clock: WallClock
    let work: BlockingWork

    static let kind = "cloudinary"
    var kind: String { CloudinaryStorage.kind }

    /// Cloudinary's `public_id`: ours alone, nothing of it comes from the client.
    func makeName(for user: UserID, in organization: OrganizationID, format: PictureFormat) -> String {
        "\(organization)/\(user)/\(RandomName.make())"
    }

    func store(_ bytes: [UInt8], name: String, format: PictureFormat) async throws -> String {
        let file = FormPart(
            name: "file",
            body: bytes,
            fileName: "picture.\(format.fileExtension)",
            mediaType: format.mediaType
        )
        let answer = try await call("image/upload", ["public_id": name], file: file)
        guard
            let upload = try? JSONDecoder().decode(UploadAnswer.self, from: Data(answer)),
            upload.name.utf8.elementsEqual(name.utf8), isAcceptable(upload.url),
            upload.signature.map({
                account.signature.isValid(answer: $0, publicID: upload.name, version: String(upload.version))
            }) ?? true
        else { throw CloudinaryStorage.unavailable }
        return upload.url
    }

    /// Clients will load the address: encrypted, unless the account itself is reached in the clear as in a test.
    private func isAcceptable(_ url: String) -> Bool {
        (url.hasPrefix("https://") || !account.origin.hasPrefix("https://")) && url.utf8.count <= 2048
    }

    func remove(_ name: String) async throws {
        let answer = try await call("image/destroy", ["public_id": name, "invalidate": "true"], file: nil)
        guard
            let destroyed = try? JSONDecoder().decode(DestroyAnswer.self, from: Data(answer)),
            ["ok", "not found"].contains(destroyed.result)
        else { throw CloudinaryStorage.unavailable }
    }

    private func call(_ action: String, _ parameters: [String: String], file: FormPart?) async throws -> [UInt8] {
        var parameters = parameters.map { (name: $0.key, value: $0.value) }
        parameters.append(("timestamp", String(clock.now.seconds)))
        parameters.append(("signature", account.signature.sign(parameters)))
        parameters.append(("api_key", account.key))
        let fields = parameters.map { FormPart(name: $0.name, body: Array($0.value.utf8)) } + (file.map { [$0] } ?? [])
        let url = "\(account.origin)/v1_1/\(account.cloud)/\(action)"
        let answer: (status: Int, body: [UInt8])
        do {
            answer = try await work.run { try HTTPForm.post(fields, to: url) }
        } catch is HTTPFormError {
            throw CloudinaryStorage.unavailable
        }
        guard answer.status == 200 else { throw CloudinaryStorage.unavailable }
        return answer.body
    }

    private static let unavailable = Failure.unavailable(
        "picture-storage-unavailable",
        "Pictures cannot be stored at the moment.",
        retryAfter: 30
    )

    private struct UploadAnswer: Decodable {
        var name: String
        var url: String
        var version: Int64
        var signature: String?

        private enum CodingKeys: String, CodingKey {
            case name = "public_id"
            case url = "secure_url"
            case version
            case signature
        }
    }

    private struct DestroyAnswer: Decodable {
        var result: String
    }
}
