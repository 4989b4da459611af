import Failures
import Foundation
import Lists
import Postgres
import ServiceKit
import Testing

@testable import NotificationService

@Suite struct PreferencesTests {
    func read(_ text: String) throws -> Preferences { try Preferences(JSON(parsing: Array(text.utf8))) }

    @Test func absentFieldsTakeTheirDefaults() throws {
        #expect(try read("{}") == .standard)
        #expect(try read(#"{"kinds":{},"reminder_hour":null,"time_zone":null}"#) == .standard)
        #expect(try read(#"{"kinds":{"task-overdue":{}}}"#) == .standard)
    }

    @Test func everyFieldIsRead() throws {
        let preferences = try read(
            #"{"kinds":{"task-overdue":{"mail":false},"daily-reminder":{"in_app":false,"mail":true}},"reminder_hour":0,"time_zone":"Asia/Kolkata"}"#
        )
        #expect(preferences.mutedMail == [.taskOverdue])
        #expect(preferences.mutedInApp == [.dailyReminder])
        #expect(preferences.reminderHour == 0)
        #expect(preferences.timeZone == "Asia/Kolkata")
    }

    @Test(arguments: [
        (#"{"kinds":[]}"#, "/kinds wrong-type"), (#"{"kinds":null}"#, "/kinds wrong-type"),
        (#"{"kinds":{"welcome":{}}}"#, "/kinds/welcome unknown-field"),
        (#"{"kinds":{"a/b":{}}}"#, "/kinds/a~1b unknown-field"),
        (#"{"kinds":{"task-overdue":true}}"#, "/kinds/task-overdue wrong-type"),
        (#"{"kinds":{"task-overdue":{"mail":"no"}}}"#, "/kinds/task-overdue/mail wrong-type"),
        (#"{"kinds":{"task-overdue":{"sms":true}}}"#, "/kinds/task-overdue/sms unknown-field"),
        (#"{"kinds":{"task-overdue":{"sms":1}}}"#, "/kinds/task-overdue/sms unknown-field"),
        (#"{"reminder_hour":24}"#, "/reminder_hour out-of-range"),
        (#"{"reminder_hour":-1}"#, "/reminder_hour out-of-range"),
        (#"{"reminder_hour":"9"}"#, "/reminder_hour wrong-type"),
        (#"{"reminder_hour":9.5}"#, "/reminder_hour wrong-type"),
        (#"{"time_zone":"GMT+3"}"#, "/time_zone unknown-time-zone"),
        (#"{"time_zone":""}"#, "/time_zone unknown-time-zone"),
        (#"{"time_zone":7}"#, "/time_zone wrong-type"), (#"{"language":"de"}"#, "/language unknown-field"),
    ])
    func whatIsWrongIsNamed(_ body: String, _ expected: String) {
        #expect {
            try read(body)
        } throws: { error in
            let failure = error as? Failure
            return failure?.kind == .invalidFields
                && failure?.fields.map { "\($0.pointer ?? "") \($0.code)" } == [expected]
        }
    }

    @Test func theDocumentNamesEveryParameterOfTheList() {
        let document = String(decoding: NotificationApp.openAPI, as: UTF8.self)
        // A cursor is part of links, and nothing that a client makes.
        for name in Notice.list.parameterNames where name != "cursor" { #expect(document.contains("name: \(name)\n")) }
    }

    @Test func everyMigrationFileIsListed() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Services/Notification/Migrations").standardizedFileURL
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        #expect(NotificationApp.schema.migrations.map { $0.name + ".sql" } == files)
    }
}
