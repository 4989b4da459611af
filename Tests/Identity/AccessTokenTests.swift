import Chronology
import Crypto
import Foundation
import JWTKit
import Testing

@testable import Identity

/// Tokens made by hand, byte for byte, with a key that the verifier knows: only the thing under test is wrong with them.
private struct Forge: Sendable {
    static let now = Timestamp(seconds: 1_800_000_000)
    let key = SigningKey()
    let user = UserID.make(milliseconds: 1)
    let organization = OrganizationID.make(milliseconds: 1)
    let session = SessionID.make(milliseconds: 1)

    var verifier: AccessTokenVerifier { AccessTokenVerifier(issuer: "https://tasks.example") }

    var keys: VerificationKeys {
        get throws {
            let jwk = SigningKey.publicJWK(keyID: key.keyID, publicKey: key.publicKey)
            return try VerificationKeys(jwks: Array(#"{"keys":[\#(jwk)]}"#.utf8))
        }
    }

    var header: String { #"{"alg":"EdDSA","typ":"at+jwt","kid":"\#(key.keyID)"}"# }

    var claims: [(String, String)] {
        [
            ("iss", "\"https://tasks.example\""), ("aud", "\"taskflow\""), ("sub", "\"\(user)\""),
            ("org", "\"\(organization)\""), ("role", "\"MANAGER\""), ("sid", "\"\(session)\""), ("gen", "3"),
            ("jti", "\"abc_-123\""), ("iat", "1800000000"), ("exp", "1800000300"),
        ]
    }

    /// Claims with one replaced, added, or (nil) left out.
    func claims(_ name: String, _ value: String?) -> String {
        var members = claims.filter { $0.0 != name }
        if let value { members.append((name, value)) }
        return Self.object(members)
    }

    static func object(_ members: [(String, String)]) -> String {
        "{" + members.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    func token(header: String? = nil, claims: String? = nil) throws -> String {
        let signed =
            Base64URL.encode((header ?? self.header).utf8) + "."
            + Base64URL.encode((claims ?? Self.object(self.claims)).utf8)
        let signer = try Curve25519.Signing.PrivateKey(rawRepresentation: key.rawRepresentation)
        return signed + "." + Base64URL.encode(try signer.signature(for: Data(signed.utf8)))
    }

    func refusal(_ token: String, now: Timestamp = Forge.now) async -> AccessTokenError? {
        do {
            _ = try await verifier.verify(token, with: try keys, now: now)
            return nil
        } catch let error as AccessTokenError {
            return error
        } catch {
            Issue.record("\(error)")
            return nil
        }
    }
}

@Suite struct AccessTokenTests {
    private let forge = Forge()

    @Test func acceptsWhatItShould() async throws {
        let token = try await forge.verifier.verify(try forge.token(), with: forge.keys, now: Forge.now)
        #expect(
            token.principal
                == Principal(
                    user: forge.user,
                    organization: forge.organization,
                    role: .manager,
                    session: forge.session,
                    generation: 3
                )
        )
        #expect(token.keyID == forge.key.keyID)
        #expect(token.tokenID == "abc_-123")
        #expect(token.expiresAt - token.issuedAt == .seconds(300))
    }

    @Test func signerAndVerifierFit() async throws {
        let signer = await AccessTokenSigner(
            key: forge.key,
            issuer: "https://tasks.example",
            lifetime: .seconds(300)
        )
        let principal = Principal(
            user: forge.user,
            organization: forge.organization,
            role: .admin,
            session: forge.session,
            generation: 1
        )
        let token = try await signer.sign(principal, now: Forge.now)
        #expect(try await forge.verifier.verify(token, with: forge.keys, now: Forge.now).principal == principal)
        #expect(token.utf8.count <= 2048)
        #expect(try await signer.sign(principal, now: Forge.now) != token, "the jti is new each time")
    }

    @Test(arguments: [
        #"{"alg":"none","typ":"at+jwt","kid":"KID"}"#, #"{"alg":"HS256","typ":"at+jwt","kid":"KID"}"#,
        #"{"alg":"RS256","typ":"at+jwt","kid":"KID"}"#, #"{"alg":"eddsa","typ":"at+jwt","kid":"KID"}"#,
        #"{"alg":"EdDSA","typ":"JWT","kid":"KID"}"#, #"{"alg":"EdDSA","kid":"KID"}"#, #"{"typ":"at+jwt","kid":"KID"}"#,
        #"{"alg":"EdDSA","typ":"at+jwt"}"#, #"{"alg":"EdDSA","typ":"at+jwt","kid":7}"#,
        #"{"alg":"EdDSA","typ":"at+jwt","kid":"KID","crit":[]}"#,
        #"{"alg":"EdDSA","typ":"at+jwt","kid":"KID","jku":"https://evil.example"}"#,
        #"{"alg":"EdDSA","typ":"at+jwt","kid":"KID","x5u":"https://evil.example"}"#,
        #"{"alg":"EdDSA","typ":"at+jwt","kid":"KID","jwk":{"kty":"OKP"}}"#,
        #"{"alg":"EdDSA","typ":"at+jwt","kid":"KID","b64":false}"#,
    ])
    func refusesHeaders(_ header: String) async throws {
        let token = try forge.token(header: header.replacing("KID", with: forge.key.keyID))
        #expect(await forge.refusal(token) == .unsupportedHeader)
    }

    @Test func refusesDuplicateMembers() async throws {
        let kid = forge.key.keyID
        let twice = #"{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"\#(kid)"}"#
        #expect(await forge.refusal(try forge.token(header: twice)) == .malformed)
        let escaped = #"{"alg":"EdDSA","\u0061lg":"EdDSA","typ":"at+jwt","kid":"\#(kid)"}"#
        #expect(await forge.refusal(try forge.token(header: escaped)) == .malformed)
        let claims = Forge.object(forge.claims + [("sub", "\"\(UserID.make(milliseconds: 2))\"")])
        #expect(await forge.refusal(try forge.token(claims: claims)) == .malformed)
    }

    @Test func knowsItsKeys() async throws {
        let other = #"{"alg":"EdDSA","typ":"at+jwt","kid":"other"}"#
        #expect(await forge.refusal(try forge.token(header: other)) == .unknownKey("other"))
        let stranger = Forge()
        let named = #"{"alg":"EdDSA","typ":"at+jwt","kid":"\#(forge.key.keyID)"}"#
        #expect(await forge.refusal(try stranger.token(header: named)) == .badSignature)
    }

    @Test(arguments: [
        ("iss", "\"https://evil.example\""), ("iss", nil), ("iss", "7"), ("aud", "\"api\""), ("aud", "[\"taskflow\"]"),
        ("aud", nil), ("sub", nil), ("sub", "\"ada\""), ("org", nil), ("sid", nil), ("role", "\"OWNER\""),
        ("role", "\"admin\""), ("role", nil), ("gen", nil), ("gen", "\"3\""), ("gen", "3.0"), ("gen", "-1"),
        ("jti", nil),
        ("jti", "\"\""), ("jti", "\"a b\""), ("iat", nil), ("exp", nil), ("exp", "\"1800000300\""), ("exp", "1.8e9"),
        ("exp", "1800000301"), ("exp", "1800000000"), ("exp", "99999999999999999999"), ("iat", "1800000011"),
        ("nbf", "1800000011"), ("nbf", "\"now\""),
    ])
    func refusesClaims(_ name: String, _ value: String?) async throws {
        #expect(await forge.refusal(try forge.token(claims: forge.claims(name, value))) == .badClaims)
    }

    @Test func refusesOtherSpellingsOfIdentifiers() async throws {
        let upper = "\"\(forge.session.description.uppercased())\""
        #expect(await forge.refusal(try forge.token(claims: forge.claims("sid", upper))) == .badClaims)
    }

    @Test func expiresAfterTheLeeway() async throws {
        let token = try forge.token()
        #expect(await forge.refusal(token, now: Timestamp(seconds: 1_800_000_309)) == nil)
        #expect(await forge.refusal(token, now: Timestamp(seconds: 1_800_000_310)) == .expired)
        #expect(await forge.refusal(token, now: Timestamp(seconds: 1_799_999_990)) == nil)
        #expect(await forge.refusal(token, now: Timestamp(seconds: 1_799_999_989)) == .badClaims)
    }

    @Test func refusesOtherSpellingsOfTheToken() async throws {
        let token = try forge.token()
        for wrong in [
            token + "=", token + "==", token + ".", "." + token, token + " ", " " + token, token + "\n",
            token.replacing(".", with: ".."), String(token.dropLast()), token + "A", "", ".", "..", "a.b",
            token.replacing("-", with: "+").replacing("_", with: "/") + "+",
        ] {
            #expect(await forge.refusal(wrong) != nil, "\(wrong)")
        }
    }

    /// 86 characters hold 516 bits of which 512 count: fifteen more spellings decode to the same signature elsewhere.
    @Test func refusesAnEquivalentLastCharacter() async throws {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        let token = try forge.token()
        let last = try #require(token.last)
        let place = try #require(alphabet.firstIndex(of: last))
        #expect(place % 16 == 0)
        for offset in 1..<16 {
            #expect(await forge.refusal(String(token.dropLast()) + String(alphabet[place + offset])) == .malformed)
        }
    }

    @Test func refusesEveryChangedCharacter() async throws {
        let token = Array(try forge.token().utf8)
        for index in token.indices {
            var changed = token
            changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(await forge.refusal(String(decoding: changed, as: UTF8.self)) != nil, "at \(index)")
        }
    }

    @Test func refusesLongTokens() async throws {
        let claims = forge.claims("pad", "\"\(String(repeating: "x", count: 3100))\"")
        #expect(await forge.refusal(try forge.token(claims: claims)) == .malformed)
        let short = forge.claims("pad", "\"\(String(repeating: "x", count: 1000))\"")
        #expect(await forge.refusal(try forge.token(claims: short)) == nil)
    }

    /// Another library must read the tokens as we do.
    @Test func anotherLibraryVerifiesThem() async throws {
        struct Claims: JWTPayload {
            let sub: String
            let sid: String
            func verify(using algorithm: some JWTAlgorithm) async throws {}
        }
        let jwk = SigningKey.publicJWK(keyID: forge.key.keyID, publicKey: forge.key.publicKey)
        let collection = try await JWTKeyCollection().add(jwksJSON: #"{"keys":[\#(jwk)]}"#)
        let claims = try await collection.verify(try forge.token(), as: Claims.self)
        #expect(claims.sub == forge.user.description)
        #expect(claims.sid == forge.session.description)
    }
}

@Suite struct VerificationKeysTests {
    private let x = Base64URL.encode(SigningKey().publicKey)

    private func keys(_ json: String) throws -> Set<String> { try VerificationKeys(jwks: Array(json.utf8)).keyIDs }

    @Test func skipsOtherKinds() throws {
        let json = """
            {"keys":[{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"X25519","kid":"x","x":"\(x)"},
            {"kty":"OKP","crv":"Ed25519","kid":"e","use":"enc","x":"\(x)"},
            {"kty":"OKP","crv":"Ed25519","kid":"k","x":"\(x)","use":"sig","alg":"EdDSA"}]}
            """
        #expect(try keys(json) == ["k"])
    }

    @Test func refusesWhatIsNoKeySet() {
        for json in [
            #"{"keys":[]}"#, #"{"keys":[{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}]}"#, "", "[]", "{}",
            #"{"keys":{}}"#, #"{"keys":[7]}"#, #"{"keys":[]}x"#, #"{"keys":[],"keys":[]}"#,
            #"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"\#(x)"}]}"#,
            #"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"\#(x)="}]}"#,
            #"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAA"}]}"#,
            #"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"\#(x)"},{"kty":"OKP","crv":"Ed25519","kid":"k","x":"\#(x)"}]}"#,
        ] {
            #expect(throws: (any Error).self, "\(json)") { try keys(json) }
        }
    }
}

@Suite struct StrictJSONTests {
    @Test(arguments: [
        "", " ", "{", "}", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "[1 2]", "01", "-", "1.", ".5", "1e",
        "+1",
        "tru", "nul", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\u{01}\"",
        "{} x",
        "{\"a\":1,\"a\":2}", "[[[[[[[[[1]]]]]]]]]", "'a'", "{a:1}", "NaN",
    ])
    func refuses(_ text: String) { #expect(StrictJSON(Array(text.utf8)) == nil) }

    @Test func refusesBrokenUTF8() { #expect(StrictJSON([0x22, 0xC3, 0x28, 0x22]) == nil) }

    @Test func reads() {
        #expect(StrictJSON(Array(#""\ud83d\ude00\n\/""#.utf8))?.text == "😀\n/")
        #expect(StrictJSON(Array(" [ 1 , -2 , 1.5 , true ] ".utf8)) != nil)
        #expect(StrictJSON(Array("-12".utf8))?.integer == -12)
        #expect(StrictJSON(Array("-0".utf8))?.integer == nil)
        #expect(StrictJSON(Array("9223372036854775807".utf8))?.integer == .max)
        #expect(StrictJSON(Array("9223372036854775808".utf8))?.integer == nil)
        #expect(StrictJSON(Array("1.0".utf8))?.integer == nil)
        #expect(StrictJSON(Array(#"{"a":{"b":[null]}}"#.utf8))?.members?["a"]?.members?["b"] != nil)
    }
}
