import Chronology
import Events
import Failures
import Identity
import Lists
import Messaging
import Postgres

extension DirectoryStore {
    /// `GET /api/organization/departments/`.
    static let departmentList = ListDeclaration(
        name: "departments",
        defaultOrdering: "name",
        hiddenKeys: [SortKey("name", "d.name_key", type: "text")],
        identifier: SortKey("id", "d.id", type: "bigint"),
        fields: ["id", "department_name"]
    )

    func departments(_ request: ListRequest, in organization: OrganizationID) async throws -> Page<Department> {
        try await request.run(
            in: organization,
            on: database,
            select: "d.id, d.name, d.version",
            from: "department d",
            visible: "d.organization_id = \(organization)",
            decode: DirectoryStore.department
        )
    }

    func department(_ id: DepartmentID, in organization: OrganizationID) async throws -> Department? {
        let rows = try await database.read(
            in: organization,
            "SELECT id, name, version FROM department WHERE organization_id = \(organization) AND id = \(id)"
        )
        return try rows.first.map(DirectoryStore.department)
    }

    /// A new department with the next number of its organization.
    func createDepartment(
        in organization: OrganizationID,
        by actor: UserID,
        judge: (Standing?) throws -> Void,
        name: () throws -> String
    ) async throws -> Department {
        try await database.write(in: organization) { transaction in
            let first = try await transaction.query([
                DirectoryStore.organizationShared(organization), DirectoryStore.standing(of: actor, in: organization),
            ])
            guard !first[0].isEmpty else { throw Failure.notFound }
            try judge(DirectoryStore.standing(first[1]))
            try await transaction.claimIdempotencyKey()
            let name = try name()
            let rows = try await DirectoryStore.reportingTakenName {
                try await transaction.query(
                    """
                    WITH n AS (
                        INSERT INTO counter (organization_id, kind, value) VALUES (\(organization), 'department', 1)
                        ON CONFLICT (organization_id, kind) DO UPDATE SET value = counter.value + 1 RETURNING value
                    )
                    INSERT INTO department (organization_id, id, name, version, created_at, updated_at)
                    SELECT \(organization)::uuid, n.value, \(name)::text, 1, \(transaction.now)::timestamptz,
                        \(transaction.now)::timestamptz
                    FROM n
                    RETURNING id, name, version
                    """
                )
            }
            guard let row = rows.first else { throw Failure.notFound }
            return try DirectoryStore.department(row)
        }
    }

    /// Renames a department and tells of each of its users, who show the name.
    func renameDepartment(
        _ id: DepartmentID,
        in organization: OrganizationID,
        by actor: UserID,
        judge: (Standing?) throws -> Void,
        change: (Department?) throws -> Department?,
        announce: (User) -> any Event
    ) async throws -> Department {
        try await database.write(in: organization) { transaction in
            let stored = try await lockedDepartment(id, in: organization, by: actor, transaction, judge: judge)
            guard let renamed = try change(stored) else {
                guard let stored else { throw Failure.notFound }
                return stored
            }
            _ = try await DirectoryStore.reportingTakenName {
                try await transaction.query(
                    """
                    UPDATE department
                    SET name = \(renamed.name), version = \(renamed.version), updated_at = \(transaction.now)
                    WHERE organization_id = \(organization) AND id = \(id)
                    """
                )
            }
            // The rows of the users stay as they were but for the version: what they show has changed.
            try await changeUsers(
                of: id,
                in: organization,
                setting: "version = version + 1",
                transaction,
                announce: announce
            )
            return renamed
        }
    }

    /// Removes a department; its users stay, without one.
    func deleteDepartment(
        _ id: DepartmentID,
        in organization: OrganizationID,
        by actor: UserID,
        judge: (Standing?) throws -> Void,
        check: (Department?) throws -> Void,
        announce: (User) -> any Event
    ) async throws {
        try await database.write(in: organization) { transaction in
            try check(try await lockedDepartment(id, in: organization, by: actor, transaction, judge: judge))
            try await changeUsers(
                of: id,
                in: organization,
                setting: "department_id = NULL, version = version + 1, updated_at = \(transaction.now)",
                transaction,
                announce: announce
            )
            transaction.send("DELETE FROM department WHERE organization_id = \(organization) AND id = \(id)")
        }
    }

    private func lockedDepartment(
        _ id: DepartmentID,
        in organization: OrganizationID,
        by actor: UserID,
        _ transaction: WriteTransaction,
        judge: (Standing?) throws -> Void
    ) async throws -> Department? {
        let answers = try await transaction.query([
            DirectoryStore.organizationLocked(organization),
            DirectoryStore.standing(of: actor, in: organization),
            """
            SELECT id, name, version FROM department WHERE organization_id = \(organization) AND id = \(id) FOR UPDATE
            """,
        ])
        try judge(DirectoryStore.standing(answers[1]))
        return try answers[2].first.map(DirectoryStore.department)
    }

    private func changeUsers(
        of department: DepartmentID,
        in organization: OrganizationID,
        setting assignments: SQL,
        _ transaction: WriteTransaction,
        announce: (User) -> any Event
    ) async throws {
        let changed = try await transaction.query(
            """
            WITH u AS (
                UPDATE app_user SET \(assignments)
                WHERE organization_id = \(organization) AND department_id = \(department) RETURNING *
            )
            SELECT \(DirectoryStore.userColumns)
            FROM u LEFT JOIN department d ON d.organization_id = u.organization_id AND d.id = u.department_id
            ORDER BY u.id
            """
        )
        for row in changed { try transaction.publish(announce(try DirectoryStore.user(row))) }
    }

    // MARK: What users need of departments

    /// Looks a department up and holds it, so that it is still there when the user who is put into it is stored.
    func department(
        named reference: DepartmentReference?,
        in organization: OrganizationID,
        _ transaction: WriteTransaction
    ) async throws -> DepartmentLabel? {
        guard reference != nil else { return nil }
        return try await transaction.query(departmentStatement(reference, in: organization)).first
            .map(DirectoryStore.label)
    }

    func departmentStatement(_ reference: DepartmentReference?, in organization: OrganizationID) -> SQL {
        let condition: SQL =
            switch reference {
            case .id(let id): "id = \(id)"
            // Text that cannot be stored cannot be a name either; the server would refuse the parameter.
            case .name(let name) where !name.utf8.contains(0):
                "name_key = lower(\(name)::text)"
            case .name, nil: "false"
            }
        return "SELECT id, name FROM department WHERE organization_id = \(organization) AND \(condition) FOR KEY SHARE"
    }

    static func label(_ row: Row) throws -> DepartmentLabel {
        DepartmentLabel(id: try row.get("id"), name: try row.get("name"))
    }

    private static func department(_ row: Row) throws -> Department {
        Department(id: try row.get("id"), name: try row.get("name"), version: try row.get("version"))
    }

    private static func reportingTakenName<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as PostgresError where error.isUniqueViolation(of: "department_name_key") {
            throw Failure.conflict("name-taken", "There is a department of this name already.")
        }
    }
}
