import ArgumentParser
import AuthService
import Configuration
import Foundation
import Logging

/// `taskflow keys`: the keys that access tokens are signed with.
struct Keys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List, rotate or revoke the keys that sign access tokens.",
        discussion: """
            Works on Auth's database (TASKFLOW_AUTH_DATABASE_URL and TASKFLOW_SECRET, or the installation in \
            --directory); running services follow within a second.

              taskflow keys list
              taskflow keys rotate
              taskflow keys revoke KEY
            """,
        subcommands: [List.self, Rotate.self, Revoke.self]
    )

    /// Where the installation's settings are, for every subcommand.
    struct Target: ParsableArguments {
        @OptionGroup var installation: InstallationFolder

        /// The settings, and a logger that says only what matters to a person at a terminal.
        func open() throws -> (ConfigReader, Logger) {
            var logger = Logger(label: "taskflow")
            logger.logLevel = .error
            return (try Program.settings(running: installation), logger)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The keys, oldest first.")
        @OptionGroup var target: Target

        func run() async throws {
            try await Program.run {
                let (config, logger) = try target.open()
                for key in try await AuthApp.listKeys(config, logger: logger) {
                    let state =
                        key.revokedAt.map { "revoked \($0)" }
                        ?? (key.isSigning ? "signs" : "from \(key.activeFrom)")
                    Program.say("\(key.keyID)  \(state)")
                }
            }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the next key: published at once, signing ten minutes later, so no request is refused."
        )
        @OptionGroup var target: Target
        @Flag(help: "Sign with it at once; tokens may be refused for a moment where it is not known yet.")
        var immediately = false

        func run() async throws {
            try await Program.run {
                let (config, logger) = try target.open()
                Program.say(try await AuthApp.rotateKeys(config, immediately: immediately, logger: logger))
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Refuse every token that a key signed, on every gateway, within a second."
        )
        @OptionGroup var target: Target
        @Argument(help: "The key's id, as `taskflow keys list` prints it.") var key: String

        func run() async throws {
            try await Program.run {
                let (config, logger) = try target.open()
                guard try await AuthApp.revokeKey(key, config, logger: logger) else {
                    Program.fail("there is no key \(key): taskflow keys list prints them")
                }
                Program.say("\(key) is revoked.")
            }
        }
    }
}
