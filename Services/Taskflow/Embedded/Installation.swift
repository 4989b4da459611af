import ArgumentParser
import Foundation
import ServiceKit

/// The folder of a self-contained installation, `.taskflow/`: its secrets, its servers' data, mails and pictures.
struct Installation {
    /// Absolute path of the folder.
    let directory: String

    /// Opens or makes the folder; throws if another process runs this installation.
    init(directory: String) throws {
        guard !directory.isEmpty else { throw SettingError("--directory is empty: give the name of a folder") }
        // As root the servers' accounts have to get through; what is secret in the folder has modes of its own. A folder
        // that was there keeps its mode.
        if try PrivateFiles.makeFolders(directory, mode: 0o700), geteuid() == 0 { chmod(directory, 0o755) }
        guard let resolved = realpath(directory, nil) else {
            throw StartError("\(directory) could not be opened: \(String(cString: strerror(errno)))")
        }
        defer { free(resolved) }
        self.directory = String(cString: resolved)
        do {
            try FolderLock.take(Installation.lock(in: self.directory))
        } catch let other as FolderInUse {
            throw InstallationInUse(directory: self.directory, who: other.who)
        }
    }

    private static func lock(in directory: String) -> String { "\(directory)/lock" }

    /// Whether an installation in that folder is running now.
    static func isRunning(in directory: String) -> Bool { FolderLock.isTaken(lock(in: directory)) }

    /// For commands that need it running.
    static func refuseStopped(in directory: String) throws {
        guard isRunning(in: directory) else {
            throw SettingError("Taskflow is not running in \(directory): start it with `taskflow up`")
        }
    }

    /// Whether it has been up before, and so has a database.
    var hasBeenUp: Bool { access(Installation.settingsFile(in: directory), F_OK) == 0 }

    /// Where the settings of the last start are kept, so that `taskflow events` and the like find the installation.
    static func settingsFile(in directory: String) -> String { "\(directory)/taskflow.env" }

    /// The installation's own secrets, made at the first start (or taken from a backup then) and kept.
    /// `isNew` says whether the folder had none until now.
    func secrets(orElse given: Secrets? = nil) throws -> (secrets: Secrets, isNew: Bool) {
        if let secrets = try Secrets.kept(in: directory) { return (secrets, false) }
        if given == nil { try Installation.refuseDatabaseWithoutSecrets(in: directory) }
        let secrets = given ?? Secrets.new()
        let file = Secrets.file(in: directory)
        let data = try JSONEncoder().encode(secrets)
        try PrivateFiles.write(String(decoding: data, as: UTF8.self), to: file)
        return (secrets, true)
    }

    /// New secrets do not open a database that is there already.
    static func refuseDatabaseWithoutSecrets(in directory: String) throws {
        for place in ["\(directory)/postgres", "\(directory)/servers/postgres"]
        where access("\(place)/PG_VERSION", F_OK) == 0 {
            throw StartError(
                "\(Secrets.file(in: directory)) is gone but the database is there: put the file back, from a backup, or "
                    + "use another --directory"
            )
        }
    }

    /// The demo login, made at the first start.
    func demoLogin() -> DemoLogin? {
        FileManager.default.contents(atPath: "\(directory)/demo-login.json")
            .flatMap { try? JSONDecoder().decode(DemoLogin.self, from: $0) }
    }

    /// Keeps the demo login.
    func keep(_ login: DemoLogin) throws {
        let data = try JSONEncoder().encode(login)
        try PrivateFiles.write(String(decoding: data, as: UTF8.self), to: "\(directory)/demo-login.json")
    }

    /// There is no such account after all.
    func forgetDemoLogin() { unlink("\(directory)/demo-login.json") }

    /// Writes the settings in force as a file of `NAME=value` lines, readable by the owner only.
    func keep(settings: [String: String]) throws {
        try PrivateFiles.write(SettingsFile.text(settings), to: Installation.settingsFile(in: directory))
    }
}

/// The option of commands that work on an installation. Who gives it means that folder, whatever other database the
/// settings name; without it, settings that name another one count.
struct InstallationFolder: ParsableArguments {
    @Option(
        name: .customLong("directory"),
        help: "The folder of the installation started by `taskflow up`. (default: .taskflow)"
    )
    var given: String?

    var isGiven: Bool { given != nil }
    var directory: String { given ?? ".taskflow" }
}

/// Another process runs this installation.
struct InstallationInUse: Error, CustomStringConvertible {
    let directory: String
    let who: String

    var description: String { "\(who) is running in \(directory): stop it, or give another --directory" }
}

/// What an installation keeps secret.
struct Secrets: Codable {
    /// `TASKFLOW_SECRET`.
    var secret: String
    /// Password of the database's administrator.
    var administrator: String
    /// Password of each service's role.
    var services: [String: String]

    /// Where an installation keeps them.
    static func file(in directory: String) -> String { "\(directory)/secrets.json" }

    /// What lies in a folder, an installation's or a backup's; nil if there are none. What cannot be read is refused.
    static func kept(in directory: String) throws -> Secrets? {
        let file = file(in: directory)
        guard access(file, F_OK) == 0 else { return nil }
        guard
            let data = FileManager.default.contents(atPath: file),
            let secrets = try? JSONDecoder().decode(Secrets.self, from: data)
        else {
            throw StartError("\(file) cannot be read or is damaged: put a copy back; sessions and links depend on it")
        }
        return secrets
    }

    /// For an installation that has none yet.
    static func new(secret: String = random()) -> Secrets {
        Secrets(
            secret: secret,
            administrator: random(),
            services: Dictionary(uniqueKeysWithValues: ServiceName.keeping.map { ($0.rawValue, random()) })
        )
    }

    /// 32 random bytes in lower-case hex.
    static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<32).map { _ in
            let byte = UInt8.random(in: .min ... .max, using: &generator)
            return (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}

/// The account made at the first start so that a newcomer can log in at once.
struct DemoLogin: Codable {
    var email: String
    var password: String
}
