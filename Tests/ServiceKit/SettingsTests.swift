import Configuration
import Foundation
import Identity
import Postgres
import Testing

@testable import ServiceKit

@Suite struct SettingsTests {
    private static let secret = String(repeating: "s", count: 32)

    private func values(_ more: [String: String] = [:]) -> [String: String] {
        var values = [
            "TASKFLOW_SECRET": Self.secret, "TASKFLOW_TASK_DATABASE_URL": "postgres://task_app:p@db/taskflow",
        ]
        values.merge(more) { $1 }
        return values
    }

    private func settings(_ more: [String: String] = [:]) throws -> ServiceSettings {
        try ServiceSettings(service: "task", Settings.fixed(values(more)))
    }

    @Test func defaults() throws {
        let settings = try settings()
        #expect(settings.publicURL == "http://127.0.0.1:8080")
        #expect(settings.listenHost == "127.0.0.1")
        #expect(settings.listenPort == 7004)
        #expect(settings.url(of: "auth") == "http://127.0.0.1:7001")
        #expect(settings.accessTokenLifetime == .seconds(300))
        #expect(settings.database.schema == "task")
        #expect(settings.database.maximumConnections == 10)
    }

    @Test func neighboursAreFoundWhereTheyListen() throws {
        let settings = try settings([
            "TASKFLOW_AUTH_LISTEN": "0.0.0.0:9001", "TASKFLOW_PROJECT_URL": "http://project:80/",
            "TASKFLOW_TASK_LISTEN": "[::1]:0", "TASKFLOW_PUBLIC_URL": "https://taskflow.example/",
        ])
        #expect(settings.url(of: "auth") == "http://127.0.0.1:9001")
        #expect(settings.url(of: "project") == "http://project:80")
        #expect(settings.listenHost == "::1")
        #expect(settings.listenPort == 0)
        #expect(settings.publicURL == "https://taskflow.example")
    }

    @Test(arguments: [
        ("TASKFLOW_SECRET", "short"), ("TASKFLOW_SECRET", ""), ("TASKFLOW_TASK_DATABASE_URL", ""),
        ("TASKFLOW_TASK_DATABASE_URL", "nonsense"), ("TASKFLOW_PUBLIC_URL", "taskflow.example"),
        ("TASKFLOW_PUBLIC_URL", "https://taskflow.example/path"), ("TASKFLOW_TASK_LISTEN", "7004"),
        ("TASKFLOW_TASK_LISTEN", "host:65536"), ("TASKFLOW_TASK_POOL", "0"), ("TASKFLOW_TASK_POOL", "many"),
        ("TASKFLOW_ACCESS_TOKEN_LIFETIME", "29"), ("TASKFLOW_REDIS_URL", "localhost"), ("TASKFLOW_DRAIN", "-1"),
    ])
    func aWrongSettingIsNamedInOneLine(_ name: String, _ value: String) throws {
        let error = try #require(throws: SettingError.self) { try settings([name: value]) }
        #expect(error.description.hasPrefix(name))
        #expect(!error.description.contains("\n"))
        #expect(!error.description.contains(Self.secret))
    }

    @Test func flagsGoOverEnvironmentOverFile() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).env").path
        try """
        # a comment
        export TASKFLOW_A=file
        TASKFLOW_B="from file # kept"
        TASKFLOW_C='file' # dropped
        TASKFLOW_D=p#ss # dropped
        TASKFLOW_E=
        """.write(toFile: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let config = try Settings.reader(
            overrides: ["TASKFLOW_A": "flag"],
            environment: ["TASKFLOW_A": "env", "TASKFLOW_C": "env", "TASKFLOW_B": ""],
            file: file
        )
        #expect(config.text("TASKFLOW_A") == "flag")
        #expect(config.text("TASKFLOW_B") == "from file # kept")
        #expect(config.text("TASKFLOW_C") == "env")
        #expect(config.text("TASKFLOW_D") == "p#ss")
        #expect(config.text("TASKFLOW_E") == nil)
        #expect(config.text("TASKFLOW_F", default: "x") == "x")
        #expect(config.string(forKey: "taskflow.c") == "env")
    }

    @Test func aMistypedNameIsFoundByThoseThatWereAskedFor() throws {
        let names = SettingNames()
        let config = try Settings.reader(
            environment: [
                "TASKFLOW_SINGUP": "closed", "TASKFLOW_RATELIMITS": "off", "TASKFLOW_TASK_POOL": "7",
                "TASKFLOW_POOLS": "1", "TASKFLOW_SOMETHING_ELSE": "x", "HOME": "/",
            ],
            file: "/nowhere",
            names: names
        )
        for name in ["TASKFLOW_SIGNUP", "TASKFLOW_RATE_LIMITS", "TASKFLOW_TASK_POOL", "TASKFLOW_TASK_URL"] {
            _ = config.text(name)
        }
        #expect(names.mistyped.map(\.given) == ["TASKFLOW_RATELIMITS", "TASKFLOW_SINGUP"])
        #expect(names.mistyped.map(\.meant) == ["TASKFLOW_RATE_LIMITS", "TASKFLOW_SIGNUP"])
        // Asked for later on.
        _ = config.text("TASKFLOW_POOL")
        #expect(names.mistyped.map(\.given) == ["TASKFLOW_POOLS", "TASKFLOW_RATELIMITS", "TASKFLOW_SINGUP"])
    }

    @Test(arguments: ["no equals", "1A=2", "A='open"])
    func aLineThatCannotBeReadIsNamed(_ line: String) throws {
        let error = try #require(throws: SettingError.self) {
            try EnvironmentFile.parse("A=1\n\(line)\n", name: ".env")
        }
        #expect(error.description.hasPrefix(".env line 2 "))
        #expect(!error.description.contains(line))
    }

    @Test func flagsAndChoices() throws {
        let config = Settings.fixed(["A": "off", "B": "maybe", "C": "2.5"])
        #expect(try config.flag("A", default: true) == false)
        #expect(try config.flag("Z", default: true))
        #expect(throws: SettingError.self) { try config.flag("B", default: true) }
        #expect(try config.seconds("C", default: 1, in: 0...3) == .milliseconds(2500))
        #expect(throws: SettingError.self) { try config.choice("B", of: ["on", "off"], default: "on") }
    }
}

