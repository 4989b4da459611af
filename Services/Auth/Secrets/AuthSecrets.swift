import Chronology
import Crypto
import Events
import Foundation
import Identity
import ServiceKit

/// What Auth makes of the installation's secret: refresh tokens, links' tokens, hashes of names, sealed signing keys.
struct AuthSecrets: Sendable {
    private let refreshKey: SymmetricKey
    private let nameKey: SymmetricKey
    private let vaultKey: SymmetricKey
    private let linkKey: [UInt8]

    init(_ secrets: DerivedSecrets) {
        refreshKey = SymmetricKey(data: secrets.key(for: "auth.refresh-token"))
        nameKey = SymmetricKey(data: secrets.key(for: "auth.name-hash"))
        vaultKey = SymmetricKey(data: secrets.signingKeyKey)
        linkKey = secrets.linkKey
    }

    // MARK: Refresh tokens

    /// What a refresh token names, once its seal has been found to be ours.
    struct RefreshClaim: Sendable, Hashable {
        var session: SessionID
        var counter: Int64
    }

    /// `v1.<session>.<counter and seal>`; the same for the same session and counter, always.
    func refreshToken(_ claim: RefreshClaim) -> String {
        let counter = withUnsafeBytes(of: claim.counter.bigEndian) { Array($0) }
        let seal = Array(HMAC<SHA256>.authenticationCode(for: AuthSecrets.message(claim), using: refreshKey))
        return "v1.\(Base64URL.encode(AuthSecrets.bytes(claim.session.uuid))).\(Base64URL.encode(counter + seal))"
    }

    /// Reads a token; nil unless it is one that ``refreshToken(_:)`` made, byte for byte.
    func refreshClaim(_ token: String) -> RefreshClaim? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard
            token.utf8.count <= 256, parts.count == 3, parts[0] == "v1",
            let session = Base64URL.decode(parts[1].utf8), session.count == 16,
            let rest = Base64URL.decode(parts[2].utf8), rest.count == 40
        else { return nil }
        let counter = rest[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let claim = RefreshClaim(session: SessionID(AuthSecrets.uuid(session)), counter: Int64(bitPattern: counter))
        let isOurs = HMAC<SHA256>.isValidAuthenticationCode(
            rest[8...],
            authenticating: AuthSecrets.message(claim),
            using: refreshKey
        )
        return isOurs && claim.counter > 0 ? claim : nil
    }

    private static func message(_ claim: RefreshClaim) -> [UInt8] {
        Array("v1".utf8) + bytes(claim.session.uuid) + withUnsafeBytes(of: claim.counter.bigEndian) { Array($0) }
    }

    // MARK: Links

    /// The request that a link's token names, if the form is right; nothing is proved yet.
    func linkRequest(of token: String) -> EventID? { LinkToken.request(of: token) }

    /// Whether a link's token is the one of a request.
    func isLink(_ token: String, of request: LinkRecord) -> Bool {
        LinkToken.verify(
            token,
            key: linkKey,
            purpose: request.purpose.rawValue,
            request: request.id,
            expiresAt: request.expiresAt.seconds
        )
    }

    // MARK: Names

    /// What a typed name is counted under; without the key nobody can tell which name it was.
    func nameHash(_ key: String) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(key.utf8), using: nameKey))
    }

    // MARK: Signing keys

    /// A private key as it is kept.
    func seal(_ key: SigningKey) throws -> [UInt8] {
        let box = try AES.GCM.seal(
            Data(key.rawRepresentation),
            using: vaultKey,
            authenticating: Array(key.keyID.utf8)
        )
        guard let combined = box.combined else { throw CryptoKitError.incorrectParameterSize }
        return Array(combined)
    }

    /// A private key as it is used; throws if it was sealed under another secret or for another id.
    func open(_ sealed: [UInt8], keyID: String) throws -> SigningKey {
        let box = try AES.GCM.SealedBox(combined: Data(sealed))
        let raw = try AES.GCM.open(box, using: vaultKey, authenticating: Array(keyID.utf8))
        return try SigningKey(keyID: keyID, rawRepresentation: Array(raw))
    }

    private static func bytes(_ uuid: UUID) -> [UInt8] { withUnsafeBytes(of: uuid.uuid) { Array($0) } }

    private static func uuid(_ bytes: [UInt8]) -> UUID {
        UUID(uuid: bytes.withUnsafeBytes { $0.loadUnaligned(as: uuid_t.self) })
    }
}
