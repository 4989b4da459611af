import ArgumentParser
import Foundation
import Logging
import Postgres
import ServiceKit

/// `taskflow backup`: everything that is needed to bring an installation back, in one folder.
struct Backup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Back up the database, and the pictures if you like, while everything goes on.",
        discussion: """
            Makes a folder with the dump of all services as of one moment (database.dump, for pg_restore) and \
            manifest.json, which says of when it is, what is in it and which secret opens it. Redis is not in it: \
            it is filled again from the database.

              taskflow backup /backups/monday
              taskflow backup /backups/monday --media
              taskflow backup /backups/monday --directory /srv/taskflow

            Needs pg_dump, of the server's version or newer, and the installation in --directory, running or not; \
            or TASKFLOW_ADMIN_DATABASE_URL (a role above row level security) and TASKFLOW_SECRET.

            Without the secret a backup cannot be used: keep it, at another place. --with-secrets puts it into the \
            folder, which then opens everything to whoever has it.
            """
    )

    @Argument(help: "The folder to make. It must not be there yet.")
    var folder: String

    @OptionGroup var installation: InstallationFolder

    @Flag(help: "Copy the pictures too. Without it, and with Cloudinary, they stay where they are.")
    var media = false

    @Flag(help: "Put the installation's secrets into the folder.")
    var withSecrets = false

    func validate() throws {
        guard !folder.isEmpty else { throw ValidationError("give the name of the folder to make") }
    }

    func run() async throws {
        try await Program.run(DatabaseAccess.neededRole) {
            let target = BackupFolder(folder)
            guard access(target.path, F_OK) != 0 else {
                throw StartError("\(target.path) is there already: give the name of a folder that is to be made")
            }
            let logger = Program.quietLogger
            let database = try await DatabaseAccess.open(installation, for: .reading, logger: logger)
            do {
                let partial = try target.claim()
                let manifest: BackupManifest
                do {
                    manifest = try await write(database, to: target, partial, logger: logger)
                } catch {
                    try? FileManager.default.removeItem(atPath: partial.path)
                    throw error
                }
                await database.close()
                Program.say(
                    """
                    \(target.path): \(manifest.contents.summary)\(manifest.pictures.map { ", \($0) pictures" } ?? ""), \
                    as of \(manifest.takenAt).
                    It is opened by the secret with the fingerprint \(manifest.secretFingerprint)\
                    \(withSecrets ? ", which lies in it: keep it safe." : "; keep that secret elsewhere.")
                    """
                )
            } catch {
                await database.close()
                throw error
            }
        }
    }

    /// Writes everything beside the place where it is to be, and moves it there when it is whole.
    private func write(
        _ database: DatabaseAccess,
        to target: BackupFolder,
        _ partial: BackupFolder,
        logger: Logger
    ) async throws -> BackupManifest {
        let pictures = media ? try source(database) : nil
        // Twice: a picture of the dump's moment may be gone after it, or may not have been there before it.
        if let pictures { _ = try PictureFiles.copyMissing(from: pictures, to: partial.media) }
        var manifest = try await dump(database, to: partial, logger: logger)
        if let pictures { manifest.pictures = try PictureFiles.copyMissing(from: pictures, to: partial.media) }
        if withSecrets {
            try PrivateFiles.write(try secrets(of: database), to: partial.secrets)
        }
        try manifest.write(to: partial.manifest)
        unlink(partial.lock)
        guard rename(partial.path, target.path) == 0 else {
            throw StartError("\(target.path) could not be made: \(String(cString: strerror(errno)))")
        }
        return manifest
    }

    private func source(_ database: DatabaseAccess) throws -> String {
        // The folder of an installation is made with its first picture.
        if let own = database.directory.map({ "\($0)/media" }), database.mediaDirectory == own, access(own, F_OK) != 0 {
            return own
        }
        guard let folder = database.mediaDirectory, access(folder, R_OK) == 0 else {
            throw SettingError(
                "the pictures are not on this machine (\(database.mediaDirectory ?? "TASKFLOW_MEDIA_DIRECTORY is not set"))"
                    + ": leave --media out, or set TASKFLOW_MEDIA_DIRECTORY"
            )
        }
        return folder
    }

    /// One snapshot: what the manifest counts is what the dump holds.
    private func dump(
        _ database: DatabaseAccess,
        to folder: BackupFolder,
        logger: Logger
    ) async throws -> BackupManifest {
        let program = try PostgresProgram("pg_dump", url: database.administrator)
        let pool = try database.pool(logger: logger)
        return try await pool.transaction(in: nil) { transaction in
            let head = try await transaction.query(
                """
                SELECT pg_export_snapshot() AS snapshot, current_setting('server_version') AS version,
                    to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS moment
                """
            )
            guard let row = head.first else { throw StartError("the database does not answer") }
            let migrations = try await KnownMigrations.recorded(in: transaction)
            try KnownMigrations.refuseNewer(migrations)
            let contents = try await BackupContents.count(in: transaction)
            try program.output(
                ["--format=custom", "--no-password", "--file=\(folder.dump)"]
                    + ["--snapshot=\(try row.get("snapshot", as: String.self))"]
                    + ServiceName.keeping.map { "--schema=\($0.rawValue)" }
            )
            let attributes = try FileManager.default.attributesOfItem(atPath: folder.dump)
            return BackupManifest(
                takenAt: try row.get("moment"),
                postgres: "\(try program.version()), server \(try row.get("version", as: String.self))",
                secretFingerprint: BackupManifest.fingerprint(of: database.secret),
                dumpChecksum: try BackupManifest.checksum(ofFile: folder.dump),
                dumpBytes: (attributes[.size] as? Int64) ?? 0,
                migrations: migrations,
                contents: contents,
                holdsSecrets: withSecrets
            )
        }
    }

    /// The installation's own file, or one of its form: what `restore` takes.
    private func secrets(of database: DatabaseAccess) throws -> String {
        if let directory = database.directory {
            guard let text = try? String(contentsOfFile: "\(directory)/secrets.json", encoding: .utf8) else {
                throw StartError("\(directory)/secrets.json cannot be read")
            }
            return text
        }
        var secrets = Secrets(secret: database.secret, administrator: Secrets.random(), services: database.passwords)
        for name in ServiceName.keeping where secrets.services[name.rawValue] == nil {
            secrets.services[name.rawValue] = Secrets.random()
        }
        return String(decoding: try JSONEncoder().encode(secrets), as: UTF8.self)
    }
}
