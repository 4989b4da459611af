import Foundation
import Testing

@testable import GatewayService

@Suite struct ConfigurationTests {
    private static let base = """
        listen 127.0.0.1:0
        upstream task {
            server 127.0.0.1:1
        }
        rate user 600/min by user

        """

    private func complaints(_ text: String) throws -> [String] {
        try complaints { _ = try GatewayConfiguration.load(text, file: "c") }
    }

    private func complaints(of body: () throws -> Void) throws -> [String] {
        do {
            try body()
            return []
        } catch let error as GatewayConfigurationError {
            return error.lines
        }
    }

    @Test func theOwnConfigurationIsGoodAndFormatted() throws {
        let text = try ownText()
        #expect(try complaints(text) == [])
        #expect(try GatewayConfiguration.format(text) == text)
        let table = try GatewayConfiguration.load(text).routes()
        #expect(table.contains("/health/live"))
        let row = table.split(separator: "\n").first { $0.hasPrefix("/api/account/profile-pic") && $0.contains("PUT") }
        let words = try #require(row).split(separator: " ").map(String.init)
        #expect(words.contains("organization"))
        #expect(words.contains("required"))
        #expect(words.contains("6MiB"))
        #expect(words.contains("5m"))
    }

    private func ownText() throws -> String {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../gateway.conf")
        return try String(contentsOf: path, encoding: .utf8)
    }

    private static let whole: [(String, String)] = [
        ("listne 127.0.0.1:1\n", "c:1:1: unknown directive \"listne\" (did you mean \"listen\"?)"),
        ("listen 127.0.0.1:1\nlisten 127.0.0.1:2\n", "c:2:1: listen is already given in line 1"),
        ("listen 127.0.0.1\n", "c:1:8: \"127.0.0.1\" is no host:port"),
        ("admin 127.0.0.1:1\n", "c:1:1: listen is missing: say where to listen"),
    ]

    private static let additions: [(String, String)] = [
        ("limits {\n    header_bytes 16\n}\n", "c:7:18: \"16\" has no unit: write it like 16KiB or 6MiB"),
        ("limits {\n    header_timeout 10sec\n}\n", "c:7:20: unknown unit \"sec\""),
        ("jwt {\n    issuer \"\"\n}\n", "c:7:12: an empty value would refuse every token"),
        ("rate user 1/min by ip\n", "c:6:6: rate user is already given in line 5"),
        ("rate other 1/day by ip\n", "c:6:12: \"1/day\" is no rate: write it like 20/min, 10/h or 5/s"),
        (
            "rate other 1/min by usr\n",
            "c:6:21: \"usr\" is none of ip, user, organization, session (did you mean \"user\"?)"
        ),
        (
            "route /a {\n    methods GET   to tsak   auth none\n}\n",
            "c:7:22: unknown upstream \"tsak\" (did you mean \"task\"?)"
        ),
        ("route /a {\n    to task   auth none\n}\n", "c:6:1: methods is missing in route /a"),
        ("route /a {\n    methods GET   to task\n}\n", "c:6:1: auth is missing in route /a"),
        (
            "route /a {\n    methods GET   to task   auth maybe\n}\n",
            "c:7:34: \"maybe\" is none of required, optional, none"
        ),
        (
            "route /a {\n    methods GTE   to task   auth none\n}\n",
            "c:7:13: \"GTE\" is no method of a route (did you mean \"GET\"?)"
        ),
        (
            "route /a {\n    methods GET   to task   auth required   limit usr\n}\n",
            "c:7:51: unknown rate \"usr\" (did you mean \"user\"?)"
        ),
        (
            "route /a {\n    methods GET   to task   auth none   limit user\n}\n",
            "c:6:1: limit user counts by user, but route /a has auth none"
        ),
        (
            "route /a/{x} {\n    methods GET   to task   auth none\n}\nroute /a/{y} {\n    methods GET   to task   auth none\n}\n",
            "c:9:1: never reached: GET /a/{y} is already served by the route in line 6"
        ),
        ("route /internal/x {\n    methods GET   to task   auth none\n}\n", "c:6:7: /internal is never forwarded"),
        (
            "route /api/docs {\n    methods GET   to task   auth none\n}\n",
            "c:6:7: /api/docs is served by the gateway itself"
        ),
        (
            "route /a/ {\n    methods GET   to task   auth none\n}\n",
            "c:6:7: leave out the slash at the end: requests may have it or not"
        ),
        (
            "route /a/../b {\n    methods GET   to task   auth none\n}\n",
            "c:6:7: \"..\" is no segment of a path in its normal form"
        ),
        ("route /a {\n    methods GET   to task   auth none\n", "c:6:1: this block is not closed: a } is missing"),
        ("# a\u{0}b\n", "c:6:4: a control character"), ("rate \"a\u{1B}\"\n", "c:6:8: a control character"),
        (
            "upstream ${NAME} {\n    server 127.0.0.1:1\n}\n",
            "c:6:10: ${NAME} is for secrets, and upstream holds none: write the value"
        ),
    ]

    @Test(arguments: whole) func complaintsHaveTheirPlace(text: String, complaint: String) throws {
        #expect(try complaints(text) == [complaint])
    }

    @Test(arguments: additions) func complaintsAboutAdditions(text: String, complaint: String) throws {
        #expect(try complaints(Self.base + text) == [complaint])
    }

    @Test func everythingWrongIsToldAtOnce() throws {
        let text =
            Self.base
            + "route /a {\n    methods GET   to a   auth none\n}\nroute /b {\n    methods GET   to b   auth none\n}\n"
        #expect(try complaints(text).count == 2)
    }

    private static let broken: [([UInt8], String)] = [
        ([0xFF], "c:1:1: not UTF-8"), (Array("a\nb é".utf8) + [0xC3, 0x0A], "c:2:4: not UTF-8"),
        (Array("\n\u{FFFD}".utf8) + [0xED, 0xA0, 0x80], "c:2:2: not UTF-8"),
    ]

    @Test(arguments: broken) func bytesThatAreNoText(bytes: [UInt8], complaint: String) throws {
        #expect(try complaints { _ = try GatewayConfiguration.text(of: bytes, file: "c") } == [complaint])
    }

    @Test func formattingKeepsCommentsAndLines() throws {
        let text =
            "# head\nlisten    127.0.0.1:1 # here\n\n\n\nlimits {\n\nheader_bytes 16KiB header_count 100\n   }\nupstream a {\nserver h:1 server h:2\n}"
        let wanted = """
            # head
            listen 127.0.0.1:1  # here

            limits {
                header_bytes 16KiB   header_count 100
            }
            upstream a {
                server h:1   server h:2
            }

            """
        #expect(try GatewayConfiguration.format(text) == wanted)
        #expect(try GatewayConfiguration.format(wanted) == wanted)
    }

    @Test func defaultsAreFilledIn() throws {
        let configuration = try GatewayConfiguration.load(
            Self.base
                + "route /a {\n    methods GET POST   to task   auth required   limit user, user2\n}\nrate user2 5/s burst 2 by ip\n"
        )
        let route = try #require(configuration.routeRules.first)
        #expect(route.limits == ["user", "user2"])
        #expect(route.bodyLimit == 1_048_576)
        #expect(route.timeout == .seconds(30))
        #expect(route.effectiveCache == "private, no-cache")
        #expect(configuration.upstreams.first?.maximumInFlight == 128)
        #expect(configuration.rates.last?.burst == 2)
        #expect(configuration.limits.headerCount == 100)
    }
}
