import Foundation
import Testing

@testable import taskflow

/// What `taskflow restore` refuses before it makes or drops anything.
@Suite struct RestoreTests {
    private let folder: String
    private let secret = "a secret of at least thirty-two characters"

    init() throws {
        folder = try Fixture.folder()
        try PrivateFiles.makeFolder("\(folder)/backup", mode: 0o700, owner: nil)
    }

    private func manifest(_ migrations: [String: [String]] = [:]) -> BackupManifest {
        Fixture.manifest(secret: secret, migrations: migrations)
    }

    private func secrets(given: String? = nil, otherSecret: Bool = false) throws -> Secrets? {
        try manifest().secrets(
            for: "\(folder)/new",
            from: BackupFolder("\(folder)/backup"),
            given: given,
            otherSecret: otherSecret
        )
    }

    /// Puts secrets into `backup` or `new`.
    private func put(_ secrets: Secrets, into place: String) throws {
        try PrivateFiles.makeFolder("\(folder)/\(place)", mode: 0o700, owner: nil)
        let text = String(decoding: try JSONEncoder().encode(secrets), as: UTF8.self)
        try PrivateFiles.write(text, to: Secrets.file(in: "\(folder)/\(place)"))
    }

    private var newIsThere: Bool { access("\(folder)/new", F_OK) == 0 }

    @Test func aBackupOfANewerProgramIsRefused() throws {
        try manifest(["task": ["L0001_event_log", "V0001_tasks"]]).checkMigrations()
        let newer = manifest(["auth": ["V0001_create_auth", "V0999_future"], "task": ["V0001_tasks"]])
        #expect { try newer.checkMigrations() } throws: {
            "\($0)".contains("newer Taskflow (auth has run V0999_future)")
        }
        #expect(throws: StartError.self) { try manifest(["billing": ["V0001_billing"]]).checkMigrations() }
    }

    @Test func withoutTheSecretNothingIsMade() throws {
        #expect { try secrets() } throws: { error in
            let line = "\(error)"
            return line.contains(BackupManifest.fingerprint(of: secret)) && line.contains("--other-secret")
        }
        #expect { try secrets(given: "another secret of at least thirty-two characters") } throws: {
            "\($0)".contains("another TASKFLOW_SECRET")
        }
        #expect { try secrets(given: "short") } throws: { "\($0)".contains("too short") }
        #expect(!newIsThere)
    }

    @Test func aNewFolderTakesTheSecretThatIsGiven() throws {
        #expect(try secrets(given: secret)?.secret == secret)
        let other = "another secret of at least thirty-two characters"
        #expect(try secrets(given: other, otherSecret: true)?.secret == other)
        let new = try #require(try secrets(otherSecret: true))
        #expect(new.secret != secret && new.services.count == ServiceName.keeping.count)
        #expect(!newIsThere)
    }

    @Test func aNewFolderTakesTheSecretsOfTheBackup() throws {
        let saved = Secrets.new(secret: secret)
        try put(saved, into: "backup")
        #expect(try secrets()?.administrator == saved.administrator)
        try put(.new(), into: "backup")
        #expect { try secrets() } throws: { "\($0)".contains("another TASKFLOW_SECRET") }
        try PrivateFiles.write("{", to: Secrets.file(in: "\(folder)/backup"))
        #expect { try secrets() } throws: { "\($0)".contains("backup/secrets.json") && "\($0)".contains("damaged") }
        #expect(!newIsThere)
    }

    @Test func aFolderThatHasSecretsKeepsThem() throws {
        try put(.new(secret: secret), into: "new")
        try put(.new(), into: "backup")
        #expect(try secrets()?.secret == nil)
        try put(.new(), into: "new")
        #expect { try secrets(given: secret) } throws: { "\($0)".contains("another TASKFLOW_SECRET") }
        #expect(try secrets(otherSecret: true)?.secret == nil)
        try PrivateFiles.write("{", to: Secrets.file(in: "\(folder)/new"))
        #expect { try secrets(given: secret, otherSecret: true) } throws: { "\($0)".contains("damaged") }
    }

    @Test func newSecretsDoNotGoBesideADatabase() throws {
        for place in ["new/postgres", "new/servers/postgres"] {
            let data = "\(folder)/\(place)"
            try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
            try PrivateFiles.write("15\n", to: "\(data)/PG_VERSION")
            #expect { try secrets(given: secret) } throws: { "\($0)".contains("the database is there") }
            try FileManager.default.removeItem(atPath: data)
        }
        #expect(try secrets(given: secret)?.secret == secret)
    }
}
