import Identity

/// The keys that the gateways ask with one MGET; one hash tag, so that one server of a cluster has them all.
enum GateKey {
    /// The `run_id` of the server that has been told everything.
    static let confirmed = "{auth}:confirmed"
    /// There while somebody is telling everything; gone if the server was emptied meanwhile.
    static func mark(_ name: String) -> String { "{auth}:telling:\(name)" }

    /// The lowest living generation of a session, or `ended`.
    static func session(_ session: SessionID) -> String { "{auth}:session:\(session)" }

    /// `revoked`.
    static func key(_ keyID: String) -> String { "{auth}:kid:\(keyID)" }
}

/// What has to be done in one step on the server.
enum GateScript {
    /// Raises a session's mark, never lowers it, and never brings its end nearer.
    static let raise = """
        local old = redis.call('GET', KEYS[1])
        local left = redis.call('PTTL', KEYS[1])
        local mark = ARGV[1]
        if old and (old == 'ended' or (mark ~= 'ended' and tonumber(old) > tonumber(mark))) then mark = old end
        redis.call('SET', KEYS[1], mark, 'PX', math.max(left, tonumber(ARGV[2])))
        return mark
        """

    /// Confirms the server, if it still has the mark put down before it was told.
    static let confirm = """
        if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[1], ARGV[1])
        redis.call('DEL', KEYS[2])
        return 1
        """
}
