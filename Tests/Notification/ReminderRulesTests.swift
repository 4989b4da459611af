import Chronology
import Foundation
import Identity
import Testing

@testable import NotificationService

@Suite struct ReminderScheduleTests {
    static func moment(_ text: String) throws -> Timestamp { try #require(Timestamp(text)) }
    static func day(_ text: String) throws -> CivilDate { try #require(CivilDate(text)) }
    static func zone(_ name: String) throws -> TimeZone { try #require(Preferences.zone(named: name)) }

    @Test(arguments: [
        ("UTC", 9, "2026-12-01", "2026-12-01T09:00:00Z"),
        ("UTC", 0, "2026-12-01", "2026-12-01T00:00:00Z"),
        ("UTC", 23, "2026-12-01", "2026-12-01T23:00:00Z"),
        ("Europe/Berlin", 9, "2026-12-01", "2026-12-01T08:00:00Z"),
        ("Europe/Berlin", 9, "2026-07-01", "2026-07-01T07:00:00Z"),
        ("Asia/Kolkata", 9, "2026-07-01", "2026-07-01T03:30:00Z"),
        ("Pacific/Kiritimati", 9, "2026-07-01", "2026-06-30T19:00:00Z"),
        ("Pacific/Pago_Pago", 9, "2026-07-01", "2026-07-01T20:00:00Z"),
        // Clocks go from 2 to 3: the skipped hour's reminder comes with the jump.
        ("Europe/Berlin", 2, "2026-03-29", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", 3, "2026-03-29", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", 9, "2026-03-29", "2026-03-29T07:00:00Z"),
        // Clocks go from 3 back to 2: the hour that comes twice counts the first time.
        ("Europe/Berlin", 2, "2026-10-25", "2026-10-25T00:00:00Z"),
        ("Europe/Berlin", 3, "2026-10-25", "2026-10-25T02:00:00Z"),
        // Midnight itself is skipped.
        ("America/Santiago", 0, "2026-09-06", "2026-09-06T04:00:00Z"),
        ("America/Santiago", 1, "2026-09-06", "2026-09-06T04:00:00Z"),
    ])
    func theHourComes(_ zone: String, _ hour: Int, _ day: String, _ expected: String) throws {
        let schedule = ReminderSchedule(hour: hour, zone: try Self.zone(zone))
        #expect(schedule.moment(on: try Self.day(day)) == (try Self.moment(expected)))
    }

    @Test func everyDayOfAYearHasItsMomentInEveryZone() throws {
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"] {
            let zone = try Self.zone(name)
            for hour in [0, 1, 2, 3, 9, 23] {
                let schedule = ReminderSchedule(hour: hour, zone: zone)
                for offset in 0..<365 {
                    let day = try Self.day("2026-01-01").adding(days: offset)
                    let moment = schedule.moment(on: day)
                    #expect(moment.civilDate(in: zone) == day)
                    #expect(moment.hour(in: zone) >= hour)
                    let before = moment - .seconds(1)
                    #expect(before.civilDate(in: zone) < day || before.hour(in: zone) < hour)
                }
            }
        }
    }

    @Test(arguments: [
        ("UTC", true), ("GMT", true), ("Europe/Berlin", true), ("Asia/Kolkata", true), ("US/Pacific", true),
        ("Etc/GMT+3", true), ("GMT+3", false), ("utc", false), ("europe/berlin", false), ("Mars/Phobos", false),
        ("", false), ("../etc/passwd", false), ("Europe/Berlin ", false),
    ])
    func zonesAreThoseOfIANA(_ name: String, _ isZone: Bool) {
        #expect((Preferences.zone(named: name) != nil) == isZone)
    }
}

@Suite struct ReminderPlanTests {
    let user = UserID.make(milliseconds: 0)

    func candidate(_ hour: Int, _ zone: String, user: UserID? = nil) throws -> ReminderCandidate {
        ReminderCandidate(
            user: user ?? self.user,
            schedule: ReminderSchedule(hour: hour, zone: try ReminderScheduleTests.zone(zone)),
            preferences: .standard
        )
    }

    func plan(_ candidate: ReminderCandidate, judged: [String] = [], at now: String) throws -> ReminderPlan {
        let days = try judged.map { ReminderDay(user: user, day: try ReminderScheduleTests.day($0)) }
        return ReminderPlan([candidate], judged: Set(days), now: try ReminderScheduleTests.moment(now))
    }

    @Test func beforeTheHourNothingIsDue() throws {
        let plan = try plan(try candidate(9, "UTC"), at: "2026-12-01T08:59:59.999999Z")
        #expect(plan.due.isEmpty)
        #expect(plan.next.description == "2026-12-01T09:00:00.000000Z")
    }

    @Test(arguments: ["2026-12-01T09:00:00Z", "2026-12-01T17:00:00Z", "2026-12-01T23:59:59Z"])
    func atAndAfterTheHourTheDayIsDueOnce(_ now: String) throws {
        let first = try plan(try candidate(9, "UTC"), at: now)
        #expect(first.due.map(\.day.description) == ["2026-12-01"])
        #expect(first.next.description == "2026-12-02T09:00:00.000000Z")
        let second = try plan(try candidate(9, "UTC"), judged: ["2026-12-01"], at: now)
        #expect(second.due.isEmpty)
        #expect(second.next.description == "2026-12-02T09:00:00.000000Z")
    }

    @Test func aMissedDayIsNotMadeUp() throws {
        let plan = try plan(try candidate(9, "UTC"), judged: ["2026-11-28"], at: "2026-12-01T08:00:00Z")
        #expect(plan.due.isEmpty)
    }

    @Test func theDayIsThePersonsOwn() throws {
        // Evening of the 30th in UTC is the 1st in Tokyo, and its hour has come.
        let plan = try plan(try candidate(6, "Asia/Tokyo"), judged: ["2026-11-30"], at: "2026-11-30T21:00:00Z")
        #expect(plan.due.map(\.day.description) == ["2026-12-01"])
    }

    @Test func movingWestDoesNotRepeatADayThatWasJudged() throws {
        // Judged on the 1st in Tokyo; then the person's zone is Honolulu, where it is still the 30th, and then the 1st.
        let judged = ["2026-11-30", "2026-12-01"]
        #expect(try plan(try candidate(6, "Pacific/Honolulu"), judged: judged, at: "2026-12-01T01:00:00Z").due.isEmpty)
        #expect(try plan(try candidate(6, "Pacific/Honolulu"), judged: judged, at: "2026-12-01T17:00:00Z").due.isEmpty)
    }

    @Test func manyPeopleAreJudgedInBatches() throws {
        let people = try (0..<450).map { try candidate(9, "UTC", user: .make(milliseconds: Int64($0))) }
        let now = try ReminderScheduleTests.moment("2026-12-01T10:00:00Z")
        var judged: Set<ReminderDay> = []
        var sizes: [Int] = []
        while true {
            let plan = ReminderPlan(people, judged: judged, now: now)
            sizes.append(plan.due.count)
            for one in plan.due { judged.insert(ReminderDay(user: one.candidate.user, day: one.day)) }
            if plan.next > now { break }
        }
        #expect(sizes == [200, 200, 50])
        #expect(judged.count == 450)
    }

    @Test func tasksAreGroupedByProjectThenPriorityThenDueDate() throws {
        let day = try ReminderScheduleTests.day("2026-12-01")
        func task(_ id: Int64, _ project: Int64, _ name: String?, _ priority: String, _ due: DueDate?) -> OpenTask {
            OpenTask(
                user: user,
                project: ProjectID(project),
                projectName: name,
                task: TaskID(id),
                key: "P\(project)-\(id)",
                title: "t",
                priority: priority,
                due: due
            )
        }
        let groups = Reminder.groups(
            [
                task(1, 1, "web", "LOW", .day(day)),
                task(2, 1, "web", "HIGH", nil),
                task(3, 1, "web", "HIGH", .day(day)),
                task(4, 1, "web", "HIGH", .moment(try ReminderScheduleTests.moment("2026-12-01T12:00:00Z"))),
                task(5, 1, "web", "MEDIUM", nil),
                task(6, 2, "App", "LOW", nil),
                task(7, 3, nil, "LOW", nil),
            ],
            organizationZone: .gmt,
            personZone: .gmt
        )
        #expect(groups.map(\.project) == ["P3", "App", "web"])
        #expect(groups[2].tasks.map(\.key) == ["P1-4", "P1-3", "P1-2", "P1-5", "P1-1"])
        #expect(groups[2].tasks.map(\.due)[..<2] == ["Tue, 1 Dec 2026 12:00 (UTC)", "Tue, 1 Dec 2026"])
    }
}