@Suite struct SecretsTests {
    private let secrets = DerivedSecrets(secret: String(repeating: "a", count: 32))
    private let request = EventID.make(milliseconds: 1_700_000_000_000)

    @Test func everyPurposeHasAKeyOfItsOwn() {
        let keys = [
            secrets.cursorKey, secrets.linkKey, secrets.unsubscribeKey, secrets.positionKey, secrets.signingKeyKey,
            secrets.key(for: "other"),
        ]
        #expect(Set(keys).count == keys.count)
        #expect(keys.allSatisfy { $0.count == 32 })
        #expect(secrets.serviceCredential.utf8.count == 64)
        #expect(DerivedSecrets(secret: String(repeating: "b", count: 32)).linkKey != secrets.linkKey)
        #expect(DerivedSecrets(secret: String(repeating: "a", count: 32)).linkKey == secrets.linkKey)
    }

    @Test func aLinkTokenIsGoodForItsOwnRequestOnly() throws {
        let token = LinkToken.make(key: secrets.linkKey, purpose: "reset", request: request, expiresAt: 1000)
        #expect(token.utf8.count == 64)
        #expect(LinkToken.request(of: token) == request)
        func isGood(
            _ token: String,
            key: [UInt8]? = nil,
            purpose: String = "reset",
            request other: EventID? = nil,
            expiresAt: Int64 = 1000
        ) -> Bool {
            LinkToken.verify(
                token,
                key: key ?? secrets.linkKey,
                purpose: purpose,
                request: other ?? request,
                expiresAt: expiresAt
            )
        }
        #expect(isGood(token))
        #expect(!isGood(token, purpose: "welcome"))
        #expect(!isGood(token, expiresAt: 1001))
        #expect(!isGood(token, key: secrets.cursorKey))
        #expect(!isGood(token, request: EventID.make(milliseconds: 1)))
        #expect(!isGood(token + "="))
        #expect(!isGood(String(token.dropLast())))
        let last = try #require(token.last)
        #expect(!isGood(token.dropLast() + (last == "A" ? "B" : "A")))
    }

    @Test(arguments: ["", "abc", String(repeating: "!", count: 64), String(repeating: "A", count: 65)])
    func whatIsNoTokenNamesNothing(_ token: String) { #expect(LinkToken.request(of: token) == nil) }

    @Test func base64URLHasOneTextForEachValue() {
        for count in 0...20 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 200) }
            #expect(Base64URL.decode(Base64URL.encode(bytes).utf8) == bytes)
        }
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8")
        for wrong in ["-_9", "A", "AA==", "AA+A", "A A"] { #expect(Base64URL.decode(wrong.utf8) == nil) }
    }

    @Test func secretsAreComparedByTheirBytes() {
        #expect(ExpectedSecret("abc").matches("abc"))
        #expect(!ExpectedSecret("abc").matches("abd"))
        #expect(!ExpectedSecret("abc").matches("abcd"))
        #expect(!ExpectedSecret("abc").matches(""))
        // One letter in two spellings: equal to Swift, not to us.
        #expect(!ExpectedSecret("\u{E9}").matches("e\u{301}"))
    }
}
