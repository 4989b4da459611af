import Configuration
import Foundation
import Logging
import Postgres
import ServiceKit

/// The database of an installation as its administrator sees it, and what goes with it.
///
/// It is that of the installation in a folder; if that does not run, its Postgres alone is started for as long as it is
/// needed. With `TASKFLOW_ADMIN_DATABASE_URL` in the settings, and no folder given, it is the one that this names.
struct DatabaseAccess {
    /// URL of the administrator.
    let administrator: String
    /// `TASKFLOW_SECRET`.
    let secret: String
    /// Passwords of the services' roles, of those that are known.
    let passwords: [String: String]
    /// The settings in force.
    let config: ConfigReader
    /// The installation's folder, if it is one started by `up`.
    let directory: String?
    private let servers: RunningServers?
    private let installation: Installation?

    /// What has to stand in the setting, where it is given.
    static let neededRole = NeededRole(
        "TASKFLOW_ADMIN_DATABASE_URL",
        "a superuser, or a role with BYPASSRLS that may read all schemas"
    )

    /// What the installation may be doing meanwhile.
    enum Use {
        /// It may run.
        case reading
        /// It must not run; what is missing of its folder is made, with these secrets where it has none.
        case restoring(secrets: Secrets?)
    }

    /// Opens the database for one command.
    static func open(_ folder: InstallationFolder, for use: Use, logger: Logger) async throws -> DatabaseAccess {
        let outside = try Program.settings()
        if isOutside(folder, outside) {
            return try given(try outside.required("TASKFLOW_ADMIN_DATABASE_URL", secret: true, ""), outside)
        }
        let directory = folder.directory
        switch use {
        case .reading:
            guard access("\(directory)/secrets.json", F_OK) == 0 else {
                throw SettingError(
                    "there is no installation in \(directory): give its --directory, or set TASKFLOW_ADMIN_DATABASE_URL"
                )
            }
            do {
                let installation = try Installation(directory: directory)
                return try await embedded(installation, outside, mayBeEmpty: false, logger: logger)
            } catch is InstallationInUse {
                return try running(directory)
            }
        case .restoring(let secrets):
            do {
                let installation = try Installation(directory: directory)
                return try await embedded(installation, outside, newSecrets: secrets, mayBeEmpty: true, logger: logger)
            } catch is InstallationInUse {
                throw SettingError("Taskflow is running in \(directory): stop it before its data is replaced")
            }
        }
    }

    /// Whether a command works on what the settings from outside name and not on an installation's folder.
    static func isOutside(_ folder: InstallationFolder, _ outside: ConfigReader) -> Bool {
        !folder.isGiven && outside.text("TASKFLOW_ADMIN_DATABASE_URL", secret: true) != nil
    }

    /// Stops what was started.
    func close() async {
        await servers?.stop()
    }

    /// Where pictures are on this machine; nil if they are elsewhere.
    var mediaDirectory: String? {
        if let given = config.text("TASKFLOW_MEDIA_DIRECTORY") { return given }
        return directory.map { "\($0)/media" }
    }

    private static func given(_ administrator: String, _ config: ConfigReader) throws -> DatabaseAccess {
        var passwords: [String: String] = [:]
        _ = try DatabaseURL("TASKFLOW_ADMIN_DATABASE_URL", administrator)
        let place = try PostgresConfiguration.place(of: administrator)
        for name in ServiceName.keeping {
            guard let login = try ServiceLogin(name, config) else { continue }
            _ = try DatabaseURL(login.place.setting, login.place.url)
            let other = try PostgresConfiguration.place(of: login.place.url)
            guard other == place else {
                throw SettingError(
                    "\(login.place.setting) is in \(other) and TASKFLOW_ADMIN_DATABASE_URL in \(place): this works on one database that "
                        + "holds all services; where each has its own, use pg_dump and pg_restore on each of them"
                )
            }
            passwords[name.rawValue] = login.role.password
        }
        return DatabaseAccess(
            administrator: administrator,
            secret: try config.required("TASKFLOW_SECRET", secret: true, "the secret of this installation"),
            passwords: passwords,
            config: config,
            directory: nil,
            servers: nil,
            installation: nil
        )
    }

    /// An installation that is running: its file says how to reach it.
    private static func running(_ directory: String) throws -> DatabaseAccess {
        let config = try Program.settings(ofInstallationIn: directory)
        let administrator = try config.required(
            "TASKFLOW_ADMIN_DATABASE_URL",
            secret: true,
            "what \(Installation.settingsFile(in: directory)) says once Taskflow is up"
        )
        return DatabaseAccess(
            administrator: administrator,
            secret: try config.required("TASKFLOW_SECRET", secret: true, "the secret of this installation"),
            passwords: [:],
            config: config,
            directory: absolute(directory),
            servers: nil,
            installation: nil
        )
    }

    /// An installation that is not running: its lock is held and its servers are started.
    private static func embedded(
        _ installation: Installation,
        _ config: ConfigReader,
        newSecrets: Secrets? = nil,
        mayBeEmpty: Bool,
        logger: Logger
    ) async throws -> DatabaseAccess {
        let (secrets, isNew) = try installation.secrets(orElse: newSecrets)
        let servers = try EmbeddedServers(
            directory: installation.directory,
            administratorPassword: secrets.administrator,
            isNew: isNew,
            mayBeEmpty: mayBeEmpty || !installation.hasBeenUp
        )
        let running = try await servers.start(logger: logger)
        return DatabaseAccess(
            administrator: servers.postgresURL(
                role: EmbeddedServers.administrator,
                password: secrets.administrator
            ),
            secret: secrets.secret,
            passwords: secrets.services,
            // Pictures are where they were kept when it ran last.
            config: try Program.settings(
                ofInstallationIn: installation.directory,
                but: ["TASKFLOW_REDIS_URL": servers.redisURL]
            ),
            directory: installation.directory,
            servers: running,
            installation: installation
        )
    }

    private static func absolute(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// A pool of the administrator's connections; for long reading in one snapshot unless it is asked for otherwise.
    func pool(isolation: String = "repeatable read", logger: Logger) throws -> PostgresPool {
        let url = try PostgresConfiguration.connectionString(
            administrator,
            settings: [
                ("default_transaction_isolation", isolation), ("statement_timeout", "0"),
                ("idle_in_transaction_session_timeout", "0"), ("row_security", "off"),
            ]
        )
        var configuration = PostgresConfiguration(url: url, schema: "pg_catalog", maximumConnections: 2)
        // A question about all tasks of a large installation takes minutes.
        configuration.answerTimeout = .seconds(3600)
        return PostgresPool(configuration, logger: logger)
    }
}
