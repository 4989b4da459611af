import ArgumentParser
import Configuration
import Failpoints
import Foundation
import GatewayService
import Logging
import Metrics
import Postgres
import ServiceKit

/// What every command does alike.
enum Program {
    /// Runs a command's work; an operator's mistake ends it with one line that says what to do, and exit code 1.
    ///
    /// - Parameter role: what the work needs of Postgres, for when it is refused.
    static func run(_ role: NeededRole? = nil, _ work: () async throws -> Void) async throws {
        do {
            #if DEBUG
            try Failpoint.arm(ProcessInfo.processInfo.environment["TASKFLOW_FAILPOINT"] ?? "")
            #endif
            try await work()
        } catch let error as SettingError {
            fail(error.description)
        } catch let error as StartError {
            fail(error.description)
        } catch let error as InstallationInUse {
            fail(error.description)
        } catch let error as MigrationError where error.code == .databaseIsNewer {
            fail(KnownMigrations.newer(error.description))
        } catch let error as MigrationError {
            fail(error.description)
        } catch let error as PostgresError {
            fail(role?.line(of: error) ?? "Postgres: \(error.line)")
        } catch let error as GatewayConfigurationError {
            fail(error.description)
        } catch let error as FailpointMistake {
            fail(error.description)
        } catch let error as APIFailure {
            fail(error.description)
        } catch let error where !(error is ExitCode || error is CleanExit || error is ValidationError) {
            // Not foreseen; it says at least whose it is.
            fail(String(describing: error))
        }
    }

    /// Settings by flag, environment, the file that `TASKFLOW_SETTINGS_FILE` names, and last `.env`.
    static func settings(overrides: [String: String] = [:], names: SettingNames? = nil) throws -> ConfigReader {
        let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
        var file: [String: String] = [:]
        if let path = environment["TASKFLOW_SETTINGS_FILE"] {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw SettingError("\(path), named by TASKFLOW_SETTINGS_FILE, cannot be read; make it readable.")
            }
            file = SettingsFile.parse(text)
        }
        // A folder of that name is somebody else's: Python's environments are called so.
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: ".env", isDirectory: &isFolder), !isFolder.boolValue,
            access(".env", R_OK) != 0
        {
            throw SettingError(".env in this folder cannot be read; make it readable, or start somewhere else.")
        }
        return try Settings.reader(
            overrides: overrides,
            environment: file.merging(environment) { _, outside in outside },
            names: names
        )
    }

    /// Settings for a command that works on what is running: an installation started by `up`, or what the settings from
    /// outside name. Never some of both: a key sealed under the secret of one and kept by the other opens nothing.
    static func settings(running folder: InstallationFolder) throws -> ConfigReader {
        try settings(running: folder, outside: try settings())
    }

    static func settings(running folder: InstallationFolder, outside: ConfigReader) throws -> ConfigReader {
        if !folder.isGiven, outside.text("TASKFLOW_SECRET", secret: true) != nil { return outside }
        let directory = folder.directory
        guard access(Installation.settingsFile(in: directory), F_OK) == 0 else {
            throw SettingError(
                "there is no installation in \(directory.isEmpty ? "a folder without a name" : directory): give its "
                    + "--directory, or TASKFLOW_SECRET and the other settings that --help names"
            )
        }
        guard access(Installation.settingsFile(in: directory), R_OK) == 0 else {
            throw SettingError("\(directory) belongs to another account: run this as the one that runs `taskflow up`")
        }
        try Installation.refuseStopped(in: directory)
        return try settings(ofInstallationIn: directory)
    }

    /// The settings under which an installation was started last; what `up` decides by itself is stronger than the
    /// environment, as it was then.
    static func settings(
        ofInstallationIn directory: String,
        but others: [String: String] = [:]
    ) throws -> ConfigReader {
        let text = try? String(contentsOfFile: Installation.settingsFile(in: directory), encoding: .utf8)
        return try settings(overrides: SettingsFile.parse(text ?? "").merging(others) { $1 })
    }

    /// Logs and metrics of the process; once, before anything else is made.
    static func bootstrap(_ config: ConfigReader) throws -> Logger {
        LogBootstrap.start(
            level: try InstallationSettings.logLevel(config),
            format: try InstallationSettings.logFormat(config)
        )
        MetricsSystem.bootstrap(PrometheusRegistry.shared)
        return Logger(label: "taskflow")
    }

    /// For commands whose output is for a person: what matters only.
    static var quietLogger: Logger {
        var logger = Logger(label: "taskflow")
        logger.logLevel = .error
        return logger
    }

    /// Text to standard output at once, also where that is a file or a pipe; nothing happens if nobody reads it any more.
    static func say(_ text: String, end: String = "\n") {
        try? FileHandle.standardOutput.write(contentsOf: Data((text + end).utf8))
    }

    /// One line to standard error.
    static func warn(_ line: String) {
        try? FileHandle.standardError.write(contentsOf: Data("taskflow: \(line)\n".utf8))
    }

    /// One line to standard error, then exit code 1.
    static func fail(_ line: String) -> Never {
        warn(line)
        Foundation.exit(1)
    }
}

/// The role of Postgres that a command needs, and the setting that names it.
struct NeededRole {
    private let setting: String
    private let what: String

    init(_ setting: String, _ what: String) {
        self.setting = setting
        self.what = what
    }

    /// What Postgres has said, and what to do; the setting is named where it is given.
    func line(of error: PostgresError) -> String {
        let isGiven = (try? Program.settings())?.text(setting, secret: true) != nil
        let said = isGiven ? "\(setting): \(error.line)" : "Postgres: \(error.line)"
        return error.sqlState == "42501" ? "\(said); it has to be \(what)" : said
    }
}

/// A file of `NAME=value` lines that we write ourselves.
enum SettingsFile {
    /// The lines' names and values.
    static func parse(_ text: String) -> [String: String] {
        var settings: [String: String] = [:]
        // Also where lines end with CR LF, which is one character.
        for line in text.split(whereSeparator: \.isNewline) {
            let pair = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { settings[String(pair[0])] = String(pair[1]) }
        }
        return settings
    }

    /// One line a setting, in order of their names.
    static func text(_ settings: [String: String]) -> String {
        settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)\n" }.joined()
    }
}
