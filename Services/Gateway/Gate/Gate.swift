import Chronology
import Crypto
import Failures
import Identity
import Logging
import Redis
import ServiceKit

/// Judges who may pass: token, revocation, rate, positions. Asks Redis once for all of it.
final class Gate: Sendable {
    /// What is known of a request before it is judged.
    struct Question: Sendable {
        var auth: AuthRule
        var rates: [RateRule]
        var authorization: String?
        /// What requests of this client are counted by.
        var client: String
        /// `Taskflow-Position`, as the client sent it.
        var position: String?
    }

    struct Admission: Sendable {
        var principal: Principal?
        /// What the service must have applied before it answers.
        var positions = PositionSet()
        /// `RateLimit-Policy` and `RateLimit`.
        var fields: [HeaderFields.Field] = []
    }

    struct Refusal: Error, Sendable {
        var rejection: Rejection
        var principal: Principal?

        init(_ rejection: Rejection, principal: Principal? = nil) {
            self.rejection = rejection
            self.principal = principal
        }
    }

    struct Settings: Sendable {
        var failsOpen: Bool
        var limitsRates: Bool
    }

    private let settings: Settings
    private let keys: KeySource
    private let revocations: Revocations
    private let rates: SharedRates
    private let seal: PositionSeal
    private let memory = PositionMemory()
    private let clock: WallClock
    private let logger: Logger

    init(
        settings: Settings,
        keys: KeySource,
        gateRedis: RedisClient,
        rateRedis: RedisClient,
        seal: PositionSeal,
        clock: WallClock,
        logger: Logger
    ) {
        self.settings = settings
        self.keys = keys
        self.seal = seal
        self.clock = clock
        self.logger = logger
        revocations = Revocations(redis: gateRedis)
        rates = SharedRates(redis: rateRedis, clock: clock)
    }

    /// Whether a request has to be judged at all.
    func isConcerned(_ question: Question) -> Bool {
        question.auth != .none || question.position != nil || (settings.limitsRates && !question.rates.isEmpty)
    }

    func judge(_ question: Question, verifier: AccessTokenVerifier) async throws(Refusal) -> Admission {
        let token = try await verifiedToken(question, verifier: verifier)
        var admission = Admission(principal: token?.principal)
        let (standing, answers) = await ask(question, token)
        if let token, let standing {
            do {
                admission.positions = try positions(standing, of: token)
            } catch {
                // Whoever holds a token that has ended could else use up what its owner, or all of them, may ask.
                await rates.giveBack(answers)
                throw error
            }
            admission.positions.merge(memory.positions(of: token.principal.session, now: clock.now.seconds))
        }
        admission.fields = RateFields.fields(answers)
        if let refused = answers.filter({ !$0.answer.isAllowed }).max(by: {
            $0.answer.waitMilliseconds < $1.answer.waitMilliseconds
        }) {
            let seconds = max(1, (refused.answer.waitMilliseconds + 999) / 1000)
            throw Refusal(
                Rejection(
                    status: 429,
                    code: "too-many-requests",
                    detail: "There were too many requests; wait a little.",
                    headers: admission.fields + [HeaderFields.Field(name: "retry-after", value: String(seconds))]
                ),
                principal: token?.principal
            )
        }
        if let sealed = question.position {
            guard let own = seal.open(sealed, organization: token?.principal.organization, now: clock.now) else {
                throw Refusal(
                    Rejection(
                        status: 400,
                        code: "bad-position",
                        detail: "Taskflow-Position is not one of ours, not of this organization, or too old.",
                        headers: admission.fields
                    ),
                    principal: token?.principal
                )
            }
            if token != nil { admission.positions.merge(own) }
        }
        return admission
    }

    /// Remembers where a session's write ended, here and for the other gateways; gives the sealed form for the client.
    func remember(_ header: String, session: SessionID?, organization: OrganizationID?) async -> String? {
        let now = clock.now
        guard let positions = PositionSet(header: header, learned: now.seconds), !positions.isEmpty else {
            logger.warning("a service answered with a position that is not well formed")
            return nil
        }
        if let session {
            memory.merge(positions, into: session, now: now.seconds)
            do {
                try await revocations.remember(positions, session: session, now: now.seconds)
            } catch {
                // This gateway knows it; another one may serve the session's next request from state that is a moment old.
                logger.debug("positions could not be shared", metadata: ["error": "\(error)"])
            }
        }
        return organization.map { seal.seal(positions, organization: $0, now: now) }
    }

    /// Tokens are judged anew, since the rules for them have changed.
    func forgetTokens() { keys.forgetTokens() }

