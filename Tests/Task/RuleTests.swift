import Chronology
import Failures
import Foundation
import Identity
import Testing

@testable import TaskService

@Suite struct DateRuleTests {
    /// 12:00 in Berlin on June 15.
    let berlin = OrganizationCalendar(
        zoneName: "Europe/Berlin",
        now: Timestamp("2026-06-15T10:00:00Z") ?? .earliest
    )

    @Test(arguments: [
        ("2026-06-15", "2026-06-15", false),
        ("2026-06-14", "2026-06-15", true),
        // 22:30 UTC is June 15 in Berlin: the same day as the civil one.
        ("2026-06-14T22:30:00Z", "2026-06-15", false),
        ("2026-06-14T21:30:00Z", "2026-06-15", true),
        ("2026-06-15", "2026-06-15T22:30:00Z", true),
        ("2026-06-15T08:00:00Z", "2026-06-15T08:00:00.000001Z", true),
        ("2026-06-15T08:00:00Z", "2026-06-15T08:00:00Z", false),
    ])
    func comparesDaysAsSoonAsOneIsCivil(_ left: String, _ right: String, _ isBefore: Bool) {
        #expect(berlin.isBefore(.text(left), .text(right)) == isBefore)
    }

    @Test(arguments: [
        ("2026-06-15", false), ("2026-06-14", true), ("2026-06-15T09:59:59Z", true), ("2026-06-15T10:00:00Z", false),
    ])
    func knowsThePast(_ due: String, _ isPast: Bool) {
        #expect(berlin.isPast(due: .text(due)) == isPast)
    }

    @Test func civilDatesAreTheirDay() {
        #expect(berlin.startMoment(.text("2026-06-15")) == Timestamp("2026-06-14T22:00:00Z"))
        #expect(berlin.dueMoment(.text("2026-06-15")) == Timestamp("2026-06-15T21:59:59.999999Z"))
        #expect(OrganizationCalendar(zoneName: "No/Where", now: berlin.now).zone.secondsFromGMT() == 0)
    }

    @Test(
        arguments: [
            ("2026-06-20", "2026-06-19", true, ["before-start"]),
            ("2026-06-20", "2026-06-20", true, []),
            ("2026-06-15", "2026-06-14", false, ["in-past"]),
            ("2026-06-15", "2026-06-14", true, ["in-past", "before-start"]),
        ] as [(String, String, Bool, [String])]
    )
    func judgesNewDates(_ start: String, _ due: String, _ given: Bool, _ codes: [String]) {
        let failures = TaskRules.dates(start: .text(start), due: .text(due), old: nil, startGiven: given, berlin)
        #expect(failures.map(\.code) == codes)
        #expect(failures.allSatisfy { $0.pointer == "/due_date" })
    }

    @Test func anUnchangedPastDueDateIsNoObstacle() {
        var old = item(1)
        old.start = .text("2026-06-01")
        old.due = .text("2026-06-02")
        #expect(TaskRules.dates(start: old.start, due: old.due, old: old, startGiven: false, berlin).isEmpty)
        // Moving the start behind it is judged, though.
        let later = TaskRules.dates(start: .text("2026-06-03"), due: old.due, old: old, startGiven: true, berlin)
        #expect(later.map(\.code) == ["before-start"])
    }

    @Test func aSubtaskStaysWithinItsParent() {
        var parent = item(1)
        parent.start = .text("2026-06-10")
        parent.due = .text("2026-06-20")
        func codes(_ start: String?, _ due: String?) -> [String?] {
            TaskRules.bounds(start: start.map(TaskDate.text), due: due.map(TaskDate.text), parent: parent, berlin)
                .map(\.pointer)
        }
        #expect(codes("2026-06-10", "2026-06-20") == [])
        #expect(codes("2026-06-09", "2026-06-21") == ["/start_date", "/due_date"])
        #expect(codes(nil, nil) == [])
        // The last moment of June 20 in Berlin still belongs to it.
        #expect(codes(nil, "2026-06-20T21:59:59Z") == [])
        #expect(codes(nil, "2026-06-20T22:00:00Z") == ["/due_date"])
        parent.due = nil
        #expect(codes("2026-06-10", "2027-01-01") == [])
    }

    @Test func theDefaultStartIsTodayOrTheParents() {
        var parent = item(1)
        #expect(TaskRules.defaultStart(parent: nil, berlin) == .text("2026-06-15"))
        parent.start = .text("2026-06-01")
        #expect(TaskRules.defaultStart(parent: parent, berlin) == .text("2026-06-15"))
        parent.start = .text("2026-07-01T08:00:00Z")
        #expect(TaskRules.defaultStart(parent: parent, berlin) == parent.start)
    }
}

@Suite struct CascadeTests {
    typealias Case = (
        parent: TaskStatus, previous: TaskStatus?, status: TaskStatus, completion: Bool, othersOpen: Bool,
        next: TaskStatus?
    )

