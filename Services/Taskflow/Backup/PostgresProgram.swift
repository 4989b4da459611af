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
        let outside = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PG") }
        let place = try url.map { try PostgresConfiguration.programEnvironment(for: $0) } ?? [:]
        environment = outside.merging(place) { $1 }
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
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
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

/// Pictures, copied from folder to folder.
enum PictureFiles {
    /// Copies what the target does not have yet; how many files it has then. A file that goes away meanwhile is let go.
    static func copyMissing(from source: String, to target: String) throws -> Int {
        let files = FileManager.default
        try PrivateFiles.makeFolders(target, mode: 0o755)
        guard let names = files.enumerator(atPath: source) else { return 0 }
        for case let name as String in names {
            let (from, to) = ("\(source)/\(name)", "\(target)/\(name)")
            var isFolder: ObjCBool = false
            guard files.fileExists(atPath: from, isDirectory: &isFolder), !files.fileExists(atPath: to) else {
                continue
            }
            if isFolder.boolValue {
                try files.createDirectory(atPath: to, withIntermediateDirectories: true)
                continue
            }
            do {
                try files.copyItem(atPath: from, toPath: to)
            } catch {
                guard !files.fileExists(atPath: from) else {
                    throw StartError("\(from) cannot be copied to \(to): \(error.localizedDescription)")
                }
            }
        }
        return count(in: target)
    }

    static func count(in folder: String) -> Int {
        guard let names = FileManager.default.enumerator(atPath: folder) else { return 0 }
        var count = 0
        for case let name as String in names {
            var isFolder: ObjCBool = false
            let isThere = FileManager.default.fileExists(atPath: "\(folder)/\(name)", isDirectory: &isFolder)
            if isThere, !isFolder.boolValue { count += 1 }
        }
        return count
    }
}
