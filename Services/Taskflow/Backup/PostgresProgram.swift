import Foundation
import Postgres

/// A program of Postgres, run to its end with the connection in its environment.
struct PostgresProgram {
    let path: String
    private let environment: [String: String]

    /// `pg_dump` or `pg_restore` of the newest PostgreSQL that is installed, for the database of `url`, or for a file.
    init(_ name: String, url: String? = nil) throws {
        guard let path = SystemPrograms.postgres(name) else {
            throw StartError(
                "\(name) is missing: install the package postgresql-client, of the server's version or newer"
            )
        }
        self.path = path
        let place = try url.map { try PostgresConfiguration.programEnvironment(for: $0) } ?? [:]
        // What the URL leaves open comes from PGHOST and the like, here as in libpq.
        environment = ProcessInfo.processInfo.environment.merging(place) { $1 }
    }

    /// What it says about itself.
    func version() throws -> String {
        try output(["--version"]).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Runs it; throws one line with its last words if it fails.
    @discardableResult
    func output(_ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        // It has a process group of its own, which no Ctrl-C reaches: it would go on when we are gone.
        Interruption.watch()
        defer { Interruption.stopWatching() }
        try process.run()
        Interruption.ends(process.processIdentifier)
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard !Interruption.happened else { throw StartError("broken off by a signal") }
        guard process.terminationStatus == 0 else {
            let name = path.split(separator: "/").last ?? ""
            throw StartError("\(name) failed: \(PostgresProgram.lastWords(text))")
        }
        return text
    }

    /// The lines that say what is wrong, as one.
    static func lastWords(_ text: String) -> String {
        let lines = text.split(separator: "\n").map(String.init)
        let errors = lines.filter { $0.contains("error") || $0.contains("FATAL") || $0.contains("detail") }
        return (errors.isEmpty ? lines : errors).suffix(3).joined(separator: " ")
    }
}
