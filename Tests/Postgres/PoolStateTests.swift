import Testing

@testable import Postgres

@Suite("The pool's rules")
struct PoolStateTests {
    /// A pool of `maximum` with that many established connections, all idle since 0.
    private func pool(maximum: Int, connections: Int = 0) -> PoolState {
        var state = PoolState(maximum: maximum)
        for id in 0..<connections {
            #expect(state.checkout() == .wait(id + 1, .connect(id + 1)))
            #expect(state.connected(id + 1, at: 0) == [.serve(id + 1, id + 1)])
        }
        for id in 0..<connections { #expect(state.release(id + 1, at: 0) == nil) }
        return state
    }

    @Test("An idle connection is leased at once, the one used last first")
    func leasesIdle() {
        var state = pool(maximum: 3, connections: 2)
        #expect(state.checkout() == .lease(2))
        #expect(state.checkout() == .lease(1))
        #expect(state.checkout() == .wait(3, .connect(3)))
        #expect(state.leasedCount == 2)
        #expect(state.connectingCount == 1)
    }

    @Test("Who waits is served in order, by whatever comes free first")
    func servesInOrder() {
        var state = pool(maximum: 2, connections: 1)
        #expect(state.checkout() == .lease(1))
        #expect(state.checkout() == .wait(2, .connect(2)))
        #expect(state.checkout() == .wait(3, nil))
        #expect(state.release(1, at: 1) == .serve(2, 1))
        #expect(state.connected(2, at: 2) == [.serve(3, 2)])
        #expect(state.waitingCount == 0)
    }

    @Test("Never more connections than the maximum, whatever they are doing")
    func isBounded() {
        var state = PoolState(maximum: 2)
        #expect(state.checkout() == .wait(1, .connect(1)))
        #expect(state.checkout() == .wait(2, .connect(2)))
        #expect(state.checkout() == .wait(3, nil))
        #expect(state.connected(1, at: 0) == [.serve(1, 1)])
        #expect(state.checkout() == .wait(4, nil))
    }

    @Test("A connection nobody waits for any more becomes idle")
    func becomesIdle() {
        var state = PoolState(maximum: 2)
        #expect(state.checkout() == .wait(1, .connect(1)))
        #expect(state.stopWaiting(1) == true)
        #expect(state.stopWaiting(1) == false)
        #expect(state.connected(1, at: 0) == [])
        #expect(state.idleCount == 1)
    }

    @Test("While the server is away one attempt is made for all, and its failure is the answer to all")
    func failsFast() {
        var state = PoolState(maximum: 4)
        #expect(state.checkout() == .wait(1, .connect(1)))
        #expect(state.connectFailed(1) == [.fail(1)])
        #expect(state.checkout() == .wait(2, .connect(2)))
        #expect(state.checkout() == .wait(3, nil))
        #expect(state.checkout() == .wait(4, nil))
        #expect(state.connectFailed(2) == [.fail(2), .fail(3), .fail(4)])
    }

    @Test("When the server is back, as many connections are made as are waited for")
    func recovers() {
        var state = PoolState(maximum: 4)
        #expect(state.checkout() == .wait(1, .connect(1)))
        #expect(state.connectFailed(1) == [.fail(1)])
        for waiter in 2...4 { #expect(state.checkout() == .wait(waiter, waiter == 2 ? .connect(2) : nil)) }
        #expect(state.connected(2, at: 0) == [.serve(2, 2), .connect(3), .connect(4)])
    }

    @Test("A refused connection does not fail those who can still be served by others")
    func waitsForOthers() {
        var state = pool(maximum: 2, connections: 1)
        #expect(state.checkout() == .lease(1))
        #expect(state.checkout() == .wait(2, .connect(2)))
        #expect(state.connectFailed(2) == [])
        #expect(state.release(1, at: 1) == .serve(2, 1))
    }

    @Test("A lost connection is replaced for those who wait")
    func replacesLost() {
        var state = pool(maximum: 1, connections: 1)
        #expect(state.checkout() == .lease(1))
        #expect(state.checkout() == .wait(2, nil))
        #expect(state.lost(1) == .connect(2))
        #expect(state.release(1, at: 0) == nil)
        #expect(state.connected(2, at: 0) == [.serve(2, 2)])
    }

    @Test("A lost idle connection is forgotten")
    func forgetsIdle() {
        var state = pool(maximum: 2, connections: 2)
        #expect(state.lost(2) == nil)
        #expect(state.checkout() == .lease(1))
    }

    @Test("Connections that were idle for long are closed, the younger ones stay")
    func closesIdle() {
        var state = pool(maximum: 2, connections: 2)
        #expect(state.checkout() == .lease(2))
        #expect(state.release(2, at: 10) == nil)
        #expect(state.closeIdle(before: 5) == [.close(1)])
        #expect(state.closeIdle(before: 5) == [])
        #expect(state.idleCount == 1)
    }

    @Test("Shutting down closes what is idle, refuses who waits, and closes the rest when it comes back")
    func shutsDown() {
        var state = pool(maximum: 2, connections: 2)
        #expect(state.checkout() == .lease(2))
        #expect(state.shutDown() == [.close(1)])
        #expect(state.checkout() == .refused)
        #expect(state.release(2, at: 1) == .close(2))
        #expect(state.isEmpty)
    }

    @Test("A connection that is established after the shutdown is closed")
    func closesLatecomer() {
        var state = PoolState(maximum: 1)
        #expect(state.checkout() == .wait(1, .connect(1)))
        #expect(state.shutDown() == [.refuse(1)])
        #expect(state.connected(1, at: 0) == [.close(1)])
        #expect(state.isEmpty)
    }

    @Test("Warming up makes one connection, and only where there is none")
    func warmsUp() {
        var state = PoolState(maximum: 2)
        #expect(state.warmUp() == .connect(1))
        #expect(state.warmUp() == nil)
        #expect(state.connected(1, at: 0) == [])
        #expect(state.warmUp() == nil)
        #expect(state.checkout() == .lease(1))
    }

    @Test("Whatever happens in whatever order, the pool keeps its bounds and loses nobody")
    func randomWalk() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var state = PoolState(maximum: Int.random(in: 1...4, using: &generator))
            var model = PoolModel()
            for step in 0..<200 {
                switch Int.random(in: 0..<6, using: &generator) {
                case 0, 1: model.checkout(&state)
                case 2: if let id = model.connecting.randomElement() { model.connected(id, &state, at: UInt64(step)) }
                case 3: if let id = model.leased.randomElement() { model.release(id, &state, at: UInt64(step)) }
                case 4: if let id = model.leased.randomElement() { model.lost(id, &state) }
                default: if let id = model.connecting.randomElement() { model.failed(id, &state) }
                }
                #expect(state.leasedCount == model.leased.count)
                #expect(state.connectingCount == model.connecting.count)
                #expect(state.waitingCount == model.waiting.count)
                #expect(state.leasedCount + state.connectingCount + state.idleCount <= state.maximum)
                // Whoever waits has something to wait for.
                #expect(model.waiting.isEmpty || !model.leased.isEmpty || !model.connecting.isEmpty)
            }
        }
    }
}

