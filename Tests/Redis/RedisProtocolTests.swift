import Testing

@testable import Redis

@Suite("Redis protocol")
struct RedisProtocolTests {
    @Test("A command is an array of bulk strings, whatever its bytes")
    func encoding() {
        var bytes: [UInt8] = []
        RedisCommand(bytes: [Array("SET".utf8), [0x0D, 0x0A, 0x00, 0xFF], []]).encode(into: &bytes)
        #expect(
            bytes == Array("*3\r\n$3\r\nSET\r\n$4\r\n".utf8) + [0x0D, 0x0A, 0x00, 0xFF] + Array("\r\n$0\r\n\r\n".utf8)
        )
    }

    @Test("Answers come out whole however the bytes are cut")
    func parsing() throws {
        let wire = Array("+OK\r\n:-7\r\n$-1\r\n$2\r\n\r\n\r\n*2\r\n*1\r\n$1\r\na\r\n-ERR no\r\n*-1\r\n".utf8)
        let expected: [RedisValue] = [
            .bytes(Array("OK".utf8)), .integer(-7), .null, .bytes([0x0D, 0x0A]),
            .array([.array([.bytes(Array("a".utf8))]), .error("ERR no")]), .null,
        ]
        for size in 1...wire.count {
            let parser = try #require(ReplyParser())
            var replies: [RedisValue] = []
            for start in stride(from: 0, to: wire.count, by: size) {
                try wire[start..<min(start + size, wire.count)].withUnsafeBytes { try parser.feed($0) }
                while let reply = try parser.next() { replies.append(reply) }
            }
            #expect(replies == expected, "cut every \(size) bytes")
        }
    }

    @Test("What is not the protocol is an error")
    func garbage() throws {
        let parser = try #require(ReplyParser())
        try Array("HTTP/1.1 200 OK\r\n".utf8).withUnsafeBytes { try parser.feed($0) }
        #expect(throws: RedisError.self) { try parser.next() }
    }

    @Test("Answers go to their callers in order, and one too many is noticed")
    func replyQueue() {
        var queue = ReplyQueue<String>()
        queue.append("first", count: 2, deadline: nil)
        queue.append("second", count: 1, deadline: nil)
        var seen: [String] = []
        for number in 1...3 {
            if case .complete(let caller, let replies) = queue.receive(.integer(Int64(number))) {
                seen.append("\(caller)\(replies.compactMap(\.integer))")
            }
        }
        #expect(seen == ["first[1, 2]", "second[3]"])
        guard case .unasked = queue.receive(.null) else {
            Issue.record("an answer that nobody asked for was taken")
            return
        }
    }

    @Test("Callers who still wait are all told, and long queues do not grow")
    func replyQueueEnd() {
        var queue = ReplyQueue<Int>()
        for number in 0..<1000 { queue.append(number, count: 1, deadline: nil) }
        for number in 0..<990 {
            guard case .complete(number, _) = queue.receive(.null) else {
                Issue.record("\(number) is out of order")
                return
            }
        }
        #expect(queue.removeAll() == Array(990..<1000))
        #expect(queue.isEmpty)
    }

    @Test(
        "Addresses",
        arguments: [
            ("redis://localhost", "localhost:6379", 0, nil, nil),
            ("redis://:s%40e@10.0.0.1:7000/3", "10.0.0.1:7000", 3, nil, "s@e"),
            ("redis://app:x:y@[::1]:6380", "::1:6380", 0, "app", "x:y"),
            ("unix:///run/redis.sock", "/run/redis.sock", 0, nil, nil),
            ("unix:///run/a%20b.sock?db=2", "/run/a b.sock", 2, nil, nil),
        ] as [(String, String, Int, String?, String?)]
    )
    func addresses(url: String, place: String, database: Int, user: String?, password: String?) throws {
        let address = try #require(RedisAddress(url))
        #expect(address.description == place)
        #expect(address.database == database)
        #expect(address.user == user)
        #expect(address.password == password)
    }

    @Test(
        "What is no address",
        arguments: [
            "", "redis:", "redis://", "http://localhost", "redis://localhost:0", "redis://localhost:99999",
            "redis://localhost/x", "redis://localhost?db=-1", "redis://secret@localhost", "redis://:%4@localhost",
            "unix://relative", "redis://[::1",
        ]
    )
    func noAddresses(url: String) { #expect(RedisAddress(url) == nil) }

    @Test("Back-off doubles to its limit and is never below half of it")
    func backOff() {
        var backOff = BackOff()
        var generator = SystemRandomNumberGenerator()
        for full in [50, 100, 200, 400, 800, 1000, 1000] {
            let pause = backOff.next(using: &generator)
            #expect(pause <= .milliseconds(full) && pause >= .milliseconds(full) / 2)
        }
    }
}
