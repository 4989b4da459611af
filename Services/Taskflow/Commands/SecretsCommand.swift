import ArgumentParser
import Foundation

/// `taskflow secrets`: what a deployment of containers needs to keep secret, made once.
struct MakeSecrets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secrets",
        abstract: "Make the secrets of a deployment, once, as a settings file for its services.",
        discussion: """
            Writes taskflow.env (for TASKFLOW_SETTINGS_FILE) and postgres-password into a folder. What is there \
            already stays; TASKFLOW_SECRET and TASKFLOW_POSTGRES_PASSWORD from the environment win over new ones, and \
            SMTP and Cloudinary settings are passed on.
            """
    )

    @Argument(help: "The folder.")
    var directory: String

    @Option(help: "host:port of Postgres as the services see it.")
    var postgres = "postgres:5432"

    func run() async throws {
        try await Program.run {
            let file = "\(directory)/taskflow.env"
            let kept = (try? String(contentsOfFile: file, encoding: .utf8)).map(SettingsFile.parse) ?? [:]
            let given = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
            let password =
                (try? String(contentsOfFile: "\(directory)/postgres-password", encoding: .utf8))
                ?? given["TASKFLOW_POSTGRES_PASSWORD"] ?? Secrets.random()
            func url(_ role: String, _ password: String) -> String {
                let escaped = password.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? password
                return "postgresql://\(role):\(escaped)@\(postgres)/taskflow"
            }
            var settings = kept
            settings["TASKFLOW_SECRET"] = given["TASKFLOW_SECRET"] ?? kept["TASKFLOW_SECRET"] ?? Secrets.random()
            settings["TASKFLOW_ADMIN_DATABASE_URL"] = url(EmbeddedServers.administrator, password)
            for name in ServiceName.keeping {
                let key = "TASKFLOW_\(name.rawValue.uppercased())_DATABASE_URL"
                settings[key] = kept[key] ?? url("\(name.rawValue)_app", Secrets.random())
            }
            let passedOn = [
                "TASKFLOW_SMTP_URL", "TASKFLOW_MAIL_FROM", "TASKFLOW_CLOUDINARY_CLOUD", "TASKFLOW_CLOUDINARY_KEY",
                "TASKFLOW_CLOUDINARY_SECRET",
            ]
            for name in passedOn { settings[name] = given[name] }
            try PrivateFiles.write(SettingsFile.text(settings), to: file)
            // Postgres reads it in a container of its own, under another account.
            try PrivateFiles.write(password, to: "\(directory)/postgres-password", mode: 0o644)
        }
    }
}