/// Does what the state says, with sets in the place of connections.
private struct PoolModel {
    var leased: Set<Int> = []
    var connecting: Set<Int> = []
    var waiting: [Int] = []

    mutating func perform(_ actions: [PoolState.Action]) {
        for action in actions {
            switch action {
            case .connect(let id): #expect(connecting.insert(id).inserted)
            case .close: break
            case .serve(let waiter, let id):
                #expect(waiting.first == waiter)
                waiting.removeFirst()
                leased.insert(id)
            case .fail(let waiter), .refuse(let waiter):
                #expect(waiting.contains(waiter))
                waiting.removeAll { $0 == waiter }
            }
        }
    }

    mutating func checkout(_ state: inout PoolState) {
        switch state.checkout() {
        case .lease(let id): #expect(leased.insert(id).inserted)
        case .wait(let waiter, let action):
            waiting.append(waiter)
            perform([action].compactMap { $0 })
        case .refused: Issue.record("refused without a shutdown")
        }
    }

    mutating func connected(_ id: Int, _ state: inout PoolState, at now: UInt64) {
        connecting.remove(id)
        perform(state.connected(id, at: now))
    }

    mutating func release(_ id: Int, _ state: inout PoolState, at now: UInt64) {
        leased.remove(id)
        perform([state.release(id, at: now)].compactMap { $0 })
    }

    mutating func lost(_ id: Int, _ state: inout PoolState) {
        leased.remove(id)
        perform([state.lost(id)].compactMap { $0 })
    }

    mutating func failed(_ id: Int, _ state: inout PoolState) {
        connecting.remove(id)
        perform(state.connectFailed(id))
    }
}
