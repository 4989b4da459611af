import Chronology
import Identity
import Messaging
import Postgres

// Statements and rows of projects.
extension ProjectStore {
    static let columns: SQL = """
        p.id, p.key, p.name, p.description, p.status, p.task_visibility, p.created_at, p.updated_at, p.deleted_at,
        p.version, p.revision,
        p.created_by AS creator_id, c.email AS creator_email, c.first_name AS creator_first_name,
        c.last_name AS creator_last_name, c.profile_img AS creator_img,
        p.updated_by AS updater_id, u.email AS updater_email, u.first_name AS updater_first_name,
        u.last_name AS updater_last_name, u.profile_img AS updater_img
        """
    static let tables: SQL = """
        project p
        LEFT JOIN member c ON c.organization_id = p.organization_id AND c.user_id = p.created_by
        LEFT JOIN member u ON u.organization_id = p.organization_id AND u.user_id = p.updated_by
        """
    static let collaboratorColumns: SQL = """
        pc.added_at, pc.user_id AS person_id, m.email AS person_email, m.first_name AS person_first_name,
        m.last_name AS person_last_name, m.profile_img AS person_img,
        pc.added_by AS adder_id, a.email AS adder_email, a.first_name AS adder_first_name,
        a.last_name AS adder_last_name, a.profile_img AS adder_img
        """
    static let collaboratorTables: SQL = """
        project_collaborator pc
        LEFT JOIN member m ON m.organization_id = pc.organization_id AND m.user_id = pc.user_id
        LEFT JOIN member a ON a.organization_id = pc.organization_id AND a.user_id = pc.added_by
        """
    static let memberColumns: SQL = """
        m.user_id AS member_id, m.email AS member_email, m.first_name AS member_first_name,
        m.last_name AS member_last_name, m.profile_img AS member_img, m.is_active
        """

    /// Of a row of `project p`.
    static func collaboration(of user: UserID) -> SQL {
        """
        EXISTS (
            SELECT FROM project_collaborator own WHERE own.organization_id = p.organization_id
            AND own.project_id = p.id AND own.user_id = \(user)
        )
        """
    }

    static func projectStatement(_ id: ProjectID, in organization: OrganizationID) -> SQL {
        "SELECT \(columns) FROM \(tables) WHERE p.organization_id = \(organization) AND p.id = \(id)"
    }

    /// A statement of its own before the one that reads: a join that had to wait for a row's lock would show the row as
    /// it is and the rows joined to it as they were.
    static func lockStatement(_ id: ProjectID, in organization: OrganizationID) -> SQL {
        "SELECT 1 FROM project WHERE organization_id = \(organization) AND id = \(id) FOR NO KEY UPDATE"
    }

    static func collaboratorsStatement(_ id: ProjectID, in organization: OrganizationID) -> SQL {
        """
        SELECT \(collaboratorColumns) FROM \(collaboratorTables)
        WHERE pc.organization_id = \(organization) AND pc.project_id = \(id) ORDER BY pc.added_at, pc.user_id
        """
    }

    static func detail(_ project: Rows, _ collaborators: Rows) throws -> ProjectDetail? {
        guard let row = project.first else { return nil }
        return ProjectDetail(
            project: try ProjectStore.project(row),
            collaborators: try collaborators.map(ProjectStore.collaborator)
        )
    }

    static func project(_ row: Row) throws -> Project {
        Project(
            id: try row.get("id"),
            key: try row.get("key"),
            name: try row.get("name"),
            description: try row.get("description"),
            status: ProjectStatus(rawValue: try row.get("status")) ?? .pending,
            taskVisibility: TaskVisibility(rawValue: try row.get("task_visibility")) ?? .collaborators,
            createdBy: try person(row, "creator"),
            updatedBy: try person(row, "updater"),
            createdAt: try row.get("created_at"),
            updatedAt: try row.get("updated_at"),
            deletedAt: try row.get("deleted_at", as: Timestamp?.self),
            version: try row.get("version"),
            revision: try row.get("revision")
        )
    }

    static func collaborator(_ row: Row) throws -> Collaborator {
        Collaborator(
            person: try person(row, "person"),
            addedAt: try row.get("added_at"),
            addedBy: try person(row, "adder")
        )
    }

    static func member(_ row: Row) throws -> Member {
        Member(person: try person(row, "member"), isActive: try row.get("is_active"))
    }

    /// A person of whom nothing is known here yet has an id and nothing else.
    private static func person(_ row: Row, _ prefix: String) throws -> Person {
        let names = [
            try row.get("\(prefix)_first_name", as: String?.self), try row.get("\(prefix)_last_name", as: String?.self),
        ]
        return Person(
            id: try row.get("\(prefix)_id"),
            email: try row.get("\(prefix)_email", as: String?.self) ?? "",
            name: names.compactMap(\.self).joined(separator: " "),
            image: try row.get("\(prefix)_img", as: String?.self)
        )
    }
}
