import Events
import Identity
import Messaging

/// What this service does on hearing of organizations, people and projects.
enum ReplicaEventHandlers {
    static func handlers(_ board: TaskBoard) -> EventHandlers {
        let replicas = board.replicas
        var handlers = EventHandlers()

        // From Auth.
        handlers.on(OrganizationFounded.self) { event, envelope, transaction in
            guard let organization = transaction.organization else { return }
            replicas.found(event, organization, at: envelope.time, in: transaction)
        }

        // From Organization.
        handlers.on(OrganizationUpdated.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            try await replicas.update(event, organization, in: transaction)
        }
        handlers.on(OrganizationDeleted.self) { _, _, transaction in
            guard let organization = transaction.organization else { return }
            try await replicas.delete(organization, in: transaction)
        }
        handlers.on(UserCreated.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            replicas.keep(event.profile, organization, in: transaction)
        }
        handlers.on(UserUpdated.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            replicas.keep(event.profile, organization, in: transaction)
        }

        // From Project.
        handlers.on(ProjectCreated.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            replicas.keep(event, organization, in: transaction)
        }
        handlers.on(ProjectUpdated.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            try await replicas.update(event, organization, in: transaction)
        }
        handlers.on(ProjectDeleted.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            replicas.setDeleted(
                event.project,
                at: event.deletedAt,
                revision: event.revision,
                organization,
                in: transaction
            )
        }
        handlers.on(ProjectRestored.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            replicas.setDeleted(event.project, at: nil, revision: event.revision, organization, in: transaction)
        }
        handlers.on(ProjectPurged.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            replicas.forget(event.project, organization, in: transaction)
        }
        handlers.on(ProjectCollaboratorAdded.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            replicas.add(event.user, to: event.project, organization, in: transaction)
        }
        handlers.on(ProjectCollaboratorRemoved.self) { event, _, transaction in
            guard let organization = transaction.organization else { return }
            try await replicas.remove(event.user, from: event.project, organization, in: transaction)
        }
        return handlers
    }
}
