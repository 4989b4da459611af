import Chronology
import Foundation
import Identity
import Lists
import Postgres

/// What the lists of this service can be asked.
enum TaskLists {
    /// Tasks: all that are visible, of a project, or of a parent. `scope` names which, so that a cursor of one is not
    /// taken by another. The organization, its zone where a day is asked for, and the direction of each date asked for
    /// go into the statement, so a declaration is made for each request.
    static func tasks(
        scope: String,
        organization: OrganizationID,
        ordering: String?,
        zone: TimeZone = .gmt
    ) -> ListDeclaration {
        ListDeclaration(
            name: scope,
            filters: [
                .choice("status", values: TaskStatus.allCases.map(\.rawValue)) { place in
                    "t.status_order = \(place + 1)"
                },
                .choice("priority", values: TaskPriority.allCases.map(\.rawValue)) { place in
                    "t.priority_order = \(place + 1)"
                },
                .number("project", column: "t.project_id"),
                // Neither may be looked for by an index here: what is rare is gathered before, see Narrowing.
                ListFilter("created_by", repeats: true) { value in
                    "(t.created_by = ANY(\(users([try address(value)], organization)))) IS TRUE"
                },
                ListFilter("collaborator", repeats: true) { value in
                    """
                    (SELECT true FROM task_collaborator fc WHERE fc.organization_id = \(organization) \
                    AND fc.task_id = t.id AND fc.user_id = ANY(\(users([try address(value)], organization))) LIMIT 1)
                    """
                },
                ListFilter("due_before", repeats: false) { value in
                    """
                    (\(unsafe: key("t.due_moment", missing: "-infinity")) < \(try moment(value, zone)) \
                    AND t.due_moment IS NOT NULL)
                    """
                },
                ListFilter("due_after", repeats: false) { value in
                    """
                    (\(unsafe: key("t.due_moment", missing: "infinity")) >= \(try moment(value, zone)) \
                    AND t.due_moment IS NOT NULL)
                    """
                },
                ListFilter("parent", repeats: true) { value in
                    if value.utf8.elementsEqual("none".utf8) { return "t.parent_id IS NULL" }
                    guard let parent = TaskID(value) else {
                        throw ListValueError("Must be the id of a task or none.")
                    }
                    return "t.parent_id = \(parent)"
                },
            ],
            search: ListSearch { term, pattern in matches(term, pattern, organization) },
            sortKeys: [
                date("start_date", "t.start_moment", ordering),
                date("due_date", "t.due_moment", ordering),
                SortKey("priority", "t.priority_order", type: "smallint"),
                SortKey("status", "t.status_order", type: "smallint"),
                SortKey("title", "t.title_key", type: "text"),
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
        return SortKey(name, key(column, missing: isDescending ? "-infinity" : "infinity"), type: "timestamptz")
    }

    /// The expression of an index on a date; COALESCE would say the same, but no index serves it under row security.
    private static func key(_ column: String, missing: String) -> String {
        "CASE WHEN \(column) IS NULL THEN '\(missing)'::timestamptz ELSE \(column) END"
    }

    /// Title and description hold the term, or the name of the project, the status or the priority do; the last three
    /// are looked at once and not for each task.
    private static func matches(_ term: String, _ pattern: SQL, _ organization: OrganizationID) -> SQL {
        let statuses = places(of: term, in: TaskStatus.allCases.map(\.rawValue))
        let priorities = places(of: term, in: TaskPriority.allCases.map(\.rawValue))
        let named: SQL = """
            t.search_text LIKE \(pattern) OR t.project_id IN (SELECT sp.id FROM project sp \
            WHERE sp.organization_id = \(organization) AND lower(sp.name) LIKE \(pattern))
            """
        let ofStatus: SQL = statuses.isEmpty ? "" : " OR t.status_order = ANY(\(statuses)::smallint[])"
        let ofPriority: SQL = priorities.isEmpty ? "" : " OR t.priority_order = ANY(\(priorities)::smallint[])"
        return "(\(named)\(ofStatus)\(ofPriority))"
    }

    /// Whether a term is part of the name of a status or a priority.
    static func namesChoices(_ term: String) -> Bool {
        !places(of: term, in: TaskStatus.allCases.map(\.rawValue)).isEmpty
            || !places(of: term, in: TaskPriority.allCases.map(\.rawValue)).isEmpty
    }

    private static func places(of term: String, in values: [String]) -> [Int] {
        values.indices.filter { values[$0].lowercased().utf8.contains(term.lowercased().utf8) }.map { $0 + 1 }
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

    /// The members with one of these addresses, as an array of ids.
    static func users(_ emails: [String], _ organization: OrganizationID) -> SQL {
        let addressed = emails.map { email -> SQL in "fm.email_key = lower(\(email))" }
        return """
            ARRAY(SELECT fm.user_id FROM member fm WHERE fm.organization_id = \(organization) \
            AND (\(SQL.joined(addressed, separator: " OR "))))
            """
    }

    /// Whether a question cannot be understood without the organization's zone.
    static func namesDay(_ query: QueryItems) -> Bool {
        query.contains { ["due_before", "due_after"].contains($0.name) && CivilDate($0.value) != nil }
    }

    /// A moment, or the begin of a day in a zone: that of the days of tasks, whatever clocks do at midnight.
    private static func moment(_ value: String, _ zone: TimeZone) throws -> SQL {
        if let moment = Timestamp(value) { return "\(moment)::timestamptz" }
        guard let day = CivilDate(value) else {
            throw ListValueError("Must be a day (2026-12-01) or a time with an offset (2026-12-01T09:30:00Z).")
        }
        return "\(day.start(in: zone))::timestamptz"
    }
}
