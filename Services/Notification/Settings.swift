import Configuration
import Foundation
import ServiceKit

/// What this service reads from its settings, beside those every service has.
///
/// - `TASKFLOW_SMTP_URL`: string, none, secret; `smtp://user:password@host:587` or `smtps://...`. A password goes over
///   TLS only, except to this machine.
/// - `TASKFLOW_MAIL_DIRECTORY`: path, `.taskflow/mail`; where mails are written to, one `.eml` each, while there is no
///   `TASKFLOW_SMTP_URL`.
/// - `TASKFLOW_MAIL_FROM`: `Name <address>` or an address, `Taskflow <no-reply@` and the host of the public URL `>`.
/// - `TASKFLOW_REMINDER_INTERVAL`: seconds, 0.1...3600, 60; how often the reminder clock looks.
struct NotificationSettings: Sendable {
    /// How mails leave.
    enum Delivery: Sendable, Hashable {
        case smtp(SMTPServer)
        case directory(String)
    }

    let delivery: Delivery
    let from: Mailbox
    let reminderInterval: Duration

    init(_ config: ConfigReader, publicURL: String) throws {
        if let url = config.text("TASKFLOW_SMTP_URL", secret: true) {
            delivery = .smtp(try SMTPServer(url))
        } else {
            delivery = .directory(config.text("TASKFLOW_MAIL_DIRECTORY", default: ".taskflow/mail"))
        }
        if let text = config.text("TASKFLOW_MAIL_FROM") {
            guard let mailbox = Mailbox(text) else {
                throw SettingError(
                    "TASKFLOW_MAIL_FROM is \"\(text)\"; give an address: Taskflow <no-reply@taskflow.example>."
                )
            }
            from = mailbox
        } else {
            let host = URLComponents(string: publicURL)?.host ?? ""
            let isName = host.contains(where: \.isLetter) && !host.contains(":")
            from = Mailbox(name: "Taskflow", address: "no-reply@\(isName ? host : "localhost")")
        }
        reminderInterval = try config.seconds("TASKFLOW_REMINDER_INTERVAL", default: 60, in: 0.1...3600)
    }

    /// What mails leave by.
    var transport: any MailTransport {
        switch delivery {
        case .smtp(let server): SMTPTransport(server: server, domain: from.domain)
        case .directory(let path): DirectoryTransport(directory: path)
        }
    }
}
