import Identity
import Lists
import Postgres

/// The tasks that a list can have at all, gathered by an index on what was asked: a term, a creator, a collaborator.
///
/// A list is walked in its order until the page is full, which is right for what many tasks have and slow for what few
/// have among many. Of `n` tasks, `m` of them wanted, a page of `p` takes a walk of `p n / m` and a gathering of `m`;
/// the two meet at the square root of `p n`, and up to there it is gathered. Whatever was gathered, the list's own
/// conditions are asked of it again: it narrows, it does not decide.
struct Narrowing {
    private let organization: OrganizationID
    private let pageSize: Int
    private let questions: [SQL]

    /// Nil where nothing was asked that narrows.
    init?(_ request: ListRequest, in organization: OrganizationID) {
        self.organization = organization
        pageSize = request.pageSize
        var questions: [SQL] = []
        if let term = Narrowing.rarest(of: request.terms) { questions.append(Narrowing.holding(term, organization)) }
        if let creators = request.filters["created_by"] {
            questions.append(
                """
                ARRAY(SELECT t.id FROM task t WHERE t.organization_id = \(organization) \
                AND t.created_by = ANY(\(TaskLists.users(creators, organization))) LIMIT \(Narrowing.limit))
                """
            )
        }
        if let collaborators = request.filters["collaborator"] {
            questions.append(
                """
                ARRAY(SELECT c.task_id FROM task_collaborator c WHERE c.organization_id = \(organization) \
                AND c.user_id = ANY(\(TaskLists.users(collaborators, organization))) LIMIT \(Narrowing.limit))
                """
            )
        }
        guard !questions.isEmpty else { return nil }
        self.questions = questions
    }

    /// A row for each question with its ids; NULL if they are more than the bound, or unknown.
    var statement: SQL {
        let rows = questions.map { question -> SQL in "SELECT \(question) AS ids" }
        return """
            WITH bound AS MATERIALIZED (SELECT ceil(sqrt(\(pageSize + 1)::bigint * COALESCE((SELECT n.value \
            FROM counter n WHERE n.organization_id = \(organization) AND n.kind = 'task'), 0)))::integer AS most), \
            found AS MATERIALIZED (\(SQL.joined(rows, separator: " UNION ALL "))) \
            SELECT CASE WHEN cardinality(found.ids) <= bound.most THEN found.ids END AS ids FROM bound, found
            """
    }

    /// The ids of the question that narrows most; nil if none does enough.
    static func ids(in rows: Rows) throws -> [TaskID]? {
        try rows.compactMap { try $0.get("ids", as: [TaskID]?.self) }.min { $0.count < $1.count }
    }

    private static let limit: SQL = "(SELECT most + 1 FROM bound)"

    /// Tasks whose text holds a term, or whose project's name does.
    private static func holding(_ term: String, _ organization: OrganizationID) -> SQL {
        let pattern: SQL = "lower(\(ListSearch.pattern(of: term)))"
        return """
            (WITH text AS MATERIALIZED (SELECT search_candidates(\(organization), \(pattern), \(limit)) AS ids) \
            SELECT CASE WHEN cardinality(ids) < \(limit) THEN ids || ARRAY(SELECT t.id FROM task t \
            WHERE t.organization_id = \(organization) AND t.deleted_at IS NULL AND t.project_id = ANY(ARRAY(\
            SELECT p.id FROM project p WHERE p.organization_id = \(organization) AND lower(p.name) LIKE \(pattern))) \
            LIMIT \(limit)) ELSE ids END FROM text)
            """
    }

    /// The longest term that only a text can hold and that the index of trigrams knows: the rarest, most likely.
    static func rarest(of terms: [String]) -> String? {
        terms.filter { hasTrigram($0) && !TaskLists.namesChoices($0) }
            .max { $0.unicodeScalars.count < $1.unicodeScalars.count }
    }

    /// Whether three letters or digits stand side by side.
    private static func hasTrigram(_ term: String) -> Bool {
        var run = 0
        for scalar in term.unicodeScalars {
            run = scalar.properties.isAlphabetic || scalar.properties.numericType != nil ? run + 1 : 0
            if run == 3 { return true }
        }
        return false
    }
}
