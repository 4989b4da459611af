import Chronology
import Foundation

/// An address with a name for people: `Taskflow <no-reply@taskflow.example>`.
struct Mailbox: Sendable, Hashable {
    var name: String?
    var address: String

    init(name: String?, address: String) {
        self.name = name
        self.address = address
    }

    /// Reads `name <address>` or a bare address; nil if there is no plain address in it.
    init?(_ text: String) {
        let text = text.trimmingCharacters(in: .whitespaces)
        if let open = text.lastIndex(of: "<"), text.hasSuffix(">") {
            let name = text[..<open].trimmingCharacters(in: .whitespaces)
                .trimmingCharacters(in: CharacterSet(charactersIn: "\""))
            self.init(name: name.isEmpty ? nil : name, address: String(text[text.index(after: open)...].dropLast()))
        } else {
            self.init(name: nil, address: text)
        }
        let isOneLine = text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        guard isOneLine, Mailbox.isPlain(address) else { return nil }
    }

    /// Whether an address can stand in a header and an SMTP command as it is: no space, bracket or control in it.
    static func isPlain(_ address: String) -> Bool {
        let parts = address.split(separator: "@", omittingEmptySubsequences: false)
        return parts.count == 2 && !parts[0].isEmpty && !parts[1].isEmpty && address.utf8.count <= 254
            && address.utf8.allSatisfy { (0x21...0x7E).contains($0) && !"<>()[],;:\\\"".utf8.contains($0) }
    }

    /// What follows the `@`.
    var domain: String { address.split(separator: "@").last.map(String.init) ?? "localhost" }
}

/// A mail ready to be written down: text and HTML that say the same.
struct MailMessage: Sendable {
    var from: Mailbox
    var to: Mailbox
    var subject: String
    /// Without angle brackets.
    var messageID: String
    var date: Timestamp
    /// Where a mail client's own button posts to; nil for mails that cannot be switched off.
    var unsubscribeURL: String?
    var text: String
    var html: String

    /// RFC 5322 with MIME (RFC 2045 to 2047): `multipart/alternative`, lines end in CRLF.
    ///
    /// The text part goes unencoded, 7bit or 8bit, so that a link in it stands there as it is; its lines are kept far
    /// below the 998 bytes allowed. The same mail always gives the same bytes.
    func encoded() -> [UInt8] {
        let boundary = "=_taskflow_\(messageID.prefix { $0 != "@" && $0 != "." })_="
        var lines = [
            "Date: \(EnglishDate.header(date))",
            "From: \(HeaderText.mailbox(from))",
            "To: \(HeaderText.mailbox(to))",
            "Subject: \(HeaderText.unstructured(subject, after: "Subject: "))",
            "Message-ID: <\(messageID)>",
        ]
        if let unsubscribeURL {
            lines.append("List-Unsubscribe: <\(unsubscribeURL)>")
            lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
        }
        lines += [
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "Content-Type: multipart/alternative; boundary=\"\(boundary)\"",
            "",
            "--\(boundary)",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: \(text.utf8.allSatisfy { $0 < 0x80 } ? "7bit" : "8bit")",
            "",
        ]
        lines += TextLines.wrapped(text)
        lines += [
            "--\(boundary)",
            "Content-Type: text/html; charset=utf-8",
            "Content-Transfer-Encoding: quoted-printable",
            "",
        ]
        lines += QuotedPrintable.lines(html)
        lines += ["--\(boundary)--", ""]
        return Array(lines.joined(separator: "\r\n").utf8)
    }
}

/// The text part's lines.
enum TextLines {
    /// The most code points of a line, at most 800 bytes. Programs that show mails wrap lines themselves; broken
    /// earlier, a title would be torn in two for whoever searches for it.
    static let maximumLength = 200

