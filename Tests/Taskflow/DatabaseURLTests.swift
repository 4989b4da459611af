import Foundation
import Postgres
import ServiceKit
import Testing

@testable import taskflow

/// What is said of the settings that name a database, before it is touched.
@Suite struct DatabaseURLTests {
    private let administrator = "postgresql://admin:secret@localhost/taskflow"

    private func passwords(
        _ settings: [String: String],
        of services: [ServiceName] = [.task]
    ) throws -> [String: String] {
        try Migrate.passwords(of: services, Settings.fixed(settings), administrator: administrator)
    }

    private func refusal(_ settings: [String: String]) -> String {
        do {
            return "taken: \(try passwords(settings))"
        } catch {
            return "\(error)"
        }
    }

    @Test func eachRoleGetsThePasswordInItsURL() throws {
        let settings = [
            "TASKFLOW_TASK_DATABASE_URL": "postgresql://task_app:p%40ss@db.example:5432/taskflow",
            "TASKFLOW_AUTH_DATABASE_URL": "host=/run/pg user=auth_app password=other dbname=taskflow",
        ]
        #expect(try passwords(settings, of: [.auth, .task]) == ["auth": "other", "task": "p@ss"])
    }

    @Test func aURLOfAnotherRoleOrDatabaseIsRefused() {
        let setting = "TASKFLOW_TASK_DATABASE_URL"
        let otherRole = refusal([setting: "postgresql://auth_app:one@localhost/taskflow"])
        #expect(otherRole.contains("\(setting) is of the role auth_app, but task logs in as task_app"))
        let otherDatabase = refusal([setting: "postgresql://task_app:one@localhost/elsewhere"])
        #expect(otherDatabase.contains("\(setting) is of the database elsewhere"))
        #expect(refusal([setting: "postgresql://task_app@localhost/taskflow"]).contains("has no password"))
        #expect(refusal([:]).contains("\(setting) is not set"))
        let nonsense = refusal([setting: "nonsense with-a-password"])
        #expect(nonsense.contains("\(setting) is not a URL of Postgres") && !nonsense.contains("with-a-password"))
    }

    /// A pooler may call the database by another name.
    @Test func behindAPoolerTheDirectURLSaysWhere() throws {
        var settings = ["TASKFLOW_TASK_DATABASE_URL": "postgresql://task_app:one@pooler/pooled"]
        #expect(refusal(settings).contains("is of the database pooled"))
        settings["TASKFLOW_TASK_DIRECT_DATABASE_URL"] = "postgresql://task_app:two@localhost/taskflow"
        #expect(try passwords(settings) == ["task": "one"])
    }

    @Test func aServersWordsAreOneLineWithoutItsSource() {
        func line(_ message: String) -> String { PostgresError(.server, message: message).line }
        #expect(line("ERROR:  permission denied") == "permission denied")
        #expect(
            line("ERROR:  permission denied for schema auth\nLINE 2:  FROM (SELECT 'auth' AS\n               ^\n")
                == "permission denied for schema auth"
        )
        #expect(
            line("connection to server failed: FATAL:  no password\nLOCATION:  auth_failed, auth.c:334\n")
                == "connection to server failed: no password"
        )
    }

    @Test func whoIsRefusedLearnsWhichRoleItHasToBe() {
        let needed = NeededRole("TASKFLOW_NO_SUCH_URL", "a superuser")
        let refused = PostgresError(.server, sqlState: "42501", message: "ERROR:  permission denied")
        #expect(needed.line(of: refused) == "Postgres: permission denied; it has to be a superuser")
        let other = PostgresError(.server, sqlState: "42P01", message: "ERROR:  no such table")
        #expect(needed.line(of: other) == "Postgres: no such table")
    }
}
