import ArgumentParser
import Configuration
import Foundation
import GatewayService
import Logging
import ServiceKit

/// `taskflow gateway`: the route table before it is put to use.
struct Gateway: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check, print or format a gateway.conf.",
        discussion: """
            Without a file they work on the table that is built in. A running gateway takes a changed file over on \
            SIGHUP; a file with a mistake leaves the old table in force.

              taskflow gateway check gateway.conf
              taskflow gateway routes
              taskflow gateway fmt gateway.conf
            """,
        subcommands: [Check.self, Routes.self, Format.self]
    )

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Report mistakes as file:line:col; exit code 1 if there are any."
        )
        @Argument(help: "The file.") var file: String?

        func run() async throws {
            try await Program.run {
                do {
                    _ = try GatewayConfiguration.load(try Gateway.text(of: file), file: file ?? "gateway.conf")
                } catch let error as GatewayConfigurationError {
                    try? FileHandle.standardError.write(contentsOf: Data("\(error)\n".utf8))
                    throw ExitCode(1)
                }
                Program.say("\(file ?? "the built-in gateway.conf") is good.")
            }
        }
    }

    struct Routes: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the table in force, every default written out."
        )
        @Argument(help: "The file.") var file: String?

        func run() async throws {
            try await Program.run {
                Program.say(try Gateway.load(file).routes())
            }
        }
    }

    struct Format: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "fmt",
            abstract: "Rewrite a file in the one format; without a file, print the built-in one."
        )
        @Argument(help: "The file.") var file: String?

        func run() async throws {
            try await Program.run {
                do {
                    let text = try GatewayConfiguration.format(
                        try Gateway.text(of: file),
                        file: file ?? "gateway.conf"
                    )
                    guard let file else {
                        Program.say(text, end: "")
                        return
                    }
                    // Writing whole files replaces what has the name: where that is a link, what it leads to.
                    let place = URL(fileURLWithPath: file).resolvingSymlinksInPath()
                    try text.write(to: place, atomically: true, encoding: .utf8)
                } catch let error as GatewayConfigurationError {
                    throw SettingError(error.description)
                }
            }
        }
    }

    private static func text(of file: String?) throws -> String {
        guard let file else { return GatewayConfiguration.embedded }
        guard let data = FileManager.default.contents(atPath: file) else {
            throw SettingError("\(file) cannot be read")
        }
        return try GatewayConfiguration.text(of: data, file: file)
    }

    private static func load(_ file: String?) throws -> GatewayConfiguration {
        do {
            return try GatewayConfiguration.load(try text(of: file), file: file ?? "gateway.conf")
        } catch let error as GatewayConfigurationError {
            throw SettingError(error.description)
        }
    }
}
