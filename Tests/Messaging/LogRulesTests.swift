import Chronology
import Events
import Foundation
import Identity
import Postgres
import Redis
import Synchronization
import Testing

@testable import Messaging

/// The log's rules that need no server.
@Suite("Event log")
struct LogRulesTests {
    private let shards = Shard.all

    // MARK: Relay

    @Test("A relay asks for tops first, and then publishes what comes after them")
    func relayAsks() {
        var state = RelayState()
        state.hold([shards[1], shards[2]])
        state.committed(shards[1], 5)
        #expect(state.unknown == [shards[1], shards[2]])
        #expect(state.behind.isEmpty)
        #expect(state.learned(shards[1], top: 3, committed: 5) == .agreed)
        #expect(state.learned(shards[2], top: 7, committed: 7) == .agreed)
        #expect(state.behind.map(\.top) == [3])
        state.moved(shards[1], top: 5)
        #expect(state.behind.isEmpty)
        state.committed(shards[2], 8)
        #expect(state.behind.map(\.shard) == [shards[2]])
    }

    @Test("A stream ahead of its log has to be rebuilt, and is not published to before")
    func relayAhead() {
        var state = RelayState()
        state.hold([shards[0]])
        #expect(state.learned(shards[0], top: 9, committed: 5) == .streamIsAhead)
        #expect(state.behind.isEmpty)
        #expect(state.unknown == [shards[0]])
        state.moved(shards[0], top: 0)
        #expect(state.behind.map(\.top) == [0])
    }

    @Test("In doubt everything is asked for again; what is held no more is forgotten")
    func relayDoubt() {
        var state = RelayState()
        state.hold([shards[0], shards[1]])
        for shard in state.held { _ = state.learned(shard, top: 1, committed: 2) }
        state.doubt()
        #expect(state.unknown == state.held)
        #expect(state.behind.isEmpty)
        state.hold([shards[1]])
        state.committed(shards[0], 99)
        #expect(state.held == [shards[1]])
    }

    @Test("Numbers older than what is kept are not asked for for ever")
    func relayNothingKept() {
        var state = RelayState()
        state.hold([shards[0]])
        _ = state.learned(shards[0], top: 0, committed: 5)
        state.nothingKept(shards[0])
        #expect(state.behind.isEmpty)
        state.committed(shards[0], 6)
        #expect(state.behind.map(\.top) == [0])
    }

    // MARK: Streams

    @Test("What must stay is what the slowest reader of the last day has not applied")
    func retention() {
        typealias Mark = RelayStream.ReaderMark
        #expect(RelayStream.retention([:], now: 0).keepFrom == nil)
        let marks = [
            "a": Mark(sequence: 10, seconds: 100_000), "b": Mark(sequence: 7, seconds: 90_000),
            "c": Mark(sequence: 1, seconds: 10_000),
        ]
        let (keepFrom, absent) = RelayStream.retention(marks, now: 100_000)
        #expect(keepFrom == 7)
        #expect(absent == ["c"])
        #expect(Mark(Mark(sequence: 3, seconds: 4).text) == Mark(sequence: 3, seconds: 4))
        #expect(Mark("3") == nil)
    }

    @Test("An entry that is none of ours is still an entry")
    func foreignEntry() {
        func text(_ text: String) -> RedisValue { .bytes(Array(text.utf8)) }
        let entries = RelayStream.entries(
            from: .array([
                .array([text("4-0"), .array([text("e"), text("{}")])]),
                .array([text("5-0"), .array([text("x"), text("y")])]),
            ])
        )
        #expect(entries.map(\.sequence) == [4, 5])
        #expect(entries.map(\.event) == [Array("{}".utf8), []])
        #expect(RelayStream.sequence(ofID: "5-1") == nil)
    }

    // MARK: Reader

    private func incoming(_ numbers: Int64...) -> [Incoming] { numbers.map { Incoming(sequence: $0, event: []) } }

    @Test("A stream is worked on by one at a time, in order, and what was read twice is queued once")
    func lanes() throws {
        let stream = StreamName(.task, shards[3])
        var lanes = ReaderLanes()
        lanes.start(stream, at: 4)
        let request = try #require(lanes.requests.first)
        #expect(request.after == 4)
        let mustStart1 = lanes.add(incoming(5, 6), for: request)
        #expect(mustStart1)
        let mustStart2 = lanes.add(incoming(5, 6, 7), for: request)
        #expect(!mustStart2)
        #expect(lanes.requests.map(\.after) == [7])
        #expect(lanes.take(stream, atMost: 2)?.map(\.sequence) == [5, 6])
        #expect(lanes.take(stream, atMost: 2)?.map(\.sequence) == [7])
        #expect(lanes.take(stream, atMost: 2) == nil)
        let mustStart3 = lanes.add(incoming(8), for: request)
        #expect(mustStart3)
    }

