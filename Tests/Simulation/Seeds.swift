import Foundation
import Testing

/// SplitMix64: small, quick, the same everywhere, and every seed is a good one.
struct SeededGenerator {
    private var state: UInt64

    init(seed: Int) { state = UInt64(bitPattern: Int64(seed)) &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// 0 ..< `bound`.
    mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() >> 33) % bound }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    mutating func within(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }
}

/// Which seeds a test runs: 20,000; or `TASKFLOW_SIMULATION_SEED` alone; or as many as `TASKFLOW_SIMULATION_SEEDS`.
enum Seeds {
    static let environment = ProcessInfo.processInfo.environment
    static let only = environment["TASKFLOW_SIMULATION_SEED"].flatMap { Int($0) }
    static let count = environment["TASKFLOW_SIMULATION_SEEDS"].flatMap { Int($0) } ?? 20_000

    /// Runs every seed on all cores; records what `run` finds wrong, with the seed that shows it again.
    static func forEach(_ name: String, _ run: @escaping @Sendable (Int) -> String?) async {
        if let only {
            let wrong = run(only)
            #expect(wrong == nil, "\(name), seed \(only): \(wrong ?? "")")
            return
        }
        let lanes = max(1, ProcessInfo.processInfo.activeProcessorCount)
        let began = ContinuousClock.now
        let failures = await withTaskGroup(of: [(Int, String)].self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    var failures: [(Int, String)] = []
                    for seed in stride(from: lane, to: count, by: lanes) {
                        if let wrong = run(seed) { failures.append((seed, wrong)) }
                        if failures.count >= 3 { break }
                    }
                    return failures
                }
            }
            return await group.reduce(into: []) { $0 += $1 }.sorted { $0.0 < $1.0 }
        }
        print("simulation \(name): \(count) seeds in \(ContinuousClock.now - began), \(failures.count) failed")
        for (seed, wrong) in failures.prefix(5) {
            Issue.record(
                "\(name), seed \(seed): \(wrong); again with TASKFLOW_SIMULATION_SEED=\(seed) swift test --filter \(name)"
            )
        }
    }

    /// The first of so many seeds with which something is found wrong: for mutants, which must be.
    static func firstFailure(among count: Int = 2000, _ run: (Int) -> String?) -> (seed: Int, wrong: String)? {
        for seed in 0..<count {
            if let wrong = run(seed) { return (seed, wrong) }
        }
        return nil
    }
}
