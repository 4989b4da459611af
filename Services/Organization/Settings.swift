import Configuration
import ServiceKit

/// What this service reads from its settings beside ``ServiceKit/ServiceSettings``.
///
/// - `TASKFLOW_MEDIA_DIRECTORY`: path, `.taskflow/media`; where pictures are kept as files. Replicas of the service
///   must see the same directory.
/// - `TASKFLOW_CLOUDINARY_CLOUD`, `TASKFLOW_CLOUDINARY_KEY`, `TASKFLOW_CLOUDINARY_SECRET`: strings, all three or none,
///   the last one secret; with them, new pictures are kept at Cloudinary.
/// - `TASKFLOW_CLOUDINARY_SIGNATURE`: `sha1` or `sha256`, `sha1`; as the Cloudinary account is set.
/// - `TASKFLOW_CLOUDINARY_URL`: origin, `https://api.cloudinary.com`.
struct OrganizationSettings: Sendable {
    let mediaDirectory: String
    /// Nil: pictures are kept on disk.
    let cloudinary: CloudinaryAccount?

    /// Reads and checks the settings; throws ``ServiceKit/SettingError`` with one line for the operator.
    init(_ config: ConfigReader) throws {
        mediaDirectory = config.text("TASKFLOW_MEDIA_DIRECTORY", default: ".taskflow/media")
        let cloud = config.text("TASKFLOW_CLOUDINARY_CLOUD")
        let key = config.text("TASKFLOW_CLOUDINARY_KEY")
        let secret = config.text("TASKFLOW_CLOUDINARY_SECRET", secret: true)
        let algorithm = try config.choice(
            "TASKFLOW_CLOUDINARY_SIGNATURE",
            of: CloudinarySignature.Algorithm.allCases.map(\.rawValue),
            default: CloudinarySignature.Algorithm.sha1.rawValue
        )
        let origin = try config.origin("TASKFLOW_CLOUDINARY_URL", default: "https://api.cloudinary.com")
        switch (cloud, key, secret) {
        case (nil, nil, nil):
            cloudinary = nil
        case (let cloud?, let key?, let secret?):
            guard cloud.utf8.allSatisfy({ $0 == 0x2D || $0 == 0x5F || OrganizationSettings.isAlphanumeric($0) }) else {
                throw SettingError("TASKFLOW_CLOUDINARY_CLOUD is \"\(cloud)\"; give the name of the cloud alone.")
            }
            cloudinary = CloudinaryAccount(
                cloud: cloud,
                key: key,
                signature: CloudinarySignature(
                    secret: secret,
                    algorithm: CloudinarySignature.Algorithm(rawValue: algorithm) ?? .sha1
                ),
                origin: origin
            )
        default:
            throw SettingError(
                "Give all of TASKFLOW_CLOUDINARY_CLOUD, TASKFLOW_CLOUDINARY_KEY and TASKFLOW_CLOUDINARY_SECRET, or none."
            )
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}
