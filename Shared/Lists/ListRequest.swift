public import Identity
public import Messaging
public import Postgres

/// A parsed query, ready to be run.
public struct ListRequest: Sendable {
    /// 1...200.
    public let pageSize: Int
    /// Whether `count=true` was asked.
    public let wantsCount: Bool
    /// The names in `fields`, nil for all.
    public let fields: [String]?
    /// The terms of `search`, each once.
    public let terms: [String]
    /// The values of each filter that was given, all of the right form.
    public let filters: [String: [String]]

    let conditions: [SQL]
    let order: [SortStep]
    let position: CursorPosition?
    let binding: CursorBinding
    let signer: CursorSigner

    /// Runs the list in one round trip, its count in the statement of the page: two statements would see two states.
    ///
    /// - Parameters:
    ///   - organization: whose rows are seen.
    ///   - database: where they are.
    ///   - select: the columns, without SELECT: `"t.id, t.title"`.
    ///   - from: tables and joins, without FROM; may not multiply the list's rows.
    ///   - visible: the condition that the caller may see the row; must contain the organization's predicate.
    ///   - decode: makes the item of a row.
    public func run<Item: Sendable>(
        in organization: OrganizationID,
        on database: TenantDatabase,
        select: SQL,
        from: SQL,
        visible: SQL,
        decode: (Row) throws -> Item
    ) async throws -> Page<Item> {
        let statement = pageStatement(select: select, from: from, visible: visible)
        let rows = try await database.read(in: organization, statement)
        let shown = 0..<min(rows.count, pageSize)
        let items = try shown.map { try decode(rows[$0]) }
        let ends = try [shown.first, shown.last].compactMap { place in
            try place.map { place in try order.indices.map { try rows[place].get("_key\($0)", as: String?.self) } }
        }
        var count: Int64?
        if wantsCount, let row = rows.first {
            count = try row.get("_count")
        } else if wantsCount {
            // No row to say it. Past the end of a list there are others, though.
            count = position == nil ? 0 : try await self.count(in: organization, on: database, from, visible)
        }
        return Page(
            items: position?.isBackward == true ? items.reversed() : items,
            links: links(keys: ends, hasMore: rows.count > pageSize),
            count: count,
            fields: fields
        )
    }

    private func count(
        in organization: OrganizationID,
        on database: TenantDatabase,
        _ from: SQL,
        _ visible: SQL
    ) async throws -> Int64? {
        try await database.read(in: organization, countStatement(from: from, visible: visible)).first?.get("count")
    }

    /// One row more than the page holds: it tells whether there is another page.
    func pageStatement(select: SQL, from: SQL, visible: SQL) -> SQL {
        var keys = order.indices.map { index -> SQL in
            "(\(unsafe: order[index].key.expression))::text AS \"_key\(unsafe: String(index))\""
        }
        if wantsCount { keys.append("(\(countStatement(from: from, visible: visible))) AS \"_count\"") }
        var all = [SQL("(\(visible))")] + conditions
        if let position { all.append(keyset(position)) }
        let isBackward = position?.isBackward ?? false
        let sorting = order.map { step in SQL(unsafe: step.sorting(reversed: isBackward)) }
        return """
            SELECT \(select), \(SQL.joined(keys, separator: ", ")) FROM \(from) \
            WHERE \(SQL.joined(all, separator: " AND ")) \
            ORDER BY \(SQL.joined(sorting, separator: ", ")) LIMIT \(unsafe: String(pageSize + 1))
            """
    }

    func countStatement(from: SQL, visible: SQL) -> SQL {
        let all = [SQL("(\(visible))")] + conditions
        return "SELECT count(*) AS count FROM \(from) WHERE \(SQL.joined(all, separator: " AND "))"
    }

    /// `keys` of the first and the last row in the order of the statement; a backward page comes in reverse.
    func links(keys: [[String?]], hasMore: Bool) -> PageLinks {
        let isBackward = position?.isBackward ?? false
        func link(_ values: [String?]?, backward: Bool) -> String? {
            if let values {
                return signer.seal(
                    CursorPosition(isBackward: backward, isInclusive: false, values: values),
                    binding: binding
                )
            }
            // An empty page lies just before or after the row that the cursor names: the way back includes it.
            guard let position, position.isBackward != backward else { return nil }
            return signer.seal(
                CursorPosition(isBackward: backward, isInclusive: !position.isInclusive, values: position.values),
                binding: binding
            )
        }
        let (first, last) = isBackward ? (keys.last, keys.first) : (keys.first, keys.last)
        return PageLinks(
            next: hasMore || isBackward ? link(last, backward: false) : nil,
            previous: hasMore && isBackward || (position != nil && !isBackward) ? link(first, backward: true) : nil
        )
    }

