import ArgumentParser
import AsyncHTTPClient
import Configuration
import Events
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

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Each service's outbox and how far its readers are behind."
        )
        @OptionGroup var installation: InstallationFolder

        func run() async throws {
            try await Program.run {
                let config = try Program.settings(running: installation)
                var answers = 0
                for name in ServiceName.keeping {
                    do {
                        let answer = try await InternalCall(name, config).send("GET", "/internal/log/status")
                        Program.say("\(name.rawValue)\n\(Events.indented(answer))")
                        answers += 1
                    } catch let failure as APIFailure {
                        Program.say("\(name.rawValue)\n  \(failure.description)")
                    }
                }
                if answers == 0 { throw ExitCode(1) }
            }
        }
    }

    struct Parked: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Events whose five retries failed and that wait for a decision, and those waiting behind them."
        )
        @OptionGroup var installation: InstallationFolder

        func run() async throws {
            try await Program.run {
                let config = try Program.settings(running: installation)
                var answers = 0
                for name in ServiceName.keeping {
                    do {
                        for event in try await Events.parked(name, config) {
                            Program.say("\(name.rawValue)  \(Events.line(event))")
                        }
                        answers += 1
                    } catch let failure as APIFailure {
                        Program.warn("\(name.rawValue): \(failure.description)")
                    }
                }
                if answers < ServiceName.keeping.count { throw ExitCode(1) }
            }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Apply a parked event again, and those of the same subject behind it."
        )
        @OptionGroup var installation: InstallationFolder
        @Argument(help: "The service that parked it.") var service: ServiceName
        @Argument(help: "The event's place: project.07:1234.") var position: String

        func validate() throws { try Events.check(service, position) }

        func run() async throws { try await Events.decide("retry", service, position, installation) }
    }

    struct Drop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a parked event up: it will never be applied in this service."
        )
        @OptionGroup var installation: InstallationFolder
        @Argument(help: "The service that parked it.") var service: ServiceName
        @Argument(help: "The event's place: project.07:1234.") var position: String

        func validate() throws { try Events.check(service, position) }

        func run() async throws { try await Events.decide("drop", service, position, installation) }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print events of a stream as its producer kept them, one JSON object a line."
        )
        @OptionGroup var installation: InstallationFolder
        @Argument(help: "The stream: project.07.") var stream: String
        @Option(help: "Print what comes after this number.") var after: Int64 = 0
        @Option(help: "At most so many, 1 to 1000.") var limit = 100

        func validate() throws {
            guard after >= 0 else { throw ValidationError("--after is 0 or more") }
            guard (1...1000).contains(limit) else { throw ValidationError("--limit is 1 to 1000") }
            _ = try Events.producer(of: stream)
        }

        func run() async throws {
            try await Program.run {
                let call = try InternalCall(
                    try Events.producer(of: stream),
                    try Program.settings(running: installation)
                )
                let answer = try await call.send(
                    "GET",
                    "/internal/events?stream=\(stream)&after=\(after)&limit=\(limit)"
                )
                for event in answer.elements ?? [] { Program.say(String(decoding: event.encoded(), as: UTF8.self)) }
            }
        }
    }

    /// All that a service has set aside, page by page.
    private static func parked(_ name: ServiceName, _ config: ConfigReader) async throws -> [JSON] {
        let call = try InternalCall(name, config)
        var events: [JSON] = []
        var after = ""
        while true {
            let page = try await call.send("GET", "/internal/log/parked?limit=1000\(after)").elements ?? []
            events += page
            guard page.count == 1000, let last = page.last?["position"]?.text else { return events }
            after = "&after=\(last)"
        }
    }

    /// Whose stream it is; throws what to write if it is none.
    private static func producer(of stream: String) throws -> ServiceName {
        let parts = stream.split(separator: ".", omittingEmptySubsequences: false)
        guard
            parts.count == 2, Producer(rawValue: String(parts[0])) != nil,
            let producer = ServiceName(rawValue: String(parts[0])),
            parts[1].count == 2, let shard = Int(parts[1]), (0..<Shard.count).contains(shard)
        else {
            throw ValidationError(
                "\(stream) is no stream: write it as project.07; \(Producer.allCases.map(\.rawValue).joined(separator: ", ")) "
                    + "have 00 to \(Shard.count - 1)"
            )
        }
        return producer
    }

    private static func check(_ service: ServiceName, _ position: String) throws {
        guard service != .gateway else {
            throw ValidationError("the gateway reads no events; name the service that parked it")
        }
        let parts = position.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = Int64(parts[1]), number > 0 else {
            throw ValidationError("\(position) is no place in the log: write it as project.07:1234")
        }
        _ = try producer(of: String(parts[0]))
    }

    private static func decide(
        _ decision: String,
        _ service: ServiceName,
        _ position: String,
        _ installation: InstallationFolder
    ) async throws {
        try await Program.run {
            let path = position.replacing(":", with: "/")
            let call = try InternalCall(service, try Program.settings(running: installation))
            do {
                Program.say(line(try await call.send("POST", "/internal/log/parked/\(path)/\(decision)")))
            } catch let failure as APIFailure where failure.status == 404 {
                throw SettingError(
                    "\(service.rawValue) has parked nothing at \(position): `taskflow events parked` says what is"
                )
            }
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
    private let service: ServiceName
    private let origin: String
    private let credential: String

    init(_ service: ServiceName, _ config: ConfigReader) throws {
        let settings = try InstallationSettings(config)
        self.service = service
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
            throw APIFailure(
                status: 0,
                code: "unreachable",
                description: "\(service.rawValue) does not answer at \(origin): start it, or mend \(service.prefix)_URL"
            )
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
