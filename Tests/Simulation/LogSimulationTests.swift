import Testing

/// BUS-1..9, TST-4: the log under a hostile network, dying processes and a Redis that loses its data.
@Suite struct LogSimulationTests {
    @Test("BUS-2, -3, -4, -5, -7, -8: every committed event is applied exactly once, in order, and all comes to rest")
    func everyEventOnceAndInOrder() async {
        await Seeds.forEach("LogSimulation") { LogWorld.run(seed: $0) }
    }

    @Test("TST-4: the oracle sees every mutant", arguments: LogMutant.allCases)
    func mutantsAreSeen(_ mutant: LogMutant) {
        let found = Seeds.firstFailure { LogWorld.run(seed: $0, mutant: mutant) }
        #expect(found != nil, "\(mutant) lives")
        if let found { print("simulation mutant \(mutant): seed \(found.seed): \(found.wrong)") }
    }

    @Test("A seed gives the same run every time") func seedsRepeat() {
        for seed in 0..<20 {
            let runs = (0..<2).map { _ in LogWorld.run(seed: seed, mutant: .starInsteadOfNumbers) }
            #expect(runs[0] == runs[1])
        }
    }
}
