import Identity
import Redis

/// What Redis knows of sessions and keys; written by Auth, read here with one MGET.
struct Revocations: Sendable {
    enum Standing: Sendable, Hashable {
        /// With the session's positions as stored.
        case living(String)
        case sessionChanged
        case keyRevoked
        /// Redis does not hold everything that was revoked, or not yet again.
        case unknown
    }

    let redis: RedisClient

    /// Asks for everything at once: the keys share a hash tag, so one command may name them all.
    func question(about token: VerifiedAccessToken) -> RedisCommand {
        let session = token.principal.session
        return RedisCommand(
            "MGET",
            "{auth}:confirmed",
            "{auth}:session:\(session)",
            "{auth}:kid:\(token.keyID)",
            "{auth}:position:\(session)"
        )
    }

    /// What the answer means; `server` is the one of the connection before the question was sent.
    func standing(_ answer: RedisValue, server: String?, token: VerifiedAccessToken) -> Standing {
        guard case .array(let values) = answer, values.count == 4 else { return .unknown }
        // A connection that changed meanwhile may have asked another server than the one compared with.
        guard let server, server == redis.serverRunID else { return .unknown }
        return Self.judge(values, server: server, generation: token.principal.generation)
    }

    static func judge(_ values: [RedisValue], server: String, generation: Int64) -> Standing {
        guard values[0].string == server else { return .unknown }
        if values[2] != .null { return .keyRevoked }
        if let lowest = values[1].string {
            guard let number = Int64(lowest), generation >= number else { return .sessionChanged }
        } else if values[1] != .null {
            return .unknown
        }
        return .living(values[3].string ?? "")
    }

    /// Merges positions into those of a session.
    func remember(_ positions: PositionSet, session: SessionID, now: Int64) async throws {
        let command = RedisCommand([
            "EVAL", RateScript.mergePositions, "1", "{auth}:position:\(session)", positions.stored,
            String(now - PositionSet.lifetime), String(PositionSet.lifetime),
        ])
        _ = try await redis.send(command)
    }
}
