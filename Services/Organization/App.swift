public import Chronology
public import Configuration
import Events
import Failures
import Identity
import Lists
public import Logging
import Messaging
public import Postgres
public import ServiceKit

/// The organization service: tenants, their departments, their users and those users' pictures.
public enum OrganizationApp {
    /// The service's own tables, oldest migration first.
    public static let schema = SchemaDefinition(
        service: "organization",
        migrations: [
            Migration("V0001_create_organization", PackageResources.V0001_create_organization_sql),
            Migration("V0002_keys", PackageResources.V0002_keys_sql),
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
        let settings = try OrganizationSettings(config)
        let foundation = try ServiceFoundation(
            service: "organization",
            producer: .organization,
            schema: schema,
            config: config,
            clock: clock,
            logger: logger
        )
        let bell = SweepBell()
        let store = DirectoryStore(database: foundation.database, condemned: { bell.ring() })
        let directory = Directory(store: store, revocation: AuthRevocation(store: store, auth: foundation.neighbours))

        let portraitStore = PortraitStore(database: foundation.database, condemned: { bell.ring() })
        let disk = DiskStorage(
            directory: settings.mediaDirectory,
            publicURL: foundation.settings.publicURL,
            work: BlockingWork(name: "media-disk", threads: 2, maximumWaiting: 64)
        )
        let cloudinary = settings.cloudinary.map {
            CloudinaryStorage(
                account: $0,
                clock: clock,
                work: BlockingWork(name: "media-cloudinary", threads: 4, maximumWaiting: 32)
            )
        }
        let storages: [any MediaStorage] = [disk] + (cloudinary.map { [$0] } ?? [])
        let portraits = Portraits(store: portraitStore, storage: cloudinary ?? disk)
        let sweep = MediaSweep(store: portraitStore, storages: storages, clock: clock) { media, error in
            logger.warning(
                "a picture could not be removed",
                metadata: ["attempts": "\(media.attempts)", "error": "\(String(reflecting: error))"]
            )
        }

        let cursors = CursorSigner(key: foundation.settings.secrets.cursorKey)
        return try foundation.assemble(
            consuming: [.auth],
            handlers: AuthEventHandlers.make(directory),
            services: [MediaSweeper(sweep: sweep, bell: bell, logger: logger)]
        ) { authenticated, open, _ in
            UserRoutes(directory: directory, cursors: cursors).add(to: authenticated)
            DepartmentRoutes(directory: directory, cursors: cursors).add(to: authenticated)
            OrganizationRoutes(directory: directory).add(to: authenticated)
            AccountRoutes(directory: directory, portraits: portraits).add(to: authenticated)
            MediaRoutes(storage: disk).add(to: open)
        }
    }
}

/// Asks Auth whether it has applied what was just written here.
struct AuthRevocation: TokenRevocation {
    let store: DirectoryStore
    let auth: NeighbourClient

    func isInForce(in organization: OrganizationID) async throws {
        let written = RequestScope.current?.positions.filter { $0.stream.producer == .organization } ?? []
        var positions = written
        if positions.isEmpty, let newest = try await store.newestPosition(in: organization) { positions = [newest] }
        guard !positions.isEmpty else { return }
        let body = JSON.object([("positions", .array(positions.map { .string($0.description) }))])
        do {
            _ = try await auth.post("auth", "/internal/await-positions", body)
        } catch {
            throw Failure.unavailable(
                "not-caught-up",
                "It was saved, but sessions may not have ended yet. Please repeat the request."
            )
        }
    }
}
