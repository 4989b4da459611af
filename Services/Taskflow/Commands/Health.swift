import ArgumentParser
import AsyncHTTPClient
import Configuration
import Foundation
import NIOCore
import NIOHTTP1
import ServiceKit

/// `taskflow health`: exit code 0 if a service on this machine is ready, for container health checks.
struct Health: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a service on this machine whether it is ready; exit code 0 if it is."
    )

    @Argument(help: "The service.")
    var service: ServiceName

    /// Where a service that listens there is asked from this machine.
    static func address(_ listen: String) -> String {
        guard let colon = listen.lastIndex(of: ":") else { return listen }
        let port = listen[colon...]
        switch listen[..<colon] {
        case "0.0.0.0", "": return "127.0.0.1\(port)"
        case "[::]": return "[::1]\(port)"
        default: return listen
        }
    }

    func run() async throws {
        try await Program.run {
            let config = try Program.settings()
            let listen = config.text(
                "TASKFLOW_\(service.rawValue.uppercased())_LISTEN",
                default: "127.0.0.1:\(service.defaultPort)"
            )
            let request = HTTPClientRequest(url: "http://\(Health.address(listen))/health/ready")
            let status = try? await HTTPClient.shared.execute(request, timeout: .seconds(2)).status.code
            guard status == 200 else { Program.fail("\(service.rawValue) is not ready") }
        }
    }
}
