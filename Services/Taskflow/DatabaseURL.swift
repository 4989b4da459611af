import Configuration
import Postgres
import ServiceKit

/// A URL of Postgres out of a setting, taken apart as libpq does.
struct DatabaseURL {
    /// The setting's name, for messages.
    let setting: String
    let user: String?
    let password: String?
    /// As libpq has it, that of the role's name where none is given.
    let database: String?

    init(_ setting: String, _ url: String) throws {
        do {
            let values = try PostgresConfiguration.programEnvironment(for: url)
            self.setting = setting
            user = values["PGUSER"]
            password = values["PGPASSWORD"]
            database = values["PGDATABASE"] ?? user
        } catch is PostgresError {
            // libpq's own words would quote the password.
            throw SettingError("\(setting) is not a URL of Postgres; give postgresql://ROLE:PASSWORD@HOST/DATABASE.")
        }
    }
}

/// How a service logs in to its database.
struct ServiceLogin {
    /// What says the role and its password.
    let role: DatabaseURL
    /// What says where the database is: behind a pooler it is another one.
    let place: (setting: String, url: String)

    /// From the service's settings; nil if they are not there. A URL of another role is refused: the service's own role
    /// would be given the password of that one.
    init?(_ service: ServiceName, _ config: ConfigReader) throws {
        let setting = "\(service.prefix)_DATABASE_URL"
        guard let url = config.text(setting, secret: true) else { return nil }
        role = try DatabaseURL(setting, url)
        guard role.user == service.role else {
            throw SettingError(
                "\(setting) is of \(role.user.map { "the role \($0)" } ?? "no role"), but \(service.rawValue) logs in as "
                    + "\(service.role): write it as postgresql://\(service.role):PASSWORD@HOST/DATABASE"
            )
        }
        let direct = "\(service.prefix)_DIRECT_DATABASE_URL"
        place = config.text(direct, secret: true).map { (direct, $0) } ?? (setting, url)
    }
}

extension ServiceName {
    /// How the names of its settings begin: `TASKFLOW_TASK`.
    var prefix: String { "TASKFLOW_\(rawValue.uppercased())" }
    /// What it logs in as.
    var role: String { "\(rawValue)_app" }
}

extension PostgresError {
    /// The server's words for an operator, on one line: without the place in the server's own source or in our statement.
    var line: String {
        message.split(separator: "\n").map { $0.trimmingPrefix { $0 == " " } }
            .filter { !$0.hasPrefix("LOCATION:") && !$0.hasPrefix("LINE ") && $0 != "^" }
            .joined(separator: " ")
            .replacing("ERROR:  ", with: "").replacing("FATAL:  ", with: "")
    }
}
