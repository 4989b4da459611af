import Events
import Identity
import Synchronization
import Testing

@testable import Messaging

/// How long it takes from the return of a write to the end of its application in a consumer.
struct LagMeasurement: Sendable {
    var p50: Duration
    var p99: Duration
    var longest: Duration

    static func run(perSecond: Int, count: Int) async throws -> LagMeasurement {
        let log = try await LogFixture()
        let organizations = (0..<20).map { _ in log.organization() }
        let committed = Moments()
        let applied = Moments()
        var handlers = EventHandlers()
        let inner = log.handlers
        handlers.on(TaskRestored.self) { event, envelope, transaction in
            try await inner.handlers[envelope.type]?.handle(try EventPayload.encode(event), envelope, transaction)
            let position = envelope.position
            transaction.afterCommit { applied.note(position) }
        }
        let relay = log.makeRelay()
        let reader = log.makeReader(handlers: handlers)
        return try await log.run([relay.run, reader.run]) {
            let first = try await log.say(1, in: organizations[0])
            try await eventually { applied.all[first] != nil }
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<count {
                    group.addTask {
                        try await Task.sleep(until: start + .seconds(1) * number / perSecond)
                        let position = try await log.say(Int64(number + 1), in: organizations[number % 20])
                        committed.note(position)
                    }
                }
                try await group.waitForAll()
            }
            try await eventually { applied.all.count == count + 1 }
            let ends = applied.all
            let lags = committed.all.map { max(.zero, $0.value.duration(to: ends[$0.key] ?? .now)) }.sorted()
            return LagMeasurement(
                p50: lags[lags.count / 2],
                p99: lags[lags.count * 99 / 100],
                longest: lags[lags.count - 1]
            )
        }
    }
}

/// When what was seen first.
private final class Moments: Sendable {
    private let moments = Mutex<[Position: ContinuousClock.Instant]>([:])

    var all: [Position: ContinuousClock.Instant] { moments.withLock { $0 } }

    func note(_ position: Position) { moments.withLock { $0[position] = .now } }
}
