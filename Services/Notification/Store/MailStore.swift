import Chronology
import Foundation
import Identity
import Messaging
import Postgres

/// Mails between the event that causes them and their sending.
extension NotificationStore {
    /// Queues letters of one event to users of the transaction's organization. `email` overrides the address that the
    /// user has when the mail is sent.
    func queue(
        _ letters: [(user: UserID, letter: Letter)],
        email: String? = nil,
        event: EventID,
        _ transaction: Transaction
    ) throws {
        guard let kind = letters.first?.letter.kind else { return }
        let organization = try transaction.tenant
        let users = letters.map(\.user)
        let contents = try letters.map { try MailStorage.encode($0.letter) }
        transaction.send(
            """
            INSERT INTO mail (organization_id, event_id, user_id, kind, email, letter)
            SELECT \(organization)::uuid, \(event)::uuid, l.user_id, \(kind)::text, \(email)::text, l.letter::jsonb
            FROM unnest(\(users)::uuid[], \(contents)::text[]) AS l (user_id, letter)
            ON CONFLICT DO NOTHING
            """
        )
        transaction.send(
            """
            INSERT INTO mail_queue (event_id, recipient, kind, organization_id, due_at, created_at)
            SELECT \(event)::uuid, user_id, \(kind)::text, \(organization)::uuid, \(transaction.now)::timestamptz,
                \(transaction.now)::timestamptz
            FROM unnest(\(users)::uuid[]) AS r (user_id)
            ON CONFLICT DO NOTHING
            """
        )
        signal(transaction)
    }

    /// Queues a letter to an account, which belongs to no organization.
    func queue(
        _ letter: Letter,
        to account: AccountID,
        email: String,
        firstName: String?,
        event: EventID,
        _ transaction: Transaction
    ) throws {
        transaction.send(
            """
            INSERT INTO account_mail (event_id, account_id, kind, email, first_name, letter)
            VALUES (\(event), \(account), \(letter.kind), \(email), \(firstName),
                \(try MailStorage.encode(letter))::jsonb)
            ON CONFLICT DO NOTHING
            """
        )
        transaction.send(
            """
            INSERT INTO mail_queue (event_id, recipient, kind, due_at, created_at)
            VALUES (\(event), \(account), \(letter.kind), \(transaction.now), \(transaction.now))
            ON CONFLICT DO NOTHING
            """
        )
        signal(transaction)
    }

    private func signal(_ transaction: Transaction) {
        let mailsQueued = mailsQueued
        transaction.afterCommit { mailsQueued() }
    }

    /// Claims mails that are due, for as long as the lease: a sender that dies leaves them to be claimed again.
    func claimMails(at now: Timestamp, lease: Duration, limit: Int) async throws -> [QueuedMail] {
        try await database.pool.query(
            """
            WITH due AS MATERIALIZED (
                SELECT event_id, recipient, kind FROM mail_queue WHERE state = 'pending' AND due_at <= \(now)
                ORDER BY due_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
            )
            UPDATE mail_queue q SET attempts = q.attempts + 1, due_at = \(now + lease) FROM due
            WHERE q.event_id = due.event_id AND q.recipient = due.recipient AND q.kind = due.kind
            RETURNING q.event_id, q.recipient, q.kind, q.organization_id, q.attempts, q.created_at
            """
        ).map { row in
            QueuedMail(
                event: try row.get("event_id"),
                recipient: try row.get("recipient"),
                kind: try row.get("kind"),
                organization: try row.get("organization_id"),
                attempts: try row.get("attempts"),
                createdAt: try row.get("created_at")
            )
        }
    }

    /// What a claimed mail says and to whom; nil if its organization is gone.
    func content(of mail: QueuedMail) async throws -> MailContent? {
        guard let organization = mail.organization else {
            return try await database.pool.query(
                """
                SELECT email, first_name, letter FROM account_mail
                WHERE event_id = \(mail.event) AND account_id = \(mail.recipient) AND kind = \(mail.kind)
                """
            ).first.map { row in
                MailContent(
                    letter: try MailStorage.decode(try row.get("letter")),
                    email: try row.get("email"),
                    firstName: try row.get("first_name"),
                    lastName: nil,
                    isActive: true,
                    mutedMail: []
                )
            }
        }
        return try await database.read(
            in: organization,
            """
            SELECT m.letter, COALESCE(m.email, u.email) AS email, u.first_name, u.last_name, u.is_active, p.muted_mail
            FROM mail m
            LEFT JOIN member u ON u.organization_id = m.organization_id AND u.user_id = m.user_id
            LEFT JOIN preference p ON p.organization_id = m.organization_id AND p.user_id = m.user_id
            WHERE m.organization_id = \(organization) AND m.event_id = \(mail.event)
                AND m.user_id = \(mail.recipient) AND m.kind = \(mail.kind)
            """
        ).first.map { row in
            MailContent(
                letter: try MailStorage.decode(try row.get("letter")),
                email: try row.get("email"),
                firstName: try row.get("first_name"),
                lastName: try row.get("last_name"),
                isActive: try row.get("is_active") ?? true,
                mutedMail: Set(
                    try row.get("muted_mail", as: [String]?.self)?.compactMap(NoticeKind.init(rawValue:)) ?? []
                )
            )
        }
    }

    /// The mail is sent, or will never be: its text goes, its place in the queue stays to tell.
    func finish(_ mail: QueuedMail, sent: Bool, at now: Timestamp) async throws {
        let done: SQL = """
            UPDATE mail_queue SET state = \(sent ? "sent" : "dropped")::mail_state, finished_at = \(now)
            WHERE event_id = \(mail.event) AND recipient = \(mail.recipient) AND kind = \(mail.kind)
            """
        if let organization = mail.organization {
            try await database.write(in: organization) { transaction in
                _ = try await transaction.query([
                    done,
                    """
                    DELETE FROM mail WHERE organization_id = \(organization) AND event_id = \(mail.event)
                        AND user_id = \(mail.recipient) AND kind = \(mail.kind)
                    """,
                ])
            }
        } else {
            try await database.pool.transaction(in: nil) { transaction in
                _ = try await transaction.query([
                    done,
                    """
                    DELETE FROM account_mail
                    WHERE event_id = \(mail.event) AND account_id = \(mail.recipient) AND kind = \(mail.kind)
                    """,
                ])
            }
        }
    }

    func postpone(_ mail: QueuedMail, until moment: Timestamp) async throws {
        _ = try await database.pool.query(
            """
            UPDATE mail_queue SET due_at = \(moment)
            WHERE event_id = \(mail.event) AND recipient = \(mail.recipient) AND kind = \(mail.kind)
                AND state = 'pending'
            """
        )
    }

    /// Forgets mails that were finished before a moment.
    func forgetMails(finishedBefore moment: Timestamp) async throws {
        _ = try await database.pool.query(
            "DELETE FROM mail_queue WHERE state <> 'pending' AND finished_at < \(moment)"
        )
    }
}

/// Letters as they stand in the database.
private enum MailStorage {
    static func encode(_ letter: Letter) throws -> String {
        String(decoding: try JSONEncoder().encode(letter), as: UTF8.self)
    }

    static func decode(_ text: String) throws -> Letter {
        try JSONDecoder().decode(Letter.self, from: Data(text.utf8))
    }
}
