import Foundation
import Synchronization

/// A server program started by us, in a process group of its own so that a Ctrl-C in the terminal reaches only us:
/// we stop our services first and the servers after them.
final class ChildProcess: Sendable {
    /// The process.
    let pid: pid_t
    /// The program's name, for messages.
    let name: String
    private let status = Mutex<Int32?>(nil)
    private let ended: AsyncStream<Never>
    private let end: AsyncStream<Never>.Continuation

    private init(pid: pid_t, name: String) {
        self.pid = pid
        self.name = name
        (ended, end) = AsyncStream.makeStream()
    }

    /// Starts a program, its output going to the end of `log`. Where `setpriv` is there, the kernel sends the child
    /// `parentDeathSignal` when we die without having stopped it.
    static func start(
        _ command: [String],
        as account: SystemAccount?,
        log: String,
        parentDeathSignal: String
    ) throws -> ChildProcess {
        var arguments: [String] = []
        if let setpriv = SystemPrograms.find("setpriv") {
            arguments += [setpriv, "--pdeathsig", parentDeathSignal]
            if let account { arguments += account.setprivArguments }
            arguments.append("--")
        } else if account != nil {
            throw StartError("setpriv is missing: install the package util-linux")
        }
        arguments += command
        let name = command.first.map { String($0.split(separator: "/").last ?? "") } ?? ""
        let started = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<ChildProcess, any Error>?>(nil)
        // The death signal is tied to the thread that started the child, so that thread lives as long as the child.
        let line = arguments
        Thread.detachNewThread {
            let result = Result { try spawn(line, log: log) }.map { ChildProcess(pid: $0, name: name) }
            outcome.withLock { $0 = result }
            started.signal()
            guard case .success(let child) = result else { return }
            var code: Int32 = 0
            while waitpid(child.pid, &code, 0) == -1 && errno == EINTR {}
            let final = code
            child.status.withLock { $0 = final }
            child.end.finish()
        }
        started.wait()
        guard let result = outcome.withLock({ $0 }) else { throw StartError("\(name) could not be started") }
        return try result.get()
    }

    /// Whether the process still runs.
    var isRunning: Bool { status.withLock { $0 == nil } }

    /// Waits until it has ended and says how: `exit code 1`, `signal 9`; nil if the task is cancelled before. One at a
    /// time may wait.
    func waitForEnd() async -> String? {
        for await _ in ended {}
        guard let status = status.withLock({ $0 }) else { return nil }
        // As WIFEXITED and its like, which are macros of C.
        return status & 0x7F == 0 ? "exit code \((status >> 8) & 0xFF)" : "signal \(status & 0x7F)"
    }

    /// Asks the process to stop and waits until it has, at most `seconds`; then it is killed. A cancelled task waits too:
    /// a server that is killed has more to mend at its next start.
    func stop(signal: Int32, within seconds: Int) async {
        guard isRunning else { return }
        kill(pid, signal)
        await Task {
            for _ in 0..<(seconds * 20) where isRunning {
                try? await ContinuousClock().sleep(for: .milliseconds(50))
            }
        }.value
        if isRunning { kill(pid, SIGKILL) }
    }

    private static func spawn(_ arguments: [String], log: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))

        var environment: [String] = ["LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC"]
        if let path = ProcessInfo.processInfo.environment["PATH"] { environment.append("PATH=\(path)") }
        return try withCStrings(arguments) { argv in
            try withCStrings(environment) { envp in
                var pid: pid_t = 0
                let code = posix_spawn(&pid, arguments[0], &actions, &attributes, argv, envp)
                guard code == 0 else {
                    throw StartError("\(arguments[0]) could not be started: \(String(cString: strerror(code)))")
                }
                return pid
            }
        }
    }

    private static func withCStrings<Result>(
        _ strings: [String],
        _ body: ([UnsafeMutablePointer<CChar>?]) throws -> Result
    ) rethrows -> Result {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return try body(copies + [nil])
    }
}

/// An operating-system account that a server runs as when we are root, since Postgres refuses to run as root.
struct SystemAccount: Sendable {
    let name: String
    let uid: uid_t
    let gid: gid_t

    /// The account of that name; nil if there is none.
    init?(named name: String) {
        guard let entry = getpwnam(name) else { return nil }
        self.name = name
        uid = entry.pointee.pw_uid
        gid = entry.pointee.pw_gid
    }

    var setprivArguments: [String] { ["--reuid=\(uid)", "--regid=\(gid)", "--clear-groups"] }
}

/// Why a server could not be started, in one line for the operator.
struct StartError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Finds installed programs.
enum SystemPrograms {
    /// A program on the PATH or in the system folders.
    static func find(_ name: String) -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders =
            path.split(separator: ":").map(String.init) + ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// A server program of the newest installed PostgreSQL, which Debian keeps off the PATH.
    static func postgres(_ name: String) -> String? {
        let root = "/usr/lib/postgresql"
        let versions = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).compactMap(Int.init)
        for version in versions.sorted(by: >) {
            let path = "\(root)/\(version)/bin/\(name)"
            if access(path, X_OK) == 0 { return path }
        }
        return find(name)
    }

    /// Runs a program to its end; its output if it failed is part of the error.
    static func run(_ command: [String], as account: SystemAccount?) throws {
        let process = Process()
        var arguments = command
        if let account {
            guard let setpriv = find("setpriv") else {
                throw StartError("setpriv is missing: install the package util-linux")
            }
            arguments = [setpriv] + account.setprivArguments + ["--"] + command
        }
        process.executableURL = URL(fileURLWithPath: arguments[0])
        process.arguments = Array(arguments.dropFirst())
        process.currentDirectoryURL = URL(fileURLWithPath: "/")
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let last = String(decoding: text, as: UTF8.self).split(separator: "\n").suffix(3).joined(separator: " ")
            throw StartError("\(command[0]) failed: \(last)")
        }
    }
}
