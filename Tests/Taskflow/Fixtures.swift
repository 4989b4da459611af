import Foundation

@testable import taskflow

/// What several suites of this folder begin with.
enum Fixture {
    /// A new folder of the test's own.
    static func folder(mode: mode_t = 0o700) throws -> String {
        let path = FileManager.default.temporaryDirectory.path + "/taskflow-test-\(UUID().uuidString)"
        try PrivateFiles.makeFolder(path, mode: mode, owner: nil)
        return path
    }

    /// The permissions of a file or folder; nil if there is none.
    static func mode(_ path: String) -> Int? {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        return (attributes?[.posixPermissions] as? NSNumber)?.intValue
    }

    /// The manifest of a small backup without pictures and without its secret.
    static func manifest(secret: String, migrations: [String: [String]]) -> BackupManifest {
        BackupManifest(
            takenAt: "2026-01-02T03:04:05.000006Z",
            postgres: "pg_dump (PostgreSQL) 15.0, server 15.0",
            secretFingerprint: BackupManifest.fingerprint(of: secret),
            dumpChecksum: "",
            dumpBytes: 4,
            migrations: migrations,
            contents: BackupContents(
                accounts: 1,
                organizations: 1,
                users: 1,
                projects: 1,
                tasks: 2,
                notices: 0,
                events: ["task": 2]
            ),
            pictures: nil,
            holdsSecrets: false
        )
    }
}
