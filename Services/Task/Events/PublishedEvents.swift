import Events

/// Everything that this service says, for the documentation and the tests that hold it to its golden files.
enum PublishedEvents {
    static let all: [any Event.Type] = [
        TaskCreated.self, TaskUpdated.self, TaskOverdue.self, TaskDeleted.self, TaskRestored.self, TaskPurged.self,
        TaskCollaboratorAdded.self, TaskCollaboratorRemoved.self,
    ]
}