    @Test("What was asked for before a restart is not taken for what was asked for after it")
    func lanesRestart() throws {
        let stream = StreamName(.task, shards[3])
        var lanes = ReaderLanes()
        lanes.start(stream, at: 10)
        let old = try #require(lanes.requests.first)
        lanes.start(stream, at: 2)
        let mustStart4 = lanes.add(incoming(11), for: old)
        #expect(!mustStart4)
        #expect(lanes.requests.map(\.after) == [2])
        lanes.keep([])
        #expect(lanes.requests.isEmpty)
        #expect(lanes.take(stream, atMost: 1) == nil)
    }

    @Test("No more is read of a stream than there is room for")
    func lanesRoom() throws {
        let stream = StreamName(.task, shards[3])
        var lanes = ReaderLanes()
        lanes.start(stream, at: 0)
        let request = try #require(lanes.requests.first)
        _ = lanes.add((1...Int64(ReaderLanes.room)).map { Incoming(sequence: $0, event: []) }, for: request)
        #expect(lanes.requests.isEmpty)
        #expect(!lanes.hasRoom)
    }

    @Test("A batch ends before a hole")
    func contiguous() {
        #expect(incoming(3, 4, 6).contiguousPrefix(atMost: 100).map(\.sequence) == [3, 4])
        #expect(incoming(3, 4, 5).contiguousPrefix(atMost: 1).map(\.sequence) == [3])
        #expect(incoming().contiguousPrefix(atMost: 9).isEmpty)
    }

    // MARK: Events in JSON

    private let event =
        StoredEvent(
            envelope: Envelope(
                id: EventID.make(milliseconds: 1),
                type: "task.created",
                version: 2,
                time: Timestamp(microseconds: 1_750_000_000_123_456),
                subject: "task/\"1\"\n\u{1F600}",
                position: Position(StreamName(.task, Shard.all[7]), 12),
                organization: OrganizationID.make(milliseconds: 2),
                actor: nil,
                causationID: EventID.make(milliseconds: 3),
                correlationID: "r-1",
                traceparent: nil
            ),
            payload: Array(#"{"a":[1,{"data":"}"}],"b":"\"\\"}"#.utf8)
        )

    @Test("An event comes back from its JSON as it was, the payload byte for byte")
    func cloudEvent() throws {
        let encoded = event.encoded()
        let object = try #require(JSONSerialization.jsonObject(with: Data(encoded)) as? [String: Any])
        #expect(object["specversion"] as? String == "1.0")
        #expect(object["source"] as? String == "/taskflow/task")
        #expect(object["sequence"] as? String == "12")
        #expect(object["dataschema"] as? String == "taskflow:task.created:2")
        #expect(object["partitionkey"] as? String == event.envelope.organization?.description)
        #expect(object["actor"] == nil)
        let read = try StoredEvent(encoded: encoded)
        #expect(read == event)
        #expect(try StoredEvent.list(encoded: StoredEvent.encodedList([read, read])) == [read, read])
        #expect(try StoredEvent.list(encoded: Array(" [ ] ".utf8)).isEmpty)
    }

    @Test("Unknown attributes and another layout do not matter")
    func cloudEventTolerance() throws {
        let text = String(decoding: event.encoded(), as: UTF8.self)
        let data = String(decoding: event.payload, as: UTF8.self)
        let other =
            "{ \"new\" : {\"data\": [1]} , \"data\" : \(data) ,"
            + text.dropFirst().replacing(
                ",\"data\":\(data)",
                with: ""
            )
        let read = try StoredEvent(encoded: Array(other.utf8))
        #expect(read.payload == event.payload)
        #expect(read.envelope.type == "task.created")
    }

    @Test("What is cut short or mixed up is refused, and nothing is read beyond its end")
    func malformed() {
        let encoded = event.encoded()
        for end in 0..<encoded.count {
            #expect(throws: (any Error).self) { try StoredEvent(encoded: Array(encoded[..<end])) }
        }
        let text = String(decoding: encoded, as: UTF8.self)
        for (good, bad) in [
            ("\"1.0\"", "\"0.3\""), ("taskflow:task.created:2", "taskflow:task.created"),
            ("taskflow:task.created:2", "taskflow:task.other:2"), ("\"task.07\"", "\"task.17\""), ("\"12\"", "\"0\""),
        ] {
            #expect(throws: (any Error).self, "\(bad)") {
                try StoredEvent(encoded: Array(text.replacing(good, with: bad).utf8))
            }
        }
    }

    // MARK: Waiting

    @Test("A bell rung before anybody waits is heard, once", .timeLimit(.minutes(5)))
    func bell() async {
        let bell = Bell()
        bell.ring()
        bell.ring()
        await bell.wait(atMost: .seconds(3600))
        await bell.wait(atMost: .milliseconds(1))
        let isOver = Mutex(false)
        let waiting = Task {
            await bell.wait(atMost: .seconds(3600))
            isOver.withLock { $0 = true }
        }
        for _ in 0..<100 { await Task.yield() }
        #expect(!isOver.withLock { $0 })
        waiting.cancel()
        await waiting.value
    }

    @Test("Every SQL file is listed")
    func migrations() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let folder = root.appending(path: "Shared/Messaging/Migrations")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path()).filter { $0.hasSuffix(".sql") }
        #expect(files.map { String($0.dropLast(4)) }.sorted() == MessagingSchema.migrations.map(\.name))
    }
}
