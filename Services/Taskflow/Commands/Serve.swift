import ArgumentParser
import Configuration
import Failpoints
import Foundation
import GatewayService
import Logging
import ServiceKit
import ServiceLifecycle
import UnixSignals

/// `taskflow serve`: runs some or all services in this process.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run some or all of the services in this process.",
        discussion: """
            Without a name it runs all six. One name a process gives the deployment of one container a service: \
            start as many of each as you like, in any order; each waits for Postgres, its schema and Redis.

              taskflow serve                       everything
              taskflow serve task                  the task service alone
              taskflow serve auth organization     two of them

            Settings (environment or .env): TASKFLOW_SECRET, TASKFLOW_PUBLIC_URL, TASKFLOW_REDIS_URL,
            TASKFLOW_<SERVICE>_DATABASE_URL, TASKFLOW_<SERVICE>_LISTEN, TASKFLOW_<SERVICE>_URL,
            TASKFLOW_UPSTREAM_<SERVICE>, TASKFLOW_GATEWAY_LISTEN. docs/operations.md has them all.
            """
    )

    @Argument(help: "auth, organization, project, task, notification, gateway; all when none is named.")
    var services: [ServiceName] = []

    func run() async throws {
        let chosen = services.isEmpty ? ServiceName.allCases : ServiceName.allCases.filter(services.contains)
        try await Program.run {
            let names = SettingNames()
            let config = try Program.settings(names: names)
            let logger = try Program.bootstrap(config)
            try Parts.checkFolders(of: chosen, config)
            let parts = try Parts(chosen, config: config, logger: logger)
            names.warn(logger)
            try await parts.run(logger: logger)
        }
    }
}

/// Lets a failpoint act when the process has been told to end; the first to hear of it, being the last part.
private struct StopFailpoint: Service {
    func run() async throws {
        try? await gracefulShutdown()
        try await Failpoint.hit(.shutdown)
    }
}

/// The services of one process, put together and ready to run.
struct Parts {
    /// In dependency order, the gateway last.
    let services: [any Service]
    /// How long all of them go on accepting after they were told to stop, one after the other.
    private let drain: Duration

    init(_ names: [ServiceName], config: ConfigReader, logger: Logger) throws {
        var services: [any Service] = []
        var local: [LocalService] = []
        var drain = Duration.zero
        for name in names {
            if let assembly = try name.assemble(config, logger: logger) {
                services += assembly.services
                local.append(assembly.local)
                drain += assembly.drain
            } else {
                let assembly = try GatewayApp.assemble(
                    config,
                    logger: logger,
                    openAPI: ServiceName.documents,
                    local: local
                )
                services += assembly.services
                drain += assembly.drain
            }
        }
        self.services = services
        self.drain = drain
    }

    /// Makes the folders that settings name for pictures and mails, so that a mistake is found before anything runs and not
    /// by the first of them, which somebody waits for.
    static func checkFolders(of names: [ServiceName], _ config: ConfigReader) throws {
        let settings = [
            (ServiceName.organization, "TASKFLOW_MEDIA_DIRECTORY", "TASKFLOW_CLOUDINARY_CLOUD", mode_t(0o755)),
            // Mails hold links that set passwords.
            (.notification, "TASKFLOW_MAIL_DIRECTORY", "TASKFLOW_SMTP_URL", 0o700),
        ]
        for (service, setting, instead, mode) in settings {
            guard
                names.contains(service), config.text(instead, secret: true) == nil, let folder = config.text(setting)
            else { continue }
            do {
                try PrivateFiles.makeFolders(folder, mode: mode)
            } catch let error as StartError {
                throw SettingError("\(setting): \(error.description)")
            }
            guard access(folder, W_OK | X_OK) == 0 else {
                throw SettingError("\(setting): \(folder) cannot be written: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Runs until SIGTERM or SIGINT, then drains; returns normally after a graceful shutdown.
    func run(with others: [any Service] = [], logger: Logger) async throws {
        var configuration = ServiceGroupConfiguration(
            services: (services + others + [StopFailpoint()]).map {
                .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup)
            },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        configuration.maximumGracefulShutdownDuration = .seconds(35) + drain
        try await ServiceGroup(configuration: configuration).run()
    }
}
