public import Chronology
import Crypto

/// Why an access token was refused; safe to log, never shown in more detail than "invalid token".
public enum AccessTokenError: Error, Sendable, Hashable {
    /// Not a compact JWS of at most 4 KiB in strict base64url, or its JSON has duplicate keys.
    case malformed
    /// `alg` is not EdDSA, `typ` not `at+jwt`, or a header such as `crit`, `jku`, `jwk`, `x5u` is there.
    case unsupportedHeader
    /// No key with that `kid` among those known; a newer key set may have it.
    case unknownKey(String)
    /// The signature does not fit.
    case badSignature
    /// A claim is missing, of the wrong form or of the wrong issuer or audience.
    case badClaims
    /// `exp` plus leeway has passed.
    case expired
}

/// An access token that has passed every check but revocation.
public struct VerifiedAccessToken: Sendable, Hashable {
    /// Who is asking.
    public let principal: Principal
    /// The signing key's id, `kid`.
    public let keyID: String
    /// The token's own id, `jti`.
    public let tokenID: String
    /// `iat`.
    public let issuedAt: Timestamp
    /// `exp`; accepted until then plus the leeway.
    public let expiresAt: Timestamp

    /// A token with these claims.
    public init(principal: Principal, keyID: String, tokenID: String, issuedAt: Timestamp, expiresAt: Timestamp) {
        self.principal = principal
        self.keyID = keyID
        self.tokenID = tokenID
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
    }
}

/// The public keys of the issuer, from a JWK set (RFC 7517, Ed25519 as in RFC 8037).
public struct VerificationKeys: Sendable {
    let keys: [String: Curve25519.Signing.PublicKey]

    /// Reads a JWK set; keys of other kinds than OKP/Ed25519 are skipped. Throws when it is not a JWK set, has two keys
    /// of one id, or an Ed25519 key of the wrong form, or no key that is of use: an issuer always has one, and a set without
    /// would make every good token a bad one.
    public init(jwks: [UInt8]) throws {
        guard case .array(let elements)? = StrictJSON(jwks)?.members?["keys"] else { throw AccessTokenError.malformed }
        var keys: [String: Curve25519.Signing.PublicKey] = [:]
        for element in elements {
            guard let members = element.members else { throw AccessTokenError.malformed }
            guard
                members["kty"]?.text == "OKP", members["crv"]?.text == "Ed25519",
                members["use"].map({ $0.text == "sig" }) ?? true, members["alg"].map({ $0.text == "EdDSA" }) ?? true
            else { continue }
            guard
                let keyID = members["kid"]?.text, AccessTokenVerifier.isName(keyID), keys[keyID] == nil,
                let x = members["x"]?.text, let bytes = Base64URL.decode(x.utf8), bytes.count == 32
            else { throw AccessTokenError.malformed }
            keys[keyID] = try Curve25519.Signing.PublicKey(rawRepresentation: bytes)
        }
        guard !keys.isEmpty else { throw AccessTokenError.malformed }
        self.keys = keys
    }

    /// The ids of the keys.
    public var keyIDs: Set<String> { Set(keys.keys) }
}

/// Checks access tokens (RFC 9068 profile, EdDSA only).
///
/// One strict reader takes the token apart and its result is what everyone uses: where two libraries read the same
/// bytes, what one has checked need not be what the other understood. The signature is checked before any claim.
public struct AccessTokenVerifier: Sendable {
    /// The only `iss` accepted, the installation's public URL.
    public let issuer: String
    /// The only `aud` accepted.
    public let audience: String
    /// The longest `exp - iat` accepted.
    public let maximumLifetime: Duration
    /// By how much clocks may differ.
    public let leeway: Duration

    /// The longest token looked at, in bytes.
    static let maximumLength = 4096

    /// A verifier for one issuer.
    public init(
        issuer: String,
        audience: String = "taskflow",
        maximumLifetime: Duration = .seconds(300),
        leeway: Duration = .seconds(10)
    ) {
        self.issuer = issuer
        self.audience = audience
        self.maximumLifetime = maximumLifetime
        self.leeway = leeway
    }

    /// The claims of `token` if it is good at `now`; throws ``AccessTokenError``.
    public func verify(_ token: String, with keys: VerificationKeys, now: Timestamp) async throws -> VerifiedAccessToken
    {
        guard token.utf8.count <= AccessTokenVerifier.maximumLength else { throw AccessTokenError.malformed }
        let bytes = Array(token.utf8)
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard
            parts.count == 3,
            let header = Base64URL.decode(parts[0]).flatMap({ StrictJSON($0)?.members }),
            let claims = Base64URL.decode(parts[1]).flatMap({ StrictJSON($0)?.members }),
            let signature = Base64URL.decode(parts[2])
        else { throw AccessTokenError.malformed }

        // Exactly the three members that the issuer writes: whatever else could be there (`crit`, `jku`, `x5u`, `jwk`,
        // `b64` ...) asks for the token to be treated in a way that it is not.
        guard
            header.count == 3, header["alg"]?.text == "EdDSA", header["typ"]?.text == "at+jwt",
            let keyID = header["kid"]?.text
        else { throw AccessTokenError.unsupportedHeader }
        guard AccessTokenVerifier.isName(keyID), let key = keys.keys[keyID] else {
            throw AccessTokenError.unknownKey(String(keyID.prefix(64)))
        }
        let signed = bytes[..<(parts[0].count + 1 + parts[1].count)]
        guard signature.count == 64, key.isValidSignature(signature, for: Array(signed)) else {
            throw AccessTokenError.badSignature
        }
        return try verified(claims, keyID: keyID, now: now)
    }

    private func verified(_ claims: [String: StrictJSON], keyID: String, now: Timestamp) throws -> VerifiedAccessToken {
        func id<ID: UUIDIdentifier>(_ name: String) -> ID? {
            // Only the canonical spelling: the same session must not have two names in the gate's keys.
            claims[name]?.text.flatMap { text in ID(text).flatMap { $0.description == text ? $0 : nil } }
        }
        func moment(_ name: String) -> Timestamp? {
            claims[name]?.integer.flatMap { (0...253_402_300_799).contains($0) ? Timestamp(seconds: $0) : nil }
        }
        guard
            let iss = claims["iss"]?.text, iss.utf8.elementsEqual(issuer.utf8),
            let aud = claims["aud"]?.text, aud.utf8.elementsEqual(audience.utf8),
            let user: UserID = id("sub"), let organization: OrganizationID = id("org"),
            let session: SessionID = id("sid"), let role = claims["role"]?.text.flatMap(Role.init(rawValue:)),
            let generation = claims["gen"]?.integer, generation >= 0,
            let tokenID = claims["jti"]?.text, AccessTokenVerifier.isName(tokenID),
            let issuedAt = moment("iat"), let expiresAt = moment("exp"),
            expiresAt > issuedAt, expiresAt - issuedAt <= maximumLifetime, issuedAt <= now + leeway
        else { throw AccessTokenError.badClaims }
        if claims["nbf"] != nil {
            guard let notBefore = moment("nbf"), notBefore <= now + leeway else { throw AccessTokenError.badClaims }
        }
        guard now < expiresAt + leeway else { throw AccessTokenError.expired }
        return VerifiedAccessToken(
            principal: Principal(
                user: user,
                organization: organization,
                role: role,
                session: session,
                generation: generation
            ),
            keyID: keyID,
            tokenID: tokenID,
            issuedAt: issuedAt,
            expiresAt: expiresAt
        )
    }

    /// Whether a text can be the id of a key or a token: 1 to 64 letters, digits, `-` and `_`.
    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}
