/// What people are told of within their organization. Each kind can be switched off by itself, on the screen and by
/// mail.
enum NoticeKind: String, CaseIterable, Sendable, Codable {
    /// Someone made you collaborator of a project.
    case projectAdded = "project-added"
    /// Someone made you collaborator of a task, on creating it or later.
    case taskAssigned = "task-assigned"
    /// A task of yours has passed its due date.
    case taskOverdue = "task-overdue"
    /// Your open tasks, once a day.
    case dailyReminder = "daily-reminder"
}
