import CEpoll
import Glibc

/// What the poller's thread does: enqueued work, timers, ready descriptors, again and again.
@PollerActor
final class EventLoop {
    private struct Registration {
        let handler: @PollerActor (Readiness) -> Void
        var interest: Readiness
        /// Tells this registration from an earlier one of the same number in a batch of events.
        let generation: UInt32
    }

    private let epoll: Int32
    private let wakeUp: Int32
    private var registrations: [Int32: Registration] = [:]
    private var generation: UInt32 = 0
    var timers = TimerQueue()

    nonisolated init(epoll: Int32, wakeUp: Int32) {
        self.epoll = epoll
        self.wakeUp = wakeUp
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: UInt64(UInt32(bitPattern: wakeUp))))
        precondition(epoll_ctl(epoll, EPOLL_CTL_ADD, wakeUp, &event) == 0, "no wake-up for the poller")
    }

    static nonisolated func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    func run(_ poller: Poller) -> Never {
        let executor = poller.asUnownedSerialExecutor()
        var items: [Poller.Item] = []
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        while true {
            // Work often enqueues more work; a few rounds are cheaper than asking the kernel in between, and few enough
            // that sockets do not wait for it.
            for _ in 0..<8 {
                items.removeAll(keepingCapacity: true)
                poller.takeItems(into: &items)
                if items.isEmpty { break }
                for item in items {
                    switch item {
                    case .job(let job): job.runSynchronously(on: executor)
                    case .work(let work): work()
                    }
                }
            }
            while let work = timers.popDue(at: Self.now()) { work() }
            var timeout: Int32 = 0
            if poller.fallAsleep() {
                timeout = timers.timeout(now: Self.now())
            }
            let count = epoll_wait(epoll, &events, Int32(events.count), timeout)
            poller.haveWoken()
            for index in 0..<max(0, Int(count)) { dispatch(events[index]) }
        }
    }

    private func dispatch(_ event: epoll_event) {
        let descriptor = Int32(bitPattern: UInt32(truncatingIfNeeded: event.data.u64))
        if descriptor == wakeUp {
            var counter: UInt64 = 0
            _ = read(wakeUp, &counter, 8)
            return
        }
        let generation = UInt32(truncatingIfNeeded: event.data.u64 >> 32)
        guard let registration = registrations[descriptor], registration.generation == generation else { return }
        var ready: Readiness = []
        let failed = EPOLLERR.rawValue | EPOLLHUP.rawValue
        if event.events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue | failed) != 0 { ready.insert(.readable) }
        if event.events & (EPOLLOUT.rawValue | failed) != 0 { ready.insert(.writable) }
        registration.handler(ready)
    }

    func register(
        _ descriptor: Int32,
        interest: Readiness,
        _ handler: @escaping @PollerActor (Readiness) -> Void
    ) throws(PollerError) {
        precondition(registrations[descriptor] == nil, "descriptor registered twice")
        generation &+= 1
        registrations[descriptor] = Registration(handler: handler, interest: [], generation: generation)
        do {
            try modify(descriptor, interest: interest)
        } catch {
            registrations[descriptor] = nil
            throw error
        }
    }

    func modify(_ descriptor: Int32, interest: Readiness) throws(PollerError) {
        guard let registration = registrations[descriptor], registration.interest != interest else { return }
        let operation =
            switch (registration.interest.isEmpty, interest.isEmpty) {
            case (true, _): EPOLL_CTL_ADD
            case (false, true): EPOLL_CTL_DEL
            case (false, false): EPOLL_CTL_MOD
            }
        var bits: UInt32 = 0
        if interest.contains(.readable) { bits |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
        if interest.contains(.writable) { bits |= EPOLLOUT.rawValue }
        let data = UInt64(UInt32(bitPattern: descriptor)) | UInt64(registration.generation) << 32
        var event = epoll_event(events: bits, data: epoll_data_t(u64: data))
        guard epoll_ctl(epoll, operation, descriptor, &event) == 0 else { throw PollerError(errno: errno) }
        registrations[descriptor]?.interest = interest
    }

    func deregister(_ descriptor: Int32) {
        guard let registration = registrations.removeValue(forKey: descriptor) else { return }
        if !registration.interest.isEmpty {
            var event = epoll_event()
            // Fails only if it was closed already, and then the kernel has forgotten it as well.
            _ = epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &event)
        }
    }
}

/// Timers by deadline: a binary heap of ids, the work beside it, so that cancelling costs one dictionary removal.
struct TimerQueue {
    private struct Entry {
        let deadline: UInt64
        let id: UInt64
    }

    private var heap: [Entry] = []
    private var work: [UInt64: @PollerActor () -> Void] = [:]
    private var lastID: UInt64 = 0

    /// How many are still to fire.
    var count: Int { work.count }

    mutating func add(at deadline: UInt64, _ action: @escaping @PollerActor () -> Void) -> UInt64 {
        lastID += 1
        work[lastID] = action
        heap.append(Entry(deadline: deadline, id: lastID))
        siftUp(from: heap.count - 1)
        return lastID
    }

    mutating func cancel(_ id: UInt64) {
        guard work.removeValue(forKey: id) != nil else { return }
        // Cancelled entries stay in the heap until they are due; not more of them than of the others, though.
        if heap.count > 64, heap.count > 2 * work.count {
            heap = heap.filter { work[$0.id] != nil }.sorted { $0.deadline < $1.deadline }
        }
    }

    /// The next one whose time has come.
    mutating func popDue(at now: UInt64) -> (@PollerActor () -> Void)? {
        while let first = heap.first, first.deadline <= now {
            removeFirst()
            if let action = work.removeValue(forKey: first.id) { return action }
        }
        return nil
    }

    /// Milliseconds for epoll_wait, rounded up so that it does not wake too early; -1 without timers.
    mutating func timeout(now: UInt64) -> Int32 {
        while let first = heap.first, work[first.id] == nil { removeFirst() }
        guard let first = heap.first else { return -1 }
        if first.deadline <= now { return 0 }
        return Int32(min((first.deadline - now + 999_999) / 1_000_000, 60_000))
    }

    private mutating func removeFirst() {
        let last = heap.removeLast()
        if heap.isEmpty { return }
        heap[0] = last
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= heap.count { return }
            if child + 1 < heap.count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
            if heap[parent].deadline <= heap[child].deadline { return }
            heap.swapAt(parent, child)
            parent = child
        }
    }

    private mutating func siftUp(from start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent].deadline <= heap[child].deadline { return }
            heap.swapAt(parent, child)
            child = parent
        }
    }
}
