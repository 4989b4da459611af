import Chronology
import Foundation
import Identity

/// Someone who may be told something.
struct Reader: Sendable {
    var user: UserID
    /// True as well while nothing is known of them yet.
    var isActive: Bool
    var preferences: Preferences
    /// Theirs, else the organization's.
    var zone: TimeZone
}

/// A task as the replica has it.
struct KnownTask: Sendable {
    /// Someone on it.
    struct Collaborator: Sendable {
        var user: UserID
        /// True as well while nothing is known of them yet.
        var isActive: Bool
    }

    var id: TaskID
    var project: ProjectID
    var key: String
    var title: String
    var priority: String
    var due: DueDate?
    var createdBy: UserID
    var collaborators: [Collaborator]

    /// Who hears that it is overdue: its collaborators, or its creator if it has none who could read it.
    var overdueReaders: [UserID] {
        let active = collaborators.filter(\.isActive).map(\.user)
        return active.isEmpty ? [createdBy] : active
    }

    /// As a mail shows it to someone in a zone.
    func line(in zone: TimeZone) -> Letter.TaskLine {
        Letter.TaskLine(
            key: key,
            title: title,
            priority: priority,
            due: due.map { EnglishDate.text($0, in: zone) }
        )
    }
}

/// A mail that a sender has claimed.
struct QueuedMail: Sendable, Hashable {
    var event: EventID
    /// The user, of an account's mail the account.
    var recipient: UUID
    var kind: String
    /// Nil for an account's.
    var organization: OrganizationID?
    /// How often it was claimed, this time included.
    var attempts: Int
    var createdAt: Timestamp
}

/// What a mail says and to whom, as of the moment of sending.
struct MailContent: Sendable {
    var letter: Letter
    /// Nil while the event that tells the user's address is still on its way.
    var email: String?
    var firstName: String?
    var lastName: String?
    var isActive: Bool
    var mutedMail: Set<NoticeKind>
}
