import ArgumentParser
import Configuration
import Foundation
import Logging
import Postgres
import ServiceKit

/// `taskflow migrate`: roles and schemas of the services, made or brought up to date.
struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make or update the database: a schema and two roles for each service.",
        discussion: """
            Needs TASKFLOW_ADMIN_DATABASE_URL, a role that may create roles and schemas, and \
            TASKFLOW_<SERVICE>_DATABASE_URL of each service: the role in it is given the password in it. Safe to run \
            again, and while services of the version before are running.
            """
    )

    @Argument(help: "auth, organization, project, task, notification; all when none is named.")
    var services: [ServiceName] = []

    func run() async throws {
        let needed = NeededRole("TASKFLOW_ADMIN_DATABASE_URL", "a role with CREATEROLE, and CREATE on the database")
        try await Program.run(needed) {
            guard !services.contains(.gateway) else {
                throw SettingError("the gateway keeps no data: migrate the other services")
            }
            let config = try Program.settings()
            let logger = try Program.bootstrap(config)
            let administrator = try config.required(
                "TASKFLOW_ADMIN_DATABASE_URL",
                secret: true,
                "a URL of a role that may create roles and schemas"
            )
            let chosen = ServiceName.keeping.filter { services.isEmpty || services.contains($0) }
            let passwords = try Migrate.passwords(of: chosen, config, administrator: administrator)
            try await Migrations.refuseHalfRestored(administrator, logger: logger)
            try await Migrations.run(administrator: administrator, passwords: passwords, logger: logger)
            Program.say("The database is up to date.")
        }
    }

    /// What each service's role is given: the password in its URL, which has to be of that role and of this database.
    static func passwords(
        of services: [ServiceName],
        _ config: ConfigReader,
        administrator: String
    ) throws -> [String: String] {
        let own = try DatabaseURL("TASKFLOW_ADMIN_DATABASE_URL", administrator)
        var passwords: [String: String] = [:]
        for name in services {
            let form = "postgresql://\(name.role):PASSWORD@HOST/DATABASE"
            guard let login = try ServiceLogin(name, config) else {
                throw SettingError("\(name.prefix)_DATABASE_URL is not set; set it to \(form).")
            }
            // Only the name: the administrator may know the server by another address.
            let place = try DatabaseURL(login.place.setting, login.place.url)
            guard place.database == own.database else {
                throw SettingError(
                    "\(place.setting) is of the database \(place.database ?? ""), and \(own.setting) of "
                        + "\(own.database ?? ""): the schema would be made where the service does not look"
                )
            }
            guard let password = login.role.password, !password.isEmpty else {
                throw SettingError("\(login.role.setting) has no password: write it as \(form)")
            }
            passwords[name.rawValue] = password
        }
        return passwords
    }
}

/// Runs the migrations of several services.
enum Migrations {
    /// A schema that is there from before a restore drops anything until it is through.
    static let restoring = "taskflow_restoring"

    /// What a restore has left half done looks like an empty installation, and must not be served as one.
    static func refuseHalfRestored(_ administrator: String, logger: Logger) async throws {
        guard try await Migrator(administrator: administrator, logger: logger).hasSchema(restoring) else { return }
        throw StartError(
            "a restore of this database did not come to its end: run `taskflow restore` again (or, if it is to be "
                + "empty, drop the schema \(restoring))"
        )
    }

    /// Brings the schema of every service in `passwords` up to date.
    static func run(administrator: String, passwords: [String: String], logger: Logger) async throws {
        let migrator = Migrator(administrator: administrator, logger: logger)
        for name in ServiceName.keeping {
            guard let password = passwords[name.rawValue], let own = name.schema else { continue }
            try await migrator.migrate(ServiceFoundation.withLog(own), password: password)
        }
    }
}
