import Chronology
import Foundation
import Identity
import ServiceKit

/// Puts letters into words. The tokens of links are made here, at the last moment, and are kept nowhere.
struct LetterRenderer: Sendable {
    /// The origin in every link.
    let publicURL: String
    let from: Mailbox
    let linkKey: [UInt8]
    let unsubscribeToken: UnsubscribeToken

    /// The mail for a letter; nil if there is no address that it could go to.
    func message(_ mail: QueuedMail, _ content: MailContent) -> MailMessage? {
        guard let email = content.email, Mailbox.isPlain(email) else { return nil }
        let unsubscribeURL = unsubscribeURL(mail, content.letter)
        let words = words(for: content.letter, to: content.firstName)
        let name = [content.firstName, content.lastName].compactMap { $0 }.joined(separator: " ")
        return MailMessage(
            from: from,
            to: Mailbox(name: name.isEmpty ? nil : name, address: email),
            subject: words.subject,
            messageID: "\(mail.event).\(mail.kind).\(mail.recipient.uuidString.lowercased())@\(from.domain)",
            date: mail.createdAt,
            unsubscribeURL: unsubscribeURL,
            text: MailLayout.text(words, unsubscribeURL: unsubscribeURL),
            html: MailLayout.html(words, unsubscribeURL: unsubscribeURL)
        )
    }

    private func unsubscribeURL(_ mail: QueuedMail, _ letter: Letter) -> String? {
        guard let organization = mail.organization, let kind = letter.noticeKind else { return nil }
        let token = unsubscribeToken.make(
            UnsubscribeRequest(organization: organization, user: UserID(mail.recipient), kind: kind)
        )
        return "\(publicURL)/api/notifications/unsubscribe/\(token)/"
    }

    private func url(_ link: Letter.Link, _ page: String) -> String {
        let token = LinkToken.make(
            key: linkKey,
            purpose: link.purpose,
            request: link.request,
            expiresAt: link.expiresAt.seconds
        )
        return "\(publicURL)/api/account/\(page)/\(link.account)/\(token)/"
    }

    private func goodUntil(_ link: Letter.Link) -> String {
        "The link can be used once, until \(EnglishDate.text(link.expiresAt, in: .gmt))."
    }

    /// What each letter says.
    private func words(for letter: Letter, to firstName: String?) -> MailWords {
        var words = MailWords(subject: "", greeting: firstName.map { "Hello \(HeaderText.oneLine($0))," } ?? "Hello,")
        switch letter {
        case .verifyEmail(let link):
            words.subject = "Confirm your e-mail address for Taskflow"
            words.add("Somebody, hopefully you, signed up for Taskflow with this address.")
            words.add("If it was you, please confirm that the address is yours, and choose your password.")
            words.add(link: url(link, "verify-email"), "Confirm this address")
            words.add(goodUntil(link))
            words.add("If it was not you, do not follow the link: without it nothing happens.")
        case .resetPassword(let link):
            words.subject = "Reset your Taskflow password"
            words.add("Somebody, hopefully you, asked for a new password of your Taskflow account.")
            words.add(link: url(link, "request-reset-password"), "Choose a new password")
            words.add(goodUntil(link))
            words.add("If it was not you, ignore this mail: your password stays as it is.")
        case .activate(let link):
            words.subject = "Set your Taskflow password"
            words.add("Your Taskflow account is waiting for its password.")
            words.add(link: url(link, "request-reset-password"), "Set your password")
            words.add(goodUntil(link))
        case .accountExists:
            words.subject = "You have a Taskflow account already"
            words.add("Somebody tried to sign up for Taskflow with your address. You have an account already.")
            words.add("Log in with your password, or ask for a new one if you have forgotten it.")
            words.add("If it was not you, there is nothing to do: nothing was changed.")
        case .passwordChanged(let byLink):
            words.subject = "Your Taskflow password was changed"
            words.add(
                byLink
                    ? "A new password was set with a link that we mailed to you. All sessions were ended."
                    : "Your password was changed by someone who was logged in and knew the old one."
            )
            words.add("If it was not you, ask for a password reset at once.")
        case .sessionReused:
            words.subject = "One of your Taskflow sessions was ended"
            words.add(
                "A session's token was used a second time after it had been replaced. This can mean that somebody "
                    + "has copied it, so the session was ended."
            )
            words.add("Log in again to go on. If this happens often, change your password.")
        case .welcome(let organization, let link):
            words.subject = "Welcome to \(organization) on Taskflow"
            words.add("You are now a user of \(organization) on Taskflow, where projects and tasks are kept.")
            if let link {
                words.add("Set your password to begin.")
                words.add(link: url(link, "request-reset-password"), "Set your password")
                words.add(goodUntil(link))
            } else {
                words.add("Log in with the password that you have already.")
            }
        case .projectAdded(let project, let by):
            words.subject = "You were added to the project \(project)"
            words.add("\(by ?? "Someone") made you a collaborator of the project \(project).")
        case .taskAssigned(let task, let by):
            words.subject = "\(task.key) is yours: \(task.title)"
            words.add("\(by ?? "Someone") made you a collaborator of this task.")
            words.add(tasks: [Letter.TaskGroup(project: nil, tasks: [task])])
        case .taskOverdue(let task):
            words.subject = "Overdue: \(task.key) \(task.title)"
            words.add("This task has passed its due date.")
            words.add(tasks: [Letter.TaskGroup(project: nil, tasks: [task])])
        case .dailyReminder(let groups, let total):
            words.subject = total == 1 ? "Reminder: your open task" : "Reminder: your \(total) open tasks"
            words.add("These are the open tasks you work on.")
            words.add(tasks: groups)
            let shown = groups.reduce(0) { $0 + $1.tasks.count }
            if shown < total { words.add("And \(total - shown) more.") }
        }
        words.subject = String(String.UnicodeScalarView(HeaderText.oneLine(words.subject).unicodeScalars.prefix(150)))
        return words
    }
}

/// A mail's words before they are laid out.
struct MailWords: Sendable {
    enum Block: Sendable {
        case paragraph(String)
        case link(url: String, label: String)
        case tasks([Letter.TaskGroup])
    }

    var subject: String
    var greeting: String
    var blocks: [Block] = []

    mutating func add(_ paragraph: String) { blocks.append(.paragraph(HeaderText.oneLine(paragraph))) }
    mutating func add(link url: String, _ label: String) { blocks.append(.link(url: url, label: label)) }
    mutating func add(tasks groups: [Letter.TaskGroup]) { blocks.append(.tasks(groups)) }
}
