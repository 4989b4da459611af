import CArgon2
import Dispatch
import Failures
import Foundation
import Synchronization

/// Argon2id (RFC 9106) on threads of its own.
///
/// A hash takes 19 MiB and about 50 ms of a core. On the threads of Swift concurrency a few logins would hold up every
/// other request, and an unbounded queue would let a flood of logins use all memory: so two threads, sixteen waiting,
/// and whoever comes next is told to come back.
final class PasswordHasher: Sendable {
    /// What a hash costs; written into it, so that a higher cost later is seen at the next login.
    struct Cost: Sendable, Hashable {
        /// Memory in KiB, `m`.
        var memory: UInt32
        /// Passes, `t`.
        var passes: UInt32
        /// Lanes, `p`.
        var lanes: UInt32

        /// OWASP's first recommendation, measured at 54 ms.
        static let standard = Cost(memory: 19_456, passes: 2, lanes: 1)
    }

    /// What a check found.
    struct Verdict: Sendable, Hashable {
        /// Whether the password is the one.
        var matches: Bool
        /// Whether it should be hashed again at today's cost.
        var isOutdated: Bool
    }

    private let cost: Cost
    private let threads: HashingThreads
    /// The hash of nobody's password, checked where there is no account so that it takes as long as with one.
    private let dummy: String

    /// A hasher with threads of its own.
    init(cost: Cost = .standard, threads: Int = 2, queue: Int = 16) throws {
        self.cost = cost
        self.threads = HashingThreads(count: threads, queue: queue)
        dummy = try PasswordHasher.hash(Array("nobody".utf8), cost: cost)
    }

    /// A PHC string: `$argon2id$v=19$m=19456,t=2,p=1$...`.
    func hash(_ password: String) async throws -> String {
        let bytes = Array(password.utf8)
        return try await threads.run { [cost] in try PasswordHasher.hash(bytes, cost: cost) }
    }

    /// Checks a password; without a hash it takes as long and says no.
    func verify(_ password: String, against hash: String?) async throws -> Verdict {
        let bytes = Array(password.utf8)
        return try await threads.run { [cost, dummy] in
            let matches = PasswordHasher.matches(bytes, hash ?? dummy)
            guard let hash else { return Verdict(matches: false, isOutdated: false) }
            return Verdict(matches: matches, isOutdated: PasswordHasher.cost(of: hash) != cost)
        }
    }

    private static func hash(_ password: [UInt8], cost: Cost) throws -> String {
        var generator = SystemRandomNumberGenerator()
        let salt = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let length = argon2_encodedlen(cost.passes, cost.memory, cost.lanes, 16, 32, Argon2_id)
        var encoded = [CChar](repeating: 0, count: length)
        let status = argon2id_hash_encoded(
            cost.passes,
            cost.memory,
            cost.lanes,
            password,
            password.count,
            salt,
            salt.count,
            32,
            &encoded,
            length
        )
        guard status == ARGON2_OK.rawValue else { throw HashingFailed(status: status) }
        return String(decoding: encoded.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func matches(_ password: [UInt8], _ hash: String) -> Bool {
        argon2id_verify(hash, password, password.count) == ARGON2_OK.rawValue
    }

    /// The cost written in a PHC string; nil if it is none of ours.
    static func cost(of hash: String) -> Cost? {
        let parts = hash.split(separator: "$")
        guard parts.count == 5, parts[0] == "argon2id", parts[1] == "v=19" else { return nil }
        var values: [Substring: UInt32] = [:]
        for parameter in parts[2].split(separator: ",") {
            let pair = parameter.split(separator: "=")
            guard pair.count == 2, let value = UInt32(pair[1]) else { return nil }
            values[pair[0]] = value
        }
        guard let memory = values["m"], let passes = values["t"], let lanes = values["p"] else { return nil }
        return Cost(memory: memory, passes: passes, lanes: lanes)
    }
}

/// libargon2 could not hash: no memory.
struct HashingFailed: Error, Sendable {
    /// Its error code.
    var status: CInt
}

/// A few threads and a short queue before them.
private final class HashingThreads: Sendable {
    private typealias Job = @Sendable () -> Void

    /// What threads and callers share; outlives the owner until the threads have gone.
    private final class Shared: Sendable {
        struct State {
            var jobs: [Job] = []
            var running = 0
            var isStopped = false
        }
        let state = Mutex(State())
        let signal = DispatchSemaphore(value: 0)
    }

    private let shared = Shared()
    private let capacity: Int
    private let count: Int

    init(count: Int, queue: Int) {
        self.count = count
        capacity = count + queue
        for number in 0..<count {
            let thread = Thread { [shared] in HashingThreads.work(shared) }
            thread.name = "argon2-\(number)"
            thread.start()
        }
    }

    deinit {
        shared.state.withLock { $0.isStopped = true }
        for _ in 0..<count { shared.signal.signal() }
    }

    /// Runs work on one of the threads; throws 503 `busy` when too much is waiting.
    func run<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            let isTaken = shared.state.withLock { state in
                guard state.jobs.count + state.running < capacity else { return false }
                state.jobs.append { continuation.resume(with: Swift.Result { try work() }) }
                return true
            }
            if isTaken {
                shared.signal.signal()
            } else {
                continuation.resume(
                    throwing: Failure.unavailable("busy", "Too many passwords are being checked right now.")
                )
            }
        }
    }

    private static func work(_ shared: Shared) {
        #if os(Linux)
        // On Linux this is the priority of the calling thread alone: requests that need no hash go first.
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 5)
        #endif
        while true {
            shared.signal.wait()
            let job = shared.state.withLock { state -> Job? in
                guard !state.jobs.isEmpty else { return nil }
                state.running += 1
                return state.jobs.removeFirst()
            }
            guard let job else {
                if shared.state.withLock({ $0.isStopped }) { return }
                continue
            }
            job()
            shared.state.withLock { $0.running -= 1 }
        }
    }
}
