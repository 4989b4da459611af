import Chronology
import Crypto
import Foundation
import ServiceKit
import Synchronization

@testable import Identity

/// Access tokens: whatever is accepted says in every claim what another JSON reader finds there, no other spelling of
/// it is accepted, and a token that is good in every respect is accepted as what it says.
enum TokenProperty {
    private static let verifier = AccessTokenVerifier(issuer: "https://tasks.example")
    private static let now = Timestamp(seconds: 1_800_000_000)
    private static let seed = [UInt8](repeating: 9, count: 32)
    private static let header = Array(#"{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}"#.utf8)

    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let bytes = Array(bytes)
        let maker = try TokenMaker(seed: seed)
        try judgeKeySet(bytes)
        if let decoded = Base64URL.decode(bytes) {
            try expect(Base64URL.encode(decoded).utf8.elementsEqual(bytes), "two spellings of one value")
            let padding = String(repeating: "=", count: (4 - bytes.count % 4) % 4)
            let standard = String(decoding: bytes, as: UTF8.self)
                .replacing("-", with: "+").replacing("_", with: "/")
            try expect(Data(base64Encoded: standard + padding).map(Array.init) == decoded, "two readers differ")
        }
        try judgeToken(String(decoding: bytes, as: UTF8.self), maker)

        let isObject = StrictJSON(bytes)?.members != nil
        let good = maker.claims(now: now.seconds)
        for (head, claims) in [(header, bytes), (bytes, good)] {
            // A signature takes its time; without an object nobody looks at it.
            let token = try isObject ? maker.token(head, claims) : maker.unsigned(head, claims)
            let verified = try judgeToken(token, maker)
            if !isObject { try expect(verified == nil, "accepted without an object") }
            if let verified { try judgeClaims(verified, head, claims) }
        }
        try judgeGoodToken(bytes, maker)
    }

    /// What a token says; nil where it is refused in one of the known ways. An accepted one is changed and must fail.
    @discardableResult
    private static func judgeToken(_ token: String, _ maker: TokenMaker) throws -> VerifiedAccessToken? {
        guard let verified = try verified(token, maker) else { return nil }
        try expect(token.utf8.count <= 4096, "accepts what is too long: \(token.utf8.count) bytes")
        var chooser = Chooser(token.utf8)
        let edited = String(decoding: changed(Array(token.utf8), &chooser), as: UTF8.self)
        for other in [edited, token + "=", token + ".", token + " "] {
            try expect(try Self.verified(other, maker) == nil, "accepts what was edited: \(other), made as \(token)")
        }
        return verified
    }

    private static func verified(_ token: String, _ maker: TokenMaker) throws -> VerifiedAccessToken? {
        let keys = maker.keys
        do {
            return try inline { try await verifier.verify(token, with: keys, now: now) }
        } catch is AccessTokenError {
            return nil
        }
    }

    /// What the reader of bodies finds in the same bytes.
    private static func judgeClaims(_ verified: VerifiedAccessToken, _ head: [UInt8], _ claims: [UInt8]) throws {
        guard let head = try? JSON(parsing: head), let claims = try? JSON(parsing: claims) else {
            throw Violation("accepts what is no JSON")
        }
        guard case .object(let members) = head, members.count == 3 else { throw Violation("a header of another form") }
        try expect(
            head["alg"]?.text == "EdDSA" && head["typ"]?.text == "at+jwt" && head["kid"]?.text == "key-1"
                && verified.keyID == "key-1",
            "accepts another header"
        )
        let principal = verified.principal
        for (name, value) in [
            ("iss", "https://tasks.example"), ("aud", "taskflow"), ("sub", principal.user.description),
            ("org", principal.organization.description), ("sid", principal.session.description),
            ("role", principal.role.rawValue), ("jti", verified.tokenID),
        ] {
            try expect(
                claims[name]?.text?.utf8.elementsEqual(value.utf8) == true,
                "takes a claim for another: \(name) for \(value)"
            )
        }
        try expect(claims["gen"]?.integer == principal.generation && principal.generation >= 0, "takes gen for another")
        try expect(claims["iat"]?.integer == verified.issuedAt.seconds, "takes iat for another")
        try expect(claims["exp"]?.integer == verified.expiresAt.seconds, "takes exp for another")
        let lifetime = verified.expiresAt - verified.issuedAt
        try expect(lifetime > .zero && lifetime <= .seconds(300), "accepts another lifetime: \(lifetime)")
        try expect(verified.issuedAt <= now + .seconds(10), "accepts a token of the future")
        try expect(verified.expiresAt + .seconds(10) > now, "accepts a token of the past")
        if let notBefore = claims["nbf"] {
            try expect(notBefore.integer.map { $0 <= now.seconds + 10 } == true, "accepts a token before its time")
        }
    }

