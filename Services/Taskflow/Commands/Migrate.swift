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
        try await Program.run {
            let config = try Program.settings()
            let logger = try Program.bootstrap(config)
            let administrator = try config.required(
                "TASKFLOW_ADMIN_DATABASE_URL",
                secret: true,
                "a URL of a role that may create roles and schemas"
            )
            var passwords: [String: String] = [:]
            for name in ServiceName.keeping where services.isEmpty || services.contains(name) {
                let url = try config.required(
                    "TASKFLOW_\(name.rawValue.uppercased())_DATABASE_URL",
                    secret: true,
                    "postgresql://\(name.rawValue)_app:PASSWORD@HOST/DATABASE"
                )
                guard let password = URLComponents(string: url)?.password, !password.isEmpty else {
                    throw SettingError(
                        "TASKFLOW_\(name.rawValue.uppercased())_DATABASE_URL has no password: write it as "
                            + "postgresql://\(name.rawValue)_app:PASSWORD@HOST/DATABASE"
                    )
                }
                passwords[name.rawValue] = password.removingPercentEncoding ?? password
            }
            try await Migrations.run(administrator: administrator, passwords: passwords, logger: logger)
            Program.say("The database is up to date.")
        }
    }
}

/// Runs the migrations of several services.
enum Migrations {
    /// Brings the schema of every service in `passwords` up to date.
    static func run(administrator: String, passwords: [String: String], logger: Logger) async throws {
        let migrator = Migrator(administrator: administrator, logger: logger)
        for name in ServiceName.keeping {
            guard let password = passwords[name.rawValue], let own = name.schema else { continue }
            try await migrator.migrate(ServiceFoundation.withLog(own), password: password)
        }
    }
}
