import NIOCore
import Testing

@testable import GatewayService

@Suite struct RequestParserTests {
    /// Feeds the bytes in pieces and says what came out: `GET /`, body bytes, `end`, or the status of a refusal.
    private func parse(_ text: String, piece: Int = .max) -> [String] {
        var parser = RequestParser(limits: FrontLimits())
        var buffer = ByteBuffer()
        var rest = Array(text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) })[...]
        var output: [String] = []
        while !rest.isEmpty {
            buffer.writeBytes(rest.prefix(piece))
            rest = rest.dropFirst(piece)
            reading: while true {
                switch parser.next(&buffer) {
                case .head(let head): output.append("\(head.method) \(head.target) \(head.framing)")
                case .body(let part):
                    if let last = output.last, last.hasPrefix("body ") {
                        output[output.count - 1] = last + String(buffer: part)
                    } else {
                        output.append("body " + String(buffer: part))
                    }
                case .end: output.append("end")
                case .more: break reading
                case .failure(let rejection): return output + ["\(rejection.status)"]
                }
            }
        }
        return output
    }

    private static func post(_ fields: String, _ body: String = "") -> String {
        "POST / HTTP/1.1\r\nHost: x\r\n\(fields)\r\n\(body)"
    }

    @Test(arguments: [1, 2, 3, 7, Int.max]) func goodRequestsInPiecesOfAnySize(piece: Int) {
        #expect(parse("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", piece: piece) == ["GET /a none", "end"])
        #expect(parse("\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", piece: piece) == ["GET /a none", "end"])
        #expect(
            parse(Self.post("Content-Length: 3\r\n", "abc"), piece: piece) == ["POST / length(3)", "body abc", "end"]
        )
        let chunked = Self.post("Transfer-Encoding: chunked\r\n", "1\r\na\r\n2;x=y\r\nbc\r\n0\r\nX-Sum: 1\r\n\r\n")
        #expect(parse(chunked, piece: piece) == ["POST / chunked", "body abc", "end"])
        #expect(parse(chunked + chunked, piece: piece).count == 6)
    }

    private static let hostile: [(String, String)] = [
        (post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), "400"),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), "400"),
        (post("Content-Length: 3\r\nContent-Length: 3\r\n"), "400"),
        (post("Content-Length: 2, 2\r\n"), "400"), (post("Content-Length: +2\r\n"), "400"),
        (post("Content-Length: -1\r\n"), "400"), (post("Content-Length: 0x2\r\n"), "400"),
        (post("Content-Length: \r\n"), "400"), (post("Content-Length: 99999999999999999999\r\n"), "400"),
        (post("Transfer-Encoding: gzip, chunked\r\n"), "501"),
        (post("Transfer-Encoding: chunked, identity\r\n"), "400"),
        (post("Transfer-Encoding: xchunked\r\n"), "400"), (post("Transfer-Encoding: \u{0B}chunked\r\n"), "400"),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "400"),
        (post("Transfer-Encoding: chunked, chunked\r\n"), "400"), (post("Transfer-Encoding:\r\n"), "400"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", "400"), ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost: x\n\n", "400"), ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nA: b\u{0}c\r\n\r\n", "400"), ("GET / HTTP/1.1\r\n: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nA b\r\n\r\n", "400"), ("GET / HTTP/1.1\r\nA: \u{FF}\r\n\r\n", "400"),
        ("GET /\u{E9} HTTP/1.1\r\n\r\n", "400"), ("GET /\r\n\r\n", "400"), ("GET / HTTP/1.2\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\n\r\n", "400"), ("get / HTTP/1.1\r\n\r\n", "400"), ("GET  / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1 \r\n\r\n", "400"), ("GET / http/1.1\r\n\r\n", "400"), ("\u{16}\u{03}\u{01}", "400"),
        ("\nGET / HTTP/1.1\r\n\r\n", "400"),
        // Refused as soon as the line is there, since nothing more may come.
        ("GET /\r\n", "400"), ("GET / HTTP/1.2\r\n", "400"), ("GET  / HTTP/1.1\r\nHost", "400"),
        ("GET /" + String(repeating: "a", count: 9000), "414"),
        ("GET / HTTP/1.1\r\nA: " + String(repeating: "a", count: 20_000), "431"),
        ("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 101) + "\r\n", "431"),
    ]

    @Test(arguments: hostile) func hostileHeads(text: String, status: String) {
        #expect(parse(text).last == status)
        #expect(parse(text, piece: 1).last == status)
    }

    private static let chunks: [String] = [
        "0x1\r\na\r\n0\r\n\r\n", "1_0\r\na\r\n0\r\n\r\n", "1\na\r\n0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n", "\r\n", "g\r\n",
        " 1\r\na\r\n",
        "1;\n\r\na\r\n", "123456789\r\n", "1;\u{1}\r\na\r\n", "0\r\nContent-Length: 1\r\n\r\n", "0\r\nHost: y\r\n\r\n",
        "0\r\nbad\r\n\r\n",
        "0\r\nX-Internal-Position: x\r\n\r\n", "-1\r\n", "0;" + String(repeating: "a", count: 300),

    ]

    @Test(arguments: chunks) func hostileChunks(body: String) {
        #expect(parse(Self.post("Transfer-Encoding: chunked\r\n", body)).last == "400")
    }

    private func head(_ fields: String, version: String = "1.1") throws -> RequestHead {
        var parser = RequestParser(limits: FrontLimits())
        var buffer = ByteBuffer(string: "GET / HTTP/\(version)\r\n\(fields)\r\n")
        guard case .head(let head) = parser.next(&buffer) else { throw Rejection.malformed("") }
        return head
    }

    private static let refused: [(String, Int)] = [
        ("", 400), ("Host: a\r\nHost: a\r\n", 400), ("Host: a/b\r\n", 400), ("Host: a@b\r\n", 400), ("Host:\r\n", 400),
        ("Host: a\r\nAuthorization: x\r\nAuthorization: x\r\n", 400), ("Host: a\r\nConnection: Authorization\r\n", 400),
        ("Host: a\r\nConnection: close, X-Request-Id\r\n", 400), ("Host: a\r\nConnection: host\r\n", 400),
        ("Host: a\r\nContent-Type: a\r\nContent-Type: b\r\n", 400), ("Host: a\r\nExpect: 200-ok\r\n", 417),
        ("Host: a\r\nOrigin: http://a\r\nOrigin: http://b\r\n", 400),
        ("Host: a\r\nTaskflow-Position: a\r\nTaskflow-Position: b\r\n", 400),

    ]

    @Test(arguments: refused) func headsThatAreRefused(fields: String, status: Int) throws {
        let head = try head(fields)
        #expect { try HeaderRules.check(head) } throws: { ($0 as? Rejection)?.status == status }
    }

    @Test(arguments: [
        "Host: a\r\n", "Host: a:80\r\n", "Host: [::1]:80\r\n",
        "Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
    ])
    func headsThatPass(fields: String) throws {
        try HeaderRules.check(try head(fields))
        try HeaderRules.check(try head("", version: "1.0"))
    }

    @Test func whatServicesGetToSee() throws {
        let fields = [
            "Host: a", "Accept: */*", "X-User-Id: 1", "x-org-id: 1", "X-Internal-Credential: 1",
            "X_Internal_Credential: 1",
            "X-Forwarded-For: 1", "Forwarded: 1", "X-Real-IP: 1", "Taskflow-Position: 1", "Taskflow-Other: 1",
            "Content_Length: 3",
            "Connection: Foo, close", "Foo: 1", "Keep-Alive: 1", "TE: trailers", "Upgrade: h2c", "HTTP2-Settings: x",
            "Proxy-Authorization: x", "Cookie: a", "X-Request-Id: 1", "traceparent: x", "Expect: 100-continue",
            "X-Custom: yes",
            "If-Match: \"1\"", "Idempotency-Key: k", "Authorization: Bearer x",
        ]
        var forwarded = HeaderFields()
        let received = try head(fields.joined(separator: "\r\n") + "\r\n").headers
        HeaderRules.forward(received, withToken: true, into: &forwarded)
        #expect(forwarded.fields.map(\.name) == ["accept", "x-custom", "if-match", "idempotency-key", "authorization"])
    }

    @Test func whatClientsGetToSee() {
        var headers = HeaderFields()
        for name in [
            "etag", "server", "x-internal-position", "x-internal-session", "connection", "transfer-encoding",
            "taskflow-position",
        ] {
            headers.append(name, "x")
        }
        #expect(HeaderRules.answered(headers).fields.map(\.name) == ["etag"])
    }
}
