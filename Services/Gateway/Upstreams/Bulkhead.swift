import Identity

/// Bounds what one upstream can hold of the gateway: so many requests in flight, so many waiting, the rest refused.
///
/// The last quarter of the places is for those who hold few of them, and that of the queue for those with little in it:
/// an organization whose requests take long, or whose people read their answers slowly, keeps nobody else out.
struct Bulkhead: Sendable {
    /// Whose places they are: an organization's, or an address's where nobody is known.
    enum Owner: Sendable, Hashable {
        case organization(OrganizationID)
        case address(String)
    }
    enum Entry: Sendable, Hashable {
        case admitted
        /// To be told later; the number is for ``abandon(_:)``.
        case queued(Int)
        case refused
    }
    private struct Waiter: Sendable {
        let number: Int
        let owner: Owner
        let resume: @Sendable () -> Void
    }

    let limit: Int
    let queueLimit: Int
    private(set) var inFlight = 0
    private var held: [Owner: Int] = [:]
    /// Whoever came first is first.
    private var waiting: [Waiter] = []
    private var lastNumber = 0

    init(limit: Int, queueLimit: Int) {
        self.limit = limit
        self.queueLimit = queueLimit
    }

    var queued: Int { waiting.count }

    /// `resume` is called when a queued entry is admitted after all.
    mutating func enter(_ owner: Owner, _ resume: @escaping @Sendable () -> Void) -> Entry {
        if mayPass(owner) {
            take(owner)
            return .admitted
        }
        guard Self.hasRoom(of: queueLimit, taken: waiting.count, own: { waiting.count { $0.owner == owner } }) else {
            return .refused
        }
        lastNumber += 1
        waiting.append(Waiter(number: lastNumber, owner: owner, resume: resume))
        return .queued(lastNumber)
    }

    /// Gives up waiting; false if the entry has been admitted meanwhile and has to leave like any other.
    mutating func abandon(_ number: Int) -> Bool {
        guard let index = waiting.firstIndex(where: { $0.number == number }) else { return false }
        waiting.remove(at: index)
        return true
    }

    /// Whoever waited longest of those who may takes the place; the caller runs what is returned, outside of any lock.
    mutating func leave(_ owner: Owner) -> (@Sendable () -> Void)? {
        inFlight -= 1
        let rest = (held[owner] ?? 1) - 1
        held[owner] = rest == 0 ? nil : rest
        guard let index = waiting.firstIndex(where: { mayPass($0.owner) }) else { return nil }
        let next = waiting.remove(at: index)
        take(next.owner)
        return next.resume
    }

    private mutating func take(_ owner: Owner) {
        inFlight += 1
        held[owner, default: 0] += 1
    }

    private func mayPass(_ owner: Owner) -> Bool {
        Self.hasRoom(of: limit, taken: inFlight, own: { held[owner] ?? 0 })
    }

    /// A place up to three quarters for anybody, and from there on for those who have less than a sixteenth.
    private static func hasRoom(of limit: Int, taken: Int, own: () -> Int) -> Bool {
        taken < limit - limit / 4 || (taken < limit && own() < max(1, limit / 16))
    }
}
