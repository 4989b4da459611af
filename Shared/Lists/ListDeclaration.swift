import Failures
public import Identity
public import Postgres

/// A query string as name-value pairs in order, percent-decoded.
public typealias QueryItems = [(name: String, value: String)]

/// A key that a list can be ordered by.
public struct SortKey: Sendable {
    /// The name in `?ordering=`.
    public let name: String
    /// SQL expression, of our own, with its table's name (`t.title`): a bare name that the select list uses for
    /// something else would be taken for that. For text give `lower(t.name) COLLATE "C"`.
    public let expression: String
    /// The SQL type that a value from a cursor is cast to: `text`, `timestamptz`, `bigint`, `task_status`.
    public let type: String
    /// Whether it can be NULL; NULLs come last in both directions.
    public let isNullable: Bool

    /// A sort key.
    public init(_ name: String, _ expression: String, type: String, isNullable: Bool = false) {
        self.name = name
        self.expression = expression
        self.type = type
        self.isNullable = isNullable
    }
}

/// Everything a list can be asked, declared once: it parses the query, writes the SQL and names its parameters for the
/// documentation.
///
/// ```swift
/// static let list = ListDeclaration(
///     name: "projects",
///     filters: [.choice("status", column: "p.status", values: ProjectStatus.allCases.map(\.rawValue))],
///     search: ["p.name", "p.description"],
///     sortKeys: [SortKey("name", #"lower(p.name) COLLATE "C""#, type: "text")],
///     defaultOrdering: "-updated_at", hiddenKeys: [SortKey("updated_at", "p.updated_at", type: "timestamptz")],
///     identifier: SortKey("id", "p.id", type: "bigint"))
/// ```
public struct ListDeclaration: Sendable {
    /// Names the list in its cursors.
    public let name: String
    /// What it can be narrowed by.
    public let filters: [ListFilter]
    /// What `?search=` looks at; nil: no search.
    public let search: ListSearch?
    /// Keys for `?ordering=`; empty: no ordering parameter.
    public let sortKeys: [SortKey]
    /// Order without the parameter: `-updated_at`. May name keys that are not offered, see `hiddenKeys`.
    public let defaultOrdering: String
    /// Keys that only the default ordering uses.
    public let hiddenKeys: [SortKey]
    /// The last key, unique, in the direction of the key before it.
    public let identifier: SortKey
    /// What `?fields=` may name; nil: it is judged by the rows, so not on an empty page.
    public let fields: [String]?

    /// A declaration; the default ordering must name keys declared here.
    public init(
        name: String,
        filters: [ListFilter] = [],
        search: ListSearch? = nil,
        sortKeys: [SortKey] = [],
        defaultOrdering: String,
        hiddenKeys: [SortKey] = [],
        identifier: SortKey,
        fields: [String]? = nil
    ) {
        self.name = name
        self.filters = filters
        self.search = search
        self.sortKeys = sortKeys
        self.defaultOrdering = defaultOrdering
        self.hiddenKeys = hiddenKeys
        self.identifier = identifier
        self.fields = fields
    }

    /// Every query parameter that the list takes, for its documentation and the test that compares the two.
    public var parameterNames: [String] {
        filters.map(\.name) + (search == nil ? [] : ["search"]) + (sortKeys.isEmpty ? [] : ["ordering"])
            + ["page_size", "cursor", "count", "fields"]
    }

    /// Reads a query: filters, `search`, `ordering`, `page_size` (1...200, 50), `cursor`, `count`, `fields`.
    /// Throws ``Failures/Failure`` 400 naming the parameter, `bad-cursor` for a cursor that was edited, or made for
    /// another organization or query.
    public func parse(
        _ query: QueryItems,
        organization: OrganizationID,
        signer: CursorSigner
    ) throws -> ListRequest {
        let given = try grouped(query)
        var conditions: [SQL] = []
        for filter in filters {
            if let values = given[filter.name] { conditions.append(try condition(of: filter, values)) }
        }
        let terms = try searchTerms(given["search"]?.first ?? "")
        conditions += terms.map(condition(ofTerm:))
        let order = try sortOrder(given["ordering"]?.first ?? "")
        let binding = CursorBinding(
            organization: organization,
            list: name,
            filters: filters.map { ($0.name, given[$0.name] ?? []) },
            terms: terms,
            order: order
        )
        return ListRequest(
            pageSize: try pageSize(given["page_size"]?.first),
            wantsCount: try wantsCount(given["count"]?.first),
            fields: try fieldNames(given["fields"]?.first),
            terms: terms,
            filters: given.filter { name, _ in filters.contains { $0.name == name } },
            conditions: conditions,
            order: order,
            position: try given["cursor"]?.first.map {
                try signer.open($0, binding: binding, keys: order.count)
            },
            binding: binding,
            signer: signer
        )
    }

    /// The values of each parameter; all names are ours, so a dictionary by `String` is safe.
    private func grouped(_ query: QueryItems) throws -> [String: [String]] {
        let names = parameterNames
        var given: [String: [String]] = [:]
        for (asked, value) in query {
            guard let name = names.first(where: { $0.utf8.elementsEqual(asked.utf8) }) else {
                throw Failure.badParameter(asked, "unknown-parameter", "There is no such parameter here.")
            }
            guard !value.utf8.contains(0) else {
                throw Failure.badParameter(name, "nul-character", "Must not contain U+0000.")
            }
            let repeats = filters.first { $0.name == name }?.repeats ?? false
            guard repeats || given[name] == nil else {
                throw Failure.badParameter(name, "repeated-parameter", "May be given only once.")
            }
            given[name, default: []].append(value)
        }
        return given
    }

