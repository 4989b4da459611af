import Crypto
import Foundation
import Logging

/// A private Postgres cluster and a private Redis for one installation, run from the installed server programs on Unix
/// sockets.
struct EmbeddedServers: Sendable {
    /// Where the servers keep their data.
    let state: String
    /// Where their sockets are.
    let sockets: String
    /// Password of the cluster's administrator.
    let administratorPassword: String
    private let postgresAccount: SystemAccount?
    private let redisAccount: SystemAccount?

    /// The administrator's role, made by initdb.
    static let administrator = "taskflow_admin"
    /// The one database; each service has a schema in it.
    static let database = "taskflow"

    /// Servers for an installation folder. As root they run under the accounts `postgres` and `redis`; if those may
    /// not reach the folder (a home closed to others, say) their data is kept in `/var/lib/taskflow` and linked from it.
    ///
    /// - Parameter isNew: whether the folder's secrets were made just now; data left in `/var/lib/taskflow` by a folder of
    ///   that name which is no more is then left alone, since nobody has its passwords.
    /// - Parameter mayBeEmpty: whether a cluster is made where there is none.
    init(directory: String, administratorPassword: String, isNew: Bool, mayBeEmpty: Bool) throws {
        self.administratorPassword = administratorPassword
        if geteuid() == 0 {
            guard let account = SystemAccount(named: "postgres") else {
                throw StartError("there is no account named postgres: install the package postgresql")
            }
            postgresAccount = account
            redisAccount = SystemAccount(named: "redis") ?? account
        } else {
            postgresAccount = nil
            redisAccount = nil
        }
        let name = SHA256.hash(data: Data(directory.utf8)).prefix(6).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
        state = try EmbeddedServers.state(
            of: directory,
            elsewhere: "/var/lib/taskflow/\(name)",
            account: postgresAccount,
            isNew: isNew,
            mayBeEmpty: mayBeEmpty
        )
        // A Unix socket's path holds at most 107 bytes, and Postgres takes a comma for the end of it.
        let near = "\(state)/run"
        sockets = near.utf8.count < 80 && !near.contains(",") ? near : "/tmp/taskflow-\(name)"
    }

    /// Where the data is. What is there decides, before names and modes do: the folder may have been renamed, or opened to
    /// others since, and nobody wants an empty database then.
    static func state(
        of directory: String,
        elsewhere: String,
        account: SystemAccount?,
        isNew: Bool,
        mayBeEmpty: Bool
    ) throws -> String {
        func hasData(_ folder: String) -> Bool { access("\(folder)/postgres/PG_VERSION", F_OK) == 0 }
        let link = "\(directory)/servers"
        let linked = try? FileManager.default.destinationOfSymbolicLink(atPath: link)
        if let linked, hasData(linked) { return try locked(linked) }
        let isReachable = account.map { EmbeddedServers.isReachable(directory, by: $0) } ?? true
        if hasData(directory) {
            guard isReachable else {
                throw StartError(
                    "the account \(account?.name ?? "") may not reach the database in \(directory): let others through "
                        + "that folder and those above it (chmod o+x)"
                )
            }
            return directory
        }
        let isElsewhere = !isReachable && !isNew && hasData(elsewhere)
        guard mayBeEmpty || isElsewhere else {
            throw StartError(
                "the database of this installation is not in \(linked ?? directory): put it back, restore a backup, or "
                    + "use another --directory"
            )
        }
        if isReachable { return directory }
        try PrivateFiles.makeFolder("/var/lib/taskflow", mode: 0o755, owner: nil)
        var place = elsewhere
        if isNew, access(elsewhere, F_OK) == 0 {
            // Of a folder that had this name; it may have another now.
            place += "-\(Int(Date().timeIntervalSince1970))"
            Program.say("The data of another installation, which was in \(directory) before, stays in \(elsewhere).")
        }
        try PrivateFiles.makeFolder(place, mode: 0o755, owner: nil)
        unlink(link)
        guard symlink(place, link) == 0 else {
            throw StartError("\(link) could not be made: \(String(cString: strerror(errno)))")
        }
        return try locked(place)
    }

    /// A copy of the folder leads to the same data: one at a time.
    private static func locked(_ state: String) throws -> String {
        do {
            try FolderLock.take("\(state)/lock")
        } catch let other as FolderInUse {
            throw InstallationInUse(directory: state, who: other.who)
        }
        return state
    }

    /// Starts both servers; whichever was started before a failure is stopped again.
    func start(logger: Logger) async throws -> RunningServers {
        try PrivateFiles.makeFolder(sockets, mode: 0o711, owner: postgresAccount)
        try PrivateFiles.makeFolder("\(sockets)/redis", mode: 0o700, owner: redisAccount)
        try initializePostgres()
        let postgres = try await KeptServer(stopSignal: SIGINT, seconds: 30, logger: logger, start: startPostgres)
        do {
            let redis = try await KeptServer(stopSignal: SIGTERM, seconds: 20, logger: logger, start: startRedis)
            return RunningServers(postgres: postgres, redis: redis)
        } catch {
            await postgres.stop()
            throw error
        }
    }

    /// libpq URI for a role, over the socket.
    func postgresURL(role: String, password: String, database: String = EmbeddedServers.database) -> String {
        let host = sockets.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? sockets
        return "postgresql://\(role):\(password)@\(host):5432/\(database)"
    }

