import Events
import Messaging

extension NotificationDesk {
    /// Accounts, their links and sessions; and the organizations that sign-ups found.
    func hearAuth(_ handlers: inout EventHandlers) {
        handlers.on(OrganizationFounded.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(MembershipAttached.self) { event, envelope, transaction in
            try await heard(event, envelope, transaction)
        }
        handlers.on(LinkRequested.self) { event, envelope, transaction in try heard(event, envelope, transaction) }
        handlers.on(SignUpRepeated.self) { event, envelope, transaction in try heard(event, envelope, transaction) }
        handlers.on(PasswordChanged.self) { event, envelope, transaction in try heard(event, envelope, transaction) }
        handlers.on(SessionRevoked.self) { event, envelope, transaction in try heard(event, envelope, transaction) }
    }
}
