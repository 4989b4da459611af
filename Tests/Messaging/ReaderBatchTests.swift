import Events
import Testing

@testable import Messaging

/// BUS-7, BUS-12: how a batch is worked off, step by step.
@Suite struct ReaderBatchTests {
    private struct Broken: Error {}

    private func batch(_ numbers: Int64...) -> ReaderBatch {
        ReaderBatch(numbers.map { Incoming(sequence: $0, event: []) })
    }

    private func text(_ command: ReaderBatch.Command) -> String {
        switch command {
        case .apply(let events): "apply \(events.map(\.sequence))"
        case .park(let event, _): "park \(event.sequence)"
        case .settle(let cursor, let count): "settle \(cursor), \(count)"
        case .fetch(let cursor): "fetch \(cursor)"
        case .turn: "turn"
        case .finished: "finished"
        }
    }

    @Test func whatWasAppliedBeforeIsDroppedOnceItHasSettled() {
        var work = batch(3, 4, 5)
        work.handle(.elsewhere(4))
        #expect(text(work.command) == "settle 4, 2")
        work.handle(.passing)
        #expect(text(work.command) == "apply [3, 4, 5]")
        #expect(work.pause == 25...50)
        work.handle(.elsewhere(4))
        work.handle(.done)
        #expect(text(work.command) == "apply [5]")
        work.handle(.done)
        #expect(text(work.command) == "finished")
    }

    @Test func whatIsMissingIsFetchedAndNeverSkipped() {
        var work = batch(5, 6, 9)
        #expect(text(work.command) == "apply [5, 6]")
        work.handle(.elsewhere(2))
        #expect(text(work.command) == "fetch 2")
        work.handle(.fetched([]))
        #expect(work.isStuck)
        #expect(text(work.command) == "apply [5, 6]")
        work.handle(.elsewhere(2))
        work.handle(.fetched([3, 4, 5].map { Incoming(sequence: $0, event: []) }))
        #expect(!work.isStuck)
        #expect(text(work.command) == "apply [3, 4, 5, 6]")
    }

    @Test func eventsOfAnotherLineageAreForgotten() {
        var work = batch(1, 2)
        work.handle(.otherLineage)
        #expect(text(work.command) == "turn")
        work.handle(.done)
        #expect(text(work.command) == "finished")
    }

    @Test func theEventThatFailsIsFoundAndSetAside() {
        var work = batch(1, 2)
        work.handle(.failed(Broken()))
        #expect(text(work.command) == "apply [1]")
        work.handle(.done)
        #expect(text(work.command) == "apply [2]")
        work.handle(.failed(Broken()))
        #expect(text(work.command) == "park 2")
        work.handle(.passing)
        #expect(text(work.command) == "apply [2]")
        work.handle(.failed(Broken()))
        work.handle(.done)
        #expect(text(work.command) == "finished")
    }

    /// Else a stream would stand still for ever behind an event whose statements take longer than any may.
    @Test func anEventThatIsAlwaysTooSlowIsSetAside() {
        var work = batch(1, 2)
        work.handle(.tooSlow(Broken()))
        #expect(text(work.command) == "apply [1]")
        work.handle(.done)
        for _ in 0..<2 {
            work.handle(.tooSlow(Broken()))
            #expect(text(work.command) == "apply [2]")
            #expect(work.pause != nil)
        }
        work.handle(.tooSlow(Broken()))
        #expect(text(work.command) == "park 2")
    }

    @Test func aMissingServerIsWaitedOutWithoutEnd() {
        var work = batch(1)
        for _ in 0..<20 { work.handle(.passing) }
        #expect(work.pause == 500...1000)
        #expect(text(work.command) == "apply [1]")
        #expect(!work.isFirstPause)
        work.handle(.done)
        #expect(work.isFirstPause)
    }

    @Test func aRelayAsksThenPublishesAndDoubtsEveryThreeSeconds() {
        var state = RelayState()
        let start = ContinuousClock.now
        state.hold([Shard.all[0]])
        func step(_ milliseconds: Int, isPaused: Bool = false) -> String {
            switch state.next(at: start + .milliseconds(milliseconds), isPaused: isPaused) {
            case .askTops: "tops"
            case .askCommitted: "committed"
            case .publish(let places): "publish after \(places.map(\.top))"
            case .rest: "rest"
            }
        }
        #expect(step(0) == "tops")
        _ = state.learned(Shard.all[0], top: 4, committed: 6)
        #expect(step(1) == "publish after [4]")
        #expect(step(2, isPaused: true) == "rest")
        let agreed = state.appended(Shard.all[0], upTo: 6, answer: 6)
        #expect(agreed)
        #expect(step(3) == "rest")
        #expect(step(260) == "committed")
        state.committed(Shard.all[0], 7)
        let lost = !state.appended(Shard.all[0], upTo: 7, answer: 2)
        #expect(lost)
        #expect(step(261) == "tops")
        _ = state.learned(Shard.all[0], top: 7, committed: 7)
        #expect(step(3001) == "tops")
    }
}
