import Failures
import HTTPTypes
import Hummingbird
import Messaging
import NIOCore
import Testing

@testable import ServiceKit

@Suite struct FormsTests {
    private func request(
        _ path: String = "/",
        method: HTTPRequest.Method = .get,
        headers: HTTPFields = [:],
        body: String = ""
    ) -> Request {
        Request(
            head: HTTPRequest(method: method, scheme: nil, authority: nil, path: path, headerFields: headers),
            body: RequestBody(buffer: ByteBuffer(string: body))
        )
    }

    @Test(arguments: [
        ("\"7\"", true, true), ("W/\"7\"", false, true), ("*", true, true), (" \"1\", \"7\" ", true, true),
        ("\"1\",W/\"7\"", false, true), ("\"17\"", false, false), ("7", false, false), ("", false, false),
        ("\"a,b\", \"7\"", true, true), ("\"7", false, false), ("\"7\" \"8\"", false, false), ("w/\"7\"", false, false),
    ])
    func entityTags(_ header: String, _ strong: Bool, _ weak: Bool) {
        #expect(EntityTag.list(header, names: 7, comparison: .strong) == strong)
        #expect(EntityTag.list(header, names: 7, comparison: .weak) == weak)
    }

    @Test func ifMatch() throws {
        try request().requireMatch(version: 3)
        try request(headers: [.ifMatch: "\"3\""]).requireMatch(version: 3)
        #expect(throws: Failure.preconditionFailed) {
            try request(headers: [.ifMatch: "W/\"3\""]).requireMatch(version: 3)
        }
    }

    @Test func queriesAreDecodedInOrder() throws {
        let items = try request("/x?b=1&a=%C3%A9+%2B&&c&a=2").queryItems
        #expect(items.map(\.name) == ["b", "a", "c", "a"])
        #expect(items.map(\.value) == ["1", "é +", "", "2"])
    }

    @Test(arguments: ["/x?a=%", "/x?a=%zz", "/x?a=%FF", "/x?a=%00", "/x?%C3=1"])
    func brokenQueriesAreRefused(_ path: String) {
        let failure = #expect(throws: Failure.self) { try request(path).queryItems }
        #expect(failure?.code == "bad-query")
    }

    @Test func parametersAreKnownAndGivenOnce() throws {
        #expect(try request("/x?a=1&b=2").parameters(only: "a", "b") == ["a": "1", "b": "2"])
        for (path, name, code) in [("/x?c=1", "c", "unknown-parameter"), ("/x?a=1&a=1", "a", "repeated-parameter")] {
            let failure = #expect(throws: Failure.self) { try request(path).parameters(only: "a") }
            #expect(failure?.kind == .badRequest)
            #expect(failure?.fields.first?.parameter == name)
            #expect(failure?.fields.first?.code == code)
        }
    }

    @Test(arguments: [
        (HTTPRequest.Method.post, "application/json", true), (.post, "application/json; charset=UTF-8", true),
        (.post, "Application/JSON ;charset=\"utf-8\"", true), (.post, "application/json; charset=latin1", false),
        (.post, "application/merge-patch+json", false), (.patch, "application/merge-patch+json", true),
        (.patch, "application/json", true), (.post, "text/plain", false), (.post, "", false),
    ])
    func contentTypes(_ method: HTTPRequest.Method, _ type: String, _ isAccepted: Bool) async {
        let request = request(method: method, headers: [.contentType: type], body: "{}")
        if isAccepted {
            await #expect(throws: Never.self) { try await request.jsonObject() }
        } else {
            let failure = await #expect(throws: Failure.self) { try await request.jsonObject() }
            #expect(failure?.kind == .unsupportedMediaType)
        }
    }

    @Test func bodies() async throws {
        let type: HTTPFields = [.contentType: "application/json"]
        #expect(try await request(method: .post).jsonObject(allowsEmpty: true).encoded() == Array("{}".utf8))
        for (body, code) in [("[]", "not-an-object"), ("{", "bad-json"), ("{\"a\":1,\"a\":2}", "duplicate-key")] {
            let failure = await #expect(throws: Failure.self) {
                try await request(method: .post, headers: type, body: body).jsonObject()
            }
            #expect(failure?.kind == .badRequest)
            #expect(failure?.code == code)
        }
        let large = await #expect(throws: Failure.self) {
            try await request(method: .post, headers: type, body: "{\"a\":1}").jsonObject(limit: 6)
        }
        #expect(large?.kind == .tooLarge)
        let unknown = await #expect(throws: Failure.self) {
            try await request("/x?a=1", method: .post, headers: type, body: "{}").jsonObject()
        }
        #expect(unknown?.code == "bad-parameter")
    }

    @Test func percentCoding() {
        #expect(PercentCoding.encode("a b/é~") == "a%20b%2F%C3%A9~")
        #expect(PercentCoding.decode("a%20b+%2f") == "a b+/")
        #expect(PercentCoding.decode("%C3%A9") == "é")
        for wrong in ["%", "%2", "%g0", "%C3"] { #expect(PercentCoding.decode(wrong[...]) == nil) }
    }

    @Test(arguments: ["a", String(repeating: "k", count: 255), "!~"])
    func goodIdempotencyKeys(_ key: String) throws { _ = try IdempotencyKey(key) }

    @Test(arguments: ["", String(repeating: "k", count: 256), "a b", "é", "a\tb", "one, two"])
    func badIdempotencyKeys(_ key: String) {
        let failure = #expect(throws: Failure.self) { try IdempotencyKey(key) }
        #expect(failure?.code == "bad-idempotency-key")
        #expect(failure?.kind == .badRequest)
    }

    @Test func idempotencyScopesKeepTheirPartsApart() throws {
        let key = try IdempotencyKey("k")
        #expect(key.scope("a", "bc") != key.scope("ab", "c"))
        #expect(key.scope("a", "bc") == key.scope("a", "bc"))
        #expect(key.scope("a") != (try IdempotencyKey("l")).scope("a"))
    }

    @Test func traceContext() throws {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        let trace = try #require(TraceContext(traceparent: header))
        #expect(trace.description == header)
        let child = trace.child()
        #expect(child.traceID == trace.traceID)
        #expect(child.spanID != trace.spanID)
        #expect(TraceContext(traceparent: child.description) == child)
        #expect(TraceContext(traceparent: "01" + header.dropFirst(2) + "-more")?.traceID == trace.traceID)
        #expect(TraceContext(traceparent: TraceContext().description) != nil)
    }

    @Test(arguments: [
        "", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
    ])
    func invalidTraceContext(_ header: String) { #expect(TraceContext(traceparent: header) == nil) }

    @Test func requestIdentifiers() {
        #expect(RequestIdentifier.accept("Abc-1") == "Abc-1")
        for wrong in ["", "a b", "a_b", "é", String(repeating: "a", count: 65)] {
            let made = RequestIdentifier.accept(wrong)
            #expect(made != wrong)
            #expect(RequestIdentifier.isValid(made))
        }
    }

    @Test func fieldsAreSelectedInTheOrderOfTheObject() throws {
        let object = JSON.object([("id", .integer(1)), ("title", .string("t")), ("status", .null)])
        #expect(try FieldSelection("status,id").apply(to: object).encoded() == Array(#"{"id":1,"status":null}"#.utf8))
        #expect(
            try FieldSelection("b").apply(to: .raw(Array(#"{"a":1,"b":"x"}"#.utf8))).encoded()
                == Array(#"{"b":"x"}"#.utf8)
        )
        let failure = #expect(throws: Failure.self) { try FieldSelection("id,nope").apply(to: object) }
        #expect(failure?.fields.first?.parameter == "fields")
        #expect(throws: Failure.self) { try FieldSelection("").apply(to: object) }
    }
}
