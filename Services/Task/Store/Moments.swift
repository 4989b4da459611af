import Chronology
public import Identity
public import Postgres

/// The moments that the civil dates of tasks compare by; they are others in another zone.
///
/// The days are reckoned here, as for a single task, so that both agree where clocks change at midnight.
public enum Moments {
    /// Held until the end of the transaction by whoever changes the zone, from before it is changed: nobody writes a
    /// task meanwhile.
    public static func lock(_ organization: OrganizationID) -> SQL { TaskStore.exclusiveLock(organization) }

    /// Reckons all of an organization's anew in a zone. `query` asks in a transaction that holds ``lock(_:)`` and sees
    /// the tables of this service.
    public static func reckon(
        of organization: OrganizationID,
        zoneName: String,
        _ query: (SQL) async throws -> Rows
    ) async throws {
        let zone = OrganizationCalendar.zone(named: zoneName)
        let days = try await query(
            """
            SELECT start_day AS day FROM task WHERE organization_id = \(organization) AND start_day IS NOT NULL UNION \
            SELECT due_day FROM task WHERE organization_id = \(organization) AND due_day IS NOT NULL
            """
        ).map { try $0.get("day", as: CivilDate.self) }
        guard !days.isEmpty else { return }
        let starts = days.map { $0.start(in: zone) }
        let ends = days.map { $0.end(in: zone) }
        try await Pieces.each(of: organization, query) { ids in
            _ = try await query(
                """
                UPDATE task t SET start_moment = d.moment \
                FROM unnest(\(days)::date[], \(starts)::timestamptz[]) d(day, moment) \
                WHERE t.organization_id = \(organization) AND t.id >= \(ids.lowerBound) AND t.id < \(ids.upperBound) \
                AND t.start_day = d.day
                """
            )
            _ = try await query(
                """
                UPDATE task t SET due_moment = d.moment \
                FROM unnest(\(days)::date[], \(ends)::timestamptz[]) d(day, moment) \
                WHERE t.organization_id = \(organization) AND t.id >= \(ids.lowerBound) AND t.id < \(ids.upperBound) \
                AND t.due_day = d.day
                """
            )
        }
    }
}

/// The tasks of an organization a few thousand at a time, for statements that touch all of them: one statement for
/// hundreds of thousands takes longer than a statement may.
enum Pieces {
    /// Calls `body` with one range of ids after the other. `query` asks in the transaction.
    static func each(
        of organization: OrganizationID,
        size: Int64 = 5000,
        _ query: (SQL) async throws -> Rows,
        _ body: (Range<Int64>) async throws -> Void
    ) async throws {
        let last: Int64 =
            try await query(
                "SELECT COALESCE(max(id), 0) AS last FROM task WHERE organization_id = \(organization)"
            ).first?.get("last") ?? 0
        for start in stride(from: 1, through: last, by: Int(size)) { try await body(start..<start + size) }
    }
}
