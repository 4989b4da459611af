import Chronology
import Identity

/// The daily reminder.
extension NotificationDesk {
    /// Judges every organization in which somebody's hour has come.
    ///
    /// Each organization is a transaction of its own. It ends the local days it judges with the notices and mails that
    /// come of them, so a crash leaves a day either judged and told or neither, and two processes never judge the same.
    /// What goes wrong with one organization is reported and does not hold up the others.
    func remind(at now: Timestamp, failed: (OrganizationID, any Error) -> Void) async throws {
        while true {
            let organizations = try await store.organizationsDue(at: now, limit: 100)
            var progress = false
            for organization in organizations {
                do {
                    if try await remind(organization, at: now) { progress = true }
                } catch {
                    try Task.checkCancellation()
                    failed(organization, error)
                }
            }
            // What other processes are at is left to them.
            if organizations.count < 100 || !progress { return }
        }
    }

    /// Judges one organization; false if another process has its turn.
    func remind(_ organization: OrganizationID, at now: Timestamp) async throws -> Bool {
        while true {
            let next = try await store.write(in: organization) { transaction -> Timestamp? in
                guard let turn = try await store.takeTurn(at: now, transaction) else { return nil }
                let plan = ReminderPlan(turn.candidates, judged: turn.judged, now: now)
                try await carryOut(plan, turn, now: now, transaction)
                try store.endTurn(next: plan.next, transaction)
                return plan.next
            }
            guard let next else { return false }
            if next > now { return true }
        }
    }

    private func carryOut(
        _ plan: ReminderPlan,
        _ turn: ReminderTurn,
        now: Timestamp,
        _ transaction: Transaction
    ) async throws {
        let days = plan.due.map { ReminderDay(user: $0.candidate.user, day: $0.day) }
        let ended = try await store.endDays(days, transaction)
        let candidates = plan.due.map(\.candidate).filter { ended.contains($0.user) && $0.wantsReminder }
        let tasks = Dictionary(
            grouping: try await store.openTasks(of: candidates.map(\.user), transaction),
            by: \.user
        )
        for candidate in candidates {
            guard let open = tasks[candidate.user], !open.isEmpty else { continue }
            let groups = Reminder.groups(open, organizationZone: turn.zone, personZone: candidate.schedule.zone)
            // No event causes a reminder: the id is its own, and the ended day keeps it the only one.
            try send(
                [(candidate.user, candidate.preferences, .dailyReminder(groups: groups, total: open.count))],
                kind: .dailyReminder,
                project: nil,
                task: nil,
                event: EventID.make(milliseconds: now.microseconds / 1000),
                transaction
            )
        }
    }
}

extension ReminderCandidate {
    /// Whether a reminder would reach them at all.
    fileprivate var wantsReminder: Bool {
        !preferences.mutedInApp.contains(.dailyReminder) || !preferences.mutedMail.contains(.dailyReminder)
    }
}
