import Failures
public import Hummingbird
public import Lists
import NIOCore
import NIOHTTP1

extension Request {
    /// The query percent-decoded in order; throws 400 for bad escapes.
    public var queryItems: QueryItems {
        get throws {
            guard let query = uri.query else { return [] }
            return try query.split(separator: "&", omittingEmptySubsequences: true).map { item in
                let name = item.prefix { $0 != "=" }
                let value = item.dropFirst(name.count + 1)
                guard
                    let name = PercentCoding.decode(name, plusIsSpace: true),
                    let value = PercentCoding.decode(value, plusIsSpace: true),
                    !name.utf8.contains(0), !value.utf8.contains(0)
                else {
                    throw Failure(
                        .badRequest,
                        "bad-query",
                        "The query is not percent-encoded UTF-8, or holds U+0000."
                    )
                }
                return (name: name, value: value)
            }
        }
    }

    /// Throws 400 naming the first parameter that is not one of these or is given twice; returns their values.
    public func parameters(only names: String...) throws -> [String: String] { try parameters(only: names) }

    /// The same for names in an array.
    public func parameters(only names: [String]) throws -> [String: String] {
        var values: [String: String] = [:]
        for (name, value) in try queryItems {
            guard names.contains(where: { $0.utf8.elementsEqual(name.utf8) }) else {
                throw Failure.badParameter(name, "unknown-parameter", "There is no such parameter here.")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw Failure.badParameter(name, "repeated-parameter", "This parameter may be given once only.")
            }
        }
        return values
    }

    /// Throws 400 for any parameter but `fields`, and for a field that is not among these. For routes of single
    /// objects, before anything is looked for: the form of a request is judged first, and a write is not done whose
    /// answer could not be given. Gives the fields asked for, nil for all.
    @discardableResult
    public func requireFields(among names: [String]) throws -> [String]? {
        guard let text = try parameters(only: "fields")["fields"] else { return nil }
        let asked = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        for name in asked where !names.contains(where: { $0.utf8.elementsEqual(name.utf8) }) {
            throw Failure.badParameter("fields", "unknown-field", "There is no field of that name here.")
        }
        return asked
    }

    /// The path without a slash at its end: `/api/account/login`.
    public var plainPath: String {
        let path = uri.path
        return path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    /// The body as a JSON object. Throws 413 past `limit` bytes, 415 for another content type than
    /// `application/json` (or `application/merge-patch+json` on PATCH), 400 for broken JSON. An empty body counts as
    /// an empty object where `allowsEmpty`. Query parameters other than `fields` are refused with 400, since no
    /// route with a body takes any.
    public func jsonObject(limit: Int = 1_048_576, allowsEmpty: Bool = false) async throws -> JSON {
        _ = try parameters(only: "fields")
        let bytes = try await bodyBytes(limit: limit)
        if bytes.isEmpty, allowsEmpty { return .object([]) }
        try requireJSONContentType()
        let json = try JSON(parsing: bytes)
        guard case .object = json else {
            throw Failure(.badRequest, "not-an-object", "The body must be a JSON object.")
        }
        return json
    }

    /// The whole body; throws 413 past `limit` bytes.
    public func bodyBytes(limit: Int) async throws -> [UInt8] {
        let tooLarge = Failure(.tooLarge, "too-large", "The body is larger than \(limit) bytes.")
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit { throw tooLarge }
        do {
            let buffer = try await body.collect(upTo: limit)
            return Array(buffer.readableBytesView)
        } catch is NIOTooManyBytesError {
            throw tooLarge
        } catch let error as HTTPParserError {
            throw error
        } catch let error where !(error is CancellationError) {
            throw Failure(.badRequest, "incomplete-body", "The body ended before its end.")
        }
    }

    private func requireJSONContentType() throws {
        let parts = (headers[.contentType] ?? "").split(separator: ";", omittingEmptySubsequences: false)
        let type = trimmed(parts.first ?? "").lowercased()
        let charsets = parts.dropFirst().map { trimmed($0).lowercased() }.filter { $0.hasPrefix("charset=") }
        let isUTF8 = charsets.allSatisfy { $0 == "charset=utf-8" || $0 == "charset=\"utf-8\"" }
        let isJSON = type == "application/json" || (type == "application/merge-patch+json" && method == .patch)
        guard isJSON, isUTF8, headers[.contentEncoding] == nil else {
            throw Failure(
                .unsupportedMediaType,
                "unsupported-media-type",
                method == .patch
                    ? "Send application/merge-patch+json or application/json in UTF-8."
                    : "Send application/json in UTF-8."
            )
        }
    }

    /// Throws 412 unless `If-Match` is absent, `*` or names this version.
    public func requireMatch(version: Int64) throws {
        guard let header = headers[.ifMatch] else { return }
        guard EntityTag.list(header, names: version, comparison: .strong) else { throw Failure.preconditionFailed }
    }
}

/// Text without spaces and tabs around it.
func trimmed(_ text: Substring) -> String {
    let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    var text = text.drop(while: isBlank)
    while let last = text.last, isBlank(last) { text.removeLast() }
    return String(text)
}

/// Entity tags of the form `"<version>"` (RFC 9110, section 8.8.3).
public enum EntityTag {
    /// How tags are compared: `If-Match` strongly, `If-None-Match` weakly.
    public enum Comparison: Sendable {
        /// A weak tag equals nothing.
        case strong
        /// `W/` does not count.
        case weak
    }

    /// `"7"`.
    public static func of(version: Int64) -> String { "\"\(version)\"" }

    /// Whether a list of tags, or `*`, names a version. A list that cannot be read names nothing.
    public static func list(_ header: String, names version: Int64, comparison: Comparison) -> Bool {
        if trimmed(header[...]) == "*" { return true }
        guard let tags = parse(header) else { return false }
        let opaque = of(version: version)
        return tags.contains { $0.opaque == opaque && (comparison == .weak || !$0.isWeak) }
    }

    private static func parse(_ header: String) -> [(opaque: String, isWeak: Bool)]? {
        var tags: [(opaque: String, isWeak: Bool)] = []
        var rest = header[...].utf8
        while true {
            while let byte = rest.first, byte == 0x20 || byte == 0x09 || byte == 0x2C { rest.removeFirst() }
            guard !rest.isEmpty else { return tags }
            let isWeak = rest.starts(with: "W/".utf8)
            if isWeak { rest.removeFirst(2) }
            guard rest.first == 0x22 else { return nil }
            // A comma may stand inside the quotation marks.
            guard let end = rest.dropFirst().firstIndex(of: 0x22) else { return nil }
            tags.append((opaque: String(decoding: rest[...end], as: UTF8.self), isWeak: isWeak))
            rest = rest[rest.index(after: end)...]
            while let byte = rest.first, byte == 0x20 || byte == 0x09 { rest.removeFirst() }
            guard rest.isEmpty || rest.first == 0x2C else { return nil }
        }
    }
}
