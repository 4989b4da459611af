import ArgumentParser
import AsyncHTTPClient
import Configuration
import Foundation
import NIOCore
import NIOHTTP1
import ServiceKit

/// `taskflow events`: what the event log is doing, and what to do about events that could not be applied.
struct Events: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look into the event log: lag, parked events, replay.",
        discussion: """
            Asks the running services, with TASKFLOW_SECRET and TASKFLOW_<SERVICE>_URL (or the settings of the \
            installation in --directory).

              taskflow events status
              taskflow events parked
              taskflow events retry task project.07:1234
              taskflow events drop task project.07:1234
              taskflow events replay project.07 --after 1200
            """,
        subcommands: [Status.self, Parked.self, Retry.self, Drop.self, Replay.self]
    )

    /// Where the installation's settings are, for every subcommand.
    struct Target: ParsableArguments {
        @Option(help: "The folder of the installation started by `taskflow up`.")
        var directory = ".taskflow"

        func config() throws -> ConfigReader { try Program.settings(installation: directory) }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Each service's outbox and how far its readers are behind."
        )
        @OptionGroup var target: Target

        func run() async throws {
            try await Program.run {
                let config = try target.config()
                for name in ServiceName.keeping {
                    do {
                        let answer = try await InternalCall(name, config).send("GET", "/internal/log/status")
                        Program.say("\(name.rawValue)\n\(Events.indented(answer))")
                    } catch let failure as APIFailure {
                        Program.say("\(name.rawValue)\n  \(failure.description)")
                    }
                }
            }
        }
    }

    struct Parked: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Events whose five retries failed and that wait for a decision, and those waiting behind them."
        )
        @OptionGroup var target: Target

        func run() async throws {
            try await Program.run {
                let config = try target.config()
                for name in ServiceName.keeping {
                    let answer = try await InternalCall(name, config).send("GET", "/internal/log/parked")
                    for event in answer.elements ?? [] { Program.say("\(name.rawValue)  \(Events.line(event))") }
                }
            }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Apply a parked event again, and those of the same subject behind it."
        )
        @OptionGroup var target: Target
        @Argument(help: "The service that parked it.") var service: ServiceName
        @Argument(help: "The event's place: project.07:1234.") var position: String

        func run() async throws { try await Events.decide("retry", service, position, target) }
    }

    struct Drop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a parked event up: it will never be applied in this service."
        )
        @OptionGroup var target: Target
        @Argument(help: "The service that parked it.") var service: ServiceName
        @Argument(help: "The event's place: project.07:1234.") var position: String

        func run() async throws { try await Events.decide("drop", service, position, target) }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print events of a stream as its producer kept them, one JSON object a line."
        )
        @OptionGroup var target: Target
        @Argument(help: "The stream: project.07.") var stream: String
        @Option(help: "Print what comes after this number.") var after: Int64 = 0
        @Option(help: "At most so many, 1 to 1000.") var limit = 100

        func run() async throws {
            try await Program.run {
                guard
                    let producer = stream.split(separator: ".").first.flatMap({ ServiceName(rawValue: String($0)) })
                else { throw SettingError("\(stream) is no stream: write it as project.07") }
                let answer = try await InternalCall(producer, try target.config()).send(
                    "GET",
                    "/internal/events?stream=\(stream)&after=\(after)&limit=\(limit)"
                )
                for event in answer.elements ?? [] { Program.say(String(decoding: event.encoded(), as: UTF8.self)) }
            }
        }
    }

    private static func decide(
        _ decision: String,
        _ service: ServiceName,
        _ position: String,
        _ target: Target
    ) async throws {
        try await Program.run {
            let parts = position.split(separator: ":")
            guard parts.count == 2, Int64(parts[1]) != nil else {
                throw SettingError("\(position) is no place in the log: write it as project.07:1234")
            }
            let answer = try await InternalCall(service, try target.config()).send(
                "POST",
                "/internal/log/parked/\(parts[0])/\(parts[1])/\(decision)"
            )
            Program.say(line(answer))
        }
    }

    /// An object's members on one line.
    fileprivate static func line(_ json: JSON) -> String {
        guard case .object(let members) = json else { return String(decoding: json.encoded(), as: UTF8.self) }
        return members.map { "\($0.key)=\($0.value.text ?? String(decoding: $0.value.encoded(), as: UTF8.self))" }
            .joined(separator: "  ")
    }

    /// An object's members one a line, lists of objects below their name.
    fileprivate static func indented(_ json: JSON) -> String {
        guard case .object(let members) = json else { return "  \(line(json))" }
        return members.map { key, value in
            guard let elements = value.elements, !elements.isEmpty else {
                return "  \(key): \(value.text ?? String(decoding: value.encoded(), as: UTF8.self))"
            }
            return "  \(key):\n" + elements.map { "    \(line($0))" }.joined(separator: "\n")
        }.joined(separator: "\n")
    }
}

/// A call to a service's internal routes with the installation's credential.
struct InternalCall {
    private let origin: String
    private let credential: String

    init(_ service: ServiceName, _ config: ConfigReader) throws {
        let settings = try InstallationSettings(config)
        origin = settings.url(of: service.rawValue)
        credential = settings.secrets.serviceCredential
    }

    /// The answer's JSON; throws ``APIFailure`` for any status but 2xx.
    func send(_ method: String, _ path: String) async throws -> JSON {
        var request = HTTPClientRequest(url: origin + path)
        request.method = .init(rawValue: method)
        request.headers.add(name: "X-Internal-Credential", value: credential)
        let response: HTTPClientResponse
        do {
            response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        } catch {
            throw APIFailure(status: 0, code: "unreachable", description: "\(origin) does not answer")
        }
        let body = try await response.body.collect(upTo: 64 << 20)
        let json = (try? JSON(parsing: Array(body.readableBytesView))) ?? .null
        guard (200..<300).contains(response.status.code) else {
            throw APIFailure(
                status: Int(response.status.code),
                code: json["code"]?.text ?? "",
                description: "\(origin)\(path) answers \(response.status.code) \(json["detail"]?.text ?? "")"
            )
        }
        return json
    }
}
