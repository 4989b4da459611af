import Foundation
import Testing

@testable import GatewayService

@Suite struct RoutingTests {
    private static let configuration = try? GatewayConfiguration.load(GatewayConfiguration.embedded)

    private func route(_ method: String, _ path: String) throws -> String {
        let configuration = try #require(Self.configuration)
        guard let match = RouteTable(configuration.routeRules).match(try RequestTarget(path).segments) else {
            return "404"
        }
        guard let index = match.methods[method] else { return "405 \(match.allow)" }
        let rule = configuration.routeRules[index]
        return "\(rule.upstream) \(rule.auth.rawValue) \(rule.pattern)"
    }

    private static let routes: [(String, String, String)] = [
        ("GET", "/api/account", "task required /api/account"),
        ("GET", "/api/account/", "task required /api/account"),
        ("PATCH", "/api/account/", "organization required /api/account"),
        ("DELETE", "/api/account/", "405 GET, HEAD, PATCH, OPTIONS"),
        ("POST", "/api/account/login/", "auth none /api/account/login"),
        ("GET", "/api/account/login/", "405 POST, OPTIONS"),
        ("POST", "/api/account/nothing", "404"),
        ("GET", "/api/project/tasks/5", "task required /api/project/tasks/{id}"),
        ("GET", "/api/project/5/tasks", "task required /api/project/{project_id}/tasks"),
        ("GET", "/api/project/tasks/tasks", "task required /api/project/tasks/{id}"),
        (
            "GET", "/api/project/5/tasks/6/collaborators/a%40b.c",
            "task required /api/project/{project_id}/tasks/{id}/collaborators/{email}"
        ),
        ("GET", "/api/project/tasks/5/nothing", "404"),
        ("GET", "/api/project/trash", "task required /api/project/trash"),
        ("POST", "/api/notifications/read-all", "notification required /api/notifications/read-all"),
        ("GET", "/api/notifications/unsubscribe/abc", "notification none /api/notifications/unsubscribe/{token}"),
        ("GET", "/media/a/b.png", "organization none /media/**"),
        ("GET", "/media", "404"),
        ("PUT", "/media/a", "405 GET, HEAD, OPTIONS"),
        ("GET", "/internal/events", "404"),
        ("GET", "/", "404"),

    ]

    @Test(arguments: routes) func theTable(method: String, path: String, wanted: String) throws {
        #expect(try route(method, path) == wanted)
    }

    @Test func theLongestLiteralPrefixWins() throws {
        func rule(_ pattern: String) throws -> RouteRule {
            RouteRule(
                pattern: try PathPattern(parsing: pattern, at: SourcePlace(line: 1, column: 1)),
                methods: ["GET"],
                upstream: pattern,
                auth: .none
            )
        }
        let rules = try ["/a/**", "/a/{x}", "/a/b", "/a/{x}/c", "/a/b/{y}"].map(rule)
        let table = RouteTable(rules)
        func upstream(_ path: String) throws -> String? {
            table.match(try RequestTarget(path).segments)?.methods["GET"].map { rules[$0].upstream }
        }
        #expect(try upstream("/a/b") == "/a/b")
        #expect(try upstream("/a/x") == "/a/{x}")
        #expect(try upstream("/a/b/c") == "/a/b/{y}")
        #expect(try upstream("/a/x/c") == "/a/{x}/c")
        #expect(try upstream("/a/x/d") == "/a/**")
        #expect(try upstream("/a/b/c/d") == "/a/**")
        #expect(try upstream("/a") == nil)
    }

    @Test(
        arguments: [
            "a", "*", "", "http://x/", "/a/../b", "/..", "/.", "/a/.", "/%2e%2e/a", "/a/%2E/b", "//", "/a//b", "/a%2fb",
            "/a%2Fb",
            "/a%5cb", "/a\\b", "/a%00", "/a%0a", "/a%7f", "/%zz", "/%a", "/%", "/a#b", "/a?b#c", "/%61", "/a%2Db",
            "/a b", "/a\u{e9}",
            "/a|b", "/a{b}", "/a\"b", "/a<b",
        ])
    func whatIsNotTheNormalFormIsRefused(target: String) {
        #expect(throws: TargetComplaint.self) { try RequestTarget(target) }
    }

