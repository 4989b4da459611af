import CCurl
import Chronology
import Foundation
import Identity
import ServiceKit
import Testing

@testable import NotificationService

@Suite struct MailMessageTests {
    func message(
        subject: String = "Hi",
        to: Mailbox = Mailbox(name: nil, address: "ada@example.com"),
        text: String = "Hi\n",
        html: String = "<p>Hi</p>\n",
        unsubscribe: String? = nil
    ) -> MailMessage {
        MailMessage(
            from: Mailbox(name: "Taskflow", address: "no-reply@taskflow.example"),
            to: to,
            subject: subject,
            messageID: "0196.welcome.0197@taskflow.example",
            date: Timestamp(seconds: 1_796_117_400),
            unsubscribeURL: unsubscribe,
            text: text,
            html: html
        )
    }

    func lines(_ message: MailMessage) -> [String] {
        String(decoding: message.encoded(), as: UTF8.self).components(separatedBy: "\r\n")
    }

    @Test func isOfTwoPartsAndEndsItsLinesInCRLF() {
        let bytes = message(unsubscribe: "https://t.example/u/").encoded()
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == [
                    "Date: Tue, 01 Dec 2026 09:30:00 +0000", "From: \"Taskflow\" <no-reply@taskflow.example>",
                    "To: ada@example.com", "Subject: Hi", "Message-ID: <0196.welcome.0197@taskflow.example>",
                    "List-Unsubscribe: <https://t.example/u/>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
                    "Auto-Submitted: auto-generated", "MIME-Version: 1.0",
                    "Content-Type: multipart/alternative; boundary=\"=_taskflow_0196_=\"", "", "--=_taskflow_0196_=",
                    "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 7bit", "", "Hi", "",
                    "--=_taskflow_0196_=", "Content-Type: text/html; charset=utf-8",
                    "Content-Transfer-Encoding: quoted-printable", "", "<p>Hi</p>", "", "--=_taskflow_0196_=--", "",
                ].joined(separator: "\r\n")
        )
    }

    @Test func subjectsBeyondASCIIAreEncodedWordsOfWholeCodePoints() {
        let subject = String(repeating: "Grüße 𝄞 ", count: 20)
        let header = lines(message(subject: subject)).drop { !$0.hasPrefix("Subject: ") }
            .prefix { $0.hasPrefix("Subject: ") || $0.hasPrefix(" ") }
        #expect(header.allSatisfy { $0.utf8.count <= 90 && $0.utf8.allSatisfy { $0 < 0x80 } })
        let decoded = header.map { line -> String in
            let word = line.replacing("Subject: ", with: "").trimmingCharacters(in: .whitespaces)
            #expect(word.hasPrefix("=?utf-8?B?") && word.hasSuffix("?=") && word.utf8.count <= 75)
            let data = Data(base64Encoded: String(word.dropFirst(10).dropLast(2))) ?? Data()
            // Strictly: a code point cut in two would be lost here.
            return String(data: data, encoding: .utf8) ?? "?"
        }.joined()
        #expect(decoded == subject.trimmingCharacters(in: .whitespaces))
    }

    @Test(arguments: [
        "a\r\nBcc: eve@example.com", "a\nBcc: eve@example.com", "a\u{2028}Bcc: x", "a\u{0}b", "=?utf-8?B?AA?=",
    ])
    func nothingFromOutsideBeginsAHeader(_ text: String) {
        let hostile = Mailbox(name: text, address: "ada@example.com")
        let all = lines(message(subject: text, to: hostile))
        #expect(!all.contains { $0.hasPrefix("Bcc") })
        #expect(all.filter { $0.hasPrefix("Subject:") || $0.hasPrefix("To:") }.count == 2)
        #expect(!all.contains { $0.contains("?B?AA?=") })
    }

    @Test func quotesInNamesAreEscaped() {
        let name = Mailbox(name: #"Ada "The" \Countess"#, address: "ada@example.com")
        #expect(HeaderText.mailbox(name) == #""Ada \"The\" \\Countess" <ada@example.com>"#)
    }

    @Test func aLinkStaysWholeOnALineOfItsOwn() {
        let link = "https://taskflow.example/api/account/x/" + String(repeating: "a", count: 300) + "/"
        let all = lines(message(text: "Grüße " + String(repeating: "wort ", count: 40) + "\n\n\(link)\n"))
        #expect(all.contains(link))
        #expect(all.contains("Content-Transfer-Encoding: 8bit"))
        #expect(all.allSatisfy { $0.utf8.count <= 990 })
    }

    @Test func noLineOfTheTextIsTooLong() {
        let all = TextLines.wrapped(String(repeating: "𝄞", count: 5000) + " end")
        #expect(all.allSatisfy { $0.utf8.count <= 990 })
        #expect(all.joined().replacing(" ", with: "") == String(repeating: "𝄞", count: 5000) + "end")
        let title = "http" + String(repeating: "😀", count: 251)
        #expect(TextLines.wrapped("You were added to \(title).").allSatisfy { $0.utf8.count <= 990 })
    }

    @Test func quotedPrintableComesBack() {
        let text = "a=b é 𝄞 \ttrailing \nnext\n" + String(repeating: "x", count: 200)
        let lines = QuotedPrintable.lines(text)
        #expect(lines.allSatisfy { $0.utf8.count <= 76 && !$0.hasSuffix(" ") && !$0.hasSuffix("\t") })
        var bytes: [UInt8] = []
        for line in lines {
            var rest = Array(line.utf8)[...]
            var isSoft = false
            while let byte = rest.popFirst() {
                if byte != UInt8(ascii: "=") {
                    bytes.append(byte)
                } else if rest.isEmpty {
                    isSoft = true
                } else {
                    bytes.append(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) ?? 0)
                    rest = rest.dropFirst(2)
                }
            }
            if !isSoft { bytes.append(0x0A) }
        }
        #expect(String(decoding: bytes, as: UTF8.self) == text + "\n")
    }

    @Test(arguments: [
        ("ada@example.com", nil, "ada@example.com"), ("Task Flow <a@b.example>", "Task Flow", "a@b.example"),
        ("\"Q\" <a@b.example>", "Q", "a@b.example"),
    ])
    func mailboxesAreRead(_ text: String, _ name: String?, _ address: String) {
        #expect(Mailbox(text) == Mailbox(name: name, address: address))
    }

    @Test(arguments: [
        "", "ada", "a b@example.com", "a@b@c", "<a@b", "a@b\r\nRCPT TO:<c@d>", "a@", "@b", "é@example.com",
    ])
    func otherTextIsNoMailbox(_ text: String) {
        #expect(Mailbox(text) == nil)
    }
}

