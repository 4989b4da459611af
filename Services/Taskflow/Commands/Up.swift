import ArgumentParser
import AsyncHTTPClient
import Configuration
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Postgres
import ServiceKit
import ServiceLifecycle

/// `taskflow up`: a whole installation in one folder, its own Postgres and Redis included.
struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a complete installation: own Postgres and Redis, all services, one URL.",
        discussion: """
            Everything it keeps is in one folder: the database, mails as .eml files, pictures, secrets. Ctrl-C or \
            SIGTERM stops all it started and leaves the data; the next start takes seconds.

              taskflow up
              taskflow up --directory /srv/taskflow --port 80

            TASKFLOW_SMTP_URL and TASKFLOW_CLOUDINARY_* in the environment send mails and pictures elsewhere, \
            TASKFLOW_PUBLIC_URL says how people reach it.
            """
    )

    @Option(help: "The installation's folder.")
    var directory = ".taskflow"

    @Option(help: "The port people use, on 127.0.0.1. (default: 8080, or the next free one)")
    var port: Int?

    func run() async throws {
        try await Program.run {
            let installation = try Installation(directory: directory)
            let publicPort = try FreePorts.pick(wanted: port, otherwise: 8080)
            let (secrets, isNew) = try installation.secrets()
            let servers = try EmbeddedServers(
                directory: installation.directory,
                administratorPassword: secrets.administrator,
                isNew: isNew,
                mayBeEmpty: isNew || !installation.hasBeenUp
            )

            let outside = try Program.settings()
            let settings = try Up.settings(
                installation,
                secrets: secrets,
                servers: servers,
                publicPort: publicPort,
                outside: outside
            )
            let names = SettingNames()
            let config = try Program.settings(overrides: settings, names: names)
            let logger = try Program.bootstrap(config)
            try Parts.checkFolders(of: ServiceName.allCases, config)
            Program.say("Starting Taskflow in \(installation.directory) ...")
            // Until the services take signals over, a Ctrl-C must not leave the servers behind.
            Interruption.watch()
            let running = try await servers.start(logger: logger)
            do {
                try await Up.migrate(servers: servers, secrets: secrets, logger: logger)
                try installation.keep(settings: settings)
                if Interruption.happened {
                    await running.stop()
                    return
                }
                let parts = try Parts(ServiceName.allCases, config: config, logger: logger)
                names.warn(logger)
                let url = settings["TASKFLOW_PUBLIC_URL"] ?? "http://127.0.0.1:\(publicPort)"
                let welcome = Welcome(
                    local: "http://127.0.0.1:\(publicPort)",
                    url: url,
                    installation: installation,
                    mails: settings["TASKFLOW_MAIL_DIRECTORY"],
                    // A demo account that has to prove its address first would be asked for at each start.
                    mayHaveDemo: outside.text("TASKFLOW_SIGNUP") != "closed"
                        && outside.text("TASKFLOW_EMAIL_VERIFICATION") != "on"
                )
                try await parts.run(with: [welcome, SignalHandover()] + running.services, logger: logger)
            } catch {
                await running.stop()
                throw error
            }
            await running.stop()
            Program.say("Taskflow has stopped. Its data is in \(installation.directory).")
        }
    }

    /// What the services of this installation are told; a setting from outside wins where it makes sense.
    private static func settings(
        _ installation: Installation,
        secrets: Secrets,
        servers: EmbeddedServers,
        publicPort: Int,
        outside: ConfigReader
    ) throws -> [String: String] {
        var settings = [
            "TASKFLOW_SECRET": secrets.secret,
            "TASKFLOW_REDIS_URL": servers.redisURL,
            "TASKFLOW_PUBLIC_URL": outside.text("TASKFLOW_PUBLIC_URL") ?? "http://127.0.0.1:\(publicPort)",
            "TASKFLOW_GATEWAY_LISTEN": "127.0.0.1:\(publicPort)",
            // What a person at the terminal wants to see; the access log is for those who ask for it.
            "TASKFLOW_LOG_LEVEL": outside.text("TASKFLOW_LOG_LEVEL") ?? "notice",
            "TASKFLOW_MEDIA_DIRECTORY": outside.text("TASKFLOW_MEDIA_DIRECTORY") ?? "\(installation.directory)/media",
            "TASKFLOW_ADMIN_DATABASE_URL": servers.postgresURL(
                role: EmbeddedServers.administrator,
                password: secrets.administrator
            ),
        ]
        if outside.text("TASKFLOW_SMTP_URL") == nil {
            settings["TASKFLOW_MAIL_DIRECTORY"] =
                outside.text("TASKFLOW_MAIL_DIRECTORY") ?? "\(installation.directory)/mail"
        }
        let ports = try FreePorts.several(ServiceName.keeping.count + 1)
        for (name, port) in zip(ServiceName.keeping, ports) {
            let key = name.rawValue.uppercased()
            settings["TASKFLOW_\(key)_LISTEN"] = "127.0.0.1:\(port)"
            settings["TASKFLOW_\(key)_URL"] = "http://127.0.0.1:\(port)"
            settings["TASKFLOW_UPSTREAM_\(key)"] = "127.0.0.1:\(port)"
            settings["TASKFLOW_\(key)_DATABASE_URL"] = servers.postgresURL(
                role: "\(name.rawValue)_app",
                password: secrets.services[name.rawValue] ?? ""
            )
        }
        settings["TASKFLOW_GATEWAY_ADMIN"] =
            outside.text("TASKFLOW_GATEWAY_ADMIN") ?? "127.0.0.1:\(ports[ports.count - 1])"
        return settings
    }

    private static func migrate(servers: EmbeddedServers, secrets: Secrets, logger: Logger) async throws {
        let administrator = servers.postgresURL(
            role: EmbeddedServers.administrator,
            password: secrets.administrator
        )
        try await Migrator(administrator: administrator, logger: logger).createDatabaseIfMissing()
        try await Migrations.refuseHalfRestored(administrator, logger: logger)
        try await Migrations.run(
            administrator: administrator,
            passwords: secrets.services,
            logger: logger
        )
    }
}

