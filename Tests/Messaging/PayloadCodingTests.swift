import Foundation
import Testing

@testable import Messaging

/// Payloads are written as Foundation writes them, and read as it reads them.
@Suite struct PayloadCodingTests {
    private enum Colour: String, Codable {
        case red
        case darkBlue = "dark-blue"
    }

    private struct Inner: Codable, Equatable {
        var isDone: Bool
        var dueAt: String?
    }

    private struct Sample: Codable, Equatable {
        var title: String
        var accountID: Int64
        var small: Int
        var colour: Colour
        var inner: Inner
        var list: [Inner]
        var names: [String]
        var nothing: String?
        var pageURLOf: String
    }

    private let sample = Sample(
        title: "a/b \"quoted\" back\\slash\nline\ttab é 漢字 👩‍💻",
        accountID: -42,
        small: 0,
        colour: .darkBlue,
        inner: Inner(isDone: true, dueAt: "2031-01-01"),
        list: [Inner(isDone: false, dueAt: nil), Inner(isDone: true, dueAt: "")],
        names: [],
        nothing: nil,
        pageURLOf: "x"
    )

    @Test func theBytesAreFoundations() throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let theirs = String(decoding: try encoder.encode(sample), as: UTF8.self)
        #expect(String(decoding: try PayloadCoding.encode(sample), as: UTF8.self) == theirs)
    }

    @Test func whatIsWrittenIsRead() throws {
        let bytes = try PayloadCoding.encode(sample)
        #expect(try PayloadCoding.decode(Sample.self, from: bytes) == sample)
    }

    @Test func escapesSpacesNullsAndUnknownMembersAreRead() throws {
        let text = #" { "is_done" : true , "new" : [ { } , 1.5e3 ] , "due_at" : "A\u00e9\/\n" } "#
        let read = try PayloadCoding.decode(Inner.self, from: Array(text.utf8))
        #expect(read == Inner(isDone: true, dueAt: "Aé/\n"))
        let null = try PayloadCoding.decode(Inner.self, from: Array(#"{"is_done":false,"due_at":null}"#.utf8))
        #expect(null == Inner(isDone: false, dueAt: nil))
    }

    @Test(arguments: [
        "", "{", "[]", "{}", #"{"is_done":1}"#, #"{"is_done":"true"}"#, #"{"is_done":true"#, #"{"is_done":true}x"#,
        #"{"isDone":true}"#, #"{"is_done":true,"due_at":5}"#, #"{"is_done":null}"#, #"{"is_done":true,"due_at":"\x"}"#,
    ])
    func whatIsNotOneIsRefused(_ text: String) {
        #expect(throws: (any Error).self) { try PayloadCoding.decode(Inner.self, from: Array(text.utf8)) }
    }

    @Test(arguments: ["1.0", "01", "+1", "1e2", "9223372036854775808", "\"1\"", "-", "true"])
    func whatIsNoWholeNumberIsRefused(_ text: String) {
        #expect(throws: (any Error).self) { try PayloadCoding.decode([Int64].self, from: Array("[\(text)]".utf8)) }
    }

    @Test func numbersThatNoPayloadHasAreRefusedAndDoNotLoop() {
        #expect(throws: EncodingError.self) { try PayloadCoding.encode(["x": 1.5]) }
        #expect(throws: DecodingError.self) { try PayloadCoding.decode([Double].self, from: Array("[1]".utf8)) }
        #expect(throws: DecodingError.self) { try PayloadCoding.decode([UInt8].self, from: Array("[1]".utf8)) }
    }
}
