import ArgumentParser
import Foundation
import ServiceKit
import Testing

@testable import taskflow

/// What commands refuse before they ask or touch anything.
@Suite struct CommandTests {
    private let folder: String

    init() throws {
        folder = try Fixture.folder()
    }

    @Test func emptyNamesOfFoldersAreRefused() {
        #expect(throws: (any Error).self) { try Backup.parse([""]) }
        #expect(throws: (any Error).self) { try Restore.parse([""]) }
        #expect(throws: (any Error).self) { try MakeSecrets.parse([""]) }
        #expect(throws: SettingError.self) { try Installation(directory: "") }
    }

    @Test func postgresOfContainersIsHostAndPort() throws {
        for good in ["postgres", "postgres:5432", "db.example:6432", "10.0.0.1"] {
            #expect(try MakeSecrets.parse([folder, "--postgres", good]).postgres == good)
        }
        for bad in ["nonsense nonsense", "host:", "host:0", "host:x", "a:1:2", "user@host", "host/name", ":5432"] {
            #expect(throws: (any Error).self, "\(bad)") { try MakeSecrets.parse([folder, "--postgres", bad]) }
        }
    }

    @Test func placesInTheLogAreOfAStreamThatIsThere() throws {
        #expect(try Events.Replay.parse(["task.15", "--after", "0", "--limit", "1000"]).stream == "task.15")
        #expect(try Events.Retry.parse(["notification", "project.07:1234"]).position == "project.07:1234")
        for bad in ["gateway.01", "notification.01", "task.16", "task.7", "task.-1", "task", "task.07:1", ""] {
            #expect(throws: (any Error).self, "\(bad)") { try Events.Replay.parse([bad]) }
            #expect(throws: (any Error).self, "\(bad)") { try Events.Drop.parse(["task", "\(bad):1"]) }
        }
        for bad in ["project.07", "project.07:", "project.07:0", "project.07:x", "project.07:1:2"] {
            #expect(throws: (any Error).self, "\(bad)") { try Events.Retry.parse(["task", bad]) }
        }
        #expect(throws: (any Error).self) { try Events.Retry.parse(["gateway", "project.07:1"]) }
        for bad in [["--limit", "0"], ["--limit", "1001"], ["--after", "-1"]] {
            #expect(throws: (any Error).self, "\(bad)") { try Events.Replay.parse(["task.07"] + bad) }
        }
    }

    @Test func aRefusedAddressIsNotRepeated() throws {
        func origin(_ url: String) throws -> String { try Demo.parse(["--url", url]).origin() }
        #expect(try origin("https://taskflow.example/") == "https://taskflow.example")
        #expect(try origin("http://127.0.0.1:8080") == "http://127.0.0.1:8080")
        for bad in ["http://user:hidden@host", "http://host/hidden", "ftp://hidden", "hidden", "http://host?hidden"] {
            #expect { try origin(bad) } throws: { !"\($0)".contains("hidden") && "\($0)".contains("--url") }
        }
    }

    @Test func aFolderWithoutAnInstallationIsNamed() throws {
        #expect { try Installation.refuseStopped(in: folder) } throws: { "\($0)".contains("not running in \(folder)") }
        let installation = try Installation(directory: folder)
        try Installation.refuseStopped(in: installation.directory)
    }

    /// Else keys would be sealed under the secret of one installation and kept in the database of another.
    @Test func aCommandWorksOnOneInstallationAlone() throws {
        let installation = try Installation(directory: folder)
        try installation.keep(settings: ["TASKFLOW_SECRET": "of the folder", "TASKFLOW_REDIS_URL": "unix://folder"])
        let outside = Settings.fixed([
            "TASKFLOW_SECRET": "of another", "TASKFLOW_ADMIN_DATABASE_URL": "postgres://another",
        ])
        let given = try InstallationFolder.parse(["--directory", folder])
        let config = try Program.settings(running: given, outside: outside)
        #expect(config.text("TASKFLOW_SECRET", secret: true) == "of the folder")
        #expect(!DatabaseAccess.isOutside(given, outside))

        let none = try InstallationFolder.parse([])
        let other = try Program.settings(running: none, outside: outside)
        #expect(other.text("TASKFLOW_SECRET", secret: true) == "of another")
        #expect(other.text("TASKFLOW_REDIS_URL", secret: true) == nil)
        #expect(DatabaseAccess.isOutside(none, outside))
        #expect(!DatabaseAccess.isOutside(none, Settings.fixed([:])))
    }