    @Test(arguments: [
        "/", "/a", "/a/", "/a/b%40c", "/a.b", "/...", "/a;b=c", "/a?x=//../%zz", "/%C3%A9", "/~a", "/a%20b",
    ])
    func theNormalFormIsSentOnAsItIs(target: String) throws {
        #expect(try RequestTarget(target).text == target)
    }

    /// The path that a service would see, read by any rule, falls to the route whose rule was applied.
    @Test func mutatedPathsNeverReachAnotherRoute() throws {
        let configuration = try #require(Self.configuration)
        let table = RouteTable(configuration.routeRules)
        var generator = SystemRandomNumberGenerator()
        let pieces = [
            "/", "//", ".", "..", "%2e", "%2f", "%5c", "\\", "%00", "%61", "a", "tasks", "{", "?", "#", ";", "%41",
            "%C3%A9", "@",
        ]
        for _ in 0..<10_000 {
            var path = configuration.routeRules.randomElement(using: &generator)?.pattern.description ?? "/"
            path = path.replacing("{id}", with: "5").replacing("{email}", with: "a%40b.c").replacing("**", with: "x")
                .replacing("{project_id}", with: "7").replacing("{token}", with: "t").replacing("{uid}", with: "u")
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                let place = path.index(path.startIndex, offsetBy: Int.random(in: 0...path.count, using: &generator))
                path.insert(contentsOf: pieces.randomElement(using: &generator) ?? "", at: place)
            }
            guard let target = try? RequestTarget(path), let match = table.match(target.segments) else { continue }
            // The most lenient reading: decoded, backslashes as slashes, empty and dot segments resolved.
            let decoded = (target.path.removingPercentEncoding ?? target.path).replacing("\\", with: "/")
            var lenient: [Substring] = []
            for segment in decoded.split(separator: "/") {
                if segment == ".." { _ = lenient.popLast() } else if segment != "." { lenient.append(segment) }
            }
            #expect(table.match(lenient)?.methods == match.methods, "\(path)")
        }
    }

    @Test func clientsAreFoundBehindTrustedProxiesOnly() throws {
        let proxies = try ["10.0.0.0/8", "fd00::/8"].map { try #require(AddressBlock($0)) }
        func client(_ peer: String, _ hops: [String]) throws -> String {
            proxies.client(peer: try #require(NetworkAddress(peer)), forwardedFor: hops).description
        }
        #expect(try client("1.2.3.4", ["5.6.7.8"]) == "1.2.3.4")
        #expect(try client("10.1.1.1", ["9.9.9.9, 5.6.7.8"]) == "5.6.7.8")
        #expect(try client("10.1.1.1", ["9.9.9.9, 5.6.7.8, 10.2.2.2"]) == "5.6.7.8")
        #expect(try client("10.1.1.1", ["5.6.7.8", "10.2.2.2"]) == "5.6.7.8")
        #expect(try client("10.1.1.1", ["evil"]) == "10.1.1.1")
        #expect(try client("10.1.1.1", []) == "10.1.1.1")
        #expect(try client("10.1.1.1", ["5.6.7.8:4711", ", 10.2.2.2:80,", ""]) == "5.6.7.8")
        #expect(try client("10.1.1.1", ["[2001:db8::1]:4711"]) == "2001:db8::1")
        #expect(try client("10.1.1.1", ["[2001:db8::1]"]) == "2001:db8::1")
        for wrong in [
            "5.6.7.8:", "5.6.7.8:x", "5.6.7.8:+1", "5.6.7.8:65536", "[5.6.7.8]", "[2001:db8::1", "[2001:db8::1]x",
        ] {
            #expect(try client("10.1.1.1", [wrong]) == "10.1.1.1")
        }
        #expect(try client("::ffff:10.1.1.1", ["5.6.7.8"]) == "5.6.7.8")
        #expect(try client("fd00::1", ["2001:db8::1"]) == "2001:db8::1")
        #expect(
            [AddressBlock]().client(peer: try #require(NetworkAddress("10.1.1.1")), forwardedFor: ["5.6.7.8"])
                .description == "10.1.1.1"
        )
        #expect(
            try #require(NetworkAddress("2001:db8::1")).countedAs
                == (try #require(NetworkAddress("2001:db8::2"))).countedAs
        )
        #expect(AddressBlock("10.0.0.0/33") == nil)
        #expect(AddressBlock("10.0.0") == nil)
    }
}
