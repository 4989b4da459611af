/// Which pages of other origins may use the API (CORS). An exact list: nothing is reflected, no wildcard, never `null`,
/// and no credentials, since tokens travel in `Authorization`.
struct CrossOrigin: Sendable, Hashable {
    let origins: Set<String>

    /// For an answer to a request with this `Origin`.
    func fields(origin: String?) -> [HeaderFields.Field] {
        guard let origin, origins.contains(origin) else { return [] }
        return [
            HeaderFields.Field(name: "access-control-allow-origin", value: origin),
            HeaderFields.Field(name: "access-control-expose-headers", value: Self.exposed),
        ]
    }

    /// For the answer to a preflight; an origin that is not on the list learns nothing.
    func preflightFields(origin: String?, allow: String) -> [HeaderFields.Field] {
        guard let origin, origins.contains(origin) else { return [] }
        return [
            HeaderFields.Field(name: "access-control-allow-origin", value: origin),
            HeaderFields.Field(name: "access-control-allow-methods", value: allow),
            HeaderFields.Field(name: "access-control-allow-headers", value: Self.accepted),
            HeaderFields.Field(name: "access-control-max-age", value: "600"),
        ]
    }

    /// Reads a comma- or blank-separated list; nil names the first entry that is no origin.
    static func parse(_ text: String) -> Result<CrossOrigin, BadOrigin> {
        var origins: Set<String> = []
        for part in text.split(whereSeparator: { $0 == "," || $0 == " " }) {
            let origin = String(part)
            let rest = ["https://", "http://"].first { origin.hasPrefix($0) }.map { origin.dropFirst($0.count) }
            let isGood = rest.map { rest in
                !rest.isEmpty
                    && rest.utf8.allSatisfy {
                        (0x30...0x3A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D || $0 == 0x2E
                            || $0 == 0x5B
                            || $0 == 0x5D
                    }
            }
            guard isGood == true else { return .failure(BadOrigin(text: origin)) }
            origins.insert(origin)
        }
        return .success(CrossOrigin(origins: origins))
    }

    struct BadOrigin: Error, Hashable {
        var text: String
    }

    private static let accepted =
        "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Taskflow-Position, X-Request-Id, "
        + "traceparent, tracestate"
    private static let exposed =
        "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, Idempotency-Replayed, Taskflow-Position, X-Request-Id"
}
