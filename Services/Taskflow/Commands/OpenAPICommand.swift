import ArgumentParser
import Foundation
import GatewayService
import ServiceKit

/// `taskflow openapi`: the merged document, as the gateway serves it.
struct OpenAPI: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "openapi",
        abstract: "Print the OpenAPI 3.1 document of the whole API as JSON."
    )

    func run() async throws {
        try await Program.run {
            let config = try Program.settings()
            let document = try GatewayApp.document(
                openAPI: ServiceName.documents,
                publicURL: config.text("TASKFLOW_PUBLIC_URL", default: "http://127.0.0.1:8080")
            )
            try? FileHandle.standardOutput.write(contentsOf: Data(document))
            try? FileHandle.standardOutput.write(contentsOf: Data("\n".utf8))
        }
    }
}
