import Chronology
import Events
import Foundation
import Identity
import Messaging
import Testing

/// `docs/api/asyncapi.yaml` against the events as they are on the wire.
///
/// The file keeps to a few forms of YAML: blocks indented by two blanks, and lists and objects in brackets of one line. So its
/// lines can be read as paths, and no YAML library is needed for a test.
@Suite("AsyncAPI document")
struct AsyncAPITests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let golden = root.appending(path: "Tests/Events/Golden")

    /// `task.created.v1.json` and the like.
    static func files() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: golden.path()).filter { $0.hasSuffix(".v1.json") }.sorted()
    }

    /// The keys below each path of keys, in the order of the file, and the texts behind them.
    struct Document {
        private(set) var children: [String: [String]] = [:]
        private(set) var texts: [String: String] = [:]

        init(_ text: String) {
            var path: [(indent: Int, key: String)] = []
            for line in text.split(separator: "\n") {
                let indent = line.prefix { $0 == " " }.count
                let content = line.dropFirst(indent)
                guard let colon = content.firstRange(of: ":"), content.first != "#", content.first != "-" else {
                    continue
                }
                let rest = content[colon.upperBound...]
                guard rest.isEmpty || rest.first == " " else { continue }
                while let last = path.last, last.indent >= indent { path.removeLast() }
                let parent = path.map(\.key).joined(separator: "/")
                let key = String(content[..<colon.lowerBound])
                children[parent, default: []].append(key)
                path.append((indent, key))
                texts[path.map(\.key).joined(separator: "/")] = rest.trimmingCharacters(in: .whitespaces)
            }
        }

        /// The names in `required: [a, b]` of a schema.
        func required(_ schema: String) -> Set<String> {
            let text = texts["\(schema)/required"] ?? ""
            let names = text.split { ",[] ".contains($0) }
            return Set(names.map(String.init))
        }
    }

    static func document() throws -> Document {
        Document(try String(contentsOf: root.appending(path: "docs/api/asyncapi.yaml"), encoding: .utf8))
    }

    /// `#/components/schemas/TaskCreated` as a path of the document.
    static func target(_ reference: String?) -> String? {
        reference.map { $0.trimmingCharacters(in: ["'"]) }.flatMap { text in
            text.hasPrefix("#/") ? String(text.dropFirst(2)) : nil
        }
    }

    /// What differs between an object and its schema, with the objects in it.
    static func differences(_ object: [String: Any], _ schema: String, _ document: Document, at path: String)
        -> [String]
    {
        let properties = "\(schema)/properties"
        let known = Set(document.children[properties] ?? [])
        var found = Set(object.keys).subtracting(known).map { "\(path): \($0) is not in \(schema)" }
        found += document.required(schema).subtracting(object.keys).map { "\(path): \($0) is not always there" }
        found += document.required(schema).subtracting(known).map { "\(schema) requires \($0), which it does not have" }
        for case (let name, let inner as [String: Any]) in object {
            guard let target = target(document.texts["\(properties)/\(name)/$ref"]) else {
                found.append("\(path): \(name) has no schema of its own")
                continue
            }
            found += differences(inner, target, document, at: "\(path)/\(name)")
        }
        return found
    }

    @Test("Each event has a message, on the channel of its producer, with all its members", arguments: try files())
    func message(file: String) throws {
        let document = try Self.document()
        let type = String(file.dropLast(".v1.json".count))
        let message = "components/messages/\(type)"
        #expect(document.texts["\(message)/name"] == type)
        let channels = document.children["channels"] ?? []
        #expect(channels.filter { document.children["channels/\($0)/messages"]?.contains(type) == true }.count == 1)

        let schemaName = type.split { $0 == "." || $0 == "-" }.map(\.capitalized).joined()
        let schema = "components/schemas/\(schemaName)"
        #expect(document.texts[schema] != nil, "there is no schema \(schemaName)")
        let data = try Data(contentsOf: Self.golden.appending(path: file))
        let payload = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(Self.differences(payload, schema, document, at: type) == [])
        // The golden files have every member, so what is only in the document is there by mistake.
        #expect(Set(document.children["\(schema)/properties"] ?? []) == Set(payload.keys))
    }

    @Test("No message without an event")
    func nothingElse() throws {
        let document = try Self.document()
        let types = try Self.files().map { String($0.dropLast(".v1.json".count)) }
        #expect((document.children["components/messages"] ?? []).sorted() == types)
        let onChannels = (document.children["channels"] ?? []).flatMap {
            document.children["channels/\($0)/messages"] ?? []
        }
        #expect(onChannels.sorted() == types)
    }

    @Test("The envelope has the attributes that are on the wire, and requires those that are always there")
    func envelope() throws {
        let document = try Self.document()
        let schema = "components/schemas/Envelope"
        #expect(document.required(schema) == (try Self.attributes(full: false)))
        #expect(Set(document.children["\(schema)/properties"] ?? []) == (try Self.attributes(full: true)))
    }

    /// The attributes of an encoded event, with or without those that may be absent.
    private static func attributes(full: Bool) throws -> Set<String> {
        let user = UserID(UUID())
        let position = try #require(Position("task.07:12"))
        let envelope = Envelope(
            id: EventID(UUID()),
            type: "task.deleted",
            version: 1,
            time: Timestamp(microseconds: 1_764_581_400_123_456),
            subject: "task/42",
            position: position,
            organization: full ? OrganizationID(UUID()) : nil,
            actor: full ? user : nil,
            causationID: full ? EventID(UUID()) : nil,
            correlationID: full ? "a-request" : nil,
            traceparent: full ? "00-bcdd9e0fe5f43db7416d38be2a7f8f69-fce223973c716fa0-01" : nil
        )
        let encoded = StoredEvent(envelope: envelope, payload: Array("{}".utf8)).encoded()
        let object = try #require(try JSONSerialization.jsonObject(with: Data(encoded)) as? [String: Any])
        return Set(object.keys)
    }
}
