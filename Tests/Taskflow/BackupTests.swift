import ArgumentParser
import Foundation
import Postgres
import Testing

@testable import taskflow

/// What can be said of backups without a database: TST-5.
@Suite struct BackupTests {

    private let manifest = Fixture.manifest(
        secret: "a secret of at least thirty-two characters",
        migrations: ["task": ["L0001_event_log", "V0001_tasks"]]
    )

    @Test func commandsSayWhatIsMissing() {
        #expect(throws: (any Error).self) { try Backup.parse([]) }
        #expect(throws: (any Error).self) { try Restore.parse([]) }
        #expect(throws: (any Error).self) { try Restore.parse(["folder", "--force"]) }
        #expect(throws: (any Error).self) { try Verify.parse(["--wait", "-1"]) }
        #expect(throws: (any Error).self) { try Verify.parse(["--wait", "3601"]) }
    }

    @Test func commandsTakeWhatTheirHelpNames() throws {
        let backup = try Backup.parse(["/backups/monday", "--media", "--directory", "/srv/taskflow", "--with-secrets"])
        #expect(backup.folder == "/backups/monday")
        #expect(backup.media && backup.withSecrets)
        #expect(backup.installation.directory == "/srv/taskflow")
        let restore = try Restore.parse(["/backups/monday", "--replace", "--other-secret"])
        #expect(restore.replace && restore.otherSecret)
        #expect(restore.installation.directory == ".taskflow")
        #expect(try Verify.parse([]).wait == 30)
        for help in [Backup.helpMessage(), Restore.helpMessage(), Verify.helpMessage()] {
            #expect(help.contains("taskflow ") && help.contains("TASKFLOW_ADMIN_DATABASE_URL"))
        }
    }

    @Test func aManifestComesBackAsItWasWritten() throws {
        let folder = BackupFolder(try Fixture.folder())
        try Data("dump".utf8).write(to: URL(fileURLWithPath: folder.dump))
        var written = manifest
        written.dumpChecksum = try BackupManifest.checksum(ofFile: folder.dump)
        try written.write(to: folder.manifest)
        let read = try BackupManifest.read(in: folder.path)
        #expect(read == written)
        try read.check(folder)
        try Data("dumb".utf8).write(to: URL(fileURLWithPath: folder.dump))
        #expect(throws: StartError.self) { try read.check(folder) }
    }

    @Test func whatIsNoBackupIsRefused() throws {
        let folder = try Fixture.folder()
        #expect { try BackupManifest.read(in: folder) } throws: { "\($0)".contains("no manifest.json") }
        let path = BackupFolder(folder).manifest
        try Data("{}".utf8).write(to: URL(fileURLWithPath: path))
        #expect { try BackupManifest.read(in: folder) } throws: { "\($0)".contains("cannot be read") }
        try Data("{\"format\": 2}".utf8).write(to: URL(fileURLWithPath: path))
        #expect { try BackupManifest.read(in: folder) } throws: { "\($0)".contains("form 2") }
    }