/// Prints where Taskflow is once it answers, and makes the demo account at the first start.
struct Welcome: Service {
    /// The origin to ask from this machine.
    let local: String
    /// The origin that people use.
    let url: String
    let installation: Installation
    let mails: String?
    let mayHaveDemo: Bool

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            let client = HTTPClient(eventLoopGroupProvider: .singleton)
            do {
                try await greet(client)
            } catch is CancellationError {
                // Stopped before it was up: nothing to say.
            }
            try await client.shutdown()
        }
        try? await gracefulShutdown()
    }

    private func greet(_ client: HTTPClient) async throws {
        while true {
            let request = HTTPClientRequest(url: "\(local)/health/ready")
            if let answer = try? await client.execute(request, timeout: .seconds(2)), answer.status == .ok { break }
            try await ContinuousClock().sleep(for: .milliseconds(100))
        }
        var login = installation.demoLogin()
        if login == nil, mayHaveDemo { login = try await signUp(client) }
        var lines = ["", "  Taskflow is running at  \(url)", "  API reference           \(url)/api/docs"]
        if let login {
            lines.append("  Demo login              \(login.email)  \(login.password)")
        }
        lines.append("  Mails                   " + (mails.map { "as files in \($0)" } ?? "by SMTP"))
        lines.append("  Data                    \(installation.directory)")
        lines += ["", "  Ctrl-C stops it; the data stays.", ""]
        try? FileHandle.standardOutput.write(contentsOf: Data(lines.joined(separator: "\n").utf8))
    }

    private func signUp(_ client: HTTPClient) async throws -> DemoLogin? {
        let login = DemoLogin(email: "demo@taskflow.example", password: String(Secrets.random().prefix(20)))
        var request = HTTPClientRequest(url: "\(local)/api/account/signup/")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        let body = """
            {"email": "\(login.email)", "password": "\(login.password)", "first_name": "Demo", "last_name": "Admin", \
            "organization": "Demo"}
            """
        request.body = .bytes(ByteBuffer(string: body))
        var isMade = false
        // Also where a signal comes meanwhile: a login that may not be there is not to be shown at the next start.
        defer { if !isMade { installation.forgetDemoLogin() } }
        do {
            // Kept first: without it nobody could log in to what was made.
            try installation.keep(login)
            isMade = try await client.execute(request, timeout: .seconds(30)).status == .created
        } catch  where !(error is CancellationError) {
            Program.warn("no demo login could be made: \(error)")
        }
        return isMade ? login : nil
    }
}

/// Ends the installation at once if a signal came before the services listened for it; from then on they do.
private struct SignalHandover: Service {
    func run() async throws {
        if !Interruption.happened { try? await gracefulShutdown() }
    }
}
