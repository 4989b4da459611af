import Foundation
import Glibc
import Synchronization
import Testing

@testable import NotificationService

/// A mail server that takes one connection at a time and keeps what it hears.
private final class MailServer: Sendable {
    struct State {
        var commands: [String] = []
        var mails: [String] = []
    }

    let port: UInt16
    private let socket: Int32
    private let refusal: String?
    private let state = Mutex(State())

    var commands: [String] { state.withLock { $0.commands } }
    var mails: [String] { state.withLock { $0.mails } }

    /// `refusal` answers RCPT TO.
    init(refusal: String? = nil) throws {
        self.refusal = refusal
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.socket = socket
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> Bool in
                bind(socket, generic, length) == 0 && listen(socket, 8) == 0
                    && getsockname(socket, generic, &length) == 0
            }
        }
        try #require(bound)
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [self] in
            while true {
                let connection = accept(socket, nil, nil)
                if connection < 0 { return }
                serve(connection)
                close(connection)
            }
        }
    }

    func stop() { shutdown(socket, Int32(SHUT_RDWR)) }

    private func serve(_ connection: Int32) {
        var buffer: [UInt8] = []
        func line() -> String? {
            while true {
                if let end = buffer.firstIndex(of: 0x0A) {
                    let line = String(decoding: buffer[..<end], as: UTF8.self)
                    buffer.removeSubrange(...end)
                    return line.hasSuffix("\r") ? String(line.unicodeScalars.dropLast()) : line
                }
                var chunk = [UInt8](repeating: 0, count: 4096)
                let count = recv(connection, &chunk, chunk.count, 0)
                if count <= 0 { return nil }
                buffer += chunk[..<count]
            }
        }
        func say(_ text: String) {
            let bytes = Array((text + "\r\n").utf8)
            _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
        say("220 test ESMTP")
        while let command = line() {
            state.withLock { $0.commands.append(command) }
            switch command.prefix(4).uppercased() {
            case "EHLO": say("250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN")
            case "AUTH":
                say("334 ")
                if let secret = line() { state.withLock { $0.commands.append(secret) } }
                say("235 ok")
            case "RCPT": say(refusal ?? "250 ok")
            case "DATA":
                say("354 go on")
                var mail: [String] = []
                while let text = line(), text != "." {
                    mail.append(text.hasPrefix("..") ? String(text.dropFirst()) : text)
                }
                state.withLock { $0.mails.append(mail.joined(separator: "\r\n") + "\r\n") }
                say("250 taken")
            case "QUIT":
                say("221 bye")
                return
            default: say("250 ok")
            }
        }
    }
}

@Suite struct SMTPTransportTests {
    let parcel = MailParcel(
        from: Mailbox(name: "Taskflow", address: "no-reply@taskflow.example"),
        to: Mailbox(name: "Ada", address: "ada@example.com"),
        bytes: Array("Subject: Hi\r\n\r\nGrüße\r\n.\r\n..two\r\n".utf8),
        name: "x"
    )

    private func transport(_ server: MailServer, user: String = "") throws -> SMTPTransport {
        SMTPTransport(
            server: try SMTPServer("smtp://\(user)127.0.0.1:\(server.port)"),
            domain: "taskflow.example",
            timeout: 10
        )
    }

    @Test func handsAMailOverAsItIs() async throws {
        let server = try MailServer()
        defer { server.stop() }
        try await transport(server, user: "me:p%40ss@").deliver(parcel)
        #expect(server.mails == [String(decoding: parcel.bytes, as: UTF8.self)])
        #expect(server.commands.first == "EHLO taskflow.example")
        #expect(server.commands.contains { $0.hasPrefix("MAIL FROM:<no-reply@taskflow.example>") })
        #expect(server.commands.contains("RCPT TO:<ada@example.com>"))
        #expect(server.commands.contains(Data("\0me\0p@ss".utf8).base64EncodedString()))
    }

    @Test func severalGoAtOnce() async throws {
        let server = try MailServer()
        defer { server.stop() }
        let transport = try transport(server)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<6 { group.addTask { try await transport.deliver(parcel) } }
            try await group.waitForAll()
        }
        #expect(server.mails.count == 6)
    }

    @Test(arguments: [("550 no such mailbox", true), ("450 busy", false)])
    func aRefusalIsFinalOrNot(_ refusal: String, _ isPermanent: Bool) async throws {
        let server = try MailServer(refusal: refusal)
        defer { server.stop() }
        let transport = try transport(server)
        await #expect {
            try await transport.deliver(parcel)
        } throws: { error in
            (error as? DeliveryFailure)?.isPermanent == isPermanent
        }
    }

    @Test func noServerIsNoReasonToGiveUp() async throws {
        let server = try MailServer()
        server.stop()
        let transport = SMTPTransport(
            server: try SMTPServer("smtp://user:secret@127.0.0.1:1"),
            domain: "taskflow.example",
            timeout: 10
        )
        await #expect {
            try await transport.deliver(parcel)
        } throws: { error in
            let failure = error as? DeliveryFailure
            return failure?.isPermanent == false && failure?.reason.contains("secret") == false
        }
    }
}