@Suite struct LetterTests {
    static let account = AccountID(UUID())
    static let link = Letter.Link(
        account: account,
        request: EventID(UUID()),
        purpose: "reset-password",
        expiresAt: Timestamp(seconds: 1_796_117_400)
    )
    static let task = Letter.TaskLine(key: "WEB-42", title: "<em>&\"'", priority: "HIGH", due: "Tue, 1 Dec 2026")
    static let all: [Letter] = [
        .verifyEmail(link), .resetPassword(link), .activate(link), .accountExists, .passwordChanged(byLink: true),
        .passwordChanged(byLink: false), .sessionReused, .welcome(organization: "<kbd>Org", link: link),
        .welcome(organization: "Org", link: nil), .projectAdded(project: "<script>", by: "A & B"),
        .taskAssigned(task: task, by: nil), .taskOverdue(task: task),
        .dailyReminder(groups: [Letter.TaskGroup(project: "<p>", tasks: [task])], total: 3),
    ]
    let renderer = LetterRenderer(
        publicURL: "https://taskflow.example",
        from: Mailbox(name: "Taskflow", address: "no-reply@taskflow.example"),
        linkKey: [UInt8](repeating: 1, count: 32),
        unsubscribeToken: UnsubscribeToken(key: [UInt8](repeating: 2, count: 32))
    )

    func message(_ letter: Letter, email: String? = "ada@example.com") -> MailMessage? {
        let isAccount = letter.noticeKind == nil && letter.kind != "welcome"
        return renderer.message(
            QueuedMail(
                event: EventID(UUID()),
                recipient: UUID(),
                kind: letter.kind,
                organization: isAccount ? nil : OrganizationID(UUID()),
                attempts: 1,
                createdAt: Timestamp(seconds: 0)
            ),
            MailContent(
                letter: letter,
                email: email,
                firstName: "Ada",
                lastName: nil,
                isActive: true,
                mutedMail: []
            )
        )
    }

    @Test(arguments: all) func comesBackFromStorage(_ letter: Letter) throws {
        #expect(try JSONDecoder().decode(Letter.self, from: JSONEncoder().encode(letter)) == letter)
        #expect(!letter.kind.isEmpty)
    }

    @Test(arguments: all) func isEscapedInHTML(_ letter: Letter) throws {
        let message = try #require(self.message(letter))
        for tag in ["<em", "<script", "<kbd"] { #expect(!message.html.contains(tag)) }
        #expect(!message.html.contains("<title></title>"))
        #expect(!message.subject.isEmpty && !message.subject.contains("\n"))
    }

    @Test(arguments: all) func onlyWhatCanBeSwitchedOffSaysHow(_ letter: Letter) throws {
        let message = try #require(self.message(letter))
        #expect((message.unsubscribeURL != nil) == (letter.noticeKind != nil))
        if let url = message.unsubscribeURL {
            #expect(url.hasPrefix("https://taskflow.example/api/notifications/unsubscribe/"))
            #expect(message.text.components(separatedBy: "\n").contains(url))
        }
        #expect(message.messageID.hasSuffix(".\(letter.kind).\(message.messageID.split(separator: ".")[2])") == false)
        #expect(message.messageID.contains(".\(letter.kind)."))
    }

    @Test func linksStandAloneAndAreMadeForTheirPurpose() throws {
        for (letter, page) in [
            (Letter.resetPassword(Self.link), "request-reset-password"), (.verifyEmail(Self.link), "verify-email"),
            (.welcome(organization: "Org", link: Self.link), "request-reset-password"),
        ] {
            let text = try #require(self.message(letter)).text
            let prefix = "https://taskflow.example/api/account/\(page)/\(Self.account)/"
            let line = try #require(text.components(separatedBy: "\n").first { $0.hasPrefix(prefix) })
            let token = String(line.dropFirst(prefix.count).dropLast())
            #expect(LinkToken.request(of: token) == Self.link.request)
            #expect(
                LinkToken.verify(
                    token,
                    key: [UInt8](repeating: 1, count: 32),
                    purpose: "reset-password",
                    request: Self.link.request,
                    expiresAt: 1_796_117_400
                )
            )
        }
    }

