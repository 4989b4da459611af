import Chronology
import Events
import Foundation
import Identity
import Logging
import Messaging
import Postgres
import ServiceKit
import Synchronization
import TestSupport

@testable import NotificationService

/// An organization of its own with three people, as the other services would tell of it.
struct Fixture: Sendable {
    let database: TenantDatabase
    let store: NotificationStore
    let desk: NotificationDesk
    let time: MovableTime
    let organization = OrganizationID.make(milliseconds: 1_000)
    let admin = UserID.make(milliseconds: 1_001)
    let ada = UserID.make(milliseconds: 1_002)
    let bob = UserID.make(milliseconds: 1_003)
    let project = ProjectID(1)

    static let schema = ServiceFoundation.withLog(NotificationApp.schema)

    /// In the database that all tests share, or in one of its own: the queue of mails and the list of organizations
    /// are common to all of a database.
    static func make(ownDatabase: Bool = false, at time: String = "2026-12-01T12:00:00Z") async throws -> Fixture {
        let server =
            ownDatabase
            ? try await TestDatabase.migrated(schema, administratorURL: TestDatabase.empty())
            : try await TestDatabase.shared(for: schema)
        let fixture = Fixture(server, MovableTime(time))
        try await fixture.hear(
            OrganizationFounded(
                account: .make(milliseconds: 1),
                user: fixture.admin,
                email: "admin@example.com",
                firstName: "Root",
                lastName: "Admin",
                organizationName: "Org"
            )
        )
        try await fixture.user(fixture.ada, "ada@example.com", "Ada")
        try await fixture.user(fixture.bob, "bob@example.com", "Bob")
        try await fixture.hear(
            ProjectCreated(
                project: fixture.project,
                revision: 1,
                key: "WEB",
                name: "Web",
                status: "PENDING",
                taskVisibility: "collaborators",
                createdBy: fixture.admin
            )
        )
        return fixture
    }

    private init(_ server: TestDatabase, _ time: MovableTime) {
        self.time = time
        database = server.tenant(producer: nil, clock: time.clock)
        store = NotificationStore(database)
        desk = NotificationDesk(store: store)
    }

    var person: Principal { principal(ada) }

    func principal(_ user: UserID) -> Principal {
        Principal(
            user: user,
            organization: organization,
            role: .developer,
            session: .make(milliseconds: 0),
            generation: 1
        )
    }

    func user(_ user: UserID, _ email: String, _ name: String, revision: Int64 = 1, isActive: Bool = true) async throws
    {
        try await hear(
            UserUpdated(
                profile: UserProfile(
                    user: user,
                    revision: revision,
                    email: email,
                    firstName: name,
                    lastName: "Person",
                    role: .developer,
                    department: nil,
                    departmentName: nil,
                    isActive: isActive,
                    profileImage: nil,
                    createdAt: time.now,
                    updatedAt: time.now
                )
            )
        )
    }

    func task(
        _ id: Int64,
        revision: Int64 = 1,
        _ collaborators: [UserID],
        status: String = "PENDING",
        priority: String = "MEDIUM",
        due: EventDate? = nil,
        actor: UserID? = nil
    ) async throws {
        try await hear(
            TaskCreated(
                task: TaskID(id),
                revision: revision,
                summary: summary(id, status: status, priority: priority, due: due),
                collaborators: collaborators
            ),
            actor: actor ?? admin
        )
    }

    func summary(_ id: Int64, status: String = "PENDING", priority: String = "MEDIUM", due: EventDate? = nil)
        -> TaskSummary
    {
        TaskSummary(
            key: "WEB-\(id)",
            project: project,
            parent: nil,
            title: "Task \(id)",
            priority: priority,
            status: status,
            startDate: nil,
            dueDate: due,
            createdBy: admin
        )
    }

    /// Applies an event as the reader would, through the handler registered for it.
    func hear<E: Event>(_ event: E, id: EventID = .make(milliseconds: 5), actor: UserID? = nil) async throws {
        let envelope = Envelope(
            id: id,
            type: E.type,
            version: E.version,
            time: time.now,
            subject: event.subject,
            position: Position(StreamName(E.producer, Shard(of: organization)), 1),
            organization: organization,
            actor: actor,
            causationID: nil,
            correlationID: nil,
            traceparent: nil
        )
        try await database.write(in: organization) { transaction in
            try await apply(event, envelope, transaction)
        }
    }

