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

    func run() async throws {
        try await Program.run {
            let config = try Program.settings()
            let listen = config.text(
                "TASKFLOW_\(service.rawValue.uppercased())_LISTEN",
                default: "127.0.0.1:\(service.defaultPort)"
            )
            let port = listen.split(separator: ":").last.map(String.init) ?? ""
            let request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/health/ready")
            let status = try? await HTTPClient.shared.execute(request, timeout: .seconds(2)).status.code
            guard status == 200 else { Program.fail("\(service.rawValue) is not ready") }
        }
    }
}