    @Test func onlyTheSecretThatItWasMadeUnderOpensIt() throws {
        try manifest.check(secret: "a secret of at least thirty-two characters")
        #expect { try manifest.check(secret: "another secret of at least thirty-two") } throws: {
            "\($0)".contains("another TASKFLOW_SECRET") && !"\($0)".contains("another secret")
        }
        let text = String(decoding: try JSONEncoder().encode(manifest), as: UTF8.self)
        #expect(!text.contains("thirty-two"))
    }

    @Test func aDatabaseThatWasOnlyMigratedIsEmpty() {
        var contents = manifest.contents
        #expect(!contents.isEmpty)
        contents.accounts = 0
        contents.organizations = 0
        #expect(!contents.isEmpty)
        contents.events = ["task": 0]
        #expect(contents.isEmpty)
    }

    @Test func picturesAreCopiedOnceAndStay() throws {
        let (source, target) = (try Fixture.folder(), try Fixture.folder())
        try FileManager.default.createDirectory(atPath: "\(source)/a/b", withIntermediateDirectories: true)
        try Data("one".utf8).write(to: URL(fileURLWithPath: "\(source)/a/b/one.png"))
        #expect(try PictureFiles.copyMissing(from: source, to: target) == 1)
        try Data("two".utf8).write(to: URL(fileURLWithPath: "\(source)/a/two.png"))
        try Data("new".utf8).write(to: URL(fileURLWithPath: "\(source)/a/b/one.png"))
        #expect(try PictureFiles.copyMissing(from: source, to: target) == 2)
        #expect(FileManager.default.contents(atPath: "\(target)/a/b/one.png") == Data("one".utf8))
    }

    @Test func aProgramsLastWordsAreItsErrors() {
        let output = """
            pg_restore: connecting to database for restore
            pg_restore: creating TABLE "task.task"
            pg_restore: error: could not execute query: ERROR:  disk full
            """
        #expect(PostgresProgram.lastWords(output) == "pg_restore: error: could not execute query: ERROR:  disk full")
        #expect(PostgresProgram.lastWords("a\nb") == "a b")
    }

    @Test func passwordsTravelInTheEnvironment() throws {
        let environment = try PostgresConfiguration.programEnvironment(
            for: "postgresql://admin:p%40ss@%2Frun%2Fpg:5433/taskflow?sslmode=disable"
        )
        #expect(
            environment == [
                "PGHOST": "/run/pg", "PGPORT": "5433", "PGDATABASE": "taskflow", "PGUSER": "admin",
                "PGPASSWORD": "p@ss", "PGSSLMODE": "disable",
            ]
        )
    }

    @Test func databasesAreToldApartByWhereTheyAre() throws {
        func place(_ url: String) throws -> String { try PostgresConfiguration.place(of: url) }
        #expect(try place("postgresql://a:b@localhost/x") == place("postgresql://c@127.0.0.1:5432/x"))
        #expect(try place("postgresql://a@localhost/x") != place("postgresql://a@localhost/y"))
        #expect(try place("postgresql://a@localhost/x") != place("postgresql://a@localhost:5433/x"))
        #expect(try place("postgresql://a@one/x") != place("postgresql://a@two/x"))
        #expect(throws: PostgresError.self) { try place("postgresql://[") }
    }

    @Test func aReportNamesWhatDiffersAndEndsWithACount() {
        let good = Verify.Report(checks: 3, findings: [], late: [])
        #expect(good.isGood && good.lines == ["verify: 3 checks, all agree"])
        let bad = Verify.Report(
            checks: 3,
            findings: [Finding(check: "users in task", key: "o/u", detail: "missing: (x)")],
            late: ["task auth.03 is at 1 of 2"]
        )
        #expect(!bad.isGood)
        #expect(
            bad.lines == [
                "behind: task auth.03 is at 1 of 2", "users in task: 1", "  o/u  missing: (x)",
                "verify: 3 checks, 1 differences, 1 readers behind",
            ]
        )
    }

    @Test func picturesAreCopiedWholeAndFromWhereALinkLeads() throws {
        let root = try Fixture.folder()
        let (real, link, target) = ("\(root)/real", "\(root)/link", "\(root)/target")
        try PrivateFiles.makeFolders("\(real)/one", mode: 0o755)
        try PrivateFiles.write("picture", to: "\(real)/one/a.png")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: real)
        #expect(try PictureFiles.copyMissing(from: link, to: target) == 1)
        // As a copy leaves them that broke off, of this program and of the one before.
        try PrivateFiles.write("pict", to: "\(target)/one/a.png")
        try PrivateFiles.write("pi", to: "\(target)/one/a.png.partial")
        try PrivateFiles.write("another", to: "\(real)/one/b.png")
        #expect(try PictureFiles.copyMissing(from: link, to: target) == 2)
        #expect(try String(contentsOfFile: "\(target)/one/a.png", encoding: .utf8) == "picture")
        #expect(PictureFiles.count(in: target) == 2)
    }
}
