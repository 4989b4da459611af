import ArgumentParser
import Foundation
import ServiceKit

/// `taskflow secrets`: what a deployment of containers needs to keep secret, made once.
struct MakeSecrets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secrets",
        abstract: "Make the secrets of a deployment, once, as a settings file for its services.",
        discussion: """
            Writes taskflow.env (for TASKFLOW_SETTINGS_FILE) and postgres-password into a folder. What is there \
            already stays; TASKFLOW_SECRET and TASKFLOW_POSTGRES_PASSWORD from the environment are taken the first \
            time, and SMTP and Cloudinary settings passed on each time.
            """
    )

    @Argument(help: "The folder.")
    var directory: String

    @Option(help: "host:port of Postgres as the services see it.")
    var postgres = "postgres:5432"

    func validate() throws {
        guard !directory.isEmpty else { throw ValidationError("give the name of a folder") }
        let parts = postgres.split(separator: ":", omittingEmptySubsequences: false)
        let isName = !(parts.first ?? "").isEmpty && !postgres.contains { " /@?#'\"\\".contains($0) || $0.isWhitespace }
        guard isName, parts.count == 1 || parts.count == 2 && UInt16(parts[1]) ?? 0 > 0 else {
            throw ValidationError("--postgres is host:port, such as postgres:5432")
        }
    }

    /// The secret that stays: everything that was sealed is lost with another one.
    static func secret(_ kept: [String: String], _ given: [String: String]) -> String {
        kept["TASKFLOW_SECRET"] ?? given["TASKFLOW_SECRET"] ?? Secrets.random()
    }

    /// What is in a file; nil if it is not there. What cannot be read is not made anew.
    static func text(of file: String) throws -> String? {
        guard access(file, F_OK) == 0 else { return nil }
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
            throw SettingError("\(file) is there and cannot be read: make it readable for this account (\(geteuid()))")
        }
        return text
    }

    func run() async throws {
        try await Program.run {
            guard access(directory, F_OK) == 0 else {
                throw SettingError("there is no folder \(directory): make it first")
            }
            let file = "\(directory)/taskflow.env"
            let kept = try MakeSecrets.text(of: file).map(SettingsFile.parse) ?? [:]
            let given = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
            let password =
                try MakeSecrets.text(of: "\(directory)/postgres-password")
                ?? given["TASKFLOW_POSTGRES_PASSWORD"] ?? Secrets.random()
            func url(_ role: String, _ password: String) -> String {
                let escaped = password.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? password
                return "postgresql://\(role):\(escaped)@\(postgres)/taskflow"
            }
            var settings = kept
            let secret = MakeSecrets.secret(kept, given)
            if let other = given["TASKFLOW_SECRET"], other != secret {
                Program.warn("TASKFLOW_SECRET is not the one in \(file), which stays: what is kept is sealed with it")
            }
            guard secret.unicodeScalars.count >= 32 else {
                throw SettingError("TASKFLOW_SECRET is too short; give at least 32 random characters, or none.")
            }
            settings["TASKFLOW_SECRET"] = secret
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
