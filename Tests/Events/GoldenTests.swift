import Events
import Foundation
import Identity
import Testing

@testable import Messaging

/// Every type and version ever released, as it is on the wire. A file in `Golden` is never changed: an event that no
/// longer fits its file is a new version, with a file of its own beside the old one.
@Suite("Golden events")
struct GoldenTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    private static func file(_ event: some Event) -> String { fileName(of: event) }

    private static func fileName<E: Event>(of event: E) -> String { "\(E.type).v\(E.version).json" }

    @Test("Each event is written as its file says, and reads back from it as it was", arguments: Samples.all.indices)
    func event(index: Int) throws { try check(Samples.all[index]) }

    private func check<E: Event>(_ event: E) throws {
        let text = try String(contentsOf: Self.folder.appending(path: Self.fileName(of: event)), encoding: .utf8)
        let payload = try EventPayload.encode(event)
        #expect(try golden(payload) == text)
        let read = try EventPayload.decode(E.self, from: Array(text.utf8))
        #expect(try EventPayload.encode(read) == payload)
        #expect(read.subject == event.subject)
    }

    @Test("Members that a newer program adds do not disturb", arguments: Samples.all.indices)
    func unknownMembers(index: Int) throws { try checkUnknown(Samples.all[index]) }

    private func checkUnknown<E: Event>(_ event: E) throws {
        let payload = try EventPayload.encode(event)
        let separator = payload.count > 2 ? "," : ""
        let newer = Array("{\"a_new_member\":{\"x\":[1]}\(separator)".utf8) + payload.dropFirst()
        let read = try EventPayload.decode(E.self, from: newer)
        #expect(try EventPayload.encode(read) == payload)
    }

    @Test("Every file has an event and every event a file; no type is said by two")
    func complete() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path()).filter {
            $0.hasSuffix(".json")
        }
        #expect(files.sorted() == Samples.all.map { Self.file($0) }.sorted())
        #expect(Set(files).count == Samples.all.count)
    }

    @Test("No type is left out")
    func everyType() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let sources = root.appending(path: "Shared/Events")
        var declared: Set<String> = []
        for name in try FileManager.default.contentsOfDirectory(atPath: sources.path()) where name.hasSuffix(".swift") {
            let text = try String(contentsOf: sources.appending(path: name), encoding: .utf8)
            for match in text.matches(of: #/static let type = "([a-z.-]+)"/#) {
                declared.insert(String(match.output.1))
            }
        }
        func type<E: Event>(_ event: E) -> String { E.type }
        #expect(Set(Samples.all.map { type($0) }) == declared)
    }

    @Test("A moment keeps its microseconds, a day stays a day, what is not set is absent")
    func details() throws {
        let text = String(
            decoding: try EventPayload.encode(ProjectUpdated(project: .init(1), revision: 1, name: "a/b")),
            as: UTF8.self
        )
        #expect(text == #"{"name":"a/b","project":1,"revision":1}"#)
    }
}
