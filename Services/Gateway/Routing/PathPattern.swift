/// A path with places to fill: literal segments, `{name}` for one segment, and `**` at the end for one or more.
struct PathPattern: Sendable, Hashable, CustomStringConvertible {
    enum Segment: Sendable, Hashable {
        case literal(String)
        case parameter(String)
        case rest
    }
    let segments: [Segment]

    /// As written.
    var description: String {
        "/"
            + segments.map { segment in
                switch segment {
                case .literal(let text): text
                case .parameter(let name): "{\(name)}"
                case .rest: "**"
                }
            }.joined(separator: "/")
    }

    /// The pattern without the names of its places: two patterns of one shape match the same paths.
    var shape: String {
        "/"
            + segments.map { segment in
                switch segment {
                case .literal(let text): text
                case .parameter: "{}"
                case .rest: "**"
                }
            }.joined(separator: "/")
    }

    init(parsing text: String, at place: SourcePlace) throws(ConfigurationComplaint) {
        guard text.hasPrefix("/") else {
            throw ConfigurationComplaint(place, "\"\(text)\" is no path: it begins with /")
        }
        guard text == "/" || !text.hasSuffix("/") else {
            throw ConfigurationComplaint(place, "leave out the slash at the end: requests may have it or not")
        }
        var segments: [Segment] = []
        let parts = text == "/" ? [] : text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if part == "**" {
                guard index == parts.count - 1 else { throw ConfigurationComplaint(place, "** stands at the end only") }
                segments.append(.rest)
            } else if part.hasPrefix("{"), part.hasSuffix("}"), part.utf8.count > 2 {
                let name = String(part.dropFirst().dropLast())
                let token = Token(kind: .word(name, quoted: false), place: place)
                guard !segments.contains(.parameter(name)) else {
                    throw ConfigurationComplaint(place, "{\(name)} stands twice in \(text)")
                }
                segments.append(.parameter(try ConfigurationValue.name(token)))
            } else {
                guard !part.contains("*"), RequestTarget.complaint(aboutPath: "/" + part) == nil, !part.isEmpty else {
                    throw ConfigurationComplaint(place, "\"\(part)\" is no segment of a path in its normal form")
                }
                segments.append(.literal(String(part)))
            }
        }
        self.segments = segments
    }

    /// Why no configuration may have this pattern; nil if it may.
    var reservation: String? {
        if segments.first == .literal("internal") { return "/internal is never forwarded" }
        if RouteTable.ownPaths.contains(description) { return "\(self) is served by the gateway itself" }
        switch segments.first {
        case .literal?: return nil
        default: return "the first segment must be literal, or the route would take in everything"
        }
    }
}