    static let cases: [Case] = [
        // A completion that leaves nothing open completes the parent, whatever it was but cancelled.
        (.pending, .inProgress, .completed, true, false, .completed),
        (.overdue, .overdue, .completed, true, false, .completed),
        (.onHold, nil, .completed, true, false, .completed),
        (.pending, .inProgress, .completed, true, true, nil),
        (.cancelled, .pending, .completed, true, false, nil),
        (.completed, .cancelled, .completed, true, false, nil),
        // Cancelling completes nothing.
        (.pending, .pending, .cancelled, false, false, nil),
        // Reopening, from cancelled too, or adding an open one reopens a completed parent.
        (.completed, .completed, .pending, false, false, .inProgress),
        (.completed, .cancelled, .onHold, false, false, .inProgress),
        (.completed, nil, .pending, false, false, .inProgress),
        (.cancelled, .completed, .pending, false, false, nil),
        (.pending, .completed, .pending, false, false, nil),
        // A move from open to open, or of a completed one, changes nothing.
        (.completed, nil, .completed, false, false, nil),
        (.completed, .pending, .inProgress, false, false, nil),
    ]

    @Test(arguments: cases.indices) func settlesTheParent(_ index: Int) {
        let row = Self.cases[index]
        let next = Cascade.parentStatus(
            of: row.parent,
            after: row.status,
            previous: row.previous,
            isCompletion: row.completion,
            othersOpen: row.othersOpen
        )
        #expect(next == row.next, "\(row)")
    }

    @Test func completingAParentCompletesItsOpenSubtasks() {
        let subtasks = TaskStatus.allCases.enumerated().map { index, status in
            var subtask = item(Int64(index + 2))
            subtask.status = status
            return subtask
        }
        let completed = Cascade.completed(by: .completed, previous: .inProgress, of: subtasks).map(\.status)
        #expect(completed == [.pending, .inProgress, .overdue, .onHold])
        #expect(Cascade.completed(by: .completed, previous: .completed, of: subtasks).isEmpty)
        #expect(Cascade.completed(by: .cancelled, previous: .pending, of: subtasks).isEmpty)
    }

    @Test func statusesCarryTheirMarks() {
        let now = Timestamp(seconds: 5)
        var task = item(1)
        task.enter(.overdue, at: now)
        #expect(task.statusBeforeOverdue == .pending)
        task.isOverdueMarked = true
        Overdue.dueDateChanged(&task, at: now)
        #expect(task.status == .pending && task.statusBeforeOverdue == nil && !task.isOverdueMarked)
        task.enter(.completed, at: now)
        #expect(task.completedAt == now)
        task.enter(.inProgress, at: now)
        #expect(task.completedAt == nil)
    }

    @Test func nobodySetsOverdue() {
        #expect(TaskRules.status(.overdue, stored: .pending).map(\.code) == ["not-settable"])
        #expect(TaskRules.status(.overdue, stored: nil).map(\.code) == ["not-settable"])
        #expect(TaskRules.status(.overdue, stored: .overdue).isEmpty)
        #expect(TaskRules.status(.pending, stored: .overdue).isEmpty)
    }

    @Test func parentsAreOfOneLevel() {
        let task = item(1)
        var parent = item(2)
        func code(_ parent: TaskItem?, _ hasSubtasks: Bool = false) -> [String] {
            TaskRules.parent(parent, of: task, hasSubtasks: hasSubtasks).map(\.code)
        }
        #expect(code(parent) == [])
        #expect(code(nil) == ["not-found"])
        #expect(code(task) == ["own-parent"])
        #expect(code(parent, true) == ["nested-subtask"])
        parent.parent = TaskID(3)
        #expect(code(parent) == ["nested-subtask"])
        parent.project = ProjectID(9)
        #expect(code(parent) == ["other-project"])
    }
}

@Suite struct ReferenceTests {
    @Test(arguments: ["42", "1", "9223372036854775807"]) func readsIds(_ text: String) {
        #expect(TaskReference(text) == Int64(text).map { .id(TaskID($0)) })
    }

    @Test(arguments: ["WEB-42", "A1-1"]) func readsKeys(_ text: String) {
        #expect(TaskReference(text)?.description == text)
    }

    @Test(arguments: ["0", "-1", "01", "WEB-0", "WEB-", "-1", "web-1", "W-1", "1W-1", "WEB-1-2", "WEB42", "", "ÄB-1"])
    func refusesTheRest(_ text: String) {
        #expect(TaskReference(text) == nil)
    }
}

/// A pending task of project 1.
func item(_ id: Int64) -> TaskItem {
    let user = UserID(UUID())
    return TaskItem(
        id: TaskID(id),
        key: "WEB-\(id)",
        project: ProjectID(1),
        parent: nil,
        title: "A task",
        description: "",
        priority: .medium,
        status: .pending,
        start: nil,
        due: nil,
        completedAt: nil,
        statusBeforeOverdue: nil,
        isOverdueMarked: false,
        createdBy: user,
        updatedBy: user,
        createdAt: Timestamp(seconds: 0),
        updatedAt: Timestamp(seconds: 0),
        version: 1,
        revision: 1,
        deletedAt: nil,
        deletedBy: nil,
        deletedWith: nil
    )
}