    @Test func withoutAnAddressThereIsNoMail() {
        #expect(message(.accountExists, email: nil) == nil)
        #expect(message(.accountExists, email: "a b@example.com") == nil)
    }

    @Test func noticesSayTheSameInOneLineOrAFew() throws {
        let text = try #require(NoticeText(.taskAssigned(task: Self.task, by: "Ada Admin")))
        #expect(text.title == "WEB-42 was assigned to you")
        #expect(text.body == "Ada Admin made you a collaborator of WEB-42 <em>&\"'. It is due Tue, 1 Dec 2026.")
        #expect(NoticeText(.accountExists) == nil)
    }
}

@Suite struct UnsubscribeTokenTests {
    let tokens = UnsubscribeToken(key: [UInt8](repeating: 3, count: 32))

    @Test(arguments: NoticeKind.allCases) func comesBack(_ kind: NoticeKind) throws {
        let request = UnsubscribeRequest(organization: OrganizationID(UUID()), user: UserID(UUID()), kind: kind)
        #expect(try tokens.open(tokens.make(request)) == request)
    }

    @Test func anyOtherTextIsRefused() {
        let token = Array(
            tokens.make(
                UnsubscribeRequest(organization: OrganizationID(UUID()), user: UserID(UUID()), kind: .taskOverdue)
            )
        )
        for index in token.indices {
            var edited = token
            edited[index] = edited[index] == "A" ? "B" : "A"
            #expect(throws: UnsubscribeRequest.invalidLink) { try tokens.open(String(edited)) }
        }
        for text in ["", "x", String(token) + "A", String(token.dropLast()), String(token) + "=", "é"] {
            #expect(throws: UnsubscribeRequest.invalidLink) { try tokens.open(text) }
        }
        #expect(throws: UnsubscribeRequest.invalidLink) {
            try UnsubscribeToken(key: [UInt8](repeating: 4, count: 32)).open(String(token))
        }
    }
}

@Suite struct NotificationSettingsTests {
    func settings(_ values: [String: String], publicURL: String = "https://taskflow.example") throws
        -> NotificationSettings
    {
        try NotificationSettings(Settings.fixed(values), publicURL: publicURL)
    }

    @Test func withoutSMTPMailsBecomeFiles() throws {
        let standard = try settings([:])
        #expect(standard.delivery == .directory(".taskflow/mail"))
        #expect(standard.from == Mailbox(name: "Taskflow", address: "no-reply@taskflow.example"))
        #expect(standard.reminderInterval == .seconds(60))
        #expect(try settings(["TASKFLOW_MAIL_DIRECTORY": "/m"]).delivery == .directory("/m"))
        #expect(try settings([:], publicURL: "http://127.0.0.1:8080").from.address == "no-reply@localhost")
    }

    @Test(arguments: [
        ("smtp://u:p%40ss@mail.example", "smtp://mail.example:587", "p@ss", true),
        ("smtps://u:p@mail.example", "smtps://mail.example:465", "p", true),
        ("smtp://mail.example:25", "smtp://mail.example:25", nil, false),
        ("smtp://u:p@127.0.0.1:2525", "smtp://127.0.0.1:2525", "p", false),
    ])
    func mailServersAreRead(_ text: String, _ url: String, _ password: String?, _ requiresTLS: Bool) throws {
        let server = try SMTPServer(text)
        #expect(server.url == url)
        #expect(server.password == password)
        #expect(server.requiresTLS == requiresTLS)
    }

    @Test(arguments: ["mail.example", "http://mail.example", "smtp://", "smtp://h/path", "smtp://h?x"])
    func otherURLsAreRefusedWithoutShowingThem(_ text: String) {
        #expect {
            try SMTPServer(text)
        } throws: { error in
            (error as? SettingError)?.description.contains("\(text)\"") == false
        }
    }

    @Test func aRefusedMailIsGivenUpAndARefusedLoginIsNot() {
        #expect(SMTPTransport.failure(CURLE_SEND_ERROR, response: 550).isPermanent)
        #expect(!SMTPTransport.failure(CURLE_SEND_ERROR, response: 451).isPermanent)
        #expect(!SMTPTransport.failure(CURLE_LOGIN_DENIED, response: 550).isPermanent)
        #expect(!SMTPTransport.failure(CURLE_COULDNT_CONNECT, response: 0).isPermanent)
    }
}
