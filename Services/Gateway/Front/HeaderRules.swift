/// What header fields may say, and which of them go on to a service.
enum HeaderRules {
    /// The length of the body, where it is beyond doubt.
    static func framing(_ headers: HeaderFields, minorVersion: Int) throws(Rejection) -> BodyFraming {
        let lengths = headers.all("content-length")
        let codings = headers.all("transfer-encoding")
        if codings.isEmpty {
            guard let length = lengths.first else { return .none }
            guard lengths.count == 1, let number = decimal(length) else {
                throw .malformed("Content-Length is not one plain number.")
            }
            return number == 0 ? .none : .length(number)
        }
        guard minorVersion == 1 else { throw .malformed("HTTP/1.0 knows no Transfer-Encoding.") }
        guard lengths.isEmpty else { throw .malformed("Content-Length and Transfer-Encoding exclude each other.") }
        guard codings.count == 1, let coding = codings.first else {
            throw .malformed("Transfer-Encoding stands twice.")
        }
        let elements = coding.split(separator: ",", omittingEmptySubsequences: false).map {
            $0.trimmedOfBlanks.lowercased()
        }
        guard elements.last == "chunked", elements.filter({ $0 == "chunked" }).count == 1, !elements.contains("") else {
            throw .malformed("Transfer-Encoding must be chunked.")
        }
        guard elements.count == 1 else {
            throw Rejection(
                status: 501,
                code: "not-implemented",
                detail: "No transfer coding but chunked is known.",
                closes: true
            )
        }
        return .chunked
    }

    /// Digits only, no sign, at most 15 of them.
    static func decimal(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 15, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }

    /// Judges what the parser let through; the request's own faults, whatever its path.
    static func check(_ head: RequestHead) throws(Rejection) {
        try checkHost(head)
        for name in single where head.headers.count(of: name) > 1 {
            throw .malformed("\(name) stands twice.")
        }
        for option in head.headers.elements(of: "connection") {
            guard !isNeeded(option) else { throw .malformed("Connection names a field that is needed.") }
        }
        if let expectation = head.headers["expect"], expectation.lowercased() != "100-continue" {
            throw Rejection(
                status: 417,
                code: "expectation-failed",
                detail: "No expectation but 100-continue is known.",
                closes: true
            )
        }
    }

    private static func checkHost(_ head: RequestHead) throws(Rejection) {
        let hosts = head.headers.all("host")
        guard hosts.count == 1 || (hosts.isEmpty && head.minorVersion == 0) else {
            throw .malformed("There must be one Host.")
        }
        guard let host = hosts.first else { return }
        let isGood = host.utf8.allSatisfy { byte in
            (0x30...0x3A).contains(byte) || (0x41...0x5B).contains(byte) || (0x61...0x7A).contains(byte)
                || byte == 0x5D || byte == 0x2D || byte == 0x2E || byte == 0x5F
        }
        guard isGood, !host.isEmpty else { throw .malformed("Host is not well formed.") }
    }

    /// Fields of which two would let two programs see two different requests.
    private static let single = [
        "authorization", "content-type", "content-encoding", "idempotency-key", "taskflow-position", "expect",
        "upgrade", "origin",
    ]

    /// What `Connection` must not have removed on the way.
    private static func isNeeded(_ name: String) -> Bool {
        switch name {
        case "authorization", "host", "content-length", "content-type", "content-encoding", "transfer-encoding",
            "idempotency-key", "expect", "if-match", "if-none-match", "traceparent", "tracestate", "forwarded",
            "cookie",
            "cache-control", "origin":
            true
        default: name.hasPrefix("x-") || name.hasPrefix("taskflow-") || name.hasPrefix("access-control-")
        }
    }

    static func isForbiddenTrailer(_ name: String) -> Bool {
        switch name {
        case "authorization", "host", "content-length", "content-type", "content-encoding", "content-range",
            "cache-control", "expect", "set-cookie", "cookie", "location", "age", "date", "vary", "max-forwards":
            true
        default: isHopByHop(name) || name.hasPrefix("if-") || strippedPrefixes.contains { name.hasPrefix($0) }
        }
    }

    /// Fields that belong to one connection (RFC 9110, section 7.6.1).
    static func isHopByHop(_ name: String) -> Bool {
        switch name {
        case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
            "trailer",
            "transfer-encoding", "upgrade", "http2-settings":
            true
        default: false
        }
    }

    /// The fields of a request that a service gets to see: no hop-by-hop ones, none that say who is asking or where
    /// from, none that two programs could read in two ways. The gateway adds its own afterwards.
    ///
    /// A token that was not verified here is none of a service's business.
    static func forward(_ headers: HeaderFields, withToken: Bool, into forwarded: inout HeaderFields) {
        let named = headers.elements(of: "connection")
        for field in headers.fields where !isStripped(field.name) && !named.contains(field.name) {
            if field.name == "authorization", !withToken { continue }
            forwarded.append(field.name, field.value)
        }
    }

    /// A `_` is what some programs make of `-`, so a name with one could pass for another.
    private static func isStripped(_ name: String) -> Bool {
        if name.utf8.contains(UInt8(ascii: "_")) || isHopByHop(name) { return true }
        switch name {
        case "host", "content-length", "expect", "forwarded", "x-real-ip", "x-request-id", "traceparent", "tracestate",
            "cookie", "x-client-ip", "true-client-ip", "cf-connecting-ip", "via":
            return true
        default:
            return strippedPrefixes.contains { name.hasPrefix($0) }
        }
    }

    private static let strippedPrefixes = [
        "x-user-", "x-org-", "x-internal-", "x-forwarded-", "x-original-", "x-rewrite-", "taskflow-",
    ]

    /// The fields of a service's answer that a client gets to see.
    static func answered(_ headers: HeaderFields) -> HeaderFields {
        let named = headers.elements(of: "connection")
        var answered = HeaderFields()
        for field in headers.fields where !isWithheld(field.name) && !named.contains(field.name) {
            answered.append(field.name, field.value)
        }
        return answered
    }

    private static func isWithheld(_ name: String) -> Bool {
        if isHopByHop(name) || name.utf8.contains(UInt8(ascii: "_")) { return true }
        if withheldPrefixes.contains(where: { name.hasPrefix($0) }) { return true }
        switch name {
        case "content-length", "server", "x-powered-by", "via", "x-request-id", "traceparent", "date": return true
        default: return false
        }
    }

    private static let withheldPrefixes = ["x-internal-", "taskflow-", "access-control-"]
}
