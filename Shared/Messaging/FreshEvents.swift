import Events

/// What this process has just committed, kept until its relay publishes it: saves reading it back from the outbox.
///
/// A hint, never the only place: what is missing here is in the outbox. Bounded, so that a relay that cannot publish
/// costs nothing; then all of it goes.
struct FreshEvents<Event> {
    /// Events and bytes of payload that are kept at most.
    static var countLimit: Int { 2048 }
    static var byteLimit: Int { 2_097_152 }

    private var shards: [Shard: [Int64: Event]] = [:]
    private(set) var count = 0
    private var bytes = 0

    /// Takes a committed event of `size` bytes.
    mutating func add(_ event: Event, _ sequence: Int64, of shard: Shard, size: Int) {
        if count >= Self.countLimit || bytes + size > Self.byteLimit { removeAll() }
        if shards[shard, default: [:]].updateValue(event, forKey: sequence) == nil { count += 1 }
        bytes += size
    }

    /// Up to `limit` events right behind `top`, to the first hole: transactions of one shard commit in order, but are
    /// not heard of in order. They, and all before them, are kept no longer.
    mutating func take(_ shard: Shard, after top: Int64, limit: Int) -> [Event] {
        guard var kept = shards[shard] else { return [] }
        var run: [Event] = []
        var next = top + 1
        while run.count < limit, let event = kept.removeValue(forKey: next) {
            run.append(event)
            next += 1
        }
        kept = kept.filter { $0.key >= next }
        count += kept.count - (shards[shard]?.count ?? 0)
        shards[shard] = kept.isEmpty ? nil : kept
        if shards.isEmpty { bytes = 0 }
        return run
    }

    /// Forgets a shard that another process relays.
    mutating func remove(_ shard: Shard) {
        count -= shards.removeValue(forKey: shard)?.count ?? 0
        if shards.isEmpty { bytes = 0 }
    }

    mutating func removeAll() {
        shards.removeAll(keepingCapacity: true)
        (count, bytes) = (0, 0)
    }
}
