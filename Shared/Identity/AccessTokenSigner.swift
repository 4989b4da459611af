public import Chronology
import Crypto
import Foundation
import JWTKit

/// The private half of a signing key, Ed25519.
public struct SigningKey: Sendable {
    /// `kid`.
    public let keyID: String
    private let key: Curve25519.Signing.PrivateKey

    /// A fresh key from the system's random source. Its id is the first 16 bytes of its RFC 7638 thumbprint.
    public init() {
        // An id that begins with a dash would be taken for an option on a command line.
        var fresh = Curve25519.Signing.PrivateKey()
        while SigningKey.thumbprint(of: Array(fresh.publicKey.rawRepresentation)).hasPrefix("-") {
            fresh = Curve25519.Signing.PrivateKey()
        }
        key = fresh
        keyID = SigningKey.thumbprint(of: Array(fresh.publicKey.rawRepresentation))
    }

    /// A key kept earlier; throws unless it is 32 bytes.
    public init(keyID: String, rawRepresentation: [UInt8]) throws {
        self.keyID = keyID
        key = try Curve25519.Signing.PrivateKey(rawRepresentation: rawRepresentation)
    }

    /// The 32 secret bytes, to be encrypted before they are kept.
    public var rawRepresentation: [UInt8] { Array(key.rawRepresentation) }

    /// The 32 bytes of the public half.
    public var publicKey: [UInt8] { Array(key.publicKey.rawRepresentation) }

    var jwtKey: EdDSA.PrivateKey { EdDSA.PrivateKey(backing: key) }

    private static func thumbprint(of publicKey: [UInt8]) -> String {
        let members = #"{"crv":"Ed25519","kty":"OKP","x":"\#(Base64URL.encode(publicKey))"}"#
        return Base64URL.encode(SHA256.hash(data: Array(members.utf8)).prefix(16))
    }

    /// The JWK of a public half: `kty, crv, x, kid, use, alg` and nothing else (RFC 8037).
    public static func publicJWK(keyID: String, publicKey: [UInt8]) -> String {
        #"{"kty":"OKP","crv":"Ed25519","x":"\#(Base64URL.encode(publicKey))","kid":"\#(keyID)","use":"sig","alg":"EdDSA"}"#
    }
}

/// Makes the access tokens that ``AccessTokenVerifier`` accepts.
public struct AccessTokenSigner: Sendable {
    /// `iss`.
    public let issuer: String
    /// `aud`.
    public let audience: String
    /// `exp - iat`.
    public let lifetime: Duration
    /// `kid`.
    public let keyID: String
    private let keys: JWTKeyCollection

    /// A signer with one key; the lifetime is cut to whole seconds.
    public init(key: SigningKey, issuer: String, audience: String = "taskflow", lifetime: Duration) async {
        self.issuer = issuer
        self.audience = audience
        self.lifetime = lifetime
        keyID = key.keyID
        keys = await JWTKeyCollection().add(eddsa: key.jwtKey, kid: JWKIdentifier(string: key.keyID))
    }

    /// A token that says who `principal` is, from `now` on.
    public func sign(_ principal: Principal, now: Timestamp) async throws -> String {
        var generator = SystemRandomNumberGenerator()
        let random = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let claims = Claims(
            iss: issuer,
            aud: audience,
            sub: principal.user.description,
            org: principal.organization.description,
            role: principal.role.rawValue,
            sid: principal.session.description,
            gen: principal.generation,
            jti: Base64URL.encode(random),
            iat: now.seconds,
            exp: now.seconds + lifetime.components.seconds
        )
        return try await keys.sign(claims, kid: JWKIdentifier(string: keyID), header: ["typ": "at+jwt"])
    }

    private struct Claims: JWTPayload {
        let iss: String
        let aud: String
        let sub: String
        let org: String
        let role: String
        let sid: String
        let gen: Int64
        let jti: String
        let iat: Int64
        let exp: Int64

        // Required by the library for reading, which this type never does; what is read goes through the verifier.
        func verify(using algorithm: some JWTAlgorithm) async throws {}
    }
}
