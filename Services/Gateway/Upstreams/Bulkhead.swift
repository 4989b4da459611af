/// Bounds what one upstream can hold of the gateway: so many requests in flight, so many waiting, the rest refused.
struct Bulkhead: Sendable {
    enum Entry: Sendable, Hashable {
        case admitted
        /// To be told later; the number is for ``abandon(_:)``.
        case queued(Int)
        case refused
    }
    let limit: Int
    let queueLimit: Int
    private(set) var inFlight = 0
    private var waiting: [Int: @Sendable () -> Void] = [:]
    private var order: [Int] = []
    private var first = 0
    private var nextNumber = 0

    init(limit: Int, queueLimit: Int) {
        self.limit = limit
        self.queueLimit = queueLimit
    }

    var queued: Int { waiting.count }

    /// `resume` is called when a queued entry is admitted after all.
    mutating func enter(_ resume: @escaping @Sendable () -> Void) -> Entry {
        if inFlight < limit {
            inFlight += 1
            return .admitted
        }
        guard waiting.count < queueLimit else { return .refused }
        nextNumber += 1
        waiting[nextNumber] = resume
        order.append(nextNumber)
        return .queued(nextNumber)
    }

    /// Gives up waiting; false if the entry has been admitted meanwhile and has to leave like any other.
    mutating func abandon(_ number: Int) -> Bool { waiting.removeValue(forKey: number) != nil }

    /// Whoever waited longest takes the place; the caller runs what is returned, outside of any lock.
    mutating func leave() -> (@Sendable () -> Void)? {
        while first < order.count {
            let number = order[first]
            first += 1
            if first > 64, first * 2 > order.count {
                order.removeFirst(first)
                first = 0
            }
            if let resume = waiting.removeValue(forKey: number) { return resume }
        }
        inFlight -= 1
        return nil
    }
}
