import Chronology
import Identity
import Lists

/// Something told to one person in the app.
struct Notice: Sendable {
    var id: NoticeID
    var kind: NoticeKind
    var title: String
    var body: String
    var project: ProjectID?
    var task: TaskID?
    var createdAt: Timestamp
    var readAt: Timestamp?

    /// Newest first; `?unread=true|false`.
    static let list = ListDeclaration(
        name: "notices",
        filters: [.boolean("unread", column: "n.read_at IS NULL")],
        defaultOrdering: "-created_at",
        hiddenKeys: [SortKey("created_at", "n.created_at", type: "timestamptz")],
        identifier: SortKey("id", "n.id", type: "bigint"),
        fields: ["id", "kind", "title", "body", "project", "task", "created_at", "read_at"]
    )
}
