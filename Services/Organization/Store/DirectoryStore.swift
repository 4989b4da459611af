import Chronology
import Events
import Identity
import Lists
import Messaging
import Postgres

/// Where organizations, departments and users are kept.
///
/// Whatever touches more than one user locks in this order: the organization's row, the department's, the users'.
struct DirectoryStore: Sendable {
    let database: TenantDatabase
    /// Called once pictures have been condemned.
    var condemned: @Sendable () -> Void = {}

    /// The part that runs in a transaction which somebody else began: an event's.
    func within(_ transaction: WriteTransaction) -> DirectoryTransaction {
        DirectoryTransaction(transaction: transaction)
    }

    /// The newest number of the organization's own stream: whoever has applied it has applied every change there was.
    func newestPosition(in organization: OrganizationID) async throws -> Position? {
        let shard = Shard(of: organization)
        let rows = try await database.read(
            in: organization,
            "SELECT seq FROM event_log WHERE shard = \(shard.number)"
        )
        guard let sequence: Int64 = try rows.first?.get("seq"), sequence > 0 else { return nil }
        return Position(StreamName(.organization, shard), sequence)
    }
}

/// What event handlers write, in the transaction that moves their cursor.
struct DirectoryTransaction: Sendable {
    fileprivate let transaction: WriteTransaction

    /// A new organization with its first admin. Told twice, it changes nothing.
    func insert(_ organization: Organization, founder: User) {
        transaction.send(
            """
            INSERT INTO organization (organization_id, name, time_zone, reminder_hour, version, created_at, updated_at)
            VALUES (\(organization.id), \(organization.name), \(organization.timeZone), \(organization.reminderHour),
                \(organization.version), \(organization.createdAt), \(organization.updatedAt))
            ON CONFLICT DO NOTHING
            """
        )
        transaction.send(DirectoryStore.insertion(of: founder, in: organization.id) + " ON CONFLICT DO NOTHING")
    }
}

// Statements and rows that several resources need.
extension DirectoryStore {
    /// Holds the organization against being deleted, but against nothing else.
    static func organizationShared(_ organization: OrganizationID) -> SQL {
        "SELECT 1 AS here FROM organization WHERE organization_id = \(organization) FOR KEY SHARE"
    }

    /// One change of roles or departments at a time.
    static func organizationLocked(_ organization: OrganizationID) -> SQL {
        "SELECT 1 AS here FROM organization WHERE organization_id = \(organization) FOR NO KEY UPDATE"
    }

    static func standing(of user: UserID, in organization: OrganizationID) -> SQL {
        "SELECT role, is_active FROM app_user WHERE organization_id = \(organization) AND id = \(user)"
    }

    static func standing(_ rows: Rows) throws -> Standing? {
        try rows.first.map { Standing(role: try $0.get("role"), isActive: try $0.get("is_active")) }
    }

    static let userColumns: SQL = """
        u.id, u.email, u.first_name, u.last_name, u.role, u.department_id, d.name AS department_name, u.is_active,
        u.picture_storage, u.picture_name, u.picture_url, u.version, u.created_at, u.updated_at
        """
    static let userTables: SQL = """
        app_user u LEFT JOIN department d ON d.organization_id = u.organization_id AND d.id = u.department_id
        """

    /// Locks a user's row and then reads it, in two statements: a join that had to wait for a row's lock would show the
    /// row as it is and the rows joined to it as they were.
    static func locking(_ user: UserID, in organization: OrganizationID) -> [SQL] {
        [
            "SELECT 1 FROM app_user WHERE organization_id = \(organization) AND id = \(user) FOR NO KEY UPDATE",
            "SELECT \(userColumns) FROM \(userTables) WHERE u.organization_id = \(organization) AND u.id = \(user)",
        ]
    }

    static func user(_ row: Row) throws -> User {
        var department: DepartmentLabel?
        if let id = try row.get("department_id", as: DepartmentID?.self) {
            department = DepartmentLabel(id: id, name: try row.get("department_name"))
        }
        var picture: Picture?
        if let storage = try row.get("picture_storage", as: String?.self) {
            picture = Picture(storage: storage, name: try row.get("picture_name"), url: try row.get("picture_url"))
        }
        return User(
            id: try row.get("id"),
            email: try row.get("email"),
            firstName: try row.get("first_name"),
            lastName: try row.get("last_name"),
            role: try row.get("role"),
            department: department,
            isActive: try row.get("is_active"),
            picture: picture,
            version: try row.get("version"),
            createdAt: try row.get("created_at"),
            updatedAt: try row.get("updated_at")
        )
    }

    static func insertion(of user: User, in organization: OrganizationID) -> SQL {
        """
        INSERT INTO app_user (organization_id, id, email, first_name, last_name, role, department_id, is_active,
            version, created_at, updated_at)
        VALUES (\(organization), \(user.id), \(user.email), \(user.firstName), \(user.lastName),
            \(user.role)::user_role, \(user.department?.id), \(user.isActive), \(user.version), \(user.createdAt),
            \(user.updatedAt))
        """
    }

    static func update(of user: User, in organization: OrganizationID) -> SQL {
        """
        UPDATE app_user SET first_name = \(user.firstName), last_name = \(user.lastName),
            role = \(user.role)::user_role, department_id = \(user.department?.id), is_active = \(user.isActive),
            picture_storage = \(user.picture?.storage), picture_name = \(user.picture?.name),
            picture_url = \(user.picture?.url), version = \(user.version), updated_at = \(user.updatedAt)
        WHERE organization_id = \(organization) AND id = \(user.id)
        """
    }
}
