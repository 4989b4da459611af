import Events
import Messaging

/// What Auth does on hearing from Organization: memberships follow users, and tokens die with the rights they name.
struct OrganizationEventHandlers: Sendable {
    let members: Members

    /// The handlers.
    var handlers: EventHandlers {
        var handlers = EventHandlers()
        handlers.on(UserCreated.self) { event, _, transaction in
            try await members.attach(event.profile, in: transaction)
        }
        handlers.on(UserUpdated.self) { event, _, transaction in
            try await members.update(event.profile, in: transaction)
        }
        handlers.on(OrganizationUpdated.self) { event, _, transaction in
            try await members.update(event, in: transaction)
        }
        handlers.on(OrganizationDeleted.self) { _, _, transaction in
            try await members.removeOrganization(in: transaction)
        }
        return handlers
    }
}
