import Failures
public import HTTPTypes
public import Hummingbird
public import Lists
import Messaging
import NIOCore
import Synchronization

/// Answers of the forms that the API knows.
public struct Reply {
    /// How an answer may be kept by browsers and proxies.
    enum Caching: String {
        case revalidate = "private, no-cache"
        case never = "no-store"
    }

    /// One object: ETag from `version`, 304 on `If-None-Match`, `?fields=` applied, `Cache-Control: private, no-cache`.
    ///
    /// On GET a parameter other than `fields`, or a field that the object does not have, is refused with 400. After a
    /// write it is too late for that: names of no field are then passed over.
    public static func object(_ json: JSON, version: Int64, request: Request) throws -> Response {
        let isRead = request.method == .get || request.method == .head
        var answer = json
        if isRead {
            if let names = try request.parameters(only: "fields")["fields"] {
                answer = try FieldSelection(names).apply(to: json)
            }
        } else if let names = try? request.parameters(only: "fields")["fields"] {
            answer = (try? FieldSelection(names).apply(to: json)) ?? json
        }
        let tag = EntityTag.of(version: version)
        if isRead, let header = request.headers[.ifNoneMatch],
            EntityTag.list(header, names: version, comparison: .weak)
        {
            return bare(.notModified, [.eTag: tag])
        }
        return respond(.ok, answer, caching: .revalidate, [.eTag: tag])
    }

    /// 201 with `Location` and `ETag`.
    public static func created(_ json: JSON, version: Int64?, location: String) -> Response {
        created(json, version: version, location: location, noStore: false)
    }

    /// 201 with `Location` and `ETag`; `noStore` for what holds tokens.
    public static func created(_ json: JSON, version: Int64?, location: String, noStore: Bool) -> Response {
        var headers: HTTPFields = [.location: location]
        if let version { headers[.eTag] = EntityTag.of(version: version) }
        return respond(.created, json, caching: noStore ? .never : .revalidate, headers)
    }

    /// 200 with JSON and no ETag.
    public static func json(_ json: JSON, status: HTTPResponse.Status = .ok) -> Response {
        respond(status, json, caching: .revalidate)
    }

    /// JSON and no ETag; `noStore` for account and token answers.
    public static func json(_ json: JSON, status: HTTPResponse.Status = .ok, noStore: Bool) -> Response {
        respond(status, json, caching: noStore ? .never : .revalidate)
    }

    /// A page in the shape `{"next", "previous", "results"}`, `count` if asked, with path-absolute links.
    public static func page<Item>(
        _ page: Page<Item>,
        request: Request,
        encode: (Item) -> JSON
    ) throws -> Response {
        let selection = try page.fields.map { try FieldSelection($0) }
        let results = try page.items.map { item in
            try selection.map { try $0.apply(to: encode(item)) } ?? encode(item)
        }
        let others = try request.queryItems.filter { $0.name != "cursor" }
        func link(_ cursor: String?) -> JSON {
            guard let cursor else { return .null }
            let query = (others + [(name: "cursor", value: cursor)])
                .map { "\(PercentCoding.encode($0.name))=\(PercentCoding.encode($0.value))" }
            return .string("\(request.uri.path)?\(query.joined(separator: "&"))")
        }
        var members: [(key: String, value: JSON)] = [
            ("next", link(page.next)), ("previous", link(page.previous)),
        ]
        if let count = page.count { members.append(("count", .integer(count))) }
        members.append(("results", .array(results)))
        return respond(.ok, .object(members), caching: .revalidate)
    }

    /// 204.
    public static var noContent: Response {
        ReplyCapture.current?.keep([])
        return bare(.noContent)
    }

    /// A page for people: HTML that sends no referrer and is kept nowhere. `policy` is its Content-Security-Policy.
    public static func html(_ text: String, status: HTTPResponse.Status = .ok, policy: String) -> Response {
        let headers: HTTPFields = [
            .contentType: "text/html; charset=utf-8", .cacheControl: Caching.never.rawValue,
            .referrerPolicy: "no-referrer", .contentSecurityPolicy: policy,
        ]
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    /// Bytes of a type of their own.
    public static func bytes(_ bytes: [UInt8], type: String, headers: HTTPFields = [:]) -> Response {
        var headers = headers
        headers[.contentType] = type
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// The answer kept under an idempotency key, given again.
    static func replay(_ stored: StoredReply) -> Response {
        var headers: HTTPFields = [
            .idempotencyReplayed: "true", .cacheControl: Caching.revalidate.rawValue,
        ]
        headers[.location] = stored.location
        headers[.eTag] = stored.etag
        if stored.body.isEmpty { return Response(status: .init(code: stored.status), headers: headers) }
        headers[.contentType] = MediaType.json
        return Response(
            status: .init(code: stored.status),
            headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: stored.body))
        )
    }

    /// An answer that has no body; zero would be a wrong length to say of 304, and none may be said of 204.
    private static func bare(_ status: HTTPResponse.Status, _ more: HTTPFields = [:]) -> Response {
        var response = Response(status: status, headers: more)
        response.headers[.cacheControl] = Caching.revalidate.rawValue
        response.headers[.contentLength] = nil
        return response
    }

    private static func respond(
        _ status: HTTPResponse.Status,
        _ json: JSON,
        caching: Caching,
        _ more: HTTPFields = [:]
    ) -> Response {
        let bytes = json.encoded()
        ReplyCapture.current?.keep(bytes)
        var headers = more
        headers[.contentType] = MediaType.json
        headers[.cacheControl] = caching.rawValue
        return Response(
            status: status,
            headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }
}

/// The names in `?fields=id,title`.
struct FieldSelection {
    private let names: [String]

    init(_ text: String) throws {
        try self.init(text.split(separator: ",", omittingEmptySubsequences: false).map(String.init))
    }

    init(_ names: [String]) throws {
        self.names = names
    }

    /// The object with only these members, in its own order; throws 400 for a name that it does not have.
    func apply(to json: JSON) throws -> JSON {
        var object = json
        if case .raw(let bytes) = json { object = try JSON(parsing: bytes) }
        guard case .object(let members) = object else { return object }
        for name in names where !members.contains(where: { $0.key.utf8.elementsEqual(name.utf8) }) {
            throw Failure.badParameter("fields", "unknown-field", "There is no field of that name here.")
        }
        return .object(members.filter { member in names.contains { $0.utf8.elementsEqual(member.key.utf8) } })
    }
}

/// Catches the bytes of an answer while it is made, for keeping under an idempotency key: a `Response` gives its body
/// only to whoever sends it.
final class ReplyCapture: Sendable {
    @TaskLocal static var current: ReplyCapture?

    private let kept = Mutex<[UInt8]?>(nil)

    func keep(_ bytes: [UInt8]) { kept.withLock { $0 = bytes } }

    var bytes: [UInt8]? { kept.withLock { $0 } }
}
