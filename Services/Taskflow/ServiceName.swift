import ArgumentParser
import AuthService
import Configuration
import Logging
import NotificationService
import OrganizationService
import Postgres
import ProjectService
import ServiceKit
import TaskService

/// The services that a process can run.
enum ServiceName: String, CaseIterable, ExpressibleByArgument {
    case auth
    case organization
    case project
    case task
    case notification
    case gateway

    /// Those that keep data, in the order in which their schemas are made.
    static let keeping = allCases.filter { $0 != .gateway }

    /// Port on loopback unless a setting says otherwise.
    var defaultPort: Int {
        switch self {
        case .gateway: 8080
        case .auth: 7001
        case .organization: 7002
        case .project: 7003
        case .task: 7004
        case .notification: 7005
        }
    }

    /// The service's own part of the schema; nil for the gateway.
    var schema: SchemaDefinition? {
        switch self {
        case .gateway: nil
        case .auth: AuthApp.schema
        case .organization: OrganizationApp.schema
        case .project: ProjectApp.schema
        case .task: TaskApp.schema
        case .notification: NotificationApp.schema
        }
    }

    /// The service's part of the OpenAPI document, YAML; nil for the gateway.
    var openAPI: [UInt8]? {
        switch self {
        case .gateway: nil
        case .auth: AuthApp.openAPI
        case .organization: OrganizationApp.openAPI
        case .project: ProjectApp.openAPI
        case .task: TaskApp.openAPI
        case .notification: NotificationApp.openAPI
        }
    }

    /// The document of every data-keeping service, by name.
    static var documents: [String: [UInt8]] {
        var documents: [String: [UInt8]] = [:]
        for name in keeping { documents[name.rawValue] = name.openAPI }
        return documents
    }

    /// Puts a data-keeping service together; nil for the gateway.
    func assemble(_ config: ConfigReader, logger: Logger) throws -> ServiceAssembly? {
        switch self {
        case .gateway: nil
        case .auth: try AuthApp.assemble(config, logger: logger)
        case .organization: try OrganizationApp.assemble(config, logger: logger)
        case .project: try ProjectApp.assemble(config, logger: logger)
        case .task: try TaskApp.assemble(config, logger: logger)
        case .notification: try NotificationApp.assemble(config, logger: logger)
        }
    }
}
