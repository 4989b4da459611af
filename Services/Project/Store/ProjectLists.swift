import Chronology
import Identity
import Lists
import Messaging
import Postgres

// What lists of projects can be asked, and who sees what in them.
extension ProjectStore {
    private static let byUpdate = SortKey("updated_at", "p.updated_at", type: "timestamptz")
    private static let byID = SortKey("id", "p.id", type: "bigint")

    /// `GET /api/project_management/projects/`.
    static let projectList = ListDeclaration(
        name: "projects",
        filters: [.choice("status", column: "p.status", values: ProjectStatus.allCases.map(\.rawValue))],
        search: ["p.name", "p.description"],
        sortKeys: [
            byUpdate,
            SortKey("status", "p.status", type: "project_status"),
            SortKey("name", "p.name_key", type: "text"),
            SortKey("created_at", "p.created_at", type: "timestamptz"),
        ],
        defaultOrdering: "-updated_at",
        identifier: byID,
        fields: Project.fieldNames
    )

    /// `GET /api/project_management/trash/`.
    static let trashList = ListDeclaration(
        name: "project-trash",
        defaultOrdering: "-deleted_at",
        hiddenKeys: [SortKey("deleted_at", "p.deleted_at", type: "timestamptz")],
        identifier: byID,
        fields: Project.fieldNames + ["deleted_at"]
    )

    /// `GET /api/project_management/projects/{id}/collaborators/`; its cursors are good for this project alone.
    static func collaboratorList(of project: ProjectID) -> ListDeclaration {
        ListDeclaration(
            name: "project-collaborators/\(project)",
            defaultOrdering: "added_at",
            hiddenKeys: [SortKey("added_at", "pc.added_at", type: "timestamptz")],
            identifier: SortKey("user_id", "pc.user_id", type: "uuid"),
            fields: Collaborator.fieldNames
        )
    }

    /// The live projects; with a user, only those on which they collaborate.
    func projects(
        _ request: ListRequest,
        in organization: OrganizationID,
        of user: UserID?
    ) async throws -> Page<Project> {
        var visible: SQL = "p.organization_id = \(organization) AND p.deleted_at IS NULL"
        if let user { visible = "\(visible) AND \(ProjectStore.collaboration(of: user))" }
        return try await request.run(
            in: organization,
            on: database,
            select: ProjectStore.columns,
            from: ProjectStore.tables,
            visible: visible,
            decode: ProjectStore.project
        )
    }

    /// What went to the trash since then; with a user, only what they created and still collaborate on.
    func trash(
        _ request: ListRequest,
        in organization: OrganizationID,
        of user: UserID?,
        since moment: Timestamp
    ) async throws -> Page<Project> {
        var visible: SQL = "p.organization_id = \(organization) AND p.deleted_at > \(moment)"
        if let user { visible = "\(visible) AND p.created_by = \(user) AND \(ProjectStore.collaboration(of: user))" }
        return try await request.run(
            in: organization,
            on: database,
            select: ProjectStore.columns,
            from: ProjectStore.tables,
            visible: visible,
            decode: ProjectStore.project
        )
    }

    /// The collaborators of a live project; with a user, none unless they are one of them.
    func collaborators(
        _ request: ListRequest,
        of project: ProjectID,
        in organization: OrganizationID,
        seenBy user: UserID?
    ) async throws -> Page<Collaborator> {
        var visible: SQL = """
            pc.organization_id = \(organization) AND pc.project_id = \(project) AND p.deleted_at IS NULL
            """
        if let user { visible = "\(visible) AND \(ProjectStore.collaboration(of: user))" }
        return try await request.run(
            in: organization,
            on: database,
            select: ProjectStore.collaboratorColumns,
            from: """
                \(ProjectStore.collaboratorTables)
                JOIN project p ON p.organization_id = pc.organization_id AND p.id = pc.project_id
                """,
            visible: visible,
            decode: ProjectStore.collaborator
        )
    }
}
