import Events

/// What a relay knows of its shards, and what it has to do next. Nothing in it outlives a doubt: tops are asked for
/// anew after every reconnect and every few seconds.
///
/// It does nothing itself: ``next(at:isPaused:)`` says what to do, and what came of it is told by the other methods.
struct RelayState {
    typealias Instant = ContinuousClock.Instant

    /// What to do next.
    enum Step {
        /// Ask the streams of these shards for their tops, and after that Postgres for the numbers: ``learned``.
        case askTops([Shard])
        /// Ask Postgres for the numbers: ``committed``.
        case askCommitted
        /// Append what the outbox has after each shard's top: ``appended`` or ``nothingKept``.
        case publish([(shard: Shard, top: Int64)])
        /// Nothing, for a while or until something is committed.
        case rest
    }

    /// What is missed otherwise is found out that often.
    private static let pollInterval = Duration.milliseconds(250)
    private static let doubtInterval = Duration.seconds(3)

    private struct Lane {
        /// The newest number on the stream; nil while it is not known.
        var top: Int64?
        /// The newest number known to be committed.
        var committed: Int64 = 0
    }

    private var lanes: [Shard: Lane] = [:]
    private var nextPoll: Instant?
    private var nextDoubt: Instant?

    /// What to do now. A relay that is paused goes on knowing where it is, and publishes nothing.
    mutating func next(at now: Instant, isPaused: Bool) -> Step {
        if nextDoubt.map({ now >= $0 }) ?? true {
            doubt()
            nextDoubt = now + Self.doubtInterval
        }
        let mustPoll = nextPoll.map { now >= $0 } ?? true
        if mustPoll { nextPoll = now + Self.pollInterval }
        if !unknown.isEmpty { return .askTops(unknown) }
        if mustPoll, !lanes.isEmpty { return .askCommitted }
        let places = behind
        return isPaused || places.isEmpty ? .rest : .publish(places)
    }

    /// The shards that this relay holds.
    var held: [Shard] { lanes.keys.sorted() }

    /// The shards whose streams must be asked for their tops.
    var unknown: [Shard] { lanes.filter { $0.value.top == nil }.keys.sorted() }

    /// The shards with something to publish, and after which number.
    var behind: [(shard: Shard, top: Int64)] {
        lanes.compactMap { shard, lane in
            guard let top = lane.top, lane.committed > top else { return nil }
            return (shard, top)
        }.sorted { $0.shard < $1.shard }
    }

    /// Takes on new shards, and forgets those that are held no more.
    mutating func hold(_ shards: Set<Shard>) {
        lanes = lanes.filter { shards.contains($0.key) }
        for shard in shards where lanes[shard] == nil { lanes[shard] = Lane() }
    }

    /// Believes nothing of the streams any more.
    mutating func doubt() {
        for shard in lanes.keys { lanes[shard]?.top = nil }
    }

    /// Something was committed.
    mutating func committed(_ shard: Shard, _ sequence: Int64) {
        guard let lane = lanes[shard], lane.committed < sequence else { return }
        lanes[shard]?.committed = sequence
    }

    /// What to make of a stream's top, asked for before the number of its shard was read.
    enum Verdict: Equatable {
        case agreed
        /// The stream has what was never committed, or what a restore has undone: it must be rebuilt.
        case streamIsAhead
    }

    /// A stream's top, and the number of its shard read after that.
    mutating func learned(_ shard: Shard, top: Int64, committed: Int64) -> Verdict {
        guard lanes[shard] != nil else { return .agreed }
        lanes[shard] = Lane(top: top > committed ? nil : top, committed: committed)
        return top > committed ? .streamIsAhead : .agreed
    }

    /// What a stream answered to an append of events up to `last`. False if it is not where it was thought to be: it
    /// lost something, or another relay was faster; then nothing is believed any more.
    mutating func appended(_ shard: Shard, upTo last: Int64, answer top: Int64) -> Bool {
        guard top == last else {
            doubt()
            return false
        }
        moved(shard, top: top)
        return true
    }

    /// Events were appended up to there, or the stream said that this is its top.
    mutating func moved(_ shard: Shard, top: Int64) { lanes[shard]?.top = top }

    /// The outbox has nothing after the top although the number is higher: older than what is kept.
    mutating func nothingKept(_ shard: Shard) {
        guard let top = lanes[shard]?.top else { return }
        lanes[shard]?.committed = top
    }
}
