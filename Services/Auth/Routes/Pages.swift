import Failures
import HTTPTypes
import Hummingbird
import ServiceKit

/// The few pages that people see who follow a mailed link. No script, nothing from elsewhere; a GET consumes nothing, so
/// that the scanners of mail servers, which follow every link, use none up.
struct Pages: Sendable {
    private static let style = """
        body{font:16px/1.5 system-ui,sans-serif;color:#1c2733;background:#f4f6f8;margin:0;padding:8vh 1rem}
        main{max-width:26rem;margin:auto;background:#fff;border:1px solid #d9dfe5;border-radius:8px;padding:2rem}
        h1{font-size:1.25rem;margin:0 0 1rem}label{display:block;margin:1rem 0 .25rem;font-weight:600}
        input{width:100%;box-sizing:border-box;font:inherit;padding:.5rem;border:1px solid #8795a3;border-radius:4px}
        button{margin-top:1.5rem;font:inherit;font-weight:600;color:#fff;background:#1f5fbf;border:0;border-radius:4px;padding:.6rem 1.2rem}
        .wrong{color:#a11a1a}
        """
    private static let policy = PagePolicy.allowing(style: style)

    let passwordMinimum: Int

    /// The form that sets a password, with what was wrong the last time.
    func passwordForm(wrong: [FieldFailure] = []) -> Response {
        form(
            "Set your password",
            before: "",
            after: "All sessions end, and you log in with the new password.",
            button: "Set password",
            wrong: wrong
        )
    }

    /// Two fields for one password, and a button.
    private func form(
        _ title: String,
        before: String,
        after: String,
        button: String,
        wrong: [FieldFailure]
    ) -> Response {
        func complaint(_ pointer: String) -> String {
            wrong.filter { $0.pointer == pointer }
                .map { "<p class=\"wrong\" role=\"alert\">\(Pages.escape($0.detail))</p>" }.joined()
        }
        return page(
            title,
            """
            \(before)<form method="post">
            <label for="password1">New password</label>
            <input id="password1" name="password1" type="password" autocomplete="new-password" minlength="\(passwordMinimum)" required>
            \(complaint("/password1"))
            <label for="password2">Once more</label>
            <input id="password2" name="password2" type="password" autocomplete="new-password" required>
            \(complaint("/password2"))
            <p>At least \(passwordMinimum) characters. \(after)</p>
            <button type="submit">\(button)</button>
            </form>
            """,
            status: wrong.isEmpty ? .ok : .unprocessableContent
        )
    }

    /// Said once a password is set.
    func passwordSet() -> Response {
        page("Your password is set", "<p>You can log in with it now. A notice has been sent to your address.</p>")
    }

    /// The form that proves an address. It asks for a password, because the sign-up may have been a stranger's.
    func verificationForm(wrong: [FieldFailure] = []) -> Response {
        form(
            "Confirm your address",
            before: """
                <p>This finishes a sign-up to Taskflow with your address. If you did not ask for it, close this page:
                nothing happens then.</p>

                """,
            after: "It takes the place of the one given at the sign-up.",
            button: "Confirm",
            wrong: wrong
        )
    }

    /// Said once an address is proved.
    func verified() -> Response {
        page("Your address is confirmed", "<p>Your organization is there. You can log in now.</p>")
    }

    /// What went wrong, for people.
    func problem(_ failure: Failure) -> Response {
        let problem = Problem(failure)
        var response = page("This did not work", "<p>\(Pages.escape(failure.detail))</p>", status: problem.status)
        response.headers[.retryAfter] = problem.headers[.retryAfter]
        return response
    }

    private func page(_ title: String, _ body: String, status: HTTPResponse.Status = .ok) -> Response {
        Reply.html(
            """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>\(title) - Taskflow</title><style>\(Pages.style)</style></head>
            <body><main><h1>\(title)</h1>
            \(body)
            </main></body></html>
            """,
            status: status,
            policy: Pages.policy
        )
    }

    private static func escape(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
    }
}
