import Events

/// What this service says; the list that its README and the catalogue of events are compared with.
enum PublishedEvents {
    static let all: [any Event.Type] = [
        ProjectCreated.self, ProjectUpdated.self, ProjectDeleted.self, ProjectRestored.self,
        ProjectPurged.self,
        ProjectCollaboratorAdded.self, ProjectCollaboratorRemoved.self,
    ]
}
