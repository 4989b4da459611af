import Foundation
import Testing

@testable import Poller

@Suite("Poller")
struct PollerTests {
    @Test("Timers fire in the order of their moments, cancelled ones not at all")
    @PollerActor
    func timerOrder() {
        var queue = TimerQueue()
        var fired: [Int] = []
        var ids: [UInt64] = []
        let moments = (0..<500).map { _ in UInt64.random(in: 1...1000) }
        for (index, moment) in moments.enumerated() { ids.append(queue.add(at: moment) { fired.append(index) }) }
        for index in stride(from: 0, to: 500, by: 3) { queue.cancel(ids[index]) }
        while let work = queue.popDue(at: 500) { work() }
        let early = moments.indices.filter { $0 % 3 != 0 && moments[$0] <= 500 }
        #expect(fired.map { moments[$0] } == early.map { moments[$0] }.sorted())
        #expect(Set(fired) == Set(early))
        while let work = queue.popDue(at: 1000) { work() }
        #expect(queue.count == 0)
        #expect(queue.timeout(now: 0) == -1)
    }

    @Test("A timer is not early")
    func timer() async {
        let start = ContinuousClock.now
        await withCheckedContinuation { continuation in
            Poller.shared.execute {
                Poller.shared.schedule(after: .milliseconds(30)) { continuation.resume() }
            }
        }
        #expect(ContinuousClock.now - start >= .milliseconds(30))
    }

    @Test("A descriptor is told ready, and after deregistering no more")
    @PollerActor
    func readiness() async throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        var count = 0
        let ready: Readiness = try await withCheckedThrowingContinuation { continuation in
            do {
                try Poller.shared.register(reading, interest: .readable) { ready in
                    count += 1
                    Poller.shared.deregister(reading)
                    continuation.resume(returning: ready)
                }
                var byte: UInt8 = 1
                #expect(write(writing, &byte, 1) == 1)
            } catch {
                continuation.resume(throwing: error)
            }
        }
        #expect(ready == .readable)
        await withCheckedContinuation { continuation in
            Poller.shared.schedule(after: .milliseconds(10)) { continuation.resume() }
        }
        #expect(count == 1)
        close(reading)
        close(writing)
    }

    @Test("Many tasks run on the one thread, one at a time")
    func isolation() async {
        let counter = Counter()
        await withTaskGroup { group in
            for _ in 0..<50 {
                group.addTask { for _ in 0..<100 { await counter.increment() } }
            }
        }
        #expect(await counter.value == 5000)
    }

    @Test("Blocking calls do not hold up the poller")
    func blockingCalls() async {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        // It ends only when the poller has written, so the poller cannot be waiting for it.
        async let slow = BlockingCalls.run { () -> Int in
            var byte: UInt8 = 0
            return read(reading, &byte, 1)
        }
        Poller.shared.execute {
            var byte: UInt8 = 1
            _ = write(writing, &byte, 1)
        }
        #expect(await slow == 1)
        close(reading)
        close(writing)
    }

    @PollerActor
    private final class Counter {
        var value = 0

        nonisolated init() {}

        func increment() {
            PollerActor.assumeIsolated { #expect(Poller.shared.isCurrentThread) }
            value += 1
        }
    }
}
