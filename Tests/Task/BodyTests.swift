import Failures
import Identity
import ServiceKit
import Testing

@testable import TaskService

@Suite struct BodyTests {
    private func json(_ text: String) throws -> JSON { try JSON(parsing: Array(text.utf8)) }

    @Test func aPatchKeepsWhatItDoesNotName() throws {
        let read = TaskBody.patch(try json(#"{"title": "New", "due_date": null}"#), shown: .object([]))
        #expect(read.failures.isEmpty)
        #expect(read.value.title == "New")
        #expect(read.value.due == .clear)
        #expect(read.value.start == .keep)
        #expect(read.value.description == nil)
    }

    @Test func aReplacementFillsDefaultsButLeavesStatusParentAndStart() throws {
        let read = TaskBody.replacement(try json(#"{"title": "New"}"#), shown: .object([]))
        #expect(read.failures.isEmpty)
        #expect(read.value.description == "")
        #expect(read.value.priority == .medium)
        #expect(read.value.due == .clear)
        #expect(read.value.status == nil)
        #expect(read.value.start == .keep)
        #expect(read.value.parent == .keep)
        let nameless = TaskBody.replacement(try json("{}"), shown: .object([]))
        #expect(nameless.failures.map(\.code) == ["required"])
    }

    @Test func readOnlyFieldsMustEqualWhatIsShown() throws {
        let shown = try json(#"{"id": 7, "key": "WEB-7", "project": 1, "version": 3, "subtasks": []}"#)
        let same = try json(#"{"id": 7, "project": 1, "subtasks": [], "title": "x"}"#)
        #expect(TaskBody.hasReadOnly(same))
        #expect(TaskBody.patch(same, shown: shown).failures.isEmpty)
        let wrong = TaskBody.patch(try json(#"{"project": 2, "version": 4}"#), shown: shown)
        #expect(wrong.failures.map(\.code) == ["read-only", "read-only"])
        #expect(!TaskBody.hasReadOnly(try json(#"{"title": "x"}"#)))
    }

    @Test(arguments: [
        (#"{"project": 1}"#, "required"),
        (#"{"project": 1, "title": " "}"#, "blank"),
        (#"{"title": "x"}"#, "required"),
        (#"{"project": "1", "title": "x"}"#, "wrong-type"),
        (#"{"project": 1, "title": "x", "status": "pending"}"#, "not-a-choice"),
        (#"{"project": 1, "title": "x", "due_date": "2026-02-30"}"#, "bad-date"),
        (#"{"project": 1, "title": "x", "due_date": "2026-02-20T10:00:00"}"#, "bad-date"),
        (#"{"project": 1, "title": "x", "colour": "red"}"#, "unknown-field"),
        (#"{"project": 1, "title": "x", "collaborators": [1]}"#, "wrong-type"),
    ])
    func aDraftSaysWhatIsWrong(_ body: String, _ code: String) throws {
        let read = TaskBody.draft(try json(body), project: nil, parent: nil)
        #expect(read.failures.map(\.code) == [code])
    }

    @Test func thePathMayBeRepeated() throws {
        let body = try json(#"{"project": 1, "parent_task": 5, "title": "x"}"#)
        #expect(TaskBody.draft(body, project: ProjectID(1), parent: TaskID(5)).failures.isEmpty)
        let failures = TaskBody.draft(body, project: ProjectID(2), parent: TaskID(6)).failures
        #expect(failures.map(\.pointer) == ["/project", "/parent_task"])
    }

    @Test func peopleAreTheTextsAmongTheCollaborators() throws {
        #expect(TaskBody.people(try json(#"{"collaborators": ["a@x.example", 1, "b@x.example"]}"#)).count == 2)
        #expect(TaskBody.people(try json(#"{"collaborators": "a@x.example"}"#)).isEmpty)
    }
}