    /// Breaks overlong lines at spaces. A word is never broken unless it is far too long for a mail; a line that is one
    /// word, such as a link, stays alone.
    static func wrapped(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { line -> [String] in
            var lines: [String] = []
            var current = String(line.prefix { $0 == " " })
            let indent = current
            var isEmpty = true
            for word in line.split(separator: " ").flatMap({ pieces(of: $0) }) {
                if !isEmpty, current.unicodeScalars.count + 1 + word.unicodeScalars.count > maximumLength {
                    lines.append(current)
                    current = indent
                    isEmpty = true
                }
                current += (isEmpty ? "" : " ") + word
                isEmpty = false
            }
            return lines + [current]
        }
    }

    private static func pieces(of word: Substring) -> [String] {
        // RFC 5322 allows 998 bytes; links of ours are shorter, and what people write may begin with "http", too.
        let isLink = word.hasPrefix("http") && word.utf8.count <= 900
        guard word.unicodeScalars.count > maximumLength, !isLink else { return [String(word)] }
        var pieces: [String] = []
        var rest = Array(word.unicodeScalars)[...]
        while !rest.isEmpty {
            var piece = String.UnicodeScalarView()
            piece.append(contentsOf: rest.prefix(maximumLength))
            pieces.append(String(piece))
            rest = rest.dropFirst(maximumLength)
        }
        return pieces
    }
}

/// Texts in headers (RFC 2047).
enum HeaderText {
    /// Free text: as it is if it is short ASCII, else encoded words. No control character gets through, so nothing
    /// from outside can begin a header of its own.
    static func unstructured(_ text: String, after label: String) -> String {
        let text = oneLine(text)
        let isPlain = text.utf8.allSatisfy { (0x20...0x7E).contains($0) } && !text.contains("=?")
        if isPlain, label.utf8.count + text.utf8.count <= 76 { return text }
        return encodedWords(text)
    }

    /// A display name and an address.
    static func mailbox(_ mailbox: Mailbox) -> String {
        guard let name = mailbox.name.map(oneLine), !name.isEmpty else { return mailbox.address }
        let isPlain = name.utf8.allSatisfy { (0x20...0x7E).contains($0) } && !name.contains("=?")
        guard isPlain, name.utf8.count <= 60 else { return "\(encodedWords(name))\r\n <\(mailbox.address)>" }
        let quoted = name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        return "\"\(quoted)\" <\(mailbox.address)>"
    }

    /// Control characters and line breaks of any kind become spaces, several spaces one.
    static func oneLine(_ text: String) -> String {
        text.unicodeScalars.split { scalar in
            scalar.properties.isWhitespace || scalar.properties.generalCategory == .control
        }.map(String.init).joined(separator: " ")
    }

    /// `=?utf-8?B?...?=`, each at most 75 characters and of whole code points, on lines of their own.
    private static func encodedWords(_ text: String) -> String {
        var words: [String] = []
        var chunk: [UInt8] = []
        func flush() {
            if !chunk.isEmpty { words.append("=?utf-8?B?\(Data(chunk).base64EncodedString())?=") }
            chunk = []
        }
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            // 45 bytes are 60 characters of base64; with the 12 around them 72.
            if chunk.count + bytes.count > 45 { flush() }
            chunk += bytes
        }
        flush()
        return words.joined(separator: "\r\n ")
    }
}

/// RFC 2045, section 6.7.
enum QuotedPrintable {
    /// Lines of at most 76 characters.
    static func lines(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { line -> [String] in
            var lines: [String] = []
            var current = ""
            let bytes = Array(line.utf8)
            for (index, byte) in bytes.enumerated() {
                let isLast = index == bytes.count - 1
                let isSpace = byte == 0x20 || byte == 0x09
                let isPlain = (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "=") || isSpace && !isLast
                let token =
                    isPlain ? String(UnicodeScalar(byte)) : "=" + hexadecimal(byte)
                if current.utf8.count + token.utf8.count > 75 {
                    lines.append(current + "=")
                    current = ""
                }
                current += token
            }
            return lines + [current]
        }
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return digits.utf8.count == 1 ? "0" + digits : digits
    }
}