    private func verifiedToken(_ question: Question, verifier: AccessTokenVerifier) async throws(Refusal)
        -> VerifiedAccessToken?
    {
        guard question.auth != .none else { return nil }
        guard let header = question.authorization else {
            if question.auth == .optional { return nil }
            throw Refusal(Self.unauthenticated("unauthenticated", "This needs an access token."))
        }
        guard let token = BearerToken.read(header) else {
            throw Refusal(Self.unauthenticated("invalid-token", "The access token is not good."))
        }
        do {
            return try await keys.verify(token, by: verifier)
        } catch let failure as Failure {
            throw Refusal(.unavailable(failure.code, failure.detail, after: failure.retryAfter ?? 1))
        } catch is AccessTokenError {
            throw Refusal(Self.unauthenticated("invalid-token", "The access token is not good."))
        } catch {
            logger.error("access tokens cannot be checked", metadata: ["error": "\(error)"])
            throw Refusal(.unavailable("no-keys", "Access tokens cannot be checked at the moment."))
        }
    }

    /// One round trip: with one Redis for both, the question about the token and the limits travel in one pipeline.
    private func ask(
        _ question: Question,
        _ token: VerifiedAccessToken?
    ) async -> (standing: Revocations.Standing?, rates: [SharedRates.Result]) {
        let keyed =
            settings.limitsRates
            ? question.rates.map {
                SharedRates.Keyed(rule: $0, key: Self.key(of: $0, client: question.client, token?.principal))
            } : []
        let commands = rates.questions(keyed)
        guard let token else {
            guard !keyed.isEmpty else { return (nil, []) }
            return (nil, await rates.results(try? await rates.redis.send(commands), keyed))
        }
        let server = revocations.redis.serverRunID
        guard revocations.redis === rates.redis else {
            async let limited = keyed.isEmpty ? nil : try? await rates.redis.send(commands)
            let answer = try? await revocations.redis.send(revocations.question(about: token))
            let standing = answer.map { revocations.standing($0, server: server, token: token) } ?? .unknown
            return (standing, keyed.isEmpty ? [] : await rates.results(await limited, keyed))
        }
        let answers = try? await rates.redis.send([revocations.question(about: token)] + commands)
        let standing = answers?.first.map { revocations.standing($0, server: server, token: token) } ?? .unknown
        return (standing, keyed.isEmpty ? [] : await rates.results(answers.map { Array($0.dropFirst()) }, keyed))
    }

    /// The positions of a token's session, if the token still lives.
    private func positions(
        _ standing: Revocations.Standing,
        of token: VerifiedAccessToken
    ) throws(Refusal) -> PositionSet {
        switch standing {
        case .living(let stored):
            var positions = PositionSet(stored: stored)
            positions.dropExpired(now: clock.now.seconds)
            return positions
        case .sessionChanged:
            throw Refusal(
                Self.unauthenticated("session-changed", "The session has changed or ended; refresh it or log in."),
                principal: token.principal
            )
        case .keyRevoked:
            throw Refusal(
                Self.unauthenticated("invalid-token", "The access token is not good."),
                principal: token.principal
            )
        case .unknown:
            if settings.failsOpen { return PositionSet() }
            throw Refusal(
                .unavailable("revocation-unknown", "Whether the session still lives cannot be checked at the moment."),
                principal: token.principal
            )
        }
    }

    /// Keys carry the organization, so that no tenant can be counted for another; and the window, whose parts have
    /// other numbers when a new configuration makes it longer or shorter.
    static func key(of rule: RateRule, client: String, _ principal: Principal?) -> String {
        let owner =
            switch (rule.key, principal) {
            case (.ip, _), (_, nil): "ip:\(client)"
            case (.user, let principal?): "user:\(principal.organization):\(principal.user)"
            case (.organization, let principal?): "organization:\(principal.organization)"
            case (.session, let principal?): "session:\(principal.session)"
            }
        return "{rate:\(rule.name):\(rule.window.milliseconds):\(owner)}"
    }

    private static func unauthenticated(_ code: String, _ detail: String) -> Rejection {
        let challenge =
            code == "unauthenticated" ? "Bearer" : "Bearer error=\"invalid_token\", error_description=\"\(code)\""
        return Rejection(
            status: 401,
            code: code,
            detail: detail,
            headers: [HeaderFields.Field(name: "www-authenticate", value: challenge)]
        )
    }
}

/// The token in `Authorization`: one scheme, one space, one token, so that a token has one spelling.
enum BearerToken {
    static func read(_ header: String) -> String? {
        let bytes = Array(header.utf8)
        guard bytes.count > 7, bytes.count <= 8192, bytes[6] == 0x20 else { return nil }
        guard String(decoding: bytes[..<6], as: UTF8.self).lowercased() == "bearer" else { return nil }
        let token = bytes[7...]
        guard token.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        return String(decoding: token, as: UTF8.self)
    }
}
