import Foundation
import Identity

/// Keeps pictures as files, one directory for each organization, and serves them under `/media/`.
struct DiskStorage: MediaStorage {
    /// Where the files are; all replicas of the service must see the same.
    let directory: String
    /// The origin in the pictures' addresses.
    let publicURL: String
    let work: BlockingWork

    static let kind = "disk"
    var kind: String { DiskStorage.kind }

    func makeName(for user: UserID, in organization: OrganizationID, format: PictureFormat) -> String {
        "\(organization)/\(RandomName.make()).\(format.fileExtension)"
    }

    func store(_ bytes: [UInt8], name: String, format: PictureFormat) async throws -> String {
        let path = path(name)
        try await work.run {
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent,
                withIntermediateDirectories: true
            )
            let data = Data(bytes)
            // Nobody knows the name before the row has it, so nobody sees half a file.
            try data.write(to: URL(fileURLWithPath: path), options: .withoutOverwriting)
            // The row will say that the picture is stored; so it had better be, after a power cut as well.
            let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
            try handle.synchronize()
            try handle.close()
        }
        return "\(publicURL)/media/\(name)"
    }

    func remove(_ name: String) async throws {
        guard MediaName(name) != nil else { return }
        let path = path(name)
        try await work.run {
            do {
                try FileManager.default.removeItem(atPath: path)
            } catch let error as CocoaError where error.code == .fileNoSuchFile {
                return
            }
            // The last picture takes the organization's directory with it; any other leaves it, since it is not empty.
            _ = rmdir((path as NSString).deletingLastPathComponent)
        }
    }

    /// The file of that name; nil if there is none.
    func read(_ name: MediaName) async throws -> [UInt8]? {
        let path = path(name.text)
        return try await work.run {
            FileManager.default.contents(atPath: path).map { [UInt8]($0) }
        }
    }

    private func path(_ name: String) -> String { (directory as NSString).appendingPathComponent(name) }
}

/// The name of a picture on disk, of a form that cannot lead out of the directory.
struct MediaName: Sendable, Hashable {
    /// `0190…/4f2a….png`.
    let text: String
    let format: PictureFormat

    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        self.init(organization: String(parts[0]), file: String(parts[1]))
    }

    init?(organization: String, file: String) {
        let parts = file.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard
            let id = OrganizationID(organization), id.description.utf8.elementsEqual(organization.utf8),
            parts.count == 2, parts[0].count == RandomName.length,
            parts[0].allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }),
            let format = PictureFormat.allCases.first(where: { parts[1].elementsEqual($0.fileExtension.utf8) })
        else { return nil }
        text = "\(organization)/\(file)"
        self.format = format
    }
}

/// Names that nobody can guess.
enum RandomName {
    /// Hexadecimal digits: 128 bits.
    static let length = 32

    static func make() -> String {
        var generator = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: (0..<length).map { _ in digits[Int.random(in: 0..<16, using: &generator)] },
            as: UTF8.self
        )
    }
}
