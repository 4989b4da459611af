import NIOCore

/// Keeps requests away from a server that fails, and finds out with one request at a time whether it is back.
///
/// What counts is the latest word: a failure of a request that was sent before the server was last heard of is news of
/// then. Requests that hang on one lost connection otherwise shut out a server that answers on all others.
struct CircuitBreaker: Sendable, Hashable {
    enum State: Sendable, Hashable {
        /// Requests pass. Can transition to open.
        case closed(failures: Int)
        /// No request passes before the moment. Can transition to probing.
        case open(until: NIODeadline, span: Duration)
        /// One request is on its way, the others wait for its outcome. Can transition to closed or open; back to a
        /// second probe when the first has said nothing for its span.
        case probing(since: NIODeadline, span: Duration)
    }
    private(set) var state = State.closed(failures: 0)
    private var heardOf = NIODeadline.distantPast
    private let threshold: Int
    private let shortest: Duration
    private let longest: Duration

    init(_ rule: UpstreamRule) {
        threshold = rule.ejectAfter
        shortest = rule.ejectFor
        longest = rule.ejectForAtMost
    }

    /// Whether a request could pass now; changes nothing.
    func isPassable(now: NIODeadline) -> Bool {
        switch state {
        case .closed: true
        case .open(let until, _): now >= until
        case .probing(let since, let span): now >= since + span.amount
        }
    }

    /// Takes the probe if the circuit is open and its time has come. To be called for the server chosen.
    mutating func pass(now: NIODeadline) {
        switch state {
        case .closed: break
        case .open(_, let span), .probing(_, let span): state = .probing(since: now, span: span)
        }
    }

    mutating func succeeded(now: NIODeadline) {
        state = .closed(failures: 0)
        heardOf = now
    }

    /// A request that was sent at the moment `sent` has failed. Returns whether this has opened the circuit.
    @discardableResult
    mutating func failed(sent: NIODeadline, now: NIODeadline) -> Bool {
        switch state {
        case .closed(let failures):
            guard sent >= heardOf else { return false }
            if failures + 1 < threshold {
                state = .closed(failures: failures + 1)
                return false
            }
            state = .open(until: now + shortest.amount, span: shortest)
            return true
        case .open: return false
        case .probing(let since, let span):
            guard sent >= since else { return false }
            let longer = min(span * 2, longest)
            state = .open(until: now + longer.amount, span: longer)
            return true
        }
    }

    /// Seconds until a request may be tried again, at least 1.
    func retryAfter(now: NIODeadline) -> Int {
        guard case .open(let until, _) = state, until > now else { return 1 }
        return Int((until - now).nanoseconds / 1_000_000_000) + 1
    }
}

extension Duration {
    /// The same for NIO.
    var amount: TimeAmount { .milliseconds(milliseconds) }
}
