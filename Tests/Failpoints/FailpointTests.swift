import Testing

@testable import Failpoints

/// TST-1: the grammar of `TASKFLOW_FAILPOINT`, and what an armed place does.
@Suite(.serialized) struct FailpointTests {
    @Test func severalPlacesAreArmedAtOnce() throws {
        let plans = try Failpoint.parse("relay.before-xadd=kill,reader.in-park:3=error,shutdown=sleep:5000")
        #expect(
            plans == [
                .relayBeforeAppend: Failpoint.Plan(passages: 1, effect: .kill),
                .readerInPark: Failpoint.Plan(passages: 3, effect: .error),
                .shutdown: Failpoint.Plan(passages: 1, effect: .sleep(milliseconds: 5000)),
            ]
        )
    }

    @Test func anUnknownNameIsAnsweredWithTheKnownOnesInOneLine() {
        let mistake = #expect(throws: FailpointMistake.self) { try Failpoint.parse("relay.befor-xadd=kill") }
        let line = mistake?.description ?? ""
        for place in Failpoint.allCases { #expect(line.contains(place.rawValue)) }
        #expect(!line.contains("\n"))
    }

    @Test(arguments: [
        "shutdown", "shutdown=", "shutdown=die", "shutdown:0=kill", "shutdown:x=kill", "shutdown=sleep:",
        "shutdown=sleep:-1", "shutdown=kill=error",
    ])
    func otherMistakesAreToldToo(_ text: String) {
        #expect(throws: FailpointMistake.self) { try Failpoint.parse(text) }
    }

    @Test func anArmedPlaceActsOnceAtItsTurn() async throws {
        try Failpoint.arm("upload.after-reply:2=error")
        #expect(Failpoint.isArmed(.uploadAfterReply))
        #expect(!Failpoint.isArmed(.shutdown))
        try await Failpoint.hit(.uploadAfterReply)
        try await Failpoint.hit(.shutdown)
        await #expect(throws: FailpointError.self) { try await Failpoint.hit(.uploadAfterReply) }
        #expect(!Failpoint.isArmed(.uploadAfterReply))
        try await Failpoint.hit(.uploadAfterReply)
    }

    @Test func aSleepTakesItsTime() async throws {
        try Failpoint.arm("upload.after-reply=sleep:50")
        let start = ContinuousClock.now
        try await Failpoint.hit(.uploadAfterReply)
        #expect(ContinuousClock.now - start >= .milliseconds(50))
    }
}
