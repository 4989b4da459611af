import Foundation

/// Lets one process at a time work on a folder: the kernel takes a lock away when its holder ends, however it does.
enum FolderLock {
    /// Takes the lock that is the file `path`, for as long as this process lives, and notes in it who has it.
    /// Throws ``FolderInUse`` if another has it.
    static func take(_ path: String) throws {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw StartError("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
        if flock(file, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
            close(file)
            throw FolderInUse(process: holder(of: path))
        }
        // Where a file system knows no locks there is none, rather than no Taskflow.
        let note = "\(getpid())\n"
        if ftruncate(file, 0) == 0 { _ = write(file, note, note.utf8.count) }
    }

    /// Whether a process has the lock now.
    static func isTaken(_ path: String) -> Bool {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    private static func holder(of path: String) -> Int? {
        (try? String(contentsOfFile: path, encoding: .utf8)).flatMap { Int($0.prefix { $0.isNumber }) }
    }
}

/// Another process works on the folder.
struct FolderInUse: Error {
    /// Which, as far as it has said so.
    let process: Int?

    /// For a message: `another Taskflow, process 123,`.
    var who: String { process.map { "another Taskflow, process \($0)," } ?? "another Taskflow" }
}