    @Test func aRedisIsClearedOnlyIfItIsNamed() throws {
        #expect(throws: SettingError.self) { try RedisCleaner.urls(Settings.fixed([:])) }
        let named = Settings.fixed(["TASKFLOW_REDIS_URL": "redis://a:1/0", "TASKFLOW_GATE_REDIS_URL": "redis://b:1/0"])
        #expect(try RedisCleaner.urls(named) == ["redis://a:1/0", "redis://b:1/0"])
    }

    @Test func whatCannotBeReadIsNotMadeAnew() throws {
        #expect(try MakeSecrets.text(of: "\(folder)/none") == nil)
        #expect { try MakeSecrets.text(of: folder) } throws: { "\($0)".contains("cannot be read") }
    }

    @Test func settingsWithCarriageReturnsAreLinesToo() {
        let settings = SettingsFile.parse("A=1\r\nTASKFLOW_SECRET=x=y\r\n\nB=2\n")
        #expect(settings == ["A": "1", "TASKFLOW_SECRET": "x=y", "B": "2"])
    }

    @Test func aServiceIsAskedWhereItListens() {
        let places = ["0.0.0.0:7001", "[::]:7001", "10.0.0.5:7001", "[::1]:80", "task:7004"].map(Health.address)
        #expect(places == ["127.0.0.1:7001", "[::1]:7001", "10.0.0.5:7001", "[::1]:80", "task:7004"])
    }

    @Test func theSecretThatWasMadeStays() {
        let kept = ["TASKFLOW_SECRET": "first"]
        #expect(MakeSecrets.secret(kept, ["TASKFLOW_SECRET": "second"]) == "first")
        #expect(MakeSecrets.secret([:], ["TASKFLOW_SECRET": "second"]) == "second")
        #expect(MakeSecrets.secret([:], [:]).count == 64)
    }

    @Test func foldersOfPicturesAndMailsAreMadeBeforeTheStart() throws {
        func check(_ names: [ServiceName], _ settings: [String: String]) throws {
            try Parts.checkFolders(of: names, Settings.fixed(settings))
        }
        let mail = ["TASKFLOW_MAIL_DIRECTORY": "\(folder)/mail"]
        try check([.task], mail)
        try check([.notification], mail.merging(["TASKFLOW_SMTP_URL": "smtp://localhost:25"]) { one, _ in one })
        #expect(access("\(folder)/mail", F_OK) != 0)
        try check([.notification], mail)
        #expect(access("\(folder)/mail", F_OK) == 0)
        try PrivateFiles.write("", to: "\(folder)/file")
        #expect { try check([.organization], ["TASKFLOW_MEDIA_DIRECTORY": "\(folder)/file"]) } throws: {
            "\($0)".hasPrefix("TASKFLOW_MEDIA_DIRECTORY: ") && "\($0)".contains("Not a directory")
        }
    }

    @Test func oneBackupAtATimeIsWrittenToAPlace() throws {
        let target = BackupFolder("\(folder)/below/monday")
        let leftover = "\(folder)/below/monday.partial/media"
        try PrivateFiles.makeFolders(leftover, mode: 0o700)
        let partial = try target.claim()
        #expect(partial.path == "\(folder)/below/monday.partial")
        #expect(access(leftover, F_OK) != 0)
        try PrivateFiles.write("{}", to: partial.manifest)
        #expect { try target.claim() } throws: {
            "\($0)".contains("process \(getpid())") && "\($0)".contains(target.path)
        }
        // The other is left as it is.
        #expect(access(partial.manifest, F_OK) == 0)
        try PrivateFiles.write("", to: "\(folder)/file")
        #expect { try BackupFolder("\(folder)/file/monday").claim() } throws: { "\($0)".contains("Not a directory") }
    }
}
