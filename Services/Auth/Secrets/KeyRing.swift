import Chronology
import Failures
import Identity
import Logging
import Synchronization

/// The signing keys as this process knows them: signs with the right one, publishes the right ones.
///
/// Read again every half second, so that a rotation or a revocation by the command line is followed without a restart.
final class KeyRing: Sendable {
    private struct State {
        var records: [KeyRecord] = []
        var signers: [String: AccessTokenSigner] = [:]
        /// Keys sealed under another secret; said once.
        var unreadable: Set<String> = []
    }

    private let store: KeyStore
    private let issuer: String
    private let lifetime: Duration
    private let logger: Logger
    private let state = Mutex(State())

    init(store: KeyStore, issuer: String, lifetime: Duration, logger: Logger) {
        self.store = store
        self.issuer = issuer
        self.lifetime = lifetime
        self.logger = logger
    }

    /// Reads the keys; makes the first one if there is none.
    func refresh() async throws {
        var records = try await store.keys()
        if KeySchedule(records).signing(at: store.clock.now) == nil {
            try await store.makeFirst()
            records = try await store.keys()
        }
        let known = state.withLock { $0.signers }
        var signers: [String: AccessTokenSigner] = [:]
        for record in records where record.revokedAt == nil {
            if let signer = known[record.keyID] {
                signers[record.keyID] = signer
            } else if let key = open(record) {
                signers[record.keyID] = await AccessTokenSigner(key: key, issuer: issuer, lifetime: lifetime)
            }
        }
        state.withLock { [records, signers] state in
            state.records = records
            state.signers = signers
        }
    }

    private func open(_ record: KeyRecord) -> SigningKey? {
        do {
            return try store.secrets.open(record.sealedKey, keyID: record.keyID)
        } catch {
            if state.withLock({ $0.unreadable.insert(record.keyID).inserted }) {
                logger.error(
                    """
                    a signing key cannot be decrypted: TASKFLOW_SECRET is not the one it was made with; restore it, or \
                    make a new key with `taskflow keys rotate --immediately`
                    """,
                    metadata: ["kid": "\(record.keyID)"]
                )
            }
            return nil
        }
    }

    /// An access token; throws 503 while there is no key to sign with.
    func sign(_ principal: Principal, now: Timestamp) async throws -> String {
        let signer = state.withLock { state in
            KeySchedule(state.records).signing(at: now).flatMap { state.signers[$0.keyID] }
        }
        guard let signer else {
            throw Failure.unavailable("no-signing-key", "There is no key to sign tokens with at the moment.")
        }
        return try await signer.sign(principal, now: now)
    }

    /// The JWK set, RFC 7517.
    func keySet(now: Timestamp) async throws -> [UInt8] {
        // Whoever asks before the first look is one of the services that have just started with this one.
        if state.withLock({ $0.records.isEmpty }) { try await refresh() }
        let records = state.withLock { $0.records }
        let keys = KeySchedule(records).published(at: now, tokenLifetime: lifetime)
            .map { SigningKey.publicJWK(keyID: $0.keyID, publicKey: $0.publicKey) }
        return Array(#"{"keys":[\#(keys.joined(separator: ","))]}"#.utf8)
    }
}

/// Makes the tokens of an answer.
struct TokenIssuer: Sendable {
    let ring: KeyRing
    let secrets: AuthSecrets
    let lifetime: Duration
    let clock: WallClock

    /// Access and refresh token for what a session has been granted.
    func issue(_ grant: Grant) async throws -> TokenPair {
        TokenPair(
            access: try await ring.sign(grant.principal, now: clock.now),
            refresh: secrets.refreshToken(.init(session: grant.session.id, counter: grant.session.refresh.counter)),
            expiresIn: lifetime.components.seconds,
            session: grant.session.id,
            organization: grant.session.organization
        )
    }
}
