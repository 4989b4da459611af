import Foundation
import Logging
import Synchronization
import Testing

@testable import taskflow

/// What happens when a server of the installation ends: here it is `sleep`.
@Suite struct KeptServerTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func program(_ command: [String] = ["/bin/sleep", "600"]) throws -> ChildProcess {
        try ChildProcess.start(command, as: nil, log: "/dev/null", parentDeathSignal: "KILL")
    }

    private static func kept(
        _ start: @escaping @Sendable () async throws -> ChildProcess
    ) async throws -> KeptServer {
        try await KeptServer(
            stopSignal: SIGTERM,
            seconds: 5,
            firstPause: .milliseconds(1),
            logger: quiet,
            start: start
        )
    }

    private func eventually(_ condition: () -> Bool) async throws {
        for _ in 0..<1000 where !condition() { try await Task.sleep(for: .milliseconds(10)) }
        #expect(condition())
    }

    @Test func howAProgramEndedIsSaid() async throws {
        #expect(try await Self.program(["/bin/false"]).waitForEnd() == "exit code 1")
        let killed = try Self.program()
        kill(killed.pid, SIGKILL)
        #expect(await killed.waitForEnd() == "signal 9")
        #expect(!killed.isRunning)
    }

    @Test func aServerThatEndsIsStartedAgain() async throws {
        let server = try await Self.kept { try Self.program() }
        let running = Task { try await server.run() }
        for _ in 1...3 {
            let pid = server.pid
            kill(pid, SIGKILL)
            try await eventually { server.pid != pid }
        }
        running.cancel()
        try await running.value
        await server.stop()
        #expect(kill(server.pid, 0) == -1)
    }

    @Test func aServerThatWasStoppedIsLeftAlone() async throws {
        let starts = Mutex(0)
        let server = try await Self.kept {
            starts.withLock { $0 += 1 }
            return try Self.program()
        }
        let running = Task { try await server.run() }
        running.cancel()
        try await running.value
        await server.stop()
        #expect(starts.withLock { $0 } == 1)
    }

    @Test func aServerThatCannotBeStartedAgainEndsTheInstallation() async throws {
        let starts = Mutex(0)
        let server = try await Self.kept {
            let count = starts.withLock { count in
                count += 1
                return count
            }
            guard count == 1 else { throw StartError("the disk is full") }
            return try Self.program()
        }
        kill(server.pid, SIGKILL)
        await #expect {
            try await server.run()
        } throws: { "\($0)" == "sleep cannot be started again: the disk is full" }
        #expect(starts.withLock { $0 } == 1 + KeptServer.patience)
    }
}
