import Events
import Redis

/// The names and commands of a stream in Redis. All keys of one stream share a hash tag.
enum RelayStream {
    /// Where writers wake their log's relays in other processes; the payload is the position of what was committed.
    static func wakeChannel(_ producer: Producer) -> String { "ev:wake:\(producer.rawValue)" }

    static func key(_ stream: StreamName) -> String { "ev:{\(stream)}" }

    /// A hash: by consumer, `number:seconds` of how far it was at which time.
    static func cursorsKey(_ stream: StreamName) -> String { "ev:{\(stream)}:cursors" }

    /// The lineage of the log that the stream was filled from.
    static func lineageKey(_ stream: StreamName) -> String { "ev:{\(stream)}:lineage" }

    static func top(_ stream: StreamName) -> RedisCommand {
        RedisCommand("XREVRANGE", key(stream), "+", "-", "COUNT", "1")
    }

    /// The number in the answer to ``top(_:)``; 0 for a stream that is empty or not there.
    static func top(from reply: RedisValue) throws -> Int64 {
        if let message = reply.errorMessage { throw RedisError(.server, message: message) }
        guard let entry = reply.elements?.first?.elements, let id = entry.first?.string else { return 0 }
        guard let sequence = sequence(ofID: id) else { throw RedisError(.server, message: "\(id) is no id of ours") }
        return sequence
    }

    static func sequence(ofID id: String) -> Int64? {
        guard id.hasSuffix("-0") else { return nil }
        return Int64(id.dropLast(2))
    }

    /// Appends only if the top is still what we think it is, in one step: neither a second relay nor a server that has
    /// lost its data in between can make a hole. Answers the top, whether or not it appended.
    private static let appendScript = Array(
        """
        local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
        local top = last[1] and last[1][1] or '0-0'
        if top ~= ARGV[1] then return top end
        for i = 3, #ARGV, 2 do redis.call('XADD', KEYS[1], ARGV[i], 'e', ARGV[i + 1], 'l', ARGV[2]) end
        return ARGV[#ARGV - 1]
        """.utf8
    )

    static func append(
        _ events: [StoredEvent],
        to stream: StreamName,
        after top: Int64,
        lineage: String
    ) -> RedisCommand {
        var arguments = [
            Array("EVAL".utf8), appendScript, Array("1".utf8), Array(key(stream).utf8), Array("\(top)-0".utf8),
            Array(lineage.utf8),
        ]
        for event in events {
            arguments.append(Array("\(event.envelope.position.sequence)-0".utf8))
            arguments.append(event.encoded())
        }
        return RedisCommand(bytes: arguments)
    }

    /// The entries in the answer to `XREAD` for one stream. Those of a relay that knew of no lineage have none.
    static func entries(from reply: RedisValue) -> [Incoming] {
        (reply.elements ?? []).compactMap { entry in
            guard let parts = entry.elements, parts.count == 2, let id = parts[0].string,
                let sequence = sequence(ofID: id)
            else { return nil }
            let fields = parts[1].elements ?? []
            // What is no event of ours stays empty, and the reader makes a parked event of it.
            var incoming = Incoming(sequence: sequence, event: [])
            for index in stride(from: 0, to: fields.count - 1, by: 2) {
                guard case .bytes(let value) = fields[index + 1] else { continue }
                switch fields[index].string {
                case "e": incoming.event = value
                case "l": incoming.lineage = String(decoding: value, as: UTF8.self)
                default: break
                }
            }
            return incoming
        }
    }

    /// How far a consumer is, as kept in the hash of cursors.
    struct ReaderMark: Equatable {
        var sequence: Int64
        var seconds: Int64

        init(sequence: Int64, seconds: Int64) {
            self.sequence = sequence
            self.seconds = seconds
        }

        init?(_ text: String) {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let sequence = Int64(parts[0]), let seconds = Int64(parts[1]) else { return nil }
            self.init(sequence: sequence, seconds: seconds)
        }

        var text: String { "\(sequence):\(seconds)" }
    }

    /// The marks in the answer to `HGETALL`, by consumer.
    static func marks(from reply: RedisValue) -> [String: ReaderMark] {
        let fields = (reply.elements ?? []).compactMap(\.string)
        var marks: [String: ReaderMark] = [:]
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            marks[fields[index]] = ReaderMark(fields[index + 1])
        }
        return marks
    }

    /// The first number that must stay, and who has been away for too long to be asked.
    static func retention(_ marks: [String: ReaderMark], now: Int64) -> (keepFrom: Int64?, absent: [String]) {
        let day: Int64 = 86_400
        let present = marks.filter { now - $0.value.seconds <= day }
        let absent = marks.keys.filter { present[$0] == nil }.sorted()
        return (present.values.map(\.sequence).min(), absent)
    }
}