    /// The condition that a row lies beyond the cursor. NULLs come last going forward, whatever the direction.
    private func keyset(_ position: CursorPosition) -> SQL {
        if let comparison = rowComparison(position) { return comparison }
        var alternatives: [SQL] = []
        var equal: [SQL] = []
        for (step, value) in zip(order, position.values) {
            if let beyond = step.beyond(value, backward: position.isBackward) {
                alternatives.append("(\(SQL.joined(equal + [beyond], separator: " AND ")))")
            }
            equal.append(step.equals(value))
        }
        if position.isInclusive { alternatives.append("(\(SQL.joined(equal, separator: " AND ")))") }
        return alternatives.isEmpty ? "false" : "(\(SQL.joined(alternatives, separator: " OR ")))"
    }

    /// All keys in one direction and none of them NULL: a row comparison, which an index on the keys answers directly.
    private func rowComparison(_ position: CursorPosition) -> SQL? {
        guard
            let isDescending = order.first?.isDescending,
            order.allSatisfy({ $0.isDescending == isDescending && !$0.key.isNullable })
        else { return nil }
        let given = position.values.compactMap { $0 }
        guard given.count == order.count else { return nil }
        let values = zip(order, given).map { step, value -> SQL in
            "\(value)::\(unsafe: step.key.type)"
        }
        let sign = (isDescending != position.isBackward ? "<" : ">") + (position.isInclusive ? "=" : "")
        let keys = order.map { SQL(unsafe: $0.key.expression) }
        return """
            (\(SQL.joined(keys, separator: ", "))) \(unsafe: sign) (\(SQL.joined(values, separator: ", ")))
            """
    }
}

extension SortStep {
    /// The ORDER BY item. Where there are no NULLs nothing is said of them, or an index would not fit.
    fileprivate func sorting(reversed: Bool) -> String {
        let direction = isDescending != reversed ? "DESC" : "ASC"
        return key.isNullable
            ? "\(key.expression) \(direction) NULLS \(reversed ? "FIRST" : "LAST")" : "\(key.expression) \(direction)"
    }

    fileprivate func equals(_ value: String?) -> SQL {
        guard let value else { return "\(unsafe: key.expression) IS NULL" }
        return "\(unsafe: key.expression) = \(value)::\(unsafe: key.type)"
    }

    /// The condition that this key alone lies beyond a value; nil if nothing can.
    fileprivate func beyond(_ value: String?, backward: Bool) -> SQL? {
        guard let value else { return backward ? "\(unsafe: key.expression) IS NOT NULL" : nil }
        let sign = isDescending != backward ? "<" : ">"
        let comparison: SQL = "\(unsafe: key.expression) \(unsafe: sign) \(value)::\(unsafe: key.type)"
        guard key.isNullable, !backward else { return comparison }
        return "(\(comparison) OR \(unsafe: key.expression) IS NULL)"
    }
}

/// Sealed cursors of the pages beside one.
struct PageLinks {
    var next: String?
    var previous: String?
}

/// A page of a list.
public struct Page<Item: Sendable>: Sendable {
    /// The rows, in order.
    public let items: [Item]
    /// Sealed cursor of the next page, nil at the end.
    public let next: String?
    /// Sealed cursor of the page before, nil at the start.
    public let previous: String?
    /// How many rows there are in all, if asked.
    public let count: Int64?
    /// The names in `fields`, nil for all.
    public let fields: [String]?

    init(items: [Item], links: PageLinks, count: Int64?, fields: [String]?) {
        self.items = items
        self.next = links.next
        self.previous = links.previous
        self.count = count
        self.fields = fields
    }
    private init(items: [Item], next: String?, previous: String?, count: Int64?, fields: [String]?) {
        self.items = items
        self.next = next
        self.previous = previous
        self.count = count
        self.fields = fields
    }

    /// The same page with another form of each row.
    public func map<Other>(_ transform: (Item) throws -> Other) rethrows -> Page<Other> {
        Page<Other>(items: try items.map(transform), next: next, previous: previous, count: count, fields: fields)
    }
}
