import Hummingbird
import Identity
import Logging

/// The router of a service with the middleware that all have, and the groups that routes are added to.
struct ServiceRouter {
    let router: Router<AppContext>
    /// Neither token nor credential nor a service that is ready: health.
    let bare: RecordingRouter
    /// Routes that need an access token.
    let authenticated: RouterGroup<AppContext>
    /// Routes that do not.
    let open: RouterGroup<AppContext>
    /// Routes below `/internal/`.
    let inside: RouterGroup<AppContext>

    init(
        service: String,
        credential: String,
        keys: KeySource,
        verifier: AccessTokenVerifier,
        readiness: Readiness,
        watch: PositionWatch,
        logger: Logger
    ) {
        let table = RouteTable()
        router = Router(context: AppContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: RequestFrame(service: service, routes: table, credential: credential, logger: logger))
        bare = RecordingRouter(router, table)
        let ready = ReadyOnly(readiness: readiness)
        let caughtUp = ReadYourWrites(watch: watch)
        authenticated = bare.group("")
            .add(middleware: TokenAuthentication(keys: keys, verifier: verifier))
            .add(middleware: ready)
            .add(middleware: caughtUp)
        open = bare.group("").add(middleware: ready).add(middleware: caughtUp)
        let guarded = bare.group("").add(middleware: InternalOnly())
        guarded.get("/internal/metrics") { _, _ in
            Reply.bytes(Array(PrometheusRegistry.shared.render().utf8), type: PrometheusRegistry.contentType)
        }
        inside = guarded.group("").add(middleware: ready)
    }
}
