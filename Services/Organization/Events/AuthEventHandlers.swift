import Chronology
import Events
import Identity
import Messaging

/// What Auth says and this service hears.
enum AuthEventHandlers {
    static func make(_ directory: Directory) -> EventHandlers {
        var handlers = EventHandlers()
        handlers.on(OrganizationFounded.self) { event, envelope, transaction in
            // Auth always names it; an event that does not is parked for somebody to look at.
            guard let organization = envelope.organization else { throw EventWithoutOrganization() }
            directory.found(
                event,
                organization: organization,
                at: envelope.time,
                in: directory.store.within(transaction)
            )
        }
        return handlers
    }
}

/// An event of an organization that does not say of which.
struct EventWithoutOrganization: Error {}
