import Crypto
import Foundation
public import Identity

/// Keys derived from `TASKFLOW_SECRET` by HKDF-SHA-256, one for each purpose, 32 bytes each.
///
/// A key found out tells nothing of the others, and there is one secret to keep instead of six.
public struct DerivedSecrets: Sendable {
    /// Signs list cursors.
    public let cursorKey: [UInt8]
    /// Makes the tokens of mailed links.
    public let linkKey: [UInt8]
    /// Makes the tokens of unsubscribe links.
    public let unsubscribeKey: [UInt8]
    /// Seals positions given to clients.
    public let positionKey: [UInt8]
    /// Encrypts signing keys at rest.
    public let signingKeyKey: [UInt8]
    /// What services show each other on `/internal/`, lower-case hex.
    public let serviceCredential: String

    private let master: SymmetricKey

    /// Derives from the installation's secret.
    public init(secret: String) {
        let master = SymmetricKey(data: Array(secret.utf8))
        self.master = master
        cursorKey = DerivedSecrets.derive(master, "cursor")
        linkKey = DerivedSecrets.derive(master, "link")
        unsubscribeKey = DerivedSecrets.derive(master, "unsubscribe")
        positionKey = DerivedSecrets.derive(master, "position")
        signingKeyKey = DerivedSecrets.derive(master, "signing-key")
        serviceCredential = Hex.encode(DerivedSecrets.derive(master, "service-credential"))
    }

    /// A key for a purpose of a service's own, named after the service: `auth.throttle`.
    public func key(for purpose: String) -> [UInt8] { DerivedSecrets.derive(master, purpose) }

    private static func derive(_ master: SymmetricKey, _ purpose: String) -> [UInt8] {
        let key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: master,
            salt: Array("taskflow".utf8),
            info: Array(purpose.utf8),
            outputByteCount: 32
        )
        return key.withUnsafeBytes { Array($0) }
    }
}

/// The token of a mailed link, as in the architecture: `base64url(request id || HMAC-SHA-256(link key, purpose ||
/// request id || expiry))`, 64 characters.
///
/// Whoever has the link key and the request can make it again, so that neither the database nor the stream holds it.
public struct LinkToken: Sendable {
    /// The token for a request; `expiresAt` in seconds since the Unix epoch.
    public static func make(key: [UInt8], purpose: String, request: EventID, expiresAt: Int64) -> String {
        let code = HMAC<SHA256>.authenticationCode(
            for: message(purpose, request, expiresAt),
            using: SymmetricKey(data: key)
        )
        return Base64URL.encode(bytes(of: request) + Array(code))
    }

    /// The request named by a token whose form is right; the caller looks up its expiry and then calls `verify`.
    public static func request(of token: String) -> EventID? {
        guard let bytes = Base64URL.decode(token.utf8), bytes.count == 48 else { return nil }
        let uuid = bytes.withUnsafeBytes { $0.loadUnaligned(as: uuid_t.self) }
        return EventID(UUID(uuid: uuid))
    }

    /// Constant-time check.
    public static func verify(
        _ token: String,
        key: [UInt8],
        purpose: String,
        request: EventID,
        expiresAt: Int64
    ) -> Bool {
        guard let bytes = Base64URL.decode(token.utf8), bytes.count == 48 else { return false }
        guard self.request(of: token) == request else { return false }
        return HMAC<SHA256>.isValidAuthenticationCode(
            bytes[16...],
            authenticating: message(purpose, request, expiresAt),
            using: SymmetricKey(data: key)
        )
    }

    /// Request id and expiry have a fixed length, so that no two (purpose, id, expiry) give the same bytes.
    private static func message(_ purpose: String, _ request: EventID, _ expiresAt: Int64) -> [UInt8] {
        Array(purpose.utf8) + bytes(of: request) + withUnsafeBytes(of: expiresAt.bigEndian) { Array($0) }
    }

    private static func bytes(of request: EventID) -> [UInt8] {
        withUnsafeBytes(of: request.uuid.uuid) { Array($0) }
    }
}

/// A secret to compare with what is shown, in the same time wherever the two differ. That their lengths differ shows; the
/// length of ours is no secret.
public struct ExpectedSecret: Sendable {
    private let secret: [UInt8]

    /// The secret.
    public init(_ secret: String) { self.secret = Array(secret.utf8) }

    /// Whether the text has the same bytes.
    public func matches(_ shown: String) -> Bool {
        var shown = shown
        return shown.withUTF8 { shown in
            guard shown.count == secret.count else { return false }
            var difference: UInt8 = 0
            for index in secret.indices { difference |= secret[index] ^ shown[index] }
            return difference == 0
        }
    }
}

/// Lower-case hexadecimal.
enum Hex {
    static func encode(_ bytes: some Collection<UInt8>) -> String {
        String(unsafeUninitializedCapacity: bytes.count * 2) { room in
            var index = 0
            for byte in bytes {
                room[index] = digit(byte >> 4)
                room[index + 1] = digit(byte & 15)
                index += 2
            }
            return index
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
