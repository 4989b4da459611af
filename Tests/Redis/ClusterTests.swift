import Testing

@testable import Redis

/// What goes where in a cluster: BUS-15.
@Suite("Redis cluster") struct ClusterTests {
    private func slot(_ key: String) -> Int { KeySlot.slot(of: Array(key.utf8)) }

    /// From the cluster's specification, and what `CLUSTER KEYSLOT` of a server says.
    @Test func slotsAreThoseOfTheServer() {
        #expect(slot("123456789") == 0x31C3)
        #expect(slot("foo") == 12_182)
        #expect(slot("bar") == 5061)
        #expect(slot("") == 0)
    }

    @Test func onlyTheHashTagCounts() {
        #expect(slot("ev:{task.07}") == slot("ev:{task.07}:cursors"))
        #expect(slot("ev:{task.07}") == slot("ev:{task.07}:lineage"))
        #expect(slot("{auth}:confirmed") == slot("auth"))
        #expect(slot("foo{}{bar}") != slot("bar"))
        #expect(slot("foo{{bar}}zap") == slot("{bar"))
        #expect(slot("foo{bar}{zap}") == slot("bar"))
        #expect(slot("foo{bar") != slot("bar"))
    }

    @Test func theKeyOfACommandIsWhereItsServerLooksForIt() {
        func key(_ words: String...) -> String? {
            KeySlot.key(of: RedisCommand(words)).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(key("GET", "k") == "k")
        #expect(key("XADD", "k", "*", "e", "v") == "k")
        #expect(key("EVAL", "return 1", "1", "k", "a") == "k")
        #expect(key("EVAL", "return 1", "0") == nil)
        #expect(key("XREAD", "COUNT", "1", "STREAMS", "k", "0-0") == "k")
        #expect(key("xread", "streams", "k", "0-0") == "k")
        #expect(key("PUBLISH", "channel", "m") == nil)
        #expect(key("INFO", "memory") == nil)
        #expect(key("PING") == nil)
    }

    private func node(_ host: String, _ port: Int64) -> RedisValue {
        .array([.bytes(Array(host.utf8)), .integer(port), .bytes(Array("id".utf8))])
    }

    @Test func slotsBelongToTheMasterThatIsNamedFirst() throws {
        let answer = RedisValue.array([
            .array([.integer(0), .integer(100), node("10.0.0.1", 7000), node("10.0.0.2", 7001)]),
            .array([.integer(101), .integer(16_383), node("", 7002)]),
        ])
        let map = try #require(SlotMap(answer, seed: "seed"))
        #expect(map.node(of: 100) == ClusterNode(host: "10.0.0.1", port: 7000))
        #expect(map.node(of: 101) == ClusterNode(host: "seed", port: 7002))
        #expect(map.nodes.count == 2)
        #expect(SlotMap(.array([]), seed: "seed") == nil)
        #expect(SlotMap(.error("ERR This instance has cluster support disabled"), seed: "seed") == nil)
        #expect(SlotMap(.array([.array([.integer(5), .integer(16_384), node("a", 1)])]), seed: "seed") == nil)
    }

    @Test func redirectionsAreToldFromOtherErrors() {
        #expect(Redirection("MOVED 3999 10.0.0.1:6381", seed: "s") == .moved(ClusterNode(host: "10.0.0.1", port: 6381)))
        #expect(Redirection("ASK 3999 :6381", seed: "s") == .ask(ClusterNode(host: "s", port: 6381)))
        #expect(Redirection("MOVED 3999 ::1:6381", seed: "s") == .moved(ClusterNode(host: "::1", port: 6381)))
        #expect(Redirection("TRYAGAIN Multiple keys request during rehashing of slot", seed: "s") == .later)
        #expect(Redirection("CLUSTERDOWN The cluster is down", seed: "s") == .later)
        #expect(Redirection("ERR unknown command", seed: "s") == nil)
        #expect(Redirection("MOVED 3999 nowhere", seed: "s") == nil)
    }
}
