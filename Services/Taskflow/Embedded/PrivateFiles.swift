import Foundation
import Glibc

/// Folders and files of an installation that others on the machine may neither read nor have put there.
enum PrivateFiles {
    /// Makes a folder, or takes the one that is there if it is ours or `owner`'s; gives it that mode and owner.
    ///
    /// A folder of somebody else under a name that can be guessed is a trap: what is written into it is theirs to read.
    /// Throws ``StartError``.
    static func makeFolder(_ path: String, mode: mode_t, owner: SystemAccount?) throws {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw failure(path, "made") }
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure(path, "opened") }
        defer { close(folder) }
        // A link has to be ours as well as what it leads to: data may be kept on another disk.
        let trusted = [geteuid(), owner?.uid ?? geteuid()]
        for entry in [path, "\(path)/."] {
            let attributes = try? FileManager.default.attributesOfItem(atPath: entry)
            guard let account = attributes?[.ownerAccountID] as? NSNumber, trusted.contains(account.uint32Value) else {
                throw StartError("\(path) belongs to somebody else: remove it, or use another --directory")
            }
        }
        guard fchmod(folder, mode) == 0 else { throw failure(path, "closed to others") }
        if let owner, fchown(folder, owner.uid, owner.gid) != 0 { throw failure(path, "given to \(owner.name)") }
    }

    /// Makes a folder that is not there yet, and those above it, which others may enter; leaves what is there as it is.
    ///
    /// - Parameter mode: of the last one, if it is made.
    /// - Returns: whether it was made.
    /// - Throws: ``StartError``.
    @discardableResult
    static func makeFolders(_ path: String, mode: mode_t) throws -> Bool {
        if mkdir(path, mode) == 0 { return true }
        if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
            try makeFolders(String(path[..<slash]), mode: 0o755)
            if mkdir(path, mode) == 0 { return true }
        }
        let reason = errno
        var status = stat()
        if reason == EEXIST {
            if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return false }
            errno = ENOTDIR
        } else {
            errno = reason
        }
        throw failure(path, "made")
    }

    /// Puts a file there whole, or leaves what was there: a new file beside it takes its place once it is on the disk.
    /// Whatever was there, a link or a file of a wider mode, is not written into.
    ///
    /// - Parameter mode: who may read it, 0600 unless another account has to.
    /// - Parameter owner: the account that it is given to.
    /// - Throws: ``StartError``.
    static func write(_ text: String, to path: String, mode: mode_t = 0o600, owner: SystemAccount? = nil) throws {
        let partial = "\(path).partial"
        // Left by a process that ended in the middle.
        unlink(partial)
        let file = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure(path, "written") }
        defer { close(file) }
        do {
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
                guard count > 0 || errno == EINTR else { throw failure(path, "written") }
                rest = rest.dropFirst(max(0, count))
            }
            guard fsync(file) == 0, fchmod(file, mode) == 0 else { throw failure(path, "written") }
            if let owner, fchown(file, owner.uid, owner.gid) != 0 { throw failure(path, "given to \(owner.name)") }
            guard rename(partial, path) == 0 else { throw failure(path, "written") }
        } catch {
            unlink(partial)
            throw error
        }
    }

    private static func failure(_ path: String, _ what: String) -> StartError {
        StartError("\(path) could not be \(what): \(String(cString: strerror(errno)))")
    }
}
