/// Finds the route of a path: the longest literal prefix wins, then `{x}`, then `**`.
struct RouteTable: Sendable {
    /// What the gateway serves by itself.
    static let ownPaths = [
        "/health/live", "/health/ready", "/api/openapi.json", "/api/asyncapi.json", "/api/asyncapi.yaml", "/api/docs",
    ]

    /// A path's routes, one for each method.
    struct Match: Sendable {
        var methods: [String: Int]
        /// For `Allow`.
        var allow: String
    }

    private struct Node: Sendable {
        var literals: [String: Int] = [:]
        var parameter: Int?
        var match: Match?
        var rest: Match?
    }
    private var nodes = [Node()]

    init(_ rules: [RouteRule]) {
        for (index, rule) in rules.enumerated() {
            var node = 0
            var isRest = false
            for segment in rule.pattern.segments {
                switch segment {
                case .literal(let text): node = child(of: node, literal: text)
                case .parameter: node = parameterChild(of: node)
                case .rest: isRest = true
                }
            }
            var match = (isRest ? nodes[node].rest : nodes[node].match) ?? Match(methods: [:], allow: "")
            for method in rule.methods { match.methods[method] = index }
            match.allow = Self.allow(match.methods)
            if isRest { nodes[node].rest = match } else { nodes[node].match = match }
        }
    }

    /// The routes at the best pattern for a path; nil if there is none.
    func match(_ segments: [Substring]) -> Match? { match(segments[...], at: 0) }

    /// Patterns are tried from the most to the least literal, segment by segment from the left.
    private func match(_ segments: ArraySlice<Substring>, at index: Int) -> Match? {
        let node = nodes[index]
        guard let segment = segments.first else { return node.match }
        let rest = segments.dropFirst()
        if let next = node.literals[String(segment)], let found = match(rest, at: next) { return found }
        if let next = node.parameter, let found = match(rest, at: next) { return found }
        return node.rest
    }

    private mutating func child(of node: Int, literal: String) -> Int {
        if let next = nodes[node].literals[literal] { return next }
        nodes.append(Node())
        nodes[node].literals[literal] = nodes.count - 1
        return nodes.count - 1
    }

    private mutating func parameterChild(of node: Int) -> Int {
        if let next = nodes[node].parameter { return next }
        nodes.append(Node())
        nodes[node].parameter = nodes.count - 1
        return nodes.count - 1
    }

    private static func allow(_ methods: [String: Int]) -> String {
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].filter { methods[$0 == "HEAD" ? "GET" : $0] != nil }
            .joined(separator: ", ") + ", OPTIONS"
    }
}
