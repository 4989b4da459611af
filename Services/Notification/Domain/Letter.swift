import Chronology
import Foundation
import Identity

/// What a mail says, before it is put into words; kept from the event to the sending. It names the request behind a
/// link but not the link's token: that is a secret and made when the mail is written.
enum Letter: Sendable, Codable, Hashable {
    case verifyEmail(Link)
    case resetPassword(Link)
    case activate(Link)
    case accountExists
    case passwordChanged(byLink: Bool)
    case sessionReused
    /// Without a link to someone who has a password already.
    case welcome(organization: String, link: Link?)
    case projectAdded(project: String, by: String?)
    case taskAssigned(task: TaskLine, by: String?)
    case taskOverdue(task: TaskLine)
    case dailyReminder(groups: [TaskGroup], total: Int)

    /// A link that does something for an account, once.
    struct Link: Sendable, Codable, Hashable {
        var account: AccountID
        var request: EventID
        /// What the token was made for, as the event of the request names it.
        var purpose: String
        var expiresAt: Timestamp
    }

    /// A task in a mail.
    struct TaskLine: Sendable, Codable, Hashable {
        var key: String
        var title: String
        var priority: String
        /// Written out in the reader's time zone.
        var due: String?
    }

    /// The tasks of one project.
    struct TaskGroup: Sendable, Codable, Hashable {
        /// Nil where the letter is about one task.
        var project: String?
        var tasks: [TaskLine]
    }

    /// The name of its kind, in the queue, in file names and in Message-IDs.
    var kind: String {
        switch self {
        case .verifyEmail: "verify-email"
        case .resetPassword: "reset-password"
        case .activate: "activate"
        case .accountExists: "account-exists"
        case .passwordChanged: "password-changed"
        case .sessionReused: "session-reused"
        case .welcome: "welcome"
        case .projectAdded, .taskAssigned, .taskOverdue, .dailyReminder: noticeKind?.rawValue ?? ""
        }
    }

    /// The kind that preferences know it by; nil for what cannot be switched off.
    var noticeKind: NoticeKind? {
        switch self {
        case .projectAdded: .projectAdded
        case .taskAssigned: .taskAssigned
        case .taskOverdue: .taskOverdue
        case .dailyReminder: .dailyReminder
        default: nil
        }
    }

    /// When it is of no use any more.
    var expiresAt: Timestamp? {
        switch self {
        case .verifyEmail(let link), .resetPassword(let link), .activate(let link), .welcome(_, let link?):
            link.expiresAt
        default: nil
        }
    }
}

/// What a notice in the app says.
struct NoticeText: Sendable, Hashable {
    var title: String
    var body: String

    /// Nil for letters that only go by mail.
    init?(_ letter: Letter) {
        switch letter {
        case .projectAdded(let project, let by):
            title = "You were added to \(project)"
            body = "\(by ?? "Someone") made you a collaborator of the project \(project)."
        case .taskAssigned(let task, let by):
            title = "\(task.key) was assigned to you"
            body = "\(by ?? "Someone") made you a collaborator of \(task.key) \(task.title).\(NoticeText.due(task))"
        case .taskOverdue(let task):
            title = "\(task.key) is overdue"
            body = "\(task.key) \(task.title) has passed its due date.\(NoticeText.due(task))"
        case .dailyReminder(let groups, let total):
            title = total == 1 ? "You have 1 open task" : "You have \(total) open tasks"
            body = groups.map { group in
                "\(group.project ?? ""): \(group.tasks.map { "\($0.key) \($0.title)" }.joined(separator: ", "))"
            }.joined(separator: "\n")
        default: return nil
        }
    }

    private static func due(_ task: Letter.TaskLine) -> String { task.due.map { " It is due \($0)." } ?? "" }
}
