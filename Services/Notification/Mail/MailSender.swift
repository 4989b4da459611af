import Chronology
import Foundation
import Logging
import Metrics
import Postgres
import ServiceLifecycle

/// Says that mails wait, so that the sender need not be asked to look all the time.
final class MailSignal: Sendable {
    let raised: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (raised, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func raise() { continuation.yield() }
}

/// Sends what is queued. A mail is claimed for the time of an attempt and marked afterwards, so it goes out at least
/// once; a process that dies in between makes it go out again under the same Message-ID.
struct MailSender: Service {
    let store: NotificationStore
    let renderer: LetterRenderer
    let transport: any MailTransport
    let signal: MailSignal
    let clock: WallClock
    let logger: Logger

    /// Attempts at once, each with a thread of its own.
    static let concurrency = 4
    /// Longer than an attempt can last.
    static let lease = Duration.seconds(180)
    /// How long a mail is tried for.
    static let patience = Duration.seconds(2 * 86_400)
    /// How long the queue remembers what it has sent.
    static let memory = Duration.seconds(30 * 86_400)

    func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            // Mails that other processes left behind, and second attempts, raise no signal.
            group.addTask { [signal] in
                while !Task.isCancelled {
                    signal.raise()
                    try? await Task.sleep(for: .seconds(1))
                }
            }
            var swept = clock.now
            for await _ in signal.raised.cancelOnGracefulShutdown() {
                if Task.isCancelled { break }
                do {
                    try await sendDue()
                    if clock.now - swept > .seconds(3600) {
                        swept = clock.now
                        try await store.forgetMails(finishedBefore: clock.now - MailSender.memory)
                    }
                } catch let error as PostgresError where error.isUnavailability {
                    // The pool says so; the mails wait.
                    logger.debug("no database, mails wait")
                } catch {
                    logger.error("mails cannot be sent", metadata: ["error": "\(String(reflecting: error))"])
                }
            }
            group.cancelAll()
        }
    }

    /// Sends all that is due, a few at a time; what has been begun is finished even if the service is told to stop.
    func sendDue() async throws {
        while !Task.isShuttingDownGracefully {
            let mails = try await store.claimMails(
                at: clock.now,
                lease: MailSender.lease,
                limit: MailSender.concurrency
            )
            if mails.isEmpty { return }
            await withTaskGroup(of: Void.self) { group in
                for mail in mails {
                    group.addTask {
                        do {
                            try await attempt(mail)
                        } catch {
                            // The lease runs out and the mail is claimed again.
                            logger.error(
                                "mail left half done",
                                metadata: ["event": "\(mail.event)", "error": "\(String(reflecting: error))"]
                            )
                        }
                    }
                }
            }
        }
    }

    private enum Outcome {
        case sent
        case dropped(String)
        case postponed(String)
    }

    private func attempt(_ mail: QueuedMail) async throws {
        var logger = logger
        logger[metadataKey: "event"] = "\(mail.event)"
        logger[metadataKey: "kind"] = "\(mail.kind)"
        if let organization = mail.organization { logger[metadataKey: "organization"] = "\(organization)" }
        var outcome = try await outcome(of: mail)
        if case .postponed(let reason) = outcome, clock.now - mail.createdAt > MailSender.patience {
            outcome = .dropped("given up: \(reason)")
        }
        switch outcome {
        case .sent:
            try await persisting { try await store.finish(mail, sent: true, at: clock.now) }
            logger.info("mail sent")
            count("sent", mail.kind)
        case .dropped(let reason):
            try await store.finish(mail, sent: false, at: clock.now)
            logger.notice("mail dropped", metadata: ["reason": "\(reason)"])
            count("dropped", mail.kind)
        case .postponed(let reason):
            try await store.postpone(mail, until: clock.now + MailSender.backOff(after: mail.attempts))
            logger.warning("mail postponed", metadata: ["reason": "\(reason)"])
            count("postponed", mail.kind)
        }
    }

    /// A mail that is out must be known to be out, or it goes out again when its lease ends: a database that is away is
    /// asked again for half of the lease.
    private func persisting(_ work: () async throws -> Void) async throws {
        for _ in 0..<90 {
            do {
                return try await work()
            } catch let error as PostgresError where error.isUnavailability {
                // Nothing tells that the database is back.
                try await Task.sleep(for: .seconds(1))
            }
        }
        try await work()
    }

    private func outcome(of mail: QueuedMail) async throws -> Outcome {
        let content: MailContent
        do {
            guard let found = try await store.content(of: mail) else { return .dropped("its organization is gone") }
            content = found
        } catch let error as DecodingError {
            return .dropped("its letter cannot be read: \(error)")
        }
        if let expiresAt = content.letter.expiresAt, expiresAt <= clock.now { return .dropped("its link has expired") }
        if !content.isActive { return .dropped("the user was deactivated") }
        if let kind = content.letter.noticeKind, content.mutedMail.contains(kind) { return .dropped("unsubscribed") }
        guard content.email != nil else { return .postponed("the user's address is not known yet") }
        guard let message = renderer.message(mail, content) else { return .dropped("the address cannot be used") }
        do {
            try await transport.deliver(
                MailParcel(from: message.from, to: message.to, bytes: message.encoded(), name: mail.fileName)
            )
            return .sent
        } catch let failure as DeliveryFailure {
            return failure.isPermanent ? .dropped(failure.reason) : .postponed(failure.reason)
        }
    }

    private func count(_ outcome: String, _ kind: String) {
        Counter(label: "taskflow_mails_total", dimensions: [("outcome", outcome), ("kind", kind)]).increment()
    }

    /// 1 s to half an hour.
    static func backOff(after attempts: Int) -> Duration {
        let steps = [1.0, 5, 15, 60, 300, 900, 1800]
        return .seconds(steps[min(max(attempts, 1), steps.count) - 1])
    }
}

extension QueuedMail {
    /// Sorts by time and names the kind.
    var fileName: String {
        let time = createdAt.description.replacing("-", with: "").replacing(":", with: "")
        return "\(time)-\(kind)-\(event)-\(recipient.uuidString.lowercased())"
    }
}
