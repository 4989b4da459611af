import Chronology
import Events
import Foundation
import Identity
import Logging
import Postgres
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Messaging

/// A producer and a consumer, each with its schema in a database of their own, and a number of a Redis of their own.
final class LogFixture: Sendable {
    let producer: TenantDatabase
    let consumer: TenantDatabase
    let administratorURL: String
    let redis: RedisClient
    /// The consumer's read model, filled by ``handlers``, fails for subjects in here.
    let poison = Mutex<Set<String>>([])
    let logger: Logger

    static var redisURL: String? { ProcessInfo.processInfo.environment["TASKFLOW_TEST_REDIS_URL"] }
    static var hasServers: Bool {
        redisURL != nil && ProcessInfo.processInfo.environment["TASKFLOW_TEST_POSTGRES_URL"] != nil
    }

    private static let readModel = Migration(
        "V0001_seen",
        Array(
            """
            CREATE TABLE seen (
                organization_id uuid NOT NULL,
                id bigint GENERATED ALWAYS AS IDENTITY,
                stream text NOT NULL,
                seq bigint NOT NULL,
                subject text NOT NULL,
                actor uuid,
                PRIMARY KEY (organization_id, id)
            );
            ALTER TABLE seen ENABLE ROW LEVEL SECURITY;
            ALTER TABLE seen FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant ON seen
                USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
                WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));
            """.utf8
        )
    )

    /// Suites that run side by side need numbers of their own: each run begins with an empty one.
    init(redisNumber: Int = 9) async throws {
        let url = try await TestDatabase.empty()
        administratorURL = url
        let writing = SchemaDefinition(service: "task", migrations: MessagingSchema.migrations)
        let reading = SchemaDefinition(
            service: "notification",
            migrations: MessagingSchema.migrations + [Self.readModel]
        )
        producer = try await TestDatabase.migrated(writing, administratorURL: url).tenant(producer: .task)
        consumer = try await TestDatabase.migrated(reading, administratorURL: url).tenant(producer: nil)
        var logger = Logger(label: "test-messaging")
        logger.logLevel = .critical
        self.logger = logger
        var address = try #require(URLComponents(string: Self.redisURL ?? ""))
        // Away from what other tests keep in number 0.
        if address.scheme == "unix" { address.query = "db=\(redisNumber)" } else { address.path = "/\(redisNumber)" }
        redis = RedisClient(url: try #require(address.string), logger: logger)
    }

    /// Another connection of the same database to the same schema, as another replica has.
    func replica(of database: TenantDatabase) -> TenantDatabase {
        TenantDatabase(
            pool: PostgresPool(database.pool.configuration, logger: logger),
            producer: database.producer
        )
    }

    /// Runs `body` while `services` run, on an empty Redis.
    func run<Result: Sendable>(
        _ services: [@Sendable () async throws -> Void],
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.redis.run() }
            try await eventually { self.redis.serverRunID != nil }
            _ = try await redis.send(RedisCommand("FLUSHDB"))
            for service in services { group.addTask { try await service() } }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    /// The consumer's handlers: one row per event, and a failure for poisoned subjects.
    var handlers: EventHandlers {
        var handlers = EventHandlers()
        handlers.on(TaskRestored.self) { _, envelope, transaction in
            if self.poison.withLock({ $0.contains(envelope.subject) }) { throw Poisoned() }
            let organization = try #require(transaction.organization)
            transaction.send(
                """
                INSERT INTO seen (organization_id, stream, seq, subject, actor)
                VALUES (\(organization), \(envelope.position.stream.description), \(envelope.position.sequence),
                        \(envelope.subject), \(envelope.actor))
                """
            )
        }
        return handlers
    }

    var replay: DirectReplay {
        DirectReplay(administration: EventLogAdministration(database: producer, redis: redis))
    }

    func makeReader(
        _ database: TenantDatabase? = nil,
        handlers: EventHandlers? = nil,
        replay: (any ReplaySource)? = nil
    ) -> EventReader {
        let database = database ?? consumer
        return EventReader(
            name: "notification",
            producers: [.task],
            applier: EventApplier(
                handlers: handlers ?? self.handlers,
                database: database,
                logger: logger,
                metrics: LogMetrics("notification"),
                pauses: [.milliseconds(20), .milliseconds(20), .milliseconds(20), .milliseconds(20), .milliseconds(20)]
            ),
            database: database,
            redis: redis,
            replay: replay ?? self.replay,
            logger: logger
        )
    }

    func makeRelay(_ database: TenantDatabase? = nil) -> EventRelay {
        EventRelay(database: database ?? producer, redis: redis, logger: logger)
    }

    /// Writes one event about a task; where it ended.
    @discardableResult
    func say(_ task: Int64, in organization: OrganizationID) async throws -> Position {
        let scope = RequestScope(actor: UserID(organization.uuid), requestID: "r-\(task)")
        try await RequestScope.$current.withValue(scope) {
            try await producer.write(in: organization) { transaction in
                try transaction.publish(TaskRestored(task: TaskID(task), revision: 1))
            }
        }
        return try #require(scope.positions.first)
    }

    /// What the consumer has applied of an organization, in the order of application.
    func seen(in organization: OrganizationID) async throws -> [(seq: Int64, subject: String)] {
        try await consumer.read(
            in: organization,
            "SELECT seq, subject FROM seen WHERE organization_id = \(organization) ORDER BY id"
        ).map { (try $0.get("seq"), try $0.get("subject")) }
    }

    /// The numbers on a stream.
    func stream(_ stream: StreamName) async throws -> [Int64] {
        let reply = try await redis.send(RedisCommand("XRANGE", RelayStream.key(stream), "-", "+"))
        return RelayStream.entries(from: reply).map(\.sequence)
    }

    func organization() -> OrganizationID { OrganizationID.make(milliseconds: 1_750_000_000_000) }
}

struct Poisoned: Error {}

/// Replay without HTTP in between.
struct DirectReplay: ReplaySource {
    let administration: EventLogAdministration

    func events(of stream: StreamName, after sequence: Int64, limit: Int) async throws -> [StoredEvent] {
        try await administration.replay(stream, after: sequence, limit: limit)
    }

    func origin(of stream: StreamName, lineage: String?) async throws -> LogOrigin? {
        try await administration.origin(stream, lineage: lineage)
    }
}

/// A producer that takes the question and never answers.
struct SilentReplay: ReplaySource {
    func events(of stream: StreamName, after sequence: Int64, limit: Int) async throws -> [StoredEvent] {
        try await Task.sleep(for: .seconds(3600))
        return []
    }
}

/// A producer that gives nothing until it comes back.
final class AbsentReplay: ReplaySource {
    private let present: DirectReplay
    private let state = Mutex<(isBack: Bool, refused: Set<StreamName>)>((false, []))

    init(_ present: DirectReplay) { self.present = present }

    /// Who has asked in vain.
    var refused: Set<StreamName> { state.withLock { $0.refused } }

    func comeBack() { state.withLock { $0.isBack = true } }

    func events(of stream: StreamName, after sequence: Int64, limit: Int) async throws -> [StoredEvent] {
        let isBack = state.withLock { state in
            if !state.isBack { state.refused.insert(stream) }
            return state.isBack
        }
        guard isBack else { throw CancellationError() }
        return try await present.events(of: stream, after: sequence, limit: limit)
    }

    func origin(of stream: StreamName, lineage: String?) async throws -> LogOrigin? {
        try await present.origin(of: stream, lineage: lineage)
    }
}

/// Waits for a condition, 20 seconds at most.
func eventually(
    _ what: Comment = "in time",
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while try await !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record(what, sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(2))
    }
}
