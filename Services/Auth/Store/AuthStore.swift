import Chronology
import Events
import Foundation
import Identity
import Messaging
import Postgres

/// Auth's tables. Each method is one transaction or one read; whoever needs several rows locks them in this order, so
/// that no two wait for each other: name (throttle), account, link, membership, sessions by id.
struct AuthStore: Sendable {
    let database: TenantDatabase
    /// How long an access token lives; how long a revocation must be remembered follows from it.
    let tokenLifetime: Duration

    init(database: TenantDatabase, tokenLifetime: Duration) {
        self.database = database
        self.tokenLifetime = tokenLifetime
    }

    /// A line of the audit log, to be sent in the transaction of what it tells.
    func audit(
        _ action: AuditAction,
        at now: Timestamp,
        account: AccountID? = nil,
        principal: Principal? = nil,
        session: SessionID? = nil,
        client: Client? = nil,
        detail: String? = nil
    ) -> SQL {
        let scope = RequestScope.current
        return """
            INSERT INTO audit
                (at, action, account_id, organization_id, user_id, session_id, address, request_id, traceparent, detail)
            VALUES (\(now), \(action.rawValue), \(account), \(principal?.organization), \(principal?.user ?? scope?.actor),
                \(session ?? principal?.session), \(client?.address), \(scope?.requestID), \(scope?.traceparent), \(detail))
            """
    }
}

extension Account {
    static let columns: SQL = "id, email, password_hash"

    init(_ row: Row) throws {
        self.init(id: try row.get("id"), email: try row.get("email"), passwordHash: try row.get("password_hash"))
    }
}

extension Membership {
    static let columns: SQL = """
        m.organization_id, m.user_id, m.account_id, m.revision, m.email, m.first_name, m.last_name, m.role,
        m.department_id, m.department_name, m.is_active, m.profile_img, m.created_at, m.updated_at
        """

    init(_ row: Row) throws {
        self.init(
            organization: try row.get("organization_id"),
            account: try row.get("account_id"),
            profile: UserProfile(
                user: try row.get("user_id"),
                revision: try row.get("revision"),
                email: try row.get("email"),
                firstName: try row.get("first_name"),
                lastName: try row.get("last_name"),
                role: try row.get("role"),
                department: try row.get("department_id"),
                departmentName: try row.get("department_name"),
                isActive: try row.get("is_active"),
                profileImage: try row.get("profile_img"),
                createdAt: try row.get("created_at"),
                updatedAt: try row.get("updated_at")
            )
        )
    }
}

extension OrganizationRecord {
    static let columns: SQL = "organization_id, name, time_zone, reminder_hour, created_at, updated_at"

    init(_ row: Row) throws {
        self.init(
            id: try row.get("organization_id"),
            name: try row.get("name"),
            timeZone: try row.get("time_zone"),
            reminderHour: try row.get("reminder_hour"),
            createdAt: try row.get("created_at"),
            updatedAt: try row.get("updated_at")
        )
    }
}

extension Session {
    static let columns: SQL = """
        id, account_id, organization_id, user_id, generation, counter, rotated_at, idle_expires_at, expires_at,
        ended_at IS NOT NULL AS is_ended
        """

    init(_ row: Row) throws {
        self.init(
            id: try row.get("id"),
            account: try row.get("account_id"),
            organization: try row.get("organization_id"),
            user: try row.get("user_id"),
            generation: try row.get("generation"),
            refresh: RefreshState(
                counter: try row.get("counter"),
                rotatedAt: try row.get("rotated_at"),
                idleExpiresAt: try row.get("idle_expires_at"),
                expiresAt: try row.get("expires_at"),
                isEnded: try row.get("is_ended")
            )
        )
    }
}

extension LinkRecord {
    static let columns: SQL = """
        id, account_id, purpose, expires_at, used_at IS NOT NULL OR void_at IS NOT NULL AS is_spent
        """

    init?(_ row: Row) throws {
        guard let purpose = LinkRequested.Purpose(rawValue: try row.get("purpose")) else { return nil }
        self.init(
            id: try row.get("id"),
            account: try row.get("account_id"),
            purpose: purpose,
            expiresAt: try row.get("expires_at"),
            isSpent: try row.get("is_spent")
        )
    }
}
