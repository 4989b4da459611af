import Chronology
import Events
import Identity
import Messaging

/// What Auth and Organization say and this service hears.
enum ProjectEventHandlers {
    static func make(_ board: ProjectBoard) -> EventHandlers {
        var handlers = EventHandlers()
        handlers.on(OrganizationFounded.self) { event, envelope, transaction in
            try await board.found(
                event,
                organization: try organization(of: envelope),
                at: envelope.time,
                in: board.store.within(transaction)
            )
        }
        handlers.on(UserCreated.self) { event, envelope, transaction in
            try await board.take(
                event.profile,
                of: try organization(of: envelope),
                in: board.store.within(transaction)
            )
        }
        handlers.on(UserUpdated.self) { event, envelope, transaction in
            try await board.take(
                event.profile,
                of: try organization(of: envelope),
                in: board.store.within(transaction)
            )
        }
        handlers.on(OrganizationDeleted.self) { _, envelope, transaction in
            try board.forget(try organization(of: envelope), in: board.store.within(transaction))
        }
        return handlers
    }

    private static func organization(of envelope: Envelope) throws -> OrganizationID {
        // These events always name it; one that does not is parked for somebody to look at.
        guard let organization = envelope.organization else { throw EventWithoutOrganization() }
        return organization
    }
}

/// An event of an organization that does not say of which.
struct EventWithoutOrganization: Error {}
