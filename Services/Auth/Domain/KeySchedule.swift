import Chronology

/// A signing key as it is kept.
struct KeyRecord: Sendable, Hashable {
    var keyID: String
    var publicKey: [UInt8]
    /// The private half, sealed.
    var sealedKey: [UInt8]
    /// Signs from here on, until a younger key does.
    var activeFrom: Timestamp
    var revokedAt: Timestamp?
}

/// Which key signs and which are published, so that a change of keys refuses no request: a key is published twice the
/// time of a cache before it signs, and stays until nothing it signed can be shown any more.
struct KeySchedule: Sendable, Hashable {
    /// How long verifiers keep a key set.
    static let cache = Duration.seconds(300)
    /// How long a key is published before it signs.
    static let announcement = Duration.seconds(600)
    /// By how much clocks may differ.
    static let leeway = Duration.seconds(10)
    /// How long a revoked key's id is kept before the gateways' eyes; more than the day for which they go on using an
    /// old key set while Auth is down.
    static let revocationLifetime = Duration.seconds(7 * 86_400)

    /// Those not revoked, by the moment from which they sign.
    private let keys: [KeyRecord]

    init(_ records: [KeyRecord]) {
        keys = records.filter { $0.revokedAt == nil }
            .sorted { ($0.activeFrom, $0.keyID) < ($1.activeFrom, $1.keyID) }
    }

    /// The key that signs at a moment; nil if there is none.
    func signing(at now: Timestamp) -> KeyRecord? { keys.last { $0.activeFrom <= now } }

    /// The keys to be published at a moment: what signs, what will sign, and what has signed tokens that may live.
    func published(at now: Timestamp, tokenLifetime: Duration) -> [KeyRecord] {
        let last = tokenLifetime + KeySchedule.leeway + KeySchedule.cache
        return keys.indices.filter { index in
            guard index + 1 < keys.count else { return true }
            // It stopped signing when the next one began; while the next one only waits, that moment is to come.
            return keys[index + 1].activeFrom + last > now
        }.map { keys[$0] }
    }
}
