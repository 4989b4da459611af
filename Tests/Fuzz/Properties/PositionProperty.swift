import Chronology
import Crypto
import Events
import Identity

@testable import GatewayService

/// Positions: one spelling each, sets keep the newest and stay small, and a seal opens for its organization, in its
/// time, unchanged, and for nothing else.
enum PositionProperty {
    private static let key = [UInt8](repeating: 5, count: 32)
    private static let seal = PositionSeal(key: key)
    private static let now = Timestamp(seconds: 1_800_000_000)
    private static let organization = OrganizationID(first: 1)
    private static let stranger = OrganizationID(first: 2)

    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        if let position = Position(text) {
            try expect(position.sequence > 0, "a place before the first event: \(text)")
            try expect(position.description.utf8.elementsEqual(text.utf8), "a second spelling: \(text) of \(position)")
        }
        if let stream = StreamName(text) {
            try expect(stream.description.utf8.elementsEqual(text.utf8), "a second spelling: \(text) of \(stream)")
        }
        if let set = PositionSet(header: text, learned: now.seconds) { try judgeSet(set) }
        let stored = PositionSet(stored: text)
        try judgeSet(stored)
        try expect(PositionSet(stored: stored.stored) == stored, "a stored set does not come back: \(stored.stored)")
        var fresh = stored
        fresh.dropExpired(now: now.seconds)
        try expect(fresh.entries.allSatisfy { stored.entries[$0.key] == $0.value }, "expiry makes something up")
        try judgeSeals(Array(bytes), text)
    }

    private static func judgeSet(_ set: PositionSet) throws {
        try expect(set.entries.count <= PositionSet.maximumCount, "too many places: \(set.entries.count)")
        try expect(set.header.utf8.count <= 1024, "a header too long: \(set.header.utf8.count) bytes")
        let again = PositionSet(header: set.header, learned: 0)
        try expect(
            again?.entries.mapValues(\.sequence) == set.entries.mapValues(\.sequence),
            "a set does not come back: \(set.header)"
        )
        var both = set
        both.merge(set)
        try expect(both == set, "grows by what it has")
        var other = PositionSet()
        other.merge(set)
        try expect(other == set, "loses something when taken over")

        let sealed = seal.seal(set, organization: organization, now: now)
        for owner in [organization, nil] {
            let opened = seal.open(sealed, organization: owner, now: now)
            try expect(
                opened?.entries.mapValues(\.sequence) == set.entries.mapValues(\.sequence),
                "a seal changes what it holds: \(set.header)"
            )
        }
        try expect(seal.open(sealed, organization: stranger, now: now) == nil, "opens for another organization")
        let end = now + .seconds(PositionSet.lifetime)
        try expect(seal.open(sealed, organization: nil, now: end) == nil, "opens after its time")
        try expect(seal.open(sealed, organization: nil, now: end - .seconds(1)) != nil, "closes too early")
    }

    private static func judgeSeals(_ bytes: [UInt8], _ text: String) throws {
        try expect(seal.open(text, organization: nil, now: now) == nil, "opens what nobody has sealed: \(text)")
        // Any payload under a good tag.
        let payload = Base64.url(bytes)
        let code = HMAC<SHA256>.authenticationCode(for: Array("v1.\(payload)".utf8), using: SymmetricKey(data: key))
        let sealed = "v1.\(payload).\(Base64.url(Array(code)))"
        guard let set = seal.open(sealed, organization: nil, now: now) else { return }
        try expect(sealed.utf8.count <= 2048, "opens what is too long: \(sealed.utf8.count) bytes")
        try expect(text.hasSuffix(set.header) || set.entries.count > 0, "opens something as nothing: \(text)")
        var chooser = Chooser(bytes)
        let edited = String(decoding: changed(Array(sealed.utf8), &chooser), as: UTF8.self)
        try expect(
            seal.open(edited, organization: nil, now: now) == nil,
            "opens what was edited: \(edited), sealed as \(sealed)"
        )
    }
}