    private func apply(_ event: any Event, _ envelope: Envelope, _ transaction: WriteTransaction) async throws {
        switch event {
        case let event as OrganizationFounded: try await desk.heard(event, transaction)
        case let event as OrganizationUpdated: try await desk.heard(event, transaction)
        case let event as OrganizationDeleted: try await desk.heard(event, transaction)
        case let event as UserUpdated: try await desk.heard(event.profile, transaction)
        case let event as MembershipAttached: try await desk.heard(event, envelope, transaction)
        case let event as LinkRequested: try desk.heard(event, envelope, transaction)
        case let event as PasswordChanged: try desk.heard(event, envelope, transaction)
        case let event as SessionRevoked: try desk.heard(event, envelope, transaction)
        case let event as ProjectCreated: try await desk.heard(event, transaction)
        case let event as ProjectUpdated: try await desk.heard(event, transaction)
        case let event as ProjectDeleted: try await desk.heard(event, transaction)
        case let event as ProjectPurged: try await desk.heard(event, transaction)
        case let event as ProjectCollaboratorAdded: try await desk.heard(event, envelope, transaction)
        case let event as TaskCreated: try await desk.heard(event, envelope, transaction)
        case let event as TaskUpdated: try await desk.heard(event, transaction)
        case let event as TaskOverdue: try await desk.heard(event, envelope, transaction)
        case let event as TaskDeleted: try await desk.heard(event, transaction)
        case let event as TaskPurged: try await desk.heard(event, transaction)
        case let event as TaskCollaboratorAdded: try await desk.heard(event, envelope, transaction)
        case let event as TaskCollaboratorRemoved: try await desk.heard(event, transaction)
        default: throw UnknownEvent(type: type(of: event).type)
        }
    }

    struct UnknownEvent: Error {
        let type: String
    }

    /// `kind title` of everything a person was told in the app, oldest first.
    func notices(of user: UserID) async throws -> [String] {
        try await database.read(
            in: organization,
            """
            SELECT kind, title FROM notice WHERE organization_id = \(organization) AND user_id = \(user) ORDER BY id
            """
        ).map { "\(try $0.get("kind", as: String.self)) \(try $0.get("title", as: String.self))" }
    }

    /// The kinds of mails that wait for a person.
    func mails(of user: UserID) async throws -> [String] {
        try await database.pool.query(
            "SELECT kind FROM mail_queue WHERE recipient = \(user) AND state = 'pending' ORDER BY event_id"
        ).map { try $0.get("kind") }
    }

    func sender(_ transport: any MailTransport) -> MailSender {
        MailSender(
            store: store,
            renderer: LetterRenderer(
                publicURL: "https://taskflow.example",
                from: Mailbox(name: "Taskflow", address: "no-reply@taskflow.example"),
                linkKey: [UInt8](repeating: 1, count: 32),
                unsubscribeToken: UnsubscribeToken(key: [UInt8](repeating: 2, count: 32))
            ),
            transport: transport,
            signal: MailSignal(),
            clock: time.clock,
            logger: TestDatabase.logger
        )
    }
}

/// A time of day that the test moves.
final class MovableTime: Sendable {
    private let moment: Mutex<Timestamp>

    init(_ text: String) { moment = Mutex(Timestamp(text) ?? .earliest) }

    var now: Timestamp { moment.withLock { $0 } }
    var clock: WallClock { WallClock { self.now } }

    func move(to text: String) { moment.withLock { $0 = Timestamp(text) ?? $0 } }
    func move(by duration: Duration) { moment.withLock { $0 = $0 + duration } }
}

/// Keeps what it is given, and fails as often as it is told to.
final class CountingTransport: MailTransport {
    private let state = Mutex<(parcels: [MailParcel], failures: [DeliveryFailure])>(([], []))

    init(failures: [DeliveryFailure] = []) { state.withLock { $0.failures = failures } }

    var parcels: [MailParcel] { state.withLock { $0.parcels } }

    func deliver(_ parcel: MailParcel) async throws {
        let failure = state.withLock { state -> DeliveryFailure? in
            if !state.failures.isEmpty { return state.failures.removeFirst() }
            state.parcels.append(parcel)
            return nil
        }
        if let failure { throw failure }
    }
}
