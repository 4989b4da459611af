public import Chronology
public import Configuration
import Events
import Lists
public import Logging
public import Postgres
public import ServiceKit

/// The project service: projects and who collaborates on them.
public enum ProjectApp {
    /// The service's own tables, oldest migration first.
    public static let schema = SchemaDefinition(
        service: "project",
        migrations: [
            Migration("V0001_create_project", PackageResources.V0001_create_project_sql),
            Migration("V0002_live_organization", PackageResources.V0002_live_organization_sql),
            Migration("V0003_keys", PackageResources.V0003_keys_sql),
        ]
    )

    /// The OpenAPI document of this service's part of the API, as embedded YAML bytes.
    public static var openAPI: [UInt8] { PackageResources.openapi_yaml }

    /// Puts the service together from its settings.
    public static func assemble(
        _ config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger
    ) throws -> ServiceAssembly {
        let foundation = try ServiceFoundation(
            service: "project",
            producer: .project,
            schema: schema,
            config: config,
            clock: clock,
            logger: logger
        )
        let board = ProjectBoard(store: ProjectStore(database: foundation.database), clock: clock)
        let trashClock = TrashClock(
            interval: try TrashClock.interval(config),
            logger: foundation.logger,
            organizations: { try await board.organizations() },
            purge: { try await board.purgeTrash(in: $0) }
        )
        let cursors = CursorSigner(key: foundation.settings.secrets.cursorKey)
        return try foundation.assemble(
            consuming: [.auth, .organization],
            handlers: ProjectEventHandlers.make(board),
            services: [trashClock]
        ) { authenticated, _, _ in
            ProjectRoutes(board: board, cursors: cursors).add(to: authenticated)
            CollaboratorRoutes(board: board, cursors: cursors).add(to: authenticated)
        }
    }
}
