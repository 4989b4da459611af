import Chronology
import Crypto
import Events
import Identity
import ServiceKit

/// The newest known place in each of some streams, with the moment it was learned.
///
/// A place older than ten minutes is dropped: every service has long been past it, and a stream that was rebuilt
/// meanwhile might never reach it again.
struct PositionSet: Sendable, Hashable {
    struct Entry: Sendable, Hashable {
        var sequence: Int64
        /// Seconds since the Unix epoch.
        var learned: Int64
    }
    /// For how long a place is worth waiting for.
    static let lifetime: Int64 = 600
    /// More streams than any session touches; keeps the header below 1 KiB.
    static let maximumCount = 24

    private(set) var entries: [StreamName: Entry] = [:]

    var isEmpty: Bool { entries.isEmpty }

    init() {}

    /// Reads `task.07:12,project.07:9`; nil if anything in it is not of that form.
    init?(header: String, learned: Int64) {
        for part in header.split(separator: ",") {
            guard let position = Position(part.trimmedOfBlanks) else { return nil }
            insert(position, learned: learned)
        }
    }

    /// Reads what ``stored`` wrote; parts that are not of its form are skipped.
    init(stored: String) {
        for part in stored.split(separator: ",") {
            let halves = part.split(separator: "@")
            guard halves.count == 2, let position = Position(String(halves[0])), let learned = Int64(halves[1]) else {
                continue
            }
            insert(position, learned: learned)
        }
    }

    mutating func insert(_ position: Position, learned: Int64) {
        if let known = entries[position.stream], known.sequence >= position.sequence { return }
        guard entries[position.stream] != nil || entries.count < Self.maximumCount else { return }
        entries[position.stream] = Entry(sequence: position.sequence, learned: learned)
    }

    /// Takes over whatever is newer in the other.
    mutating func merge(_ other: PositionSet) {
        for (stream, entry) in other.entries { insert(Position(stream, entry.sequence), learned: entry.learned) }
    }

    mutating func dropExpired(now: Int64) {
        // Not `now - learned`, which overflows for what only a damaged store could hold.
        entries = entries.filter { $0.value.learned > now - Self.lifetime }
    }

    private var sorted: [(key: StreamName, value: Entry)] {
        entries.sorted { $0.key.description < $1.key.description }
    }

    /// `project.07:9,task.07:12`.
    var header: String { sorted.map { Position($0.key, $0.value.sequence).description }.joined(separator: ",") }

    /// `project.07:9@1764000000,task.07:12@1764000003`.
    var stored: String {
        sorted.map { "\(Position($0.key, $0.value.sequence))@\($0.value.learned)" }.joined(separator: ",")
    }
}

/// Positions as clients see them: `v1.<payload>.<tag>`, bound to an organization, good for ten minutes.
struct PositionSeal: Sendable {
    private let key: SymmetricKey

    init(key: [UInt8]) { self.key = SymmetricKey(data: key) }

    func seal(_ positions: PositionSet, organization: OrganizationID, now: Timestamp) -> String {
        let expiry = now.seconds + PositionSet.lifetime
        let payload = Base64URL.encode(Array("\(organization);\(expiry);\(positions.header)".utf8))
        let tag = HMAC<SHA256>.authenticationCode(for: Array("v1.\(payload)".utf8), using: key)
        return "v1.\(payload).\(Base64URL.encode(tag))"
    }

    /// The positions in a seal that is ours, fresh and of this organization; nil for any other. Where nobody is logged
    /// in there is no organization to compare with.
    func open(_ sealed: String, organization: OrganizationID?, now: Timestamp) -> PositionSet? {
        let parts = sealed.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard sealed.utf8.count <= 2048, parts.count == 3, parts[0] == "v1", let tag = Base64URL.decode(parts[2].utf8)
        else { return nil }
        let signed = Array("v1.\(parts[1])".utf8)
        guard HMAC<SHA256>.isValidAuthenticationCode(tag, authenticating: signed, using: key) else { return nil }
        guard let payload = Base64URL.decode(parts[1].utf8) else { return nil }
        let fields = String(decoding: payload, as: UTF8.self).split(separator: ";", omittingEmptySubsequences: false)
        guard fields.count == 3, let owner = OrganizationID(String(fields[0])), let expiry = Int64(fields[1]) else {
            return nil
        }
        guard now.seconds < expiry, organization == nil || organization == owner else { return nil }
        return PositionSet(header: String(fields[2]), learned: expiry - PositionSet.lifetime)
    }
}
