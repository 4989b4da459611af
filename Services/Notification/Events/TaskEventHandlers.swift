import Events
import Messaging

extension NotificationDesk {
    /// Tasks, and who collaborates on them.
    func hearTask(_ handlers: inout EventHandlers) {
        handlers.on(TaskCreated.self) { event, envelope, transaction in
            try await heard(event, envelope, transaction)
        }
        handlers.on(TaskUpdated.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(TaskOverdue.self) { event, envelope, transaction in
            try await heard(event, envelope, transaction)
        }
        handlers.on(TaskDeleted.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(TaskRestored.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(TaskPurged.self) { event, _, transaction in try await heard(event, transaction) }
        handlers.on(TaskCollaboratorAdded.self) { event, envelope, transaction in
            try await heard(event, envelope, transaction)
        }
        handlers.on(TaskCollaboratorRemoved.self) { event, _, transaction in try await heard(event, transaction) }
    }
}
