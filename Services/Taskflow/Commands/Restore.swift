import ArgumentParser
import Foundation
import Logging
import Postgres
import ServiceKit

/// `taskflow restore`: a backup back into a database.
struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bring a backup back, into an empty database or in place of what is there.",
        discussion: """
            Stop all services first; Postgres has to run (that of an installation started by `up` is started for \
            it). Makes roles and database where they are missing, brings the schemas up to date if the program is \
            newer than the backup, and clears Redis, which is filled again from the database when services start.

              taskflow restore /backups/monday
              taskflow restore /backups/monday --replace
              taskflow restore /backups/monday --directory /srv/taskflow

            Needs the secret that the backup was made under: secrets.json in --directory; or, for a folder without it, \
            the one that was saved by `backup --with-secrets`, or TASKFLOW_SECRET. Outside of `up` it needs \
            TASKFLOW_SECRET, TASKFLOW_ADMIN_DATABASE_URL, TASKFLOW_<SERVICE>_DATABASE_URL and TASKFLOW_REDIS_URL.

            What was changed after the backup is lost: people who logged in or were refreshed since then log in again, \
            sessions that were ended since then are open again, mails that were sent since then may be sent again.
            """
    )

    @Argument(help: "The folder that `taskflow backup` made.")
    var folder: String

    @OptionGroup var installation: InstallationFolder

    @Flag(help: "Drop what is in the database now. It is gone for good: back it up before.")
    var replace = false

    @Flag(help: "Restore although the secret is another one: everybody logs in again, links in mails are void.")
    var otherSecret = false

    func validate() throws {
        guard !folder.isEmpty else { throw ValidationError("give the folder of a backup") }
    }

    func run() async throws {
        try await Program.run(DatabaseAccess.neededRole) {
            let backup = BackupFolder(folder)
            let manifest = try BackupManifest.read(in: backup.path)
            // All that can be refused is refused while nothing has been made, started or dropped yet.
            try manifest.check(backup)
            try manifest.checkMigrations()
            let entries = try entries(of: backup.dump)
            let outside = try Program.settings()
            var secrets: Secrets?
            if DatabaseAccess.isOutside(installation, outside) {
                _ = try RedisCleaner.urls(outside)
            } else {
                secrets = try manifest.secrets(
                    for: installation.directory,
                    from: backup,
                    given: outside.text("TASKFLOW_SECRET", secret: true),
                    otherSecret: otherSecret
                )
            }
            let logger = Program.quietLogger
            let database = try await DatabaseAccess.open(
                installation,
                for: .restoring(secrets: secrets),
                logger: logger
            )
            do {
                if !otherSecret { try manifest.check(secret: database.secret) }
                let pictureFolder = try pictureFolder(of: backup, in: database)
                let start = ContinuousClock.now
                try await restore(backup, entries, manifest, into: database, logger: logger)
                let pictures = try pictureFolder.map { try PictureFiles.copyMissing(from: backup.media, to: $0) }
                let redis = await RedisCleaner.clear(database.config, logger: logger)
                await database.close()
                let seconds = (ContinuousClock.now - start).components.seconds
                Program.say(
                    """
                    Restored in \(seconds) s: \(manifest.contents.summary), as of \(manifest.takenAt).
                    \(pictures.map { "\($0) pictures are in place.\n" } ?? "")\(redis)
                    Start the services; `taskflow verify` then says whether all of them agree.
                    """
                )
            } catch {
                await database.close()
                throw error
            }
        }
    }

    private func restore(
        _ backup: BackupFolder,
        _ entries: [String],
        _ manifest: BackupManifest,
        into database: DatabaseAccess,
        logger: Logger
    ) async throws {
        for name in ServiceName.keeping where database.passwords[name.rawValue]?.isEmpty != false {
            throw SettingError(
                "\(name.prefix)_DATABASE_URL has no password, or is not set; set it to "
                    + "postgresql://\(name.role):PASSWORD@HOST/DATABASE."
            )
        }
        let program = try PostgresProgram("pg_restore", url: database.administrator)
        try await Migrator(administrator: database.administrator, logger: logger).createDatabaseIfMissing()
        let pool = try database.pool(logger: logger)
        try await refuseGuests(pool)
        try await refuseData(pool)
        _ = try await pool.query("CREATE SCHEMA IF NOT EXISTS \(unsafe: Migrations.restoring)")
        try await makeRoles(database, logger: logger)
        for name in ServiceName.keeping {
            _ = try await pool.query("DROP SCHEMA IF EXISTS \(unsafe: name.rawValue) CASCADE")
        }
        try restoreDump(backup.dump, entries, by: program)
        let found = try await pool.transaction(in: nil) { try await BackupContents.count(in: $0) }
        guard found == manifest.contents else {
            throw StartError(
                "the database has \(found.summary), the backup \(manifest.contents.summary): do not use it"
            )
        }
        try await Migrations.run(
            administrator: database.administrator,
            passwords: database.passwords,
            logger: logger
        )
        _ = try await pool.query("ANALYZE")
        _ = try await pool.query("DROP SCHEMA \(unsafe: Migrations.restoring)")
    }

    /// Roles first, since the dump names them as owners; their schemas make room for those of the dump.
    private func makeRoles(_ database: DatabaseAccess, logger: Logger) async throws {
        for name in ServiceName.keeping {
            do {
                try await Migrations.run(
                    administrator: database.administrator,
                    passwords: database.passwords.filter { $0.key == name.rawValue },
                    logger: logger
                )
            } catch let error as MigrationError where replace && error.code == .databaseIsNewer {
                // The way back to the version before: the roles are there by now, and the schema is to be dropped.
            }
        }
    }

    /// All of the dump but the index of the search and its function: this server may not be able to have them, and the
    /// migrations that follow make them where it is.
    private func entries(of dump: String) throws -> [String] {
        let left = ["INDEX task task_search ", "FUNCTION task search_candidates(", "FUNCTION search_candidates("]
        return try PostgresProgram("pg_restore").output(["--list", dump]).split(separator: "\n").map(String.init)
            .filter { entry in !left.contains { entry.contains($0) } }
    }

    private func restoreDump(_ dump: String, _ entries: [String], by program: PostgresProgram) throws {
        let list = FileManager.default.temporaryDirectory.appending(path: "taskflow-restore-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: list) }
        try PrivateFiles.write(entries.joined(separator: "\n") + "\n", to: list.path)
        try program.output(
            ["--no-password", "--exit-on-error", "--single-transaction", "--use-list=\(list.path)", "--dbname=", dump]
        )
    }

    /// Services that go on would write into what is being replaced, and keep in mind what is no more.
    private func refuseGuests(_ pool: PostgresPool) async throws {
        let roles = ServiceName.keeping.map(\.role)
        let rows = try await pool.query(
            """
            SELECT usename::text AS role, count(*) AS connections FROM pg_stat_activity
            WHERE datname = current_database() AND usename = ANY(\(roles)::text[]) GROUP BY 1 ORDER BY 1
            """
        )
        guard !rows.isEmpty else { return }
        let names = try rows.map { row in
            "\(try row.get("role", as: String.self)) (\(try row.get("connections", as: Int64.self)))"
        }
        throw StartError("services are connected, as \(names.joined(separator: ", ")): stop all of them first")
    }

    /// A database that was only migrated counts as empty.
    private func refuseData(_ pool: PostgresPool) async throws {
        if replace { return }
        let there = try await pool.query(
            """
            SELECT n.nspname::text AS schema FROM pg_namespace n
            WHERE n.nspname = ANY(\(ServiceName.keeping.map(\.rawValue))::text[])
              AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid) ORDER BY 1
            """
        )
        if there.isEmpty { return }
        var what = "schemas of Taskflow"
        if let contents = try? await pool.transaction(in: nil, { try await BackupContents.count(in: $0) }) {
            if contents.isEmpty { return }
            what = contents.summary
        }
        throw StartError("the database is not empty: it has \(what). --replace drops that, for good")
    }

    /// Where the pictures of the backup go; nil if there are none in it.
    private func pictureFolder(of backup: BackupFolder, in database: DatabaseAccess) throws -> String? {
        guard access(backup.media, F_OK) == 0 else { return nil }
        guard let target = database.mediaDirectory else {
            throw SettingError("TASKFLOW_MEDIA_DIRECTORY is not set: the pictures of the backup have nowhere to go")
        }
        return target
    }
}
