import ServiceKit

/// One OpenAPI document out of those of the services.
///
/// The gateway's own comes first: what it defines (the error, the security scheme, common headers) holds for all. A
/// component that two services define differently keeps its name in the first and gets the service's name before its own
/// in the second, references included.
struct OpenAPIDocument {
    private var info: JSON = .object([])
    private var tags: [JSON] = []
    private var paths: [(key: String, value: JSON)] = []
    private var components: [(kind: String, entries: [(key: String, value: JSON)])] = []

    /// - Parameters:
    ///   - own: the gateway's document.
    ///   - services: those of the services, by name.
    ///   - table: says which operations need no token.
    static func merge(own: JSON, services: [(name: String, document: JSON)], publicURL: String, routes: [RouteRule])
        -> JSON
    {
        var merged = OpenAPIDocument()
        merged.info = own["info"] ?? .object([])
        merged.add(own, service: "")
        for service in services { merged.add(service.document, service: service.name) }
        merged.addCommonParts(routes)
        return .object([
            ("openapi", .string("3.1.0")), ("info", merged.info),
            ("servers", .array([.object([("url", .string(publicURL))])])), ("tags", .array(merged.tags)),
            ("security", .array([.object([("bearer", .array([]))])])), ("paths", .object(merged.paths)),
            ("components", .object(merged.components.map { (key: $0.kind, value: .object($0.entries)) })),
        ])
    }

    private mutating func add(_ document: JSON, service: String) {
        let document = renaming(document, service: service)
        for tag in document["tags"]?.elements ?? []
        where !tags.contains(where: { $0["name"]?.text == tag["name"]?.text }) {
            tags.append(tag)
        }
        for kind in document["components"]?.members ?? [] {
            let index = components.firstIndex { $0.kind == kind.key } ?? components.count
            if index == components.count { components.append((kind.key, [])) }
            for entry in kind.value.members where !components[index].entries.contains(where: { $0.key == entry.key }) {
                components[index].entries.append(entry)
            }
        }
        for path in document["paths"]?.members ?? [] {
            let name = Self.canonical(path.key)
            guard let index = paths.firstIndex(where: { Self.canonical($0.key) == name }) else {
                paths.append(path)
                continue
            }
            let known = paths[index].value.members
            let more = path.value.members.filter { member in !known.contains { $0.key == member.key } }
            paths[index].value = .object(known + more)
        }
    }

    /// Slashes at the end are optional, so two spellings are one path.
    private static func canonical(_ path: String) -> String {
        path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    /// The document with another name for each component whose name is taken by something else.
    private func renaming(_ document: JSON, service: String) -> JSON {
        var names: [String: String] = [:]
        for kind in document["components"]?.members ?? [] where kind.key != "securitySchemes" {
            let known = components.first { $0.kind == kind.key }?.entries ?? []
            for entry in kind.value.members {
                guard let other = known.first(where: { $0.key == entry.key }), !other.value.isSame(as: entry.value)
                else { continue }
                // What the gateway defines is common; a service's own wording of it gives way.
                if isOwn(kind.key, entry.key) { continue }
                let prefix = service.prefix(1).uppercased() + service.dropFirst()
                names["#/components/\(kind.key)/\(entry.key)"] = "\(prefix)\(entry.key)"
            }
        }
        guard !names.isEmpty else { return document }
        return Self.replace(document, names, path: [])
    }

    private var own: Set<String> { ["schemas/Problem"] }

    private func isOwn(_ kind: String, _ name: String) -> Bool {
        own.contains("\(kind)/\(name)") || kind == "securitySchemes" || kind == "headers"
            || [
                "responses/Unauthorized", "responses/TargetTooLong", "responses/TooManyRequests",
                "responses/Unavailable",
            ].contains("\(kind)/\(name)")
    }

    private static func replace(_ json: JSON, _ names: [String: String], path: [String]) -> JSON {
        switch json {
        case .array(let elements): return .array(elements.map { replace($0, names, path: path + ["[]"]) })
        case .object(let members):
            return .object(
                members.map { member in
                    if member.key == "$ref", let target = member.value.text, let name = names[target] {
                        let kept = target.split(separator: "/").dropLast().joined(separator: "/")
                        return (key: member.key, value: .string("\(kept)/\(name)"))
                    }
                    var key = member.key
                    if path.count == 2, path[0] == "components", let name = names["#/components/\(path[1])/\(key)"] {
                        key = name
                    }
                    return (key: key, value: replace(member.value, names, path: path + [member.key]))
                }
            )
        default: return json
        }
    }

    // MARK: What holds for every operation

    private static let methods = ["get", "put", "post", "delete", "patch"]

    private mutating func addCommonParts(_ routes: [RouteRule]) {
        for index in paths.indices {
            let path = paths[index].key
            paths[index].value = .object(
                paths[index].value.members.map { member in
                    guard Self.methods.contains(member.key) else { return member }
                    let rule = Self.rule(path, member.key.uppercased(), routes)
                    return (key: member.key, value: Self.complete(member.value, rule))
                }
            )
        }
    }

    private static func rule(_ path: String, _ method: String, _ routes: [RouteRule]) -> RouteRule? {
        let segments = canonical(path).split(separator: "/")
        return routes.first { rule in
            guard rule.methods.contains(method) else { return false }
            let pattern = rule.pattern.segments
            guard pattern.count == segments.count || (pattern.last == .rest && segments.count >= pattern.count) else {
                return false
            }
            return zip(pattern, segments).allSatisfy { part, segment in
                switch part {
                case .literal(let text): segment == text
                case .parameter: segment.hasPrefix("{")
                case .rest: true
                }
            }
        }
    }

    private static func complete(_ operation: JSON, _ rule: RouteRule?) -> JSON {
        guard let rule else { return operation }
        var members = operation.members.filter { $0.key != "security" }
        if rule.auth == .none { members.append(("security", .array([]))) }
        if rule.auth == .optional {
            members.append(("security", .array([.object([]), .object([("bearer", .array([]))])])))
        }
        var answers: [(String, String)] = [("414", "TargetTooLong"), ("503", "Unavailable")]
        if rule.auth == .required { answers.insert(("401", "Unauthorized"), at: 0) }
        if !rule.limits.isEmpty { answers.append(("429", "TooManyRequests")) }
        let index = members.firstIndex { $0.key == "responses" } ?? members.count
        if index == members.count { members.append(("responses", .object([]))) }
        var responses = members[index].value.members
        for (status, name) in answers where !responses.contains(where: { $0.key == status }) {
            responses.append((status, .object([("$ref", .string("#/components/responses/\(name)"))])))
        }
        members[index].value = .object(responses.sorted { $0.key < $1.key })
        return .object(members)
    }
}

extension JSON {
    /// The members of an object, none of anything else.
    var members: [(key: String, value: JSON)] {
        if case .object(let members) = self { members } else { [] }
    }
}