    private func condition(of filter: ListFilter, _ values: [String]) throws -> SQL {
        do {
            return "(\(SQL.joined(try values.map(filter.predicate), separator: " OR ")))"
        } catch let error as ListValueError {
            throw Failure.badParameter(filter.name, "bad-value", error.detail)
        }
    }

    /// More words than anybody types; each costs a scan of every field.
    private static let maximumTerms = 32

    private func searchTerms(_ text: String) throws -> [String] {
        var terms: [String] = []
        for part in text.unicodeScalars.split(whereSeparator: \.properties.isWhitespace) {
            let term = String(part)
            if !terms.contains(where: { $0.utf8.elementsEqual(term.utf8) }) { terms.append(term) }
        }
        guard terms.count <= ListDeclaration.maximumTerms else {
            throw Failure.badParameter(
                "search",
                "too-many-terms",
                "May have at most \(ListDeclaration.maximumTerms) terms."
            )
        }
        return terms
    }

    private func condition(ofTerm term: String) -> SQL {
        search?.condition(term, "lower(\(ListSearch.pattern(of: term))) ESCAPE '\\'") ?? "true"
    }

    private func sortOrder(_ asked: String) throws -> [SortStep] {
        let offered = sortKeys
        var steps = try steps(asked) { name in offered.first { $0.name.utf8.elementsEqual(name.utf8) } }
        if steps.isEmpty {
            let every = sortKeys + hiddenKeys + [identifier]
            steps = try self.steps(defaultOrdering) { name in every.first { $0.name == name } }
        }
        if !steps.contains(where: { $0.key.expression == identifier.expression }) {
            steps.append(SortStep(key: identifier, isDescending: steps.last?.isDescending ?? false))
        }
        return steps
    }

    private func steps(_ ordering: String, _ find: (Substring) -> SortKey?) throws -> [SortStep] {
        guard !ordering.isEmpty else { return [] }
        var steps: [SortStep] = []
        for part in ordering.split(separator: ",", omittingEmptySubsequences: false) {
            let isDescending = part.utf8.first == UInt8(ascii: "-")
            let name = isDescending ? part.dropFirst() : part
            guard let key = find(name) else {
                let names = sortKeys.map(\.name).joined(separator: ", ")
                throw Failure.badParameter("ordering", "bad-value", "Must be made of \(names), with - to descend.")
            }
            guard !steps.contains(where: { $0.key.name == key.name }) else {
                throw Failure.badParameter("ordering", "bad-value", "Names \(key.name) twice.")
            }
            steps.append(SortStep(key: key, isDescending: isDescending))
        }
        return steps
    }

    private func pageSize(_ text: String?) throws -> Int {
        guard let text else { return 50 }
        guard let size = plainNumber(text), (1...200).contains(size) else {
            throw Failure.badParameter("page_size", "bad-value", "Must be 1 to 200.")
        }
        return Int(size)
    }

    private func wantsCount(_ text: String?) throws -> Bool {
        switch text {
        case nil, "false": false
        case "true": true
        default: throw Failure.badParameter("count", "bad-value", "Must be true or false.")
        }
    }

    private func fieldNames(_ text: String?) throws -> [String]? {
        guard let text else { return nil }
        let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard !names.contains("") else {
            throw Failure.badParameter("fields", "bad-value", "Must be names of fields with commas between them.")
        }
        if let fields {
            for name in names where !fields.contains(where: { $0.utf8.elementsEqual(name.utf8) }) {
                throw Failure.badParameter("fields", "bad-value", "There is no field of one of these names.")
            }
        }
        return names
    }
}

/// How a list is searched: a row is found if every term of `?search=` is.
public struct ListSearch: Sendable, ExpressibleByArrayLiteral {
    /// The condition that a row holds a term; the pattern, lower-cased, stands to the right of `LIKE`.
    let condition: @Sendable (_ term: String, _ pattern: SQL) -> SQL

    /// The pattern of LIKE for what contains a term, with `\` as the escape character.
    public static func pattern(of term: String) -> String {
        var pattern = "%"
        for scalar in term.unicodeScalars {
            if scalar == "%" || scalar == "_" || scalar == "\\" { pattern += "\\" }
            pattern.unicodeScalars.append(scalar)
        }
        return pattern + "%"
    }

    /// As a condition of the list's own says.
    public init(_ condition: @escaping @Sendable (_ term: String, _ pattern: SQL) -> SQL) {
        self.condition = condition
    }

    /// In any of these SQL text expressions, whatever the case of letters.
    public init(arrayLiteral expressions: String...) {
        condition = { _, pattern in
            let matches = expressions.map { field -> SQL in "lower(\(unsafe: field)) LIKE \(pattern)" }
            return "(\(SQL.joined(matches, separator: " OR ")))"
        }
    }
}

/// One key of an order, with its direction.
struct SortStep: Sendable {
    let key: SortKey
    let isDescending: Bool
}
