import Chronology
import Identity
import Lists
import Postgres

/// What the lists of this service can be asked.
enum TaskLists {
    /// Tasks: all that are visible, of a project, or of a parent. `scope` names which, so that a cursor of one is not
    /// taken by another. The organization and the direction of each date asked for go into the statement, so a
    /// declaration is made for each request.
    static func tasks(scope: String, organization: OrganizationID, ordering: String?) -> ListDeclaration {
        ListDeclaration(
            name: scope,
            filters: [
                .choice("status", column: "t.status", values: TaskStatus.allCases.map(\.rawValue)),
                .choice("priority", column: "t.priority", values: TaskPriority.allCases.map(\.rawValue)),
                .number("project", column: "t.project_id"),
                ListFilter("created_by", repeats: true) { value in
                    "t.created_by = ANY(\(users(try address(value), organization)))"
                },
                ListFilter("collaborator", repeats: true) { value in
                    """
                    t.id IN (SELECT fc.task_id FROM task_collaborator fc WHERE fc.organization_id = \(organization) \
                    AND fc.user_id = ANY(\(users(try address(value), organization))))
                    """
                },
                ListFilter("due_before", repeats: false) { value in
                    "t.due_moment < \(try moment(value, organization))"
                },
                ListFilter("due_after", repeats: false) { value in
                    "t.due_moment >= \(try moment(value, organization))"
                },
                ListFilter("parent", repeats: true) { value in
                    if value.utf8.elementsEqual("none".utf8) { return "t.parent_id IS NULL" }
                    guard let parent = TaskID(value) else {
                        throw ListValueError("Must be the id of a task or none.")
                    }
                    return "t.parent_id = \(parent)"
                },
            ],
            search: ["t.title", "t.description", "p.name", "t.status::text", "t.priority::text"],
            sortKeys: [
                date("start_date", "t.start_moment", ordering),
                date("due_date", "t.due_moment", ordering),
                SortKey("priority", "t.priority", type: "task_priority"),
                SortKey("status", "t.status", type: "task_status"),
                SortKey("title", #"lower(t.title) COLLATE "C""#, type: "text"),
                SortKey("created_at", "t.created_at", type: "timestamptz"),
                SortKey("updated_at", "t.updated_at", type: "timestamptz"),
            ],
            defaultOrdering: "start_date",
            identifier: identifier
        )
    }

    /// The trash, latest first.
    static let trash = ListDeclaration(
        name: "task-trash",
        filters: [.number("project", column: "t.project_id")],
        search: ["t.title", "t.description", "p.name"],
        defaultOrdering: "-deleted_at",
        hiddenKeys: [SortKey("deleted_at", "t.deleted_at", type: "timestamptz")],
        identifier: identifier
    )

    /// The collaborators of a task, in the order in which they came.
    static func collaborators(of task: TaskReference) -> ListDeclaration {
        ListDeclaration(
            name: "task-collaborators/\(task)",
            defaultOrdering: "added_at",
            hiddenKeys: [SortKey("added_at", "c.added_at", type: "timestamptz")],
            identifier: SortKey("user", "c.user_id", type: "uuid")
        )
    }

    private static let identifier = SortKey("id", "t.id", type: "bigint")

    /// A date that can be missing comes last in both directions. With the missing one put at that end of time the key
    /// is never NULL, and an index on the same expression gives any page without a scan of those before it.
    private static func date(_ name: String, _ column: String, _ ordering: String?) -> SortKey {
        let isDescending = (ordering ?? "").split(separator: ",").contains { $0.utf8.elementsEqual("-\(name)".utf8) }
        let missing = isDescending ? "-infinity" : "infinity"
        return SortKey(name, "COALESCE(\(column), '\(missing)'::timestamptz)", type: "timestamptz")
    }

    /// An e-mail address as accounts have them: HTML's `input type=email` without `/ ? # %`.
    private static func address(_ value: String) throws -> String {
        let parts = value.utf8.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        }
        guard
            value.utf8.count <= 254, parts.count == 2, !parts[0].isEmpty,
            parts[0].allSatisfy({ isAlphanumeric($0) || ".!$&'*+=^_`{|}~-".utf8.contains($0) }),
            parts[1].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy({ label in
                (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                    && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
            })
        else { throw ListValueError("Must be an e-mail address.") }
        return value
    }

    private static func users(_ email: String, _ organization: OrganizationID) -> SQL {
        """
        ARRAY(SELECT fm.user_id FROM member fm WHERE fm.organization_id = \(organization) \
        AND lower(fm.email) = lower(\(email)))
        """
    }

    /// A moment, or the begin of a day in the organization's zone.
    private static func moment(_ value: String, _ organization: OrganizationID) throws -> SQL {
        if let moment = Timestamp(value) { return "\(moment)::timestamptz" }
        guard let day = CivilDate(value) else {
            throw ListValueError("Must be a day (2026-12-01) or a time with an offset (2026-12-01T09:30:00Z).")
        }
        return """
            (\(day)::date::timestamp AT TIME ZONE COALESCE((SELECT fo.sql_zone FROM organization fo \
            WHERE fo.organization_id = \(organization)), 'UTC'))
            """
    }
}
