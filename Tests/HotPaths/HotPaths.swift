#if DEBUG
import CLibPQ
import Chronology
import Crypto
import Events
import Foundation
import Logging
import NIOCore
import ServiceKit
import Synchronization

@testable import GatewayService
@testable import Identity
@testable import Lists
@testable import Messaging
@testable import Postgres
@testable import Redis
@testable import TaskService

/// What is done for every request, each part alone and on values that are always the same, so that its instructions can
/// be counted (`instructions.py`): `hotpaths NAME COUNT` does one of them so many times, `hotpaths` lists the names.
@main
enum HotPaths {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let count = Int(arguments[2]) else {
            print((["nothing"] + cases.map(\.name)).joined(separator: "\n"))
            return
        }
        guard let path = cases.first(where: { $0.name == arguments[1] }) else { return }
        let work = try path.prepare()
        var sum = 0
        for _ in 0..<count { sum &+= try work() }
        // The result is used, so that none of the work can be left out.
        print(sum)
    }

    typealias Work = () throws -> Int

    struct Case: Sendable {
        let name: String
        let prepare: @Sendable () throws -> Work
    }

    static let organization = OrganizationID(UUID(uuid: (1, 144, 0, 0, 0, 0, 112, 0, 128, 0, 0, 0, 0, 0, 0, 7)))
    static let user = UserID(UUID(uuid: (1, 144, 0, 0, 0, 0, 112, 0, 128, 0, 0, 0, 0, 0, 0, 9)))
    static let now = Timestamp(seconds: 1_800_000_000)
    static let principal = Principal(
        user: user,
        organization: organization,
        role: .developer,
        session: SessionID(user.uuid),
        generation: 1
    )

    static let cases = [
        Case(name: "request-head", prepare: requestHead),
        Case(name: "response-head", prepare: responseHead),
        Case(name: "access-token", prepare: accessToken),
        Case(name: "task-statement", prepare: taskStatement),
        Case(name: "task-row", prepare: taskRow),
        Case(name: "task-json", prepare: taskJSON),
        Case(name: "request-body", prepare: requestBody),
        Case(name: "event", prepare: event),
        Case(name: "redis-reply", prepare: redisReply),
        Case(name: "cursor", prepare: cursor),
    ]

    /// The gateway reads a request as a browser sends it.
    static func requestHead() -> Work {
        let text = """
            GET /api/project/tasks/4711/?fields=id,title HTTP/1.1\r
            Host: tasks.example\r
            User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r
            Accept: application/json\r
            Accept-Encoding: gzip, deflate, br\r
            Accept-Language: en-GB,en;q=0.9\r
            Authorization: Bearer \(String(repeating: "abcdefgh", count: 60))\r
            Connection: keep-alive\r
            \r

            """
        let bytes = ByteBuffer(string: text)
        return {
            var parser = RequestParser(limits: FrontLimits())
            var buffer = bytes
            guard case .head(let head) = parser.next(&buffer) else { throw Unexpected() }
            return try RequestTarget(head.target).segments.count
        }
    }

    /// The gateway reads a service's answer.
    static func responseHead() -> Work {
        let bytes = ByteBuffer(
            string: """
                HTTP/1.1 200 OK\r
                Content-Type: application/json\r
                Cache-Control: private, no-cache\r
                ETag: "17"\r
                Content-Length: 2\r
                Date: Sat, 28 Nov 2026 07:00:00 GMT\r
                \r
                {}
                """
        )
        return {
            var parser = ResponseParser(isHead: false)
            var buffer = bytes
            guard case .head(let head) = parser.next(&buffer) else { throw Unexpected() }
            return Int(head.status)
        }
    }

    /// Gateway and service verify an access token.
    static func accessToken() throws -> Work {
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: [UInt8](repeating: 9, count: 32))
        let claims = """
            {"iss":"https://tasks.example","aud":"taskflow","sub":"\(user)","org":"\(organization)","sid":"\(user)",\
            "role":"DEVELOPER","gen":1,"jti":"abc","iat":\(now.seconds),"exp":\(now.seconds + 300)}
            """
        let signed = [#"{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}"#, claims]
            .map { Identity.Base64URL.encode(Array($0.utf8)) }.joined(separator: ".")
        let token = "\(signed).\(Identity.Base64URL.encode(Array(try key.signature(for: Array(signed.utf8)))))"
        let jwk = SigningKey.publicJWK(keyID: "key-1", publicKey: Array(key.publicKey.rawRepresentation))
        let keys = try VerificationKeys(jwks: Array(#"{"keys":[\#(jwk)]}"#.utf8))
        let verifier = AccessTokenVerifier(issuer: "https://tasks.example")
        return { try inline { try await verifier.verify(token, with: keys, now: now).keyID.utf8.count } }
    }

    /// The statement for one task, as a developer asks it.
    static func taskStatement() -> Work {
        let configuration = PostgresConfiguration(url: "postgresql:///", schema: "task")
        let pool = PostgresPool(configuration, logger: Logger(label: "none"))
        let store = TaskStore(database: TenantDatabase(pool: pool, producer: .task))
        return {
            let id = TaskReference.id(TaskID(4711)).sql(in: organization)
            return store.family(of: id, by: principal).statement.text.utf8.count
        }
    }

    /// A task as Postgres answers it, with two collaborators.
    static func taskRow() throws -> Work {
        let values: [(name: String, value: String?)] = [
            ("id", "4711"), ("key", "WEB-42"), ("project_id", "3"), ("parent_id", nil), ("title", "Paint the fence"),
            ("description", "Both sides, and the gate as well."), ("priority", "HIGH"), ("status", "IN_PROGRESS"),
            ("start_day", "2026-12-01"), ("start_at", nil), ("due_day", nil), ("due_at", "2026-12-24 17:30:00.5+00"),
            ("completed_at", nil), ("status_before_overdue", nil), ("overdue_marked", "f"),
            ("created_by", user.description), ("updated_by", user.description),
            ("created_at", "2026-11-28 07:00:00.123456+00"), ("updated_at", "2026-11-28 08:00:00.123456+00"),
            ("version", "7"), ("revision", "5"), ("deleted_at", nil), ("deleted_by", nil), ("deleted_with", nil),
            (
                "collaborators",
                "\(user) \(user) 2026-11-28 07:00:00.123456+00,\(UserID(organization.uuid)) \(user) 2026-11-28 07:00:00+00"
            ),
        ]
        guard let result = PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK) else { throw Unexpected() }
        let names = values.map { strdup($0.name) }
        defer { for name in names { free(name) } }
        var attributes = names.map { name in
            PGresAttDesc(name: name, tableid: 0, columnid: 0, format: 0, typid: 25, typlen: -1, atttypmod: -1)
        }
        guard PQsetResultAttrs(result, Int32(values.count), &attributes) == 1 else { throw Unexpected() }
        for (column, entry) in values.enumerated() {
            var bytes = (entry.value ?? "").utf8CString
            let length = Int32(entry.value.map { $0.utf8.count } ?? -1)
            _ = bytes.withUnsafeMutableBufferPointer { PQsetvalue(result, 0, Int32(column), $0.baseAddress, length) }
        }
        let row = Rows(ResultBox(result))[0]
        return { try TaskRows.shownTask(row).collaborators.count }
    }

    /// The JSON of a task in a list.
    static func taskJSON() -> Work {
        let task = ShownTask(
            item: TaskItem(
                id: TaskID(4711),
                key: "WEB-42",
                project: ProjectID(3),
                title: "Paint the fence",
                description: "Both sides, and the \"gate\" as well.",
                priority: .high,
                status: .inProgress,
                start: .day(CivilDate(daysSinceEpoch: 20_788)),
                due: .moment(now),
                isOverdueMarked: false,
                createdBy: user,
                updatedBy: user,
                createdAt: now,
                updatedAt: now,
                version: 7,
                revision: 5
            ),
            collaborators: [TaskCollaborator(user: user, addedAt: now, addedBy: user)]
        )
        let person = TaskJSON.person(user, email: "ada@tasks.example", name: "Ada Lovelace", picture: nil)
        let json = TaskJSON(people: [user: person], peopleEpoch: 2)
        return { json.row(task).count }
    }

    /// The body of a new task.
    static func requestBody() -> Work {
        let body = Array(
            #"{"project":3,"title":"Paint the fence","description":"Both sides","priority":"HIGH","due_date":"2031-05-05"}"#
                .utf8
        )
        return {
            let json = try JSON(parsing: body)
            return TaskBody.draft(json, project: nil, parent: nil).value.title?.utf8.count ?? 0
        }
    }

    /// An event written to the stream and read from it.
    static func event() throws -> Work {
        let payload = TaskCreated(
            task: TaskID(4711),
            revision: 1,
            summary: TaskSummary(
                key: "WEB-42",
                project: ProjectID(3),
                parent: nil,
                title: "Paint the fence",
                priority: "HIGH",
                status: "PENDING",
                startDate: nil,
                dueDate: nil,
                createdBy: user
            ),
            collaborators: [user]
        )
        guard let shard = Shard(7) else { throw Unexpected() }
        return {
            let stored = StoredEvent(
                envelope: Envelope(
                    id: EventID(user.uuid),
                    type: TaskCreated.type,
                    version: TaskCreated.version,
                    time: now,
                    subject: payload.subject,
                    position: Position(StreamName(.task, shard), 4711),
                    organization: organization,
                    actor: user,
                    causationID: nil,
                    correlationID: "01kb4kz5hv7q8m",
                    traceparent: nil
                ),
                payload: try EventPayload.encode(payload)
            )
            let read = try StoredEvent(encoded: stored.encoded())
            return try EventPayload.decode(TaskCreated.self, from: read.payload).collaborators.count
        }
    }

    /// What Redis answers to the gateway's one MGET.
    static func redisReply() -> Work {
        let bytes = Array("*3\r\n$1\r\n4\r\n$-1\r\n$10\r\n1800000000\r\n".utf8)
        return {
            guard let parser = ReplyParser() else { throw Unexpected() }
            try bytes.withUnsafeBytes { try parser.feed($0) }
            return try parser.next()?.elements?.count ?? 0
        }
    }

    /// The links of a page.
    static func cursor() -> Work {
        let signer = CursorSigner(key: [UInt8](repeating: 7, count: 32))
        let binding = CursorBinding(organization: organization, list: "tasks", filters: [], terms: [], order: [])
        let position = CursorPosition(
            isBackward: false,
            isInclusive: false,
            values: ["2026-12-01 00:00:00+00", "4711"]
        )
        return { try signer.open(signer.seal(position, binding: binding), binding: binding, keys: 2).values.count }
    }

    struct Unexpected: Error {}
}

/// Runs what never really waits to its end before it returns, on the caller's thread: valgrind does not get on with the
/// threads of the concurrency runtime.
private func inline<Success: Sendable>(_ body: @escaping @Sendable () async throws -> Success) throws -> Success {
    let kept = Kept<Success>()
    Task(executorPreference: InlineExecutor.shared) {
        do {
            let success = try await body()
            kept.result.withLock { $0 = .success(success) }
        } catch {
            kept.result.withLock { $0 = .failure(error) }
        }
    }
    guard let result = kept.result.withLock({ $0 }) else { throw HotPaths.Unexpected() }
    return try result.get()
}

private final class Kept<Success: Sendable>: Sendable {
    let result = Mutex<Result<Success, any Error>?>(nil)
}

private final class InlineExecutor: TaskExecutor {
    static let shared = InlineExecutor()

    func enqueue(_ job: consuming ExecutorJob) { job.runSynchronously(on: asUnownedTaskExecutor()) }
}

#else

/// A release has no access to what is inside the modules; the build of everything shall not fail for that.
@main
enum HotPaths {
    static func main() { print("hotpaths counts a debug build") }
}

#endif
