import Crypto
import Foundation
import Postgres
import ServiceKit

/// What stands beside the dump: what is needed to open it, and what has to be in it.
struct BackupManifest: Codable, Equatable {
    /// The form of the folder.
    static let format = 1

    var format = BackupManifest.format
    /// The moment that the dump shows, UTC.
    var takenAt: String
    /// The program of Postgres that wrote it, and the server.
    var postgres: String
    /// Tells which secret opens what is encrypted in it, without giving it away.
    var secretFingerprint: String
    /// SHA-256 of the dump.
    var dumpChecksum: String
    var dumpBytes: Int64
    /// By schema, the migrations that it has run.
    var migrations: [String: [String]]
    /// How many of each are in it.
    var contents: BackupContents
    /// How many pictures lie beside it; nil if they were not asked for.
    var pictures: Int?
    /// Whether the secrets lie beside it.
    var holdsSecrets: Bool

    /// A short name of a secret that does not lead back to it.
    static func fingerprint(of secret: String) -> String {
        hexadecimal(SHA256.hash(data: Data("taskflow backup \(secret)".utf8)).prefix(8))
    }

    /// SHA-256 of a file, read in pieces.
    static func checksum(ofFile path: String) throws -> String {
        guard let file = FileHandle(forReadingAtPath: path) else { throw StartError("\(path) cannot be read") }
        defer { try? file.close() }
        var hash = SHA256()
        while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty { hash.update(data: piece) }
        return hexadecimal(hash.finalize())
    }

    private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Reads the manifest of a backup; what is no backup, or one of a newer program, is refused in one line.
    static func read(in folder: String) throws -> BackupManifest {
        let path = BackupFolder(folder).manifest
        guard let data = FileManager.default.contents(atPath: path) else {
            throw StartError("\(folder) is no backup: it has no manifest.json")
        }
        struct Form: Decodable { var format: Int }
        guard let form = try? JSONDecoder().decode(Form.self, from: data) else {
            throw StartError("\(path) cannot be read")
        }
        guard form.format == BackupManifest.format else {
            throw StartError("\(folder) has the form \(form.format), and this program knows \(BackupManifest.format)")
        }
        guard let manifest = try? JSONDecoder().decode(BackupManifest.self, from: data) else {
            throw StartError("\(path) cannot be read")
        }
        return manifest
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try (encoder.encode(self) + Data("\n".utf8)).write(to: URL(fileURLWithPath: path))
    }

    /// Refuses a dump that is not what was written.
    func check(_ folder: BackupFolder) throws {
        guard try BackupManifest.checksum(ofFile: folder.dump) == dumpChecksum else {
            throw StartError("\(folder.dump) is damaged: it is not what its manifest describes")
        }
    }

    /// Refuses what a newer program has written.
    func checkMigrations() throws {
        guard let unknown = KnownMigrations.unknown(migrations) else { return }
        throw StartError("this backup is of a newer Taskflow (\(unknown)): restore it with that version or a newer one")
    }

    /// Refuses a secret that does not open it.
    func check(secret: String) throws {
        guard BackupManifest.fingerprint(of: secret) == secretFingerprint else {
            throw StartError(
                "this backup belongs to another TASKFLOW_SECRET (fingerprint \(secretFingerprint), not "
                    + "\(BackupManifest.fingerprint(of: secret))): without it no key, link or session in it can be "
                    + "opened. Give that secret, or --other-secret if it is lost"
            )
        }
    }
}

