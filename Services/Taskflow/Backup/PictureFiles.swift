import Foundation

/// Pictures, copied from folder to folder.
enum PictureFiles {
    /// Copies what the target does not have, or has not all of; how many files it has then. A file that goes away
    /// meanwhile is let go.
    static func copyMissing(from source: String, to target: String) throws -> Int {
        let files = FileManager.default
        try PrivateFiles.makeFolders(target, mode: 0o755)
        for name in names(in: source) {
            let (from, to) = ("\(source)/\(name)", "\(target)/\(name)")
            guard let size = size(of: from), size != self.size(of: to) else { continue }
            do {
                try PrivateFiles.makeFolders((to as NSString).deletingLastPathComponent, mode: 0o755)
                // Under another name until it is whole: half a picture would count as there the next time.
                let partial = "\(to).partial"
                try? files.removeItem(atPath: partial)
                try files.copyItem(atPath: from, toPath: partial)
                guard rename(partial, to) == 0 else {
                    throw StartError("\(to) cannot be made: \(String(cString: strerror(errno)))")
                }
            } catch {
                guard self.size(of: from) == nil else {
                    throw StartError("\(from) cannot be copied to \(to): \(error.localizedDescription)")
                }
            }
        }
        return count(in: target)
    }

    /// How many files there are, those that were not copied to their end left out.
    static func count(in folder: String) -> Int { names(in: folder).count { !$0.hasSuffix(".partial") } }

    /// The files below a folder, which may be a link to where they are.
    private static func names(in folder: String) -> [String] {
        let path = (folder as NSString).resolvingSymlinksInPath
        guard let names = FileManager.default.enumerator(atPath: path) else { return [] }
        return names.compactMap { $0 as? String }.filter { size(of: "\(path)/\($0)") != nil }
    }

    /// Bytes of a file; nil if there is no file, or it is something else.
    private static func size(of path: String) -> Int64? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int64(status.st_size)
    }
}
