import Foundation
import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceKit
import Synchronization
import Testing

@testable import Redis

/// Against a real server, given by `TASKFLOW_TEST_REDIS_URL`.
@Suite(
    "Redis Database",
    .enabled(if: ProcessInfo.processInfo.environment["TASKFLOW_TEST_REDIS_URL"] != nil)
)
struct RedisDatabaseTests {
    private var url: String { ProcessInfo.processInfo.environment["TASKFLOW_TEST_REDIS_URL"] ?? "" }

    /// Runs `body` with a client that is connected.
    private func withClient<Result: Sendable>(
        _ url: String,
        timeout: Duration = .seconds(2),
        connectsEachLoop: Bool = false,
        _ body: @escaping @Sendable (RedisClient) async throws -> Result
    ) async throws -> Result {
        let client = RedisClient(
            url: url,
            commandTimeout: timeout,
            connectsEachLoop: connectsEachLoop,
            logger: Logger(label: "test")
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await client.run() }
            defer { group.cancelAll() }
            try await waitUntilConnected(client)
            return try await body(client)
        }
    }

    private func waitUntilConnected(_ client: RedisClient) async throws {
        for _ in 0..<1000 where client.serverRunID == nil { try await Task.sleep(for: .milliseconds(5)) }
        _ = try #require(client.serverRunID)
    }

    @Test("Many callers at once each get their own answers", arguments: [false, true])
    func pipelining(connectsEachLoop: Bool) async throws {
        try await withClient(url, connectsEachLoop: connectsEachLoop) { client in
            await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<50 {
                    group.addTask {
                        for round in 0..<50 {
                            let texts = (0...(round % 4)).map { "\(caller)-\(round)-\($0)" }
                            let replies = try await client.send(texts.map { RedisCommand("ECHO", $0) })
                            #expect(replies.map(\.string) == texts)
                        }
                    }
                }
            }
        }
    }

    @Test("Errors of one command leave the others alone")
    func errors() async throws {
        try await withClient(url) { client in
            let replies = try await client.send([RedisCommand("NOSUCH"), RedisCommand("ECHO", "x")])
            #expect(replies[0].errorMessage?.contains("unknown command") == true)
            #expect(replies[1].string == "x")
            await #expect(throws: RedisError.self) { try await client.send(RedisCommand("NOSUCH")) }
        }
    }

    @Test("A large answer comes back whole")
    func large() async throws {
        try await withClient(url) { client in
            let value = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let reply = try await client.send(RedisCommand(bytes: [Array("ECHO".utf8), value]))
            #expect(reply == .bytes(value))
        }
    }

    @Test("Who asks from an event loop is answered over the connection of that loop")
    func nearest() async throws {
        try await withClient(url, connectsEachLoop: true) { client in
            let loops = Array(MultiThreadedEventLoopGroup.singleton.makeIterator())
            var connections: [Int64?] = []
            for loop in loops + loops { connections.append(await Self.connection(of: client, on: loop)) }
            #expect(!connections.contains(nil))
            #expect(Set(connections).count == loops.count)
            #expect(Array(connections.prefix(loops.count)) == Array(connections.suffix(loops.count)))
        }
    }

    @Test("One lost connection takes the others with it, and all come back", .timeLimit(.minutes(1)))
    func reconnectAll() async throws {
        let loops = Array(MultiThreadedEventLoopGroup.singleton.makeIterator())
        try await withClient(url, connectsEachLoop: true) { client in
            let connects = Mutex(0)
            client.onConnect { _ in connects.withLock { $0 += 1 } }
            var before: [Int64?] = []
            for loop in loops { before.append(await Self.connection(of: client, on: loop)) }
            let last = try #require(before.last ?? nil)
            // If it is its own connection that is killed, there may be no answer.
            _ = try? await client.send(RedisCommand("CLIENT", "KILL", "ID", String(last), "SKIPME", "no"))
            while connects.withLock({ $0 }) < 2 { try await Task.sleep(for: .milliseconds(1)) }
            for (loop, old) in zip(loops, before) { #expect(await Self.connection(of: client, on: loop) != old) }
        }
    }

    private static func connection(of client: RedisClient, on loop: any EventLoop) async -> Int64? {
        await withTaskExecutorPreference(LoopExecutor(loop)) {
            try? await client.send(RedisCommand("CLIENT", "ID")).integer
        }
    }

    @Test("A connection that is killed comes back, and handlers hear of it", .timeLimit(.minutes(1)))
    func reconnect() async throws {
        try await withClient(url) { client in
            let connects = Mutex(0)
            client.onConnect { runID in
                #expect(runID.utf8.count == 40)
                connects.withLock { $0 += 1 }
            }
            let id = try #require(try await client.send(RedisCommand("CLIENT", "ID")).integer)
            await #expect(throws: RedisError.self) {
                // The connection kills itself: the answer may come before the end or not at all.
                _ = try await client.send(RedisCommand("CLIENT", "KILL", "ID", String(id), "SKIPME", "no"))
                for _ in 0..<1000 {
                    _ = try await client.send(RedisCommand("PING"))
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
            while (try? await client.send(RedisCommand("PING"))) == nil { try await Task.sleep(for: .milliseconds(5)) }
            for _ in 0..<100 where connects.withLock({ $0 }) < 2 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(connects.withLock { $0 } == 2)
        }
    }

    @Test("A blocking read waits on its own connection and ends with it")
    func blocking() async throws {
        try await withClient(url) { client in
            let key = "test:\(UUID())"
            let connection = try await client.dedicatedConnection()
            async let popped = connection.send(RedisCommand("BLPOP", key, "5"))
            _ = try await client.send(RedisCommand("RPUSH", key, "x"))
            #expect(try await popped.elements?.last?.string == "x")

            async let never = connection.send(RedisCommand("BLPOP", key, "0"))
            try await Task.sleep(for: .milliseconds(20))
            connection.close()
            do {
                _ = try await never
                Issue.record("an answer came from nowhere")
            } catch let error as RedisError {
                #expect(error.code == .unavailable)
            }
        }
    }

    @Test("A timeout closes the connection rather than mismatch an answer")
    func timeout() async throws {
        try await withClient(url) { client in
            let connection = try await client.dedicatedConnection()
            do {
                _ = try await connection.send(RedisCommand("BLPOP", "test:\(UUID())", "0"), timeout: .milliseconds(50))
                Issue.record("an answer came from nowhere")
            } catch let error as RedisError {
                #expect(error.code == .timeout)
            }
            await #expect(throws: RedisError.self) { try await connection.send(RedisCommand("PING")) }
        }
    }

    @Test("Subscribers hear what is published, and their stream ends with the connection")
    func subscription() async throws {
        try await withClient(url) { client in
            let channel = "test:\(UUID())"
            let connection = try await client.dedicatedConnection()
            let messages = try await connection.subscribe(to: channel)
            for text in ["a", "b"] { _ = try await client.send(RedisCommand("PUBLISH", channel, text)) }
            var heard: [String] = []
            for await payload in messages {
                heard.append(String(decoding: payload, as: UTF8.self))
                if heard.count == 2 { connection.close() }
            }
            #expect(heard == ["a", "b"])
        }
    }

    @Test("Without a server every command fails at once")
    func nobodyThere() async throws {
        let client = RedisClient(url: "redis://127.0.0.1:1", logger: Logger(label: "test"))
        let running = Task { try await client.run() }
        defer { running.cancel() }
        do {
            _ = try await client.send(RedisCommand("PING"))
            Issue.record("an answer came from nowhere")
        } catch let error as RedisError {
            #expect(error.code == .unavailable)
        }
        await #expect(throws: RedisError.self) { try await client.dedicatedConnection() }
        #expect(client.serverRunID == nil)
    }

    @Test("A server that says nothing is given up after the timeout")
    func silentServer() async throws {
        // A listening socket that nobody accepts from.
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port: UInt16 = try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                try #require(bind(listener, generic, size) == 0)
                try #require(listen(listener, 8) == 0)
                try #require(getsockname(listener, generic, &size) == 0)
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
        let client = RedisClient(
            url: "redis://:x@127.0.0.1:\(port)",
            commandTimeout: .milliseconds(100),
            logger: Logger(label: "test")
        )
        do {
            _ = try await client.dedicatedConnection()
            Issue.record("a silent server was taken for Redis")
        } catch let error as RedisError {
            // On a busy machine the time can be up before the connection stands.
            #expect([.timeout, .unavailable].contains(error.code))
        }
    }
}
