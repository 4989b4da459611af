public import Chronology
public import Configuration
import Events
import Lists
public import Logging
import Messaging
public import Postgres
public import ServiceKit

/// What to tell whom: notices in the app, mails, daily reminders.
public enum NotificationApp {
    /// The service's own migrations, for `taskflow migrate`.
    public static let schema = SchemaDefinition(
        service: "notification",
        migrations: [
            Migration("V0001_create_notification", PackageResources.V0001_create_notification_sql)
        ]
    )

    /// The OpenAPI document of this service's part of the API, as embedded YAML bytes.
    public static var openAPI: [UInt8] { PackageResources.openapi_yaml }

    /// The service put together, ready to run.
    public static func assemble(
        _ config: ConfigReader,
        clock: WallClock = .system,
        logger: Logger
    ) throws -> ServiceAssembly {
        let foundation = try ServiceFoundation(
            service: "notification",
            producer: nil,
            schema: schema,
            config: config,
            clock: clock,
            logger: logger
        )
        let settings = try NotificationSettings(config, publicURL: foundation.settings.publicURL)
        let secrets = foundation.settings.secrets

        let signal = MailSignal()
        let store = NotificationStore(foundation.database) { signal.raise() }
        let desk = NotificationDesk(store: store)
        let tokens = UnsubscribeToken(key: secrets.unsubscribeKey)

        var handlers = EventHandlers()
        desk.hearAuth(&handlers)
        desk.hearOrganization(&handlers)
        desk.hearProject(&handlers)
        desk.hearTask(&handlers)

        let sender = MailSender(
            store: store,
            renderer: LetterRenderer(
                publicURL: foundation.settings.publicURL,
                from: settings.from,
                linkKey: secrets.linkKey,
                unsubscribeToken: tokens
            ),
            transport: settings.transport,
            signal: signal,
            clock: clock,
            logger: foundation.logger
        )
        let reminders = ReminderClock(
            desk: desk,
            interval: settings.reminderInterval,
            clock: clock,
            logger: foundation.logger
        )

        return try foundation.assemble(
            consuming: [.auth, .organization, .project, .task],
            handlers: handlers,
            services: [sender, reminders]
        ) { authenticated, open, _ in
            NoticeRoutes(desk: desk, signer: CursorSigner(key: secrets.cursorKey)).add(to: authenticated)
            PreferenceRoutes(desk: desk).add(to: authenticated)
            UnsubscribeRoutes(desk: desk, tokens: tokens).add(to: open)
        }
    }
}
