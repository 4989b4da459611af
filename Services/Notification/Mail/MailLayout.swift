/// The one look of all mails, as text and as HTML. Everything from outside is escaped here.
enum MailLayout {
    private static let footer = "Taskflow sent this mail automatically; answers are not read."
    private static let unsubscribe = "To get no more mails of this kind:"

    static func text(_ words: MailWords, unsubscribeURL: String?) -> String {
        var parts = [words.greeting]
        for block in words.blocks {
            switch block {
            case .paragraph(let paragraph): parts.append(paragraph)
            case .link(let url, _): parts.append(url)
            case .tasks(let groups):
                for group in groups {
                    var lines = group.project.map { [HeaderText.oneLine($0)] } ?? []
                    lines += group.tasks.map { "  \(HeaderText.oneLine("\($0.key) \($0.title)"))\n    \(detail($0))" }
                    parts.append(lines.joined(separator: "\n"))
                }
            }
        }
        parts.append("--\n\(footer)")
        if let unsubscribeURL { parts.append("\(unsubscribe)\n\(unsubscribeURL)") }
        return parts.joined(separator: "\n\n") + "\n"
    }

    static func html(_ words: MailWords, unsubscribeURL: String?) -> String {
        var body = "<p>\(escaped(words.greeting))</p>\n"
        for block in words.blocks {
            switch block {
            case .paragraph(let paragraph): body += "<p>\(escaped(paragraph))</p>\n"
            case .link(let url, let label):
                body += """
                    <p style="margin:24px 0"><a href="\(escaped(url))" \
                    style="background:#1f5f8b;border-radius:4px;color:#ffffff;padding:10px 18px;text-decoration:none">\
                    \(escaped(label))</a></p>

                    """
            case .tasks(let groups): body += groups.map(html).joined()
            }
        }
        var foot = escaped(footer)
        if let unsubscribeURL {
            foot +=
                "<br>\n\(escaped(unsubscribe)) <a href=\"\(escaped(unsubscribeURL))\" style=\"color:#5b6770\">here</a>"
        }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <title>\(escaped(words.subject))</title>
            </head>
            <body style="background:#f3f5f7;margin:0;padding:24px">
            <div style="background:#ffffff;border-radius:6px;color:#1d2429;\
            font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:600px;padding:24px">
            <p style="color:#1f5f8b;font-weight:bold;margin-top:0">Taskflow</p>
            \(body)<p style="border-top:1px solid #dde3e8;color:#5b6770;font-size:13px;padding-top:12px">\(foot)</p>
            </div>
            </body>
            </html>

            """
    }

    private static func html(_ group: Letter.TaskGroup) -> String {
        let heading = group.project.map { "<h2 style=\"font-size:16px;margin:20px 0 4px\">\(escaped($0))</h2>\n" } ?? ""
        let items = group.tasks.map { task in
            """
            <li style="margin:6px 0"><strong>\(escaped(task.key))</strong> \(escaped(task.title))<br>
            <span style="color:#5b6770;font-size:14px">\(escaped(detail(task)))</span></li>

            """
        }
        return "\(heading)<ul style=\"margin:0;padding-left:20px\">\n\(items.joined())</ul>\n"
    }

    /// `High priority, due Tue, 1 Dec 2026`.
    private static func detail(_ task: Letter.TaskLine) -> String {
        let priority = "\(task.priority.prefix(1))\(task.priority.dropFirst().lowercased()) priority"
        return task.due.map { "\(priority), due \($0)" } ?? priority
    }

    /// Text that can stand in an element and in an attribute's quotes.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
