import Events
import Messaging

extension NotificationDesk {
    /// Projects, and who collaborates on them.
    func hearProject(_ handlers: inout EventHandlers) {
        handlers.on(ProjectCreated.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(ProjectUpdated.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(ProjectDeleted.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(ProjectRestored.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(ProjectPurged.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(ProjectCollaboratorAdded.self) { event, envelope, transaction in
            try await heard(event, envelope, transaction)
        }
    }
}
