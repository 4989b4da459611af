public import Chronology
public import Configuration
import Events
import Lists
public import Logging
import Messaging
public import Postgres
public import ServiceKit

/// Tasks, subtasks, their collaborators, the overdue clock and the dashboard.
public enum TaskApp {
    /// The service's tables, for `taskflow migrate`; the log's own come before them.
    public static let schema = SchemaDefinition(
        service: "task",
        migrations: [
            Migration("V0001_tasks", PackageResources.V0001_tasks_sql),
            Migration("V0002_keys", PackageResources.V0002_keys_sql),
            Migration("V0003_search", PackageResources.V0003_search_sql),
        ],
        provision: Migration("search_index", PackageResources.search_index_sql)
    )

    /// The OpenAPI document of this service's part of the API, as YAML.
    public static var openAPI: [UInt8] { PackageResources.openapi_yaml }

    /// Reads the settings and puts the service together; it runs when the services of the assembly are run.
    public static func assemble(
        _ config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger
    ) throws -> ServiceAssembly {
        let settings = try TaskSettings(config)
        let foundation = try ServiceFoundation(
            service: "task",
            producer: .task,
            schema: schema,
            config: config,
            clock: clock,
            logger: logger
        )
        let board = TaskBoard(
            store: TaskStore(database: foundation.database),
            replicas: ReplicaStore(database: foundation.database)
        )
        let overdueClock = OverdueClock(
            board: board,
            interval: settings.overdueInterval,
            logger: foundation.logger
        )
        let trashClock = TrashClock(
            interval: try TrashClock.interval(config),
            logger: foundation.logger,
            organizations: { try await board.organizations() },
            purge: { try await board.purgeTrash(in: $0) }
        )
        let signer = CursorSigner(key: foundation.settings.secrets.cursorKey)
        return try foundation.assemble(
            consuming: [.auth, .organization, .project],
            handlers: ReplicaEventHandlers.handlers(board),
            services: [overdueClock, trashClock],
            routes: { authenticated, _, _ in
                TaskRoutes(board: board, signer: signer).add(to: authenticated)
                CollaboratorRoutes(board: board, signer: signer).add(to: authenticated)
                TrashRoutes(board: board, signer: signer).add(to: authenticated)
                DashboardRoutes(board: board).add(to: authenticated)
            }
        )
    }
}
