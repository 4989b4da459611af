import Events

/// An event as it came: its number and its JSON, not yet looked at.
struct Incoming: Sendable, Equatable {
    var sequence: Int64
    var event: [UInt8]
    /// Of which lineage of the log it is; nil if the one who said it does not know.
    var lineage: String?
}

/// What a reader has read of each stream and not yet applied. Streams go on independently of each other; each is
/// worked on by one at a time.
struct ReaderLanes {
    private struct Lane {
        /// The newest number that was read.
        var read: Int64
        var queue: [Incoming] = []
        var isBusy = false
        /// Tells what was asked for before a restart from what was asked for after it.
        let generation: Int
    }

    /// A stream to read on, and from where.
    struct Request: Equatable {
        var stream: StreamName
        var after: Int64
        var generation: Int
    }

    /// More is not read of a stream while so much waits.
    static let room = 300

    private var lanes: [StreamName: Lane] = [:]
    private var generation = 0

    /// The streams in hand.
    var streams: [StreamName] {
        lanes.keys.sorted { ($0.producer.rawValue, $0.shard) < ($1.producer.rawValue, $1.shard) }
    }

    /// True if no stream is left out of ``requests`` for want of room.
    var hasRoom: Bool { lanes.values.allSatisfy { $0.queue.count < Self.room } }

    /// What to read next.
    var requests: [Request] {
        streams.compactMap { stream in
            guard let lane = lanes[stream], lane.queue.count < Self.room else { return nil }
            return Request(stream: stream, after: lane.read, generation: lane.generation)
        }
    }

    /// Takes a stream on, or starts it anew: what is queued is forgotten.
    mutating func start(_ stream: StreamName, at cursor: Int64) {
        generation += 1
        let isBusy = lanes[stream]?.isBusy ?? false
        lanes[stream] = Lane(read: cursor, isBusy: isBusy, generation: generation)
    }

    /// Forgets all streams but these.
    mutating func keep(_ streams: Set<StreamName>) { lanes = lanes.filter { streams.contains($0.key) } }

    /// Queues what was read. True if somebody has to start working on the stream.
    mutating func add(_ events: [Incoming], for request: Request) -> Bool {
        guard var lane = lanes[request.stream], lane.generation == request.generation else { return false }
        let new = events.filter { $0.sequence > lane.read }
        guard let last = new.last else { return false }
        lane.queue += new
        lane.read = last.sequence
        let mustStart = !lane.isBusy
        lane.isBusy = true
        lanes[request.stream] = lane
        return mustStart
    }

    /// The next events to apply; nil if there are none, and then the work on the stream is over.
    mutating func take(_ stream: StreamName, atMost limit: Int) -> [Incoming]? {
        guard var lane = lanes[stream] else { return nil }
        let batch = Array(lane.queue.prefix(limit))
        lane.queue.removeFirst(batch.count)
        lane.isBusy = !batch.isEmpty
        lanes[stream] = lane
        return batch.isEmpty ? nil : batch
    }
}

extension Array where Element == Incoming {
    /// The longest beginning without a hole, of at most so many.
    func contiguousPrefix(atMost limit: Int) -> [Incoming] {
        guard let first else { return [] }
        var count = 1
        while count < Swift.min(limit, self.count), self[count].sequence == first.sequence + Int64(count),
            self[count].lineage == first.lineage
        {
            count += 1
        }
        return Array(prefix(count))
    }
}
