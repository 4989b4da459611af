import Chronology
import Failures
import ServiceKit
import Testing

@Suite struct BodyFieldsTests {
    enum Priority: String, CaseIterable {
        case low = "LOW"
        case kelvin = "K"
    }

    func fields(_ text: String) throws -> BodyFields { BodyFields(try JSON(parsing: Array(text.utf8))) }

    /// The pointers and codes that `finish` throws.
    func failures(of fields: inout BodyFields) -> [String] {
        do {
            try fields.finish()
            return []
        } catch {
            let failure = error as? Failure
            #expect(failure?.kind == .invalidFields)
            return failure?.fields.map { "\($0.pointer ?? "") \($0.code)" } ?? []
        }
    }

    @Test func goodFieldsAreRead() throws {
        var fields = try fields(
            #"{"t":" x ","n":null,"c":"LOW","b":true,"i":5,"a":["x","y"],"d":"2026-12-01","m":"2026-12-01T09:30:00+01:00"}"#
        )
        #expect(fields.text("t", maximumLength: 3, allowsBlank: false) == " x ")
        #expect(fields.choice("c", Priority.self) == .low)
        #expect(fields.bool("b") == true)
        #expect(fields.integer("i", in: 0...5) == 5)
        #expect(fields.texts("a", maximumCount: 2, maximumLength: 1) == ["x", "y"])
        guard case .null = fields.nullableText("n", maximumLength: 1) else {
            Issue.record("not null")
            return
        }
        guard case .value(.day) = fields.date("d"), case .value(.moment(let moment)) = fields.date("m") else {
            Issue.record("not dates")
            return
        }
        #expect(moment.description == "2026-12-01T08:30:00.000000Z")
        #expect(failures(of: &fields).isEmpty)
    }

    @Test(arguments: [
        (#"{"t":1}"#, "/t wrong-type"), (#"{"t":null}"#, "/t null"), (#"{"t":""}"#, "/t blank"),
        (#"{"t":" \u00a0\u2003"}"#, "/t blank"), (#"{"t":"abcd"}"#, "/t too-long"),
        (#"{"t":"a\u0000"}"#, "/t nul-character"),
        (#"{"x":1,"t":"a"}"#, "/x unknown-field"), (#"{"a/b~c":1,"t":"a"}"#, "/a~1b~0c unknown-field"),
        (#"{}"#, "/t required"),
    ])
    func wrongTextIsRefused(_ body: String, _ expected: String) throws {
        var fields = try fields(body)
        fields.require("t")
        #expect(fields.text("t", maximumLength: 3, allowsBlank: false) == nil || body.contains("unknown") == false)
        #expect(failures(of: &fields) == [expected])
    }

    @Test func lengthCountsCodePoints() throws {
        var fields = try fields("{\"t\":\"👨‍👩‍👧\"}")
        #expect(fields.text("t", maximumLength: 4) == nil)
        #expect(failures(of: &fields) == ["/t too-long"])
    }

    @Test(arguments: [
        ("\"5\"", "wrong-type"), ("5.0", "wrong-type"), ("5e0", "wrong-type"), ("-1", "out-of-range"),
        ("99999999999999999999", "out-of-range"), ("true", "wrong-type"), ("null", "null"),
    ])
    func wrongIntegersAreRefused(_ value: String, _ code: String) throws {
        var fields = try fields("{\"i\":\(value)}")
        #expect(fields.integer("i", in: 0...10) == nil)
        #expect(failures(of: &fields) == ["/i \(code)"])
    }

    @Test(arguments: [
        ("\"low\"", "not-a-choice"), ("\"\u{212A}\"", "not-a-choice"), ("1", "wrong-type"), ("null", "null"),
    ])
    func wrongChoicesAreRefused(_ value: String, _ code: String) throws {
        var fields = try fields("{\"c\":\(value)}")
        #expect(fields.choice("c", Priority.self) == nil)
        #expect(failures(of: &fields) == ["/c \(code)"])
    }

    @Test(arguments: ["2026-02-30", "2026-12-01T09:30:00", "2026-12-01T24:00:00Z", "tomorrow", "", "2026-1-1"])
    func wrongDatesAreRefused(_ text: String) throws {
        var fields = try fields("{\"d\":\"\(text)\"}")
        _ = fields.date("d")
        #expect(failures(of: &fields) == ["/d bad-date"])
    }

    @Test func everyFailureIsNamedAtOnce() throws {
        var fields = try fields(#"{"a":["x",1,"toolong","\u0000"],"b":"no","u":1}"#)
        #expect(fields.texts("a", maximumCount: 5, maximumLength: 3) == nil)
        #expect(fields.bool("b") == nil)
        fields.fail(pointer: "/a/0", "not-found", "There is no such person.")
        #expect(
            failures(of: &fields) == [
                "/a/1 wrong-type", "/a/2 too-long", "/a/3 nul-character", "/b wrong-type", "/a/0 not-found",
                "/u unknown-field",
            ]
        )
    }

    @Test func aReadOnlyFieldMayRepeatWhatIsStored() throws {
        var same = try fields(#"{"id":7,"by":{"b":1,"a":null}}"#)
        same.readOnly("id", equals: .integer(7))
        same.readOnly("by", equals: .object([("a", .null), ("b", .integer(1))]))
        #expect(failures(of: &same).isEmpty)
        var other = try fields(#"{"id":8}"#)
        other.readOnly("id", equals: .integer(7))
        #expect(failures(of: &other) == ["/id read-only"])
    }
}