    private static func judgeGoodToken(_ bytes: [UInt8], _ maker: TokenMaker) throws {
        var maker = maker
        maker.vary(by: bytes)
        // One in eight is enough of a token that hardly differs from the last.
        guard maker.generation % 8 == 0 else { return }
        let claims = maker.claims(now: now.seconds)
        guard let verified = try verified(maker.token(header, claims), maker) else {
            throw Violation("refuses a good token: \(String(decoding: claims, as: UTF8.self))")
        }
        try judgeClaims(verified, header, claims)
        try expect(verified.principal.generation == maker.generation, "another generation")
    }

    /// A set that is accepted holds keys by good names, and is the same set when written out.
    private static func judgeKeySet(_ bytes: [UInt8]) throws {
        guard let set = try? VerificationKeys(jwks: bytes) else { return }
        let keys = set.keys.mapValues { Array($0.rawRepresentation) }
        let written = keys.map { name, key in
            #"{"kty":"OKP","crv":"Ed25519","kid":"\#(name)","x":"\#(Base64.url(key))"}"#
        }
        let again = try VerificationKeys(jwks: Array(#"{"keys":[\#(written.joined(separator: ","))]}"#.utf8))
        try expect(again.keys.mapValues { Array($0.rawRepresentation) } == keys, "the key set does not come back")
        try expect(keys.keys.allSatisfy(AccessTokenVerifier.isName), "a key without a good name")
    }
}

/// Makes tokens byte for byte.
private struct TokenMaker: Sendable {
    private let key: Curve25519.Signing.PrivateKey
    let keys: VerificationKeys
    private(set) var generation: Int64 = 3
    private var user = UserID(first: 1)
    private var role = Role.manager
    private var age = 0

    init(seed: [UInt8]) throws {
        key = try Curve25519.Signing.PrivateKey(rawRepresentation: seed)
        let x = Base64.url(Array(key.publicKey.rawRepresentation))
        keys = try VerificationKeys(
            jwks: Array(#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"key-1","x":"\#(x)"}]}"#.utf8)
        )
    }

    mutating func vary(by bytes: [UInt8]) {
        var chooser = Chooser(bytes)
        generation = Int64(chooser.below(1 << 30))
        user = UserID.make(milliseconds: Int64(chooser.below(1 << 30)))
        role = Role.allCases[chooser.below(Role.allCases.count)]
        age = chooser.within(-10...309)
    }

    func claims(now: Int64) -> [UInt8] {
        let issued = now - Int64(age)
        return Array(
            """
            {"iss":"https://tasks.example","aud":"taskflow","sub":"\(user)","org":"\(user)","sid":"\(user)",\
            "role":"\(role.rawValue)","gen":\(generation),"jti":"abc_-123","iat":\(issued),"exp":\(issued + 300)}
            """.utf8
        )
    }

    func token(_ header: [UInt8], _ claims: [UInt8]) throws -> String {
        let signed = "\(Base64.url(header)).\(Base64.url(claims))"
        return "\(signed).\(Base64.url(Array(try key.signature(for: Array(signed.utf8)))))"
    }

    func unsigned(_ header: [UInt8], _ claims: [UInt8]) -> String {
        "\(Base64.url(header)).\(Base64.url(claims)).\(Base64.url([UInt8](repeating: 1, count: 64)))"
    }
}

/// Runs what never really waits to its end before it returns, on the caller's thread: a target is called ten thousand
/// times a second.
private func inline<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) throws -> Result {
    let kept = Kept<Result>()
    Task(executorPreference: InlineExecutor.shared) {
        do {
            let result = try await body()
            kept.result.withLock { $0 = .success(result) }
        } catch {
            kept.result.withLock { $0 = .failure(error) }
        }
    }
    guard let result = kept.result.withLock({ $0 }) else { throw Violation("waits where there is nothing to wait for") }
    return try result.get()
}

private final class Kept<Success: Sendable>: Sendable {
    let result = Mutex<Result<Success, any Error>?>(nil)
}

private final class InlineExecutor: TaskExecutor {
    static let shared = InlineExecutor()

    func enqueue(_ job: consuming ExecutorJob) { job.runSynchronously(on: asUnownedTaskExecutor()) }
}
