import Chronology
import Events
import Failures
import Identity
import Lists
import Messaging
import Postgres

/// What a change of a user is judged by, read under the locks that the change needs.
struct UserSituation: Sendable {
    /// The acting user.
    let standing: Standing?
    /// The user to be changed; nil if there is none.
    let user: User?
    /// The department that the body names; nil if it names none, or none that there is.
    let named: DepartmentLabel?
    /// Of the organization, now.
    let activeAdmins: Int
    /// The moment of the change.
    let now: Timestamp
}

extension DirectoryStore {
    private static let byEmail = SortKey("email", "u.email_key", type: "text")
    private static let byName = SortKey("name", "u.name_key", type: "text")
    private static let byID = SortKey("id", "u.id", type: "uuid")

    /// `GET /api/organization/users/`.
    static let userList = ListDeclaration(
        name: "users",
        filters: [
            .choice("role", column: "u.role", values: Role.allCases.map(\.rawValue)),
            ListFilter("department", repeats: true) { value in
                // A number may be a name as well: "42" can be what people call their department.
                let named: SQL = "d.name_key = lower(\(value)::text)"
                guard let id = DepartmentID(value) else { return named }
                return "(u.department_id = \(id)::bigint OR \(named))"
            },
            .boolean("is_active", column: "u.is_active"),
        ],
        search: ["u.first_name", "u.last_name", "u.email"],
        sortKeys: [
            byEmail, byName, SortKey("role", "u.role", type: "user_role"),
            SortKey("created_at", "u.created_at", type: "timestamptz"),
        ],
        defaultOrdering: "email",
        identifier: byID,
        fields: [
            "id", "email", "first_name", "last_name", "name", "role", "department", "is_active", "profile_img",
            "created_at", "updated_at", "version",
        ]
    )

    /// `GET /api/organization/members/`.
    static let memberList = ListDeclaration(
        name: "members",
        search: ["u.first_name", "u.last_name", "u.email"],
        defaultOrdering: "name",
        hiddenKeys: [byName],
        identifier: byID,
        fields: ["id", "name", "email", "role", "profile_img"]
    )

    func users(_ request: ListRequest, in organization: OrganizationID) async throws -> Page<User> {
        try await request.run(
            in: organization,
            on: database,
            select: DirectoryStore.userColumns,
            from: DirectoryStore.userTables,
            visible: "u.organization_id = \(organization)",
            decode: DirectoryStore.user
        )
    }

    func members(_ request: ListRequest, in organization: OrganizationID) async throws -> Page<User> {
        try await request.run(
            in: organization,
            on: database,
            select: DirectoryStore.userColumns,
            from: DirectoryStore.userTables,
            visible: "u.organization_id = \(organization) AND u.is_active",
            decode: DirectoryStore.user
        )
    }

    /// The user with that address, compared by its key.
    func user(email key: String, in organization: OrganizationID) async throws -> User? {
        let rows = try await database.read(
            in: organization,
            "SELECT \(DirectoryStore.userColumns) FROM \(DirectoryStore.userTables) WHERE \(email(key, organization))"
        )
        return try rows.first.map(DirectoryStore.user)
    }

    /// A new user.
    ///
    /// - Parameters:
    ///   - judge: whether the acting user may; before the key of an earlier attempt is looked at.
    ///   - make: the user, given the department that the body names.
    func createUser(
        in organization: OrganizationID,
        by actor: UserID,
        naming reference: DepartmentReference?,
        judge: (Standing?) throws -> Void,
        make: (_ named: DepartmentLabel?, _ now: Timestamp) throws -> Change<User>
    ) async throws -> User {
        try await database.write(in: organization) { transaction in
            let first = try await transaction.query([
                DirectoryStore.organizationShared(organization), DirectoryStore.standing(of: actor, in: organization),
            ])
            guard !first[0].isEmpty else { throw Failure.notFound }
            try judge(DirectoryStore.standing(first[1]))
            try await transaction.claimIdempotencyKey()
            let named = try await department(named: reference, in: organization, transaction)
            let change = try make(named, transaction.now)
            let inserted = try await transaction.query(
                DirectoryStore.insertion(of: change.value, in: organization)
                    + " ON CONFLICT DO NOTHING RETURNING id"
            )
            guard !inserted.isEmpty else {
                throw Failure.conflict("email-taken", "There is a user with this e-mail address already.")
            }
            for event in change.events { try transaction.publish(event) }
            return change.value
        }
    }

    /// Changes a user under the lock that every change of a role holds.
    func changeUser(
        email key: String,
        in organization: OrganizationID,
        by actor: UserID,
        naming reference: DepartmentReference?,
        change: (UserSituation) throws -> Change<User>
    ) async throws -> Change<User> {
        try await database.write(in: organization) { transaction in
            let answers = try await transaction.query([
                DirectoryStore.organizationLocked(organization),
                DirectoryStore.standing(of: actor, in: organization),
                departmentStatement(reference, in: organization),
                "SELECT 1 FROM app_user u WHERE \(email(key, organization)) FOR NO KEY UPDATE",
                "SELECT \(DirectoryStore.userColumns) FROM \(DirectoryStore.userTables) WHERE \(email(key, organization))",
                """
                SELECT count(*) AS count FROM app_user
                WHERE organization_id = \(organization) AND role = 'ADMIN' AND is_active
                """,
            ])
            let situation = UserSituation(
                standing: try DirectoryStore.standing(answers[1]),
                user: try answers[4].first.map(DirectoryStore.user),
                named: try answers[2].first.map(DirectoryStore.label),
                activeAdmins: try answers[5].first?.get("count") ?? 0,
                now: transaction.now
            )
            let change = try change(situation)
            if change.isChanged { transaction.send(DirectoryStore.update(of: change.value, in: organization)) }
            for event in change.events { try transaction.publish(event) }
            return change
        }
    }

    /// Changes what users may change of themselves; takes no lock but that of their own row.
    func changeSelf(
        _ user: UserID,
        in organization: OrganizationID,
        change: (User?, Timestamp) throws -> Change<User>
    ) async throws -> Change<User> {
        try await database.write(in: organization) { transaction in
            let answers = try await transaction.query(DirectoryStore.locking(user, in: organization))
            let change = try change(try answers[1].first.map(DirectoryStore.user), transaction.now)
            if change.isChanged { transaction.send(DirectoryStore.update(of: change.value, in: organization)) }
            for event in change.events { try transaction.publish(event) }
            return change
        }
    }

    private func email(_ key: String, _ organization: OrganizationID) -> SQL {
        "u.organization_id = \(organization) AND u.email_key = \(key)"
    }
}