extension BackupManifest {
    /// The secrets for a folder that this backup is restored into; nil where it has its own. Makes nothing: a folder
    /// with secrets that do not open the backup would be of no use, and in the way.
    ///
    /// - Parameter given: `TASKFLOW_SECRET` from outside.
    func secrets(
        for directory: String,
        from backup: BackupFolder,
        given: String?,
        otherSecret: Bool
    ) throws -> Secrets? {
        if let own = try Secrets.kept(in: directory) {
            if !otherSecret { try check(secret: own.secret) }
            return nil
        }
        if let saved = try Secrets.kept(in: backup.path) {
            if !otherSecret { try check(secret: saved.secret) }
            return saved
        }
        // Only those of a backup come with the passwords of a database that is there.
        try Installation.refuseDatabaseWithoutSecrets(in: directory)
        if let given {
            guard given.unicodeScalars.count >= 32 else {
                throw SettingError("TASKFLOW_SECRET is too short; give the secret that the backup was made under.")
            }
            if !otherSecret { try check(secret: given) }
            return .new(secret: given)
        }
        guard otherSecret else {
            throw SettingError(
                "the backup is without its secret, and \(directory) has none: put the secrets.json of the installation "
                    + "into that folder, or set TASKFLOW_SECRET to the one with the fingerprint \(secretFingerprint); "
                    + "--other-secret if it is lost"
            )
        }
        return .new()
    }
}

/// Where things are in a backup.
struct BackupFolder {
    let path: String

    init(_ path: String) { self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path }

    var dump: String { "\(path)/database.dump" }
    var manifest: String { "\(path)/manifest.json" }
    var media: String { "\(path)/media" }
    var secrets: String { "\(path)/secrets.json" }

    /// Held while it is written.
    var lock: String { "\(path)/lock" }

    /// Makes the place where it is written until it is whole, and empties it of what a backup that was broken off has left
    /// there; refuses if another is being written.
    func claim() throws -> BackupFolder {
        let partial = BackupFolder("\(path).partial")
        try PrivateFiles.makeFolders(partial.path, mode: 0o700)
        try PrivateFiles.makeFolder(partial.path, mode: 0o700, owner: nil)
        do {
            try FolderLock.take(partial.lock)
        } catch let other as FolderInUse {
            throw StartError("\(other.who) is writing a backup to \(path): wait for it, or give another folder")
        }
        let files = FileManager.default
        for name in try files.contentsOfDirectory(atPath: partial.path) {
            let leftover = "\(partial.path)/\(name)"
            if leftover != partial.lock { try files.removeItem(atPath: leftover) }
        }
        return partial
    }
}

/// How many rows there are of what people would miss, and how far the logs go.
struct BackupContents: Codable, Equatable {
    var accounts: Int64
    var organizations: Int64
    var users: Int64
    var projects: Int64
    var tasks: Int64
    var notices: Int64
    /// The numbers of all shards added up, by producer.
    var events: [String: Int64]

    /// As the transaction sees it.
    static func count(in transaction: PostgresTransaction) async throws -> BackupContents {
        let rows = try await transaction.query(
            """
            SELECT (SELECT count(*) FROM auth.account) AS accounts,
                (SELECT count(*) FROM organization.organization) AS organizations,
                (SELECT count(*) FROM organization.app_user) AS users,
                (SELECT count(*) FROM project.project) AS projects,
                (SELECT count(*) FROM task.task) AS tasks,
                (SELECT count(*) FROM notification.notice) AS notices
            """
        )
        guard let row = rows.first else { throw StartError("the database does not answer") }
        var events: [String: Int64] = [:]
        for name in ServiceName.keeping {
            let sum = try await transaction.query(
                "SELECT sum(seq)::bigint AS events FROM \(unsafe: name.rawValue).event_log"
            )
            events[name.rawValue] = try sum.first?.get("events") ?? 0
        }
        return BackupContents(
            accounts: try row.get("accounts"),
            organizations: try row.get("organizations"),
            users: try row.get("users"),
            projects: try row.get("projects"),
            tasks: try row.get("tasks"),
            notices: try row.get("notices"),
            events: events
        )
    }

    /// True where nobody would miss anything.
    var isEmpty: Bool { accounts == 0 && organizations == 0 && events.values.allSatisfy { $0 == 0 } }

    var summary: String {
        "\(accounts) accounts, \(organizations) organizations, \(users) users, \(projects) projects, \(tasks) tasks, "
            + "\(events.values.reduce(0, +)) events"
    }
}
