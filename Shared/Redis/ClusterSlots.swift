/// Which keys live where in a cluster: 16,384 slots, each owned by one master.
enum KeySlot {
    static let count = 16_384

    /// The slot of a key: of what stands between its first `{` and the next `}`, if anything does, else of all of it.
    static func slot(of key: [UInt8]) -> Int {
        var hashed = key[...]
        if let open = key.firstIndex(of: 0x7B), let close = key[(open + 1)...].firstIndex(of: 0x7D), close > open + 1 {
            hashed = key[(open + 1)..<close]
        }
        return Int(crc16(hashed)) % count
    }

    /// The key that decides where a command goes; nil for one that any server may answer.
    static func key(of command: RedisCommand) -> [UInt8]? {
        let arguments = command.arguments
        guard let name = arguments.first.map({ String(decoding: $0, as: UTF8.self).uppercased() }) else { return nil }
        switch name {
        case "PING", "INFO", "PUBLISH", "SUBSCRIBE", "CLUSTER", "CONFIG", "FLUSHDB", "FLUSHALL", "ECHO", "CLIENT",
            "SCAN",
            "SCRIPT", "TIME", "WAIT":
            return nil
        case "EVAL", "EVALSHA":
            let hasKeys = arguments.count > 3 && String(decoding: arguments[2], as: UTF8.self) != "0"
            return hasKeys ? arguments[3] : nil
        case "XREAD", "XREADGROUP":
            let place = arguments.firstIndex { String(decoding: $0, as: UTF8.self).uppercased() == "STREAMS" }
            return place.flatMap { $0 + 1 < arguments.count ? arguments[$0 + 1] : nil }
        case "XINFO", "XGROUP", "OBJECT":
            return arguments.count > 2 ? arguments[2] : nil
        default:
            return arguments.count > 1 ? arguments[1] : nil
        }
    }

    /// CRC-16/XMODEM, as the cluster's specification wants.
    private static func crc16(_ bytes: ArraySlice<UInt8>) -> UInt16 {
        var crc: UInt16 = 0
        for byte in bytes {
            crc ^= UInt16(byte) << 8
            for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
        }
        return crc
    }
}

/// A server of a cluster.
struct ClusterNode: Hashable, Sendable {
    var host: String
    var port: UInt16
}

/// The masters and their slots, as one of them tells.
struct SlotMap: Sendable {
    private(set) var ranges: [(slots: ClosedRange<Int>, node: ClusterNode)] = []

    /// Reads the answer to `CLUSTER SLOTS`; nil if it is none. A server that does not know its own name is `seed`.
    init?(_ reply: RedisValue, seed: String) {
        guard let entries = reply.elements, !entries.isEmpty else { return nil }
        for entry in entries {
            guard let parts = entry.elements, parts.count >= 3,
                let first = parts[0].integer, let last = parts[1].integer, first <= last, last < KeySlot.count,
                let master = parts[2].elements, master.count >= 2, let port = master[1].integer.flatMap(UInt16.init)
            else { return nil }
            let host = master[0].string.flatMap { $0.isEmpty ? nil : $0 } ?? seed
            ranges.append((Int(first)...Int(last), ClusterNode(host: host, port: port)))
        }
    }

    /// The masters, each once.
    var nodes: Set<ClusterNode> { Set(ranges.map(\.node)) }

    /// The master of a slot; nil while nobody has it.
    func node(of slot: Int) -> ClusterNode? { ranges.first { $0.slots.contains(slot) }?.node }
}

/// Where a server sends us instead of answering.
enum Redirection: Equatable {
    /// The slot lives there now.
    case moved(ClusterNode)
    /// This one key may be there already, while the slot moves.
    case ask(ClusterNode)
    /// Nobody can say at the moment.
    case later

    /// Reads an error answer; nil for any other error. A server without a name is `seed`.
    init?(_ message: String, seed: String) {
        let words = message.split(separator: " ")
        switch words.first {
        case "TRYAGAIN", "CLUSTERDOWN": self = .later
        case "MOVED", "ASK":
            guard words.count == 3, let colon = words[2].lastIndex(of: ":"),
                let port = UInt16(words[2][words[2].index(after: colon)...])
            else { return nil }
            let host = String(words[2][..<colon])
            let node = ClusterNode(host: host.isEmpty ? seed : host, port: port)
            self = words[0] == "MOVED" ? .moved(node) : .ask(node)
        default: return nil
        }
    }
}
