import Chronology
import Events
import Foundation
import Identity

@testable import Messaging

/// One event of every type, with every field set; what the golden files hold.
enum Samples {
    private static let account = AccountID(id(1))
    private static let user = UserID(id(2))
    private static let other = UserID(id(3))
    private static let link = EventID(id(4))
    private static let session = SessionID(id(5))
    private static let moment = Timestamp(microseconds: 1_764_581_400_123_456)
    private static let later = Timestamp(microseconds: 1_764_582_000_000_000)

    private static func id(_ last: UInt8) -> UUID {
        UUID(uuid: (0x01, 0x93, 0x80, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, last))
    }

    private static let profile = UserProfile(
        user: user,
        revision: 3,
        email: "ada@example.org",
        firstName: "Ada",
        lastName: "Lovelace",
        role: .manager,
        department: DepartmentID(4),
        departmentName: "Engines",
        isActive: true,
        profileImage: "https://example.org/media/ada.png",
        createdAt: moment,
        updatedAt: later
    )

    private static let summary = TaskSummary(
        key: "WEB-42",
        project: ProjectID(7),
        parent: TaskID(41),
        title: "Läuft \"gut\" / 10 %",
        priority: "HIGH",
        status: "IN_PROGRESS",
        startDate: CivilDate(year: 2026, month: 12, day: 1).map { EventDate(day: $0) },
        dueDate: EventDate(moment: later),
        createdBy: user
    )

    static let auth: [any Event] = [
        OrganizationFounded(
            account: account,
            user: user,
            email: "ada@example.org",
            firstName: "Ada",
            lastName: "Lovelace",
            organizationName: "Analytical Engines"
        ),
        LinkRequested(
            account: account,
            email: "ada@example.org",
            firstName: "Ada",
            purpose: .resetPassword,
            request: link,
            expiresAt: later
        ),
        SignUpRepeated(account: account, email: "ada@example.org"),
        MembershipAttached(
            account: account,
            user: user,
            email: "ada@example.org",
            firstName: "Ada",
            organizationName: "Analytical Engines",
            activation: link,
            activationExpiresAt: later
        ),
        PasswordChanged(account: account, email: "ada@example.org", firstName: "Ada", byLink: true),
        SessionRevoked(account: account, email: "ada@example.org", session: session, reason: .passwordChange),
    ]

    static let organization: [any Event] = [
        OrganizationUpdated(
            revision: 2,
            name: "Analytical Engines",
            timeZone: "Europe/London",
            reminderHour: 9,
            updatedAt: later
        ),
        OrganizationDeleted(),
        UserCreated(profile: profile),
        UserUpdated(profile: profile),
    ]

    static let project: [any Event] = [
        ProjectCreated(
            project: ProjectID(7),
            revision: 1,
            key: "WEB",
            name: "Web",
            status: "PENDING",
            taskVisibility: "collaborators",
            createdBy: user
        ),
        ProjectUpdated(
            project: ProjectID(7),
            revision: 2,
            name: "Web 2",
            status: "IN_PROGRESS",
            taskVisibility: "project"
        ),
        ProjectDeleted(project: ProjectID(7), revision: 3, deletedAt: later),
        ProjectRestored(project: ProjectID(7), revision: 4),
        ProjectPurged(project: ProjectID(7), revision: 5),
        ProjectCollaboratorAdded(project: ProjectID(7), revision: 5, user: other, isCreator: false),
        ProjectCollaboratorRemoved(project: ProjectID(7), revision: 6, user: other),
    ]

    static let task: [any Event] = [
        TaskCreated(task: TaskID(42), revision: 1, summary: summary, collaborators: [user, other]),
        TaskUpdated(task: TaskID(42), revision: 2, changed: ["title", "due_date"], summary: summary),
        TaskOverdue(task: TaskID(42), revision: 3),
        TaskDeleted(task: TaskID(42), revision: 4),
        TaskRestored(task: TaskID(42), revision: 5),
        TaskPurged(task: TaskID(42), revision: 6),
        TaskCollaboratorAdded(task: TaskID(42), revision: 6, user: other),
        TaskCollaboratorRemoved(task: TaskID(42), revision: 7, user: other),
    ]

    static let all = auth + organization + project + task
}

/// The text of a golden file: the payload with a line for each member.
func golden(_ payload: [UInt8]) throws -> String {
    let object = try JSONSerialization.jsonObject(with: Data(payload))
    let data = try JSONSerialization.data(
        withJSONObject: object,
        options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    )
    return String(decoding: data, as: UTF8.self) + "\n"
}
