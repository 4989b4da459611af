import Failures
import Identity
import ServiceKit

@testable import Lists
@testable import Postgres

/// The query of a list: nothing of it becomes SQL but by way of a parameter, its limits hold, and the links of a page
/// lead on in the same query and in no other.
enum ListQueryProperty {
    private static let organization = OrganizationID(first: 1)
    private static let signer = CursorSigner(key: [UInt8](repeating: 7, count: 32))
    private static let declaration = ListDeclaration(
        name: "tasks",
        filters: [
            .choice("status", column: "t.status", values: ["DONE", "PENDING"]),
            .boolean("overdue", column: "t.overdue"), .number("project", column: "t.project_id"),
        ],
        search: ["t.title", "t.body"],
        sortKeys: [
            SortKey("title", "lower(t.title) COLLATE \"C\"", type: "text"),
            SortKey("due", "t.due", type: "timestamptz", isNullable: true),
        ],
        defaultOrdering: "-created",
        hiddenKeys: [SortKey("created", "t.created", type: "timestamptz")],
        identifier: SortKey("id", "t.id", type: "bigint"),
        fields: ["id", "title"]
    )

    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        try judgePercentCoding(text)
        guard let query = items(of: text), let request = try parsed(query) else { return }
        try expect(!query.contains { $0.name == "cursor" }, "takes a cursor that nobody has sealed")
        try expect((1...200).contains(request.pageSize), "a page of a size that nobody may ask: \(request.pageSize)")
        try judgeStatement(of: request, query)
        try judgeLinks(of: request, query)
    }

    private static func judgePercentCoding(_ text: String) throws {
        let encoded = PercentCoding.encode(text)
        let isPlain = encoded.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                || "%-._~".utf8.contains($0)
        }
        try expect(isPlain, "percent-encoding leaves something: \(encoded)")
        for plusIsSpace in [true, false] {
            let decoded = PercentCoding.decode(encoded[...], plusIsSpace: plusIsSpace)
            try expect(
                decoded?.utf8.elementsEqual(text.utf8) == true,
                "percent-encoding does not come back: \(encoded)"
            )
        }
        if let decoded = PercentCoding.decode(text[...]) {
            let again = PercentCoding.decode(PercentCoding.encode(decoded)[...])
            try expect(
                again?.utf8.elementsEqual(decoded.utf8) == true,
                "percent-decoding does not come back: \(decoded)"
            )
        }
    }

    /// As a service takes a query apart.
    private static func items(of text: String) -> QueryItems? {
        var items: QueryItems = []
        for item in text.split(separator: "&", omittingEmptySubsequences: true) {
            let name = item.prefix { $0 != "=" }
            let value = item.dropFirst(name.count + 1)
            guard
                let name = PercentCoding.decode(name, plusIsSpace: true),
                let value = PercentCoding.decode(value, plusIsSpace: true)
            else { return nil }
            items.append((name, value))
        }
        return items
    }

    private static func parsed(_ query: QueryItems) throws -> ListRequest? {
        do {
            return try declaration.parse(query, organization: organization, signer: signer)
        } catch let failure as Failure {
            try expect(failure.kind == .badRequest, "refused as another kind: \(failure.kind)")
            try expect(
                ["bad-parameter", "bad-cursor"].contains(failure.code),
                "refused with another code: \(failure.code)"
            )
            try expect(failure.fields.allSatisfy { $0.parameter != nil }, "names no parameter")
            return nil
        }
    }

    private static func statement(_ request: ListRequest) -> Statement {
        request.pageStatement(
            select: "t.id",
            from: "task t",
            visible: "t.organization_id = \(organization)"
        ).statement
    }

    /// The text of the statement is the same whatever the values: only their number and the order asked for count.
    private static func judgeStatement(of request: ListRequest, _ query: QueryItems) throws {
        let harmless = query.map { item -> (name: String, value: String) in
            switch item.name {
            case "status": return (item.name, "DONE")
            case "project": return (item.name, "7")
            case "search":
                let terms = item.value.unicodeScalars.split(whereSeparator: \.properties.isWhitespace)
                let count = Set(terms.map { Array(String($0).utf8) }).count
                return (item.name, (0..<count).map { "w\($0)" }.joined(separator: " "))
            default: return item
            }
        }
        guard let other = try parsed(harmless) else { throw Violation("refuses harmless values") }
        let (one, two) = (statement(request), statement(other))
        try expect(one.text.utf8.elementsEqual(two.text.utf8), "values shape the statement: \(one.text)")
        try expect(one.parameters.count == two.parameters.count, "another number of parameters")
        for number in one.parameters.indices {
            try expect(one.text.contains("$\(number + 1)"), "a parameter is not used: \(number + 1) in \(one.text)")
        }
        try expect(!one.text.contains("$\(one.parameters.count + 1)"), "a parameter is missing")
    }

    private static func judgeLinks(of request: ListRequest, _ query: QueryItems) throws {
        let values = request.order.map { _ in "17" as String? }
        guard let next = request.links(keys: [values, values], hasMore: true).next else {
            throw Violation("no way on from a page with more behind it")
        }
        let onward = try parsed(query + [("cursor", next)])
        try expect(onward?.position?.values == values, "the link does not lead on")
        if let onward {
            let back = onward.links(keys: [values], hasMore: false)
            try expect(back.previous != nil && back.next == nil, "the last page leads on, or not back")
        }
        let elsewhere = query.filter { $0.name != "project" } + [("project", "999"), ("cursor", next)]
        let isSame = query.filter { $0.name == "project" }.map(\.value) == ["999"]
        try expect(try isSame || parsed(elsewhere) == nil, "the link is good in another query")
    }
}
