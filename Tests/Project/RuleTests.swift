import Chronology
import Events
import Failures
import Identity
import ServiceKit
import Testing

@testable import ProjectService

@Suite struct ProjectRightsTests {
    private func verdict(_ action: ProjectAction, _ rights: ProjectRights) -> String {
        do {
            try rights.require(action)
            return "yes"
        } catch let failure as Failure {
            return failure.code
        } catch { return "\(error)" }
    }

    /// The table of roles, row by row: ADMIN; MANAGER who created and collaborates, only collaborates, only created,
    /// neither; DEVELOPER who collaborates, who does not.
    @Test(arguments: [
        (ProjectAction.read, ["yes", "yes", "yes", "not-found", "not-found", "yes", "not-found"]),
        (.update, ["yes", "yes", "yes", "not-found", "not-found", "forbidden", "not-found"]),
        (.delete, ["yes", "yes", "forbidden", "not-found", "not-found", "forbidden", "not-found"]),
        (.restore, ["yes", "yes", "forbidden", "not-found", "not-found", "forbidden", "not-found"]),
        (.manageCollaborators, ["yes", "yes", "yes", "not-found", "not-found", "forbidden", "not-found"]),
        (.leave, ["yes", "yes", "yes", "not-found", "not-found", "yes", "not-found"]),
    ])
    func live(_ action: ProjectAction, _ expected: [String]) {
        #expect(columns(isDeleted: false).map { verdict(action, $0) } == expected)
    }

    /// In the trash a project is there for those alone who can take it out.
    @Test(arguments: ProjectAction.allCases)
    func deleted(_ action: ProjectAction) {
        let no = "not-found"
        let expected = action == .restore ? ["yes", "yes", no, no, no, no, no] : [no, no, no, no, no, no, no]
        #expect(columns(isDeleted: true).map { verdict(action, $0) } == expected)
    }

    private func columns(isDeleted: Bool) -> [ProjectRights] {
        [
            (Role.admin, false, false), (.manager, true, true), (.manager, true, false), (.manager, false, true),
            (.manager, false, false), (.developer, true, true), (.developer, false, true),
        ]
        .map { ProjectRights(role: $0.0, collaborates: $0.1, isCreator: $0.2, isDeleted: isDeleted) }
    }

    @Test func developersCreateNothing() {
        #expect(throws: Failure.forbidden) { try ProjectRights.requireCreation(.developer) }
        #expect(throws: Failure.forbidden) { try ProjectRights.requireTrash(.developer) }
        #expect(throws: Never.self) { try ProjectRights.requireCreation(.manager) }
    }
}

@Suite struct ProjectKeyTests {
    @Test(arguments: [
        ("Website", ["WEB", "WEB2", "WEB3"]), ("Website Relaunch", ["WR", "WR2", "WR3"]),
        ("Website Relaunch 2", ["WR2", "WR22", "WR23"]), ("A", ["A1", "A2", "A3"]), ("42", ["P1", "P2", "P3"]),
        ("2 go", ["G1", "G2", "G3"]), ("-- ! --", ["P1", "P2", "P3"]), ("\u{1F680}", ["P1", "P2", "P3"]),
        ("\u{DC}ber alles", ["UA", "UA2", "UA3"]), ("Проект", ["PRO", "PRO2", "PRO3"]),
        ("a b c d e f g h i j k l", ["ABCDEFGHIJ", "ABCDEFGHI2", "ABCDEFGHI3"]),
    ])
    func candidates(_ name: String, _ expected: [String]) {
        let keys = Array(ProjectKey.candidates(for: name).prefix(3))
        #expect(keys == expected)
        #expect(keys.allSatisfy { ProjectKey.isValid($0) })
    }

    @Test func thereIsAlwaysAnother() {
        let keys = Array(ProjectKey.candidates(for: "a b c d e f g h i j").prefix(2000))
        #expect(keys.allSatisfy { ProjectKey.isValid($0) })
        #expect(Set(keys).count > 1900)
    }

    @Test(arguments: ["AB", "A1", "ABCDEFGHIJ", "Z999999999"]) func good(_ key: String) {
        #expect(ProjectKey.isValid(key))
    }

    @Test(arguments: ["", "A", "a1", "1A", "AB_", "ABCDEFGHIJK", "\u{C4}B", "AB ", "\u{212A}A"]) func bad(_ key: String)
    {
        #expect(!ProjectKey.isValid(key))
    }
}

@Suite struct ProjectPatchTests {
    private let person = Person(id: UserID.make(milliseconds: 2), email: "b@x", name: "B", image: nil)
    private let stored: ProjectDetail = {
        let creator = Person(id: UserID.make(milliseconds: 1), email: "a@x", name: "A", image: nil)
        let moment = Timestamp(seconds: 1)
        let project = Project(
            id: ProjectID(1),
            key: "WEB",
            name: "Caf\u{E9}",
            description: "",
            status: .pending,
            taskVisibility: .project,
            createdBy: creator,
            updatedBy: creator,
            createdAt: moment,
            updatedAt: moment,
            deletedAt: nil,
            version: 5,
            revision: 3
        )
        return ProjectDetail(
            project: project,
            collaborators: [Collaborator(person: creator, addedAt: moment, addedBy: creator)]
        )
    }()

    @Test func listsDeclareWhatTheirRowsShow() {
        guard case .object(let members) = stored.project.json else { return }
        #expect(members.map(\.key) == Project.fieldNames)
    }

    @Test func onlyWhatChangesIsTold() throws {
        let now = Timestamp(seconds: 9)
        let same = ProjectPatch(name: "Caf\u{E9}", description: "", status: .pending, taskVisibility: .project)
        #expect(stored.project.applying(same, by: person, now: now) == nil)
        let patch = ProjectPatch(name: "Caf\u{E9}", status: .closed)
        let (project, event) = try #require(stored.project.applying(patch, by: person, now: now))
        #expect(
            project.version == 6 && project.revision == 4 && project.updatedBy == person && project.updatedAt == now
        )
        #expect(event.status == "CLOSED" && event.name == nil && event.taskVisibility == nil && event.revision == 4)
        // Canonically equivalent is not the same.
        let other = stored.project.applying(ProjectPatch(name: "Cafe\u{301}"), by: person, now: now)
        #expect(other?.event.name?.unicodeScalars.count == 5)
        #expect(stored.project.applying(ProjectPatch(description: "x"), by: person, now: now)?.event.name == nil)
    }

    private func codes(_ text: String, isComplete: Bool = false) -> [String] {
        do {
            _ = try ProjectRoutes.patch(try JSON(parsing: Array(text.utf8)), of: stored, isComplete: isComplete)
            return []
        } catch let failure as Failure {
            return failure.fields.map { "\($0.pointer ?? "") \($0.code)" }.sorted()
        } catch { return ["\(error)"] }
    }

    @Test func bodies() throws {
        // The whole answer may be sent back.
        let whole = String(decoding: stored.json.encoded(), as: UTF8.self)
        #expect(codes(whole, isComplete: true) == [])
        #expect(codes("{}", isComplete: true) == ["/name required"])
        #expect(codes(#"{"key": "NEW", "collaborators": []}"#) == ["/collaborators read-only", "/key read-only"])
        #expect(
            codes(#"{"name": null, "status": "pending", "x": 1}"#)
                == ["/name null", "/status not-a-choice", "/x unknown-field"]
        )
        let put = try ProjectRoutes.patch(
            try JSON(parsing: Array(#"{"name": "x"}"#.utf8)),
            of: stored,
            isComplete: true
        )
        #expect(put.status == nil && put.description == "" && put.taskVisibility == .collaborators)
    }
}
