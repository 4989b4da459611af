import Failures
import Testing

@testable import ServiceKit

@Suite struct JSONTests {
    func failure(_ text: String) -> String? { failure(Array(text.utf8)) }

    func failure(_ bytes: [UInt8]) -> String? {
        do {
            _ = try JSON(parsing: bytes)
            return nil
        } catch {
            let failure = error as? Failure
            #expect(failure?.kind == .badRequest)
            return failure?.code
        }
    }

    @Test(arguments: [
        "null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "1.50", "-0.1e+7", "1E-2",
        #""""#, #""a\"b\\c""#, "[]", "{}", #"[1,"two",[null]]"#, #"{"b":1,"a":{"b":2}}"#, #""é𝄞e\#u{301}""#,
    ])
    func comesBackAsItWas(_ text: String) throws {
        #expect(String(decoding: try JSON(parsing: Array(text.utf8)).encoded(), as: UTF8.self) == text)
    }

    @Test func integersOfSixtyFourBitsAreExactAndLargerNumbersStayAsWritten() throws {
        #expect(try JSON(parsing: Array("9223372036854775807".utf8)).integer == .max)
        guard case .number("9223372036854775808") = try JSON(parsing: Array("9223372036854775808".utf8)) else {
            Issue.record("not kept as written")
            return
        }
        guard case .number("1.0") = try JSON(parsing: Array("1.0".utf8)) else {
            Issue.record("not kept as written")
            return
        }
    }

    @Test(arguments: [
        ("", "bad-json"), (" ", "bad-json"), ("{", "bad-json"), ("[1,]", "bad-json"), (#"{"a":1,}"#, "bad-json"),
        ("{a:1}", "bad-json"), ("'a'", "bad-json"), ("01", "bad-json"), ("-", "bad-json"), ("+1", "bad-json"),
        (".5", "bad-json"), ("1.", "bad-json"), ("1e", "bad-json"), ("0x10", "bad-json"), ("NaN", "bad-json"),
        ("nul", "bad-json"), ("True", "bad-json"), ("1 2", "bad-json"), ("[] x", "bad-json"),
        ("\u{FEFF}{}", "bad-json"),
        ("\"a", "bad-json"), ("\"a\nb\"", "bad-json"), ("\"\t\"", "bad-json"), (#""\x41""#, "bad-json"),
        (#""\u12""#, "bad-json"), (#""\u12G4""#, "bad-json"), ("/* */ 1", "bad-json"), ("[1 2]", "bad-json"),
        (#""\ud800""#, "bad-json"), (#""\udc00""#, "bad-json"), (#""\ud800\u0041""#, "bad-json"),
        (#""\ud800x""#, "bad-json"), (#""\udc00\ud800""#, "bad-json"),
        (#"{"a":1,"a":2}"#, "duplicate-key"), (#"{"a":1,"\u0061":2}"#, "duplicate-key"),
        (#"[{"x":{"k":1,"k":1}}]"#, "duplicate-key"),
    ])
    func refusesWhatIsNotStrictJSON(_ text: String, _ code: String) {
        #expect(failure(text) == code)
    }

    @Test(
        arguments: [
            [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22],
            [0x22, 0x5C, 0x6E, 0x80, 0x22], [0xFF],
        ] as [[UInt8]]
    )
    func refusesInvalidUTF8(_ bytes: [UInt8]) {
        #expect(failure(bytes) == "bad-json")
    }

    @Test func namesAreComparedByBytesAndNotByCanonicalEquivalence() throws {
        let text = "{\"\u{E9}\":1,\"e\u{301}\":2}"
        let object = try JSON(parsing: Array(text.utf8))
        #expect(object["\u{E9}"]?.integer == 1)
        #expect(object["e\u{301}"]?.integer == 2)
    }

    @Test func manyNamesAreStillToldApart() {
        let members = (0..<1000).map { "\"k\($0)\":0" }
        #expect(failure("{" + members.joined(separator: ",") + "}") == nil)
        for repeated in [0, 7, 15, 16, 17, 999] {
            #expect(failure("{" + members.joined(separator: ",") + ",\"k\(repeated)\":0}") == "duplicate-key")
        }
    }

    @Test func thirtyTwoLevelsAndNoMore() {
        #expect(failure(String(repeating: "[", count: 32) + String(repeating: "]", count: 32)) == nil)
        #expect(failure(String(repeating: "[", count: 33) + String(repeating: "]", count: 33)) == "too-deep")
        #expect(
            failure(String(repeating: "{\"a\":", count: 33) + "1" + String(repeating: "}", count: 33)) == "too-deep"
        )
        #expect(failure(String(repeating: "[", count: 1_000_000)) == "too-deep")
    }

    @Test func escapesAreRead() throws {
        let value = try JSON(parsing: Array(#""\"\\\/\b\f\n\r\t\u0000\u00e9\ud834\udd1E""#.utf8))
        #expect(
            value.text.map { Array($0.unicodeScalars) }
                == Array("\"\\/\u{8}\u{C}\n\r\t\0\u{E9}\u{1D11E}".unicodeScalars)
        )
    }

    @Test func controlCharactersAreEscaped() {
        let text = String(decoding: JSON.string("a\0\u{1F}\n\"\\\u{7F}").encoded(), as: UTF8.self)
        #expect(text == "\"a\\u0000\\u001f\\n\\\"\\\\\u{7F}\"")
    }

    @Test func sameMeansSayingTheSame() throws {
        let left = JSON.object([("a", .integer(1)), ("b", .array([.null, .string("x")]))])
        let right = JSON.object([("b", .raw(Array(#"[null, "x"]"#.utf8))), ("a", .integer(1))])
        #expect(left.isSame(as: right))
        #expect(!JSON.string("\u{E9}").isSame(as: .string("e\u{301}")))
        #expect(!JSON.integer(1).isSame(as: .number("1.0")))
        #expect(!JSON.object([("a", .null)]).isSame(as: .object([("b", .null)])))
    }
}