    /// URL of the Redis socket; encoded no more than it has to be, since people read it.
    var redisURL: String {
        let path = "\(sockets)/redis/redis.sock"
        let plain = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "/-._~"))
        return "unix://\(path.addingPercentEncoding(withAllowedCharacters: plain) ?? path)"
    }

    private static func postgresProgram(_ name: String) throws -> String {
        guard let path = SystemPrograms.postgres(name) else {
            throw StartError("PostgreSQL's server programs are missing: install the package postgresql")
        }
        return path
    }

    /// Makes the cluster if there is none yet.
    private func initializePostgres() throws {
        let data = "\(state)/postgres"
        guard access("\(data)/PG_VERSION", F_OK) != 0 else { return }
        let initdb = try EmbeddedServers.postgresProgram("initdb")
        try? FileManager.default.removeItem(atPath: data)
        try PrivateFiles.makeFolder(data, mode: 0o700, owner: postgresAccount)
        let passwordFile = "\(sockets)/.initdb"
        try PrivateFiles.write(administratorPassword, to: passwordFile, owner: postgresAccount)
        defer { unlink(passwordFile) }
        try SystemPrograms.run(
            [
                initdb, "-D", data, "-U", EmbeddedServers.administrator, "--pwfile=\(passwordFile)",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
            ],
            as: postgresAccount
        )
    }

    /// Also where it has ended by itself; it is never made anew then.
    private func startPostgres() async throws -> ChildProcess {
        let server = try EmbeddedServers.postgresProgram("postgres")
        let data = "\(state)/postgres"
        try await stopLeftover(pidFile: "\(data)/postmaster.pid", signal: SIGINT)
        let child = try ChildProcess.start(
            [
                server, "-D", data, "-k", sockets, "-p", "5432", "-c", "listen_addresses=", "-c", "max_connections=200",
                "-c", "shared_buffers=128MB", "-c", "log_timezone=UTC", "-c", "timezone=UTC",
            ],
            as: postgresAccount,
            log: "\(sockets)/postgres.log",
            parentDeathSignal: "INT"
        )
        let socket = "\(sockets)/.s.PGSQL.5432"
        try await wait(for: child, log: "\(sockets)/postgres.log") {
            guard access(socket, F_OK) == 0, let ready = SystemPrograms.postgres("pg_isready") else { return false }
            return (try? SystemPrograms.run([ready, "-q", "-h", sockets, "-p", "5432"], as: nil)) != nil
        }
        return child
    }

    private func startRedis() async throws -> ChildProcess {
        guard let server = SystemPrograms.find("redis-server") else {
            throw StartError("redis-server is missing: install the package redis-server")
        }
        let data = "\(state)/redis"
        try PrivateFiles.makeFolder(data, mode: 0o700, owner: redisAccount)
        let pidFile = "\(sockets)/redis/redis.pid"
        try await stopLeftover(pidFile: pidFile, signal: SIGTERM)
        let socket = "\(sockets)/redis/redis.sock"
        unlink(socket)
        let child = try ChildProcess.start(
            [
                server, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", data,
                "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
                "--pidfile", pidFile, "--daemonize", "no",
            ],
            as: redisAccount,
            log: "\(sockets)/redis.log",
            parentDeathSignal: "TERM"
        )
        try await wait(for: child, log: "\(sockets)/redis.log") {
            access(socket, F_OK) == 0
        }
        return child
    }

    /// A server of this very folder that outlived its installation (which was killed) is stopped before a new one.
    private func stopLeftover(pidFile: String, signal: Int32) async throws {
        guard
            let text = try? String(contentsOfFile: pidFile, encoding: .utf8),
            let pid = text.split(separator: "\n").first.flatMap({ pid_t(String($0)) }), pid > 1,
            let line = try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(pid)/cmdline")),
            String(decoding: line, as: UTF8.self).contains(state)
                || String(decoding: line, as: UTF8.self).contains(sockets)
        else { return }
        kill(pid, signal)
        for _ in 0..<600 where kill(pid, 0) == 0 {
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        if kill(pid, 0) == 0 { throw StartError("a server left over from before, process \(pid), does not stop") }
    }

    /// Returns once it is ready; otherwise it does not run any more.
    private func wait(for child: ChildProcess, log: String, until isReady: () -> Bool) async throws {
        do {
            try await waitUntilReady(child, log, isReady)
        } catch {
            // Both take it for a fast shutdown.
            await child.stop(signal: SIGINT, within: 30)
            throw error
        }
    }

    private func waitUntilReady(_ child: ChildProcess, _ log: String, _ isReady: () -> Bool) async throws {
        // A Postgres that was killed reads its log again, and a Redis its file; that takes minutes where there is much of it.
        for _ in 0..<12_000 {
            if isReady() { return }
            guard child.isRunning else {
                let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
                let last = text.split(separator: "\n").suffix(3).joined(separator: " ")
                throw StartError("\(child.name) stopped at once, see \(log): \(last)")
            }
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        throw StartError("\(child.name) was not ready within ten minutes, see \(log)")
    }

    private static func isReachable(_ folder: String, by account: SystemAccount) -> Bool {
        (try? SystemPrograms.run(["/usr/bin/test", "-x", folder], as: account)) != nil
            || (try? SystemPrograms.run(["/bin/test", "-x", folder], as: account)) != nil
    }
}
