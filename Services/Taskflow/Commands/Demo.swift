import ArgumentParser
import AsyncHTTPClient
import Chronology
import Foundation
import ServiceKit

/// `taskflow demo`: fills a running installation through the public API.
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fill a running installation with a believable company, or with real backlogs.",
        discussion: """
            Talks to the public API only and keeps to its rate limits. Without --backlogs it makes two organizations \
            with 8 departments, 40 people, 12 projects and 1,500 tasks; the same seed makes the same company.

              taskflow demo
              taskflow demo --seed 7
              taskflow demo --backlogs ~/backlogs            every .csv becomes a project
              taskflow demo --backlogs ~/backlogs --email demo@taskflow.example --password ...

            A backlog is a CSV file with the columns issuekey,title,description,storypoint. With --email and \
            --password the projects are made in that person's organization, otherwise in a new one.
            """
    )

    @Option(help: "Where Taskflow is. (default: the installation in --directory, or http://127.0.0.1:8080)")
    var url: String?

    @Option(help: "The folder of the installation to fill, where --url is not given.")
    var directory = ".taskflow"

    @Option(help: "The same number makes the same company.")
    var seed: UInt64 = 1

    @Option(help: "A folder of .csv files to make projects and tasks of.")
    var backlogs: String?

    @Option(help: "An admin or manager to work as.")
    var email: String?

    @Option(help: "That person's password; also given to the admins that the demo makes. (default: a random one)")
    var password: String?

    func run() async throws {
        try await Program.run {
            let origin = try origin()
            let http = HTTPClient(eventLoopGroupProvider: .singleton)
            do {
                let filler = DemoFiller(
                    http: http,
                    origin: origin,
                    password: password ?? String(Secrets.random().prefix(20)),
                    seed: seed
                )
                if let backlogs {
                    let files = try Backlog.all(in: backlogs)
                    try await filler.load(files, email: email, password: password)
                } else {
                    guard email == nil else {
                        throw SettingError("--email goes with --backlogs: the made-up companies sign up by themselves")
                    }
                    try await filler.fill(Company.pair(seed: seed, now: WallClock.system.now))
                }
            } catch let failure as APIFailure {
                try? await http.shutdown()
                Program.fail(
                    failure.code == "account-exists"
                        ? "the companies of seed \(seed) are there already: give another --seed" : failure.description
                )
            } catch {
                try? await http.shutdown()
                throw error
            }
            try await http.shutdown()
        }
    }

    /// Where to work; what is wrong with `--url` is said without it, since it may hold a password.
    func origin() throws -> String {
        guard let url else { return try installedURL() ?? "http://127.0.0.1:8080" }
        let parts = URLComponents(string: url)
        guard
            let parts, parts.scheme == "http" || parts.scheme == "https", parts.host?.isEmpty == false,
            parts.path.isEmpty || parts.path == "/", parts.user == nil, parts.password == nil, parts.query == nil,
            parts.fragment == nil
        else {
            throw SettingError("--url is scheme, host and port only: https://taskflow.example")
        }
        return url.hasSuffix("/") ? String(url.dropLast()) : url
    }

    private func installedURL() throws -> String? {
        guard
            let text = try? String(contentsOfFile: Installation.settingsFile(in: directory), encoding: .utf8)
        else { return nil }
        try Installation.refuseStopped(in: directory)
        return SettingsFile.parse(text)["TASKFLOW_GATEWAY_LISTEN"].map { "http://\($0)" }
    }
}
