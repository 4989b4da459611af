import Events
import Messaging

extension NotificationDesk {
    /// Organizations and their people.
    func hearOrganization(_ handlers: inout EventHandlers) {
        handlers.on(OrganizationUpdated.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(OrganizationDeleted.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(UserCreated.self) { event, _, transaction in try await heard(event.profile, transaction) }
        handlers.on(UserUpdated.self) { event, _, transaction in try await heard(event.profile, transaction) }
    }
}
