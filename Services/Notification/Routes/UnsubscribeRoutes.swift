import Crypto
import Failures
import Foundation
import HTTPTypes
import Hummingbird
import ServiceKit

/// The link at the foot of a mail. No login: the token says who stops which kind of mail, and can do nothing else.
struct UnsubscribeRoutes: Sendable {
    let desk: NotificationDesk
    let tokens: UnsubscribeToken

    func add(to routes: some RouterMethods<AppContext>) {
        routes.get("/api/notifications/unsubscribe/{token}", use: ask)
        routes.post("/api/notifications/unsubscribe/{token}", use: unsubscribe)
    }

    /// A page with a button. Programs that look at links in mails change nothing by it.
    @Sendable private func ask(_ request: Request, _ context: AppContext) async throws -> Response {
        _ = try request.parameters(only: [])
        return try await withPage(for: request) {
            let kind = try tokens.open(try context.text("token")).kind
            return UnsubscribePage.answer(
                """
                <h1>Stop these mails?</h1>
                <p>You will get no more mails \(kind.subject). Notices in the app go on.</p>
                <form method="post"><button type="submit">Stop these mails</button></form>
                """
            )
        }
    }

    /// What the button and a mail client's own one (RFC 8058) do. Any body will do: the path says it all.
    @Sendable private func unsubscribe(_ request: Request, _ context: AppContext) async throws -> Response {
        _ = try request.parameters(only: [])
        _ = try await request.bodyBytes(limit: 16_384)
        return try await withPage(for: request) {
            let asked = try tokens.open(try context.text("token"))
            try await desk.unsubscribe(asked)
            guard isFromBrowser(request) else {
                return Reply.json(
                    .object([("kind", .string(asked.kind.rawValue)), ("mail", .bool(false))]),
                    noStore: true
                )
            }
            return UnsubscribePage.answer(
                """
                <h1>Done</h1>
                <p>You will get no more mails \(asked.kind.subject).</p>
                """
            )
        }
    }

    /// A link that is not good is answered with a page where a person looks, with a problem where a program does.
    private func withPage(for request: Request, _ work: () async throws -> Response) async throws -> Response {
        do {
            return try await work()
        } catch let failure as Failure
            where failure.code == UnsubscribeRequest.invalidLink.code && isFromBrowser(request)
        {
            return UnsubscribePage.answer(
                """
                <h1>This link is not good</h1>
                <p>It may have been cut off, or what it was for is gone. Take the link of a newer mail.</p>
                """,
                status: .badRequest
            )
        }
    }

    private func isFromBrowser(_ request: Request) -> Bool {
        request.headers[.accept]?.contains("text/html") == true
    }
}

extension NoticeKind {
    /// Completes "no more mails".
    fileprivate var subject: String {
        switch self {
        case .projectAdded: "about projects you are added to"
        case .taskAssigned: "about tasks that are assigned to you"
        case .taskOverdue: "about overdue tasks"
        case .dailyReminder: "with your open tasks of the day"
        }
    }
}

/// Pages for people, without scripts and with one style that the policy names by its hash.
private enum UnsubscribePage {
    private static let style =
        "body{color:#1d2429;font:16px/1.5 system-ui,sans-serif;margin:10vh auto;max-width:32em;padding:0 1em}"
        + "button{background:#1f5f8b;border:0;border-radius:4px;color:#fff;font:inherit;padding:10px 18px}"
    private static let policy: String = {
        let hash = Data(SHA256.hash(data: Data(style.utf8))).base64EncodedString()
        return "default-src 'none'; style-src 'sha256-\(hash)'; form-action 'self'; base-uri 'none'; "
            + "frame-ancestors 'none'"
    }()

    static func answer(_ body: String, status: HTTPResponse.Status = .ok) -> Response {
        Reply.html(
            """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <meta name="robots" content="noindex">
            <title>Mails from Taskflow</title>
            <style>\(style)</style>
            </head>
            <body>
            \(body)
            </body>
            </html>

            """,
            status: status,
            policy: policy
        )
    }
}
