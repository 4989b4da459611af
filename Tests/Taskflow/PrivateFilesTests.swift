import Foundation
import Glibc
import Testing

@testable import taskflow

@Suite struct PrivateFilesTests {
    private let folder: String

    init() throws {
        folder = try Fixture.folder()
    }

    private func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

    @Test func aFileThatWasOpenToOthersIsClosed() throws {
        let file = "\(folder)/taskflow.env"
        #expect(FileManager.default.createFile(atPath: file, contents: nil, attributes: [.posixPermissions: 0o666]))
        try PrivateFiles.write("new", to: file)
        #expect(text(file) == "new")
        #expect(Fixture.mode(file) == 0o600)
        try PrivateFiles.write("newer", to: file, mode: 0o644)
        #expect(Fixture.mode(file) == 0o644)
        try PrivateFiles.write("newest", to: file)
        #expect(text(file) == "newest" && Fixture.mode(file) == 0o600)
    }

    /// Whoever has put a link where a secret goes neither gets it nor has us write elsewhere.
    @Test func linksAreReplacedAndNotFollowed() throws {
        let other = "\(folder)/other"
        try PrivateFiles.write("theirs", to: other)
        for name in ["soft", "soft.partial"] { symlink(other, "\(folder)/\(name)") }
        for name in ["hard", "hard.partial"] { link(other, "\(folder)/\(name)") }
        for name in ["soft", "hard"] {
            try PrivateFiles.write("secret", to: "\(folder)/\(name)")
            #expect(text("\(folder)/\(name)") == "secret")
        }
        #expect(text(other) == "theirs")
    }

    @Test func whatCannotBeWrittenStaysAsItWas() throws {
        let file = "\(folder)/secrets.json"
        try PrivateFiles.write("old", to: file)
        // A folder in the way of the new file: it cannot be made.
        mkdir("\(file).partial", 0o700)
        #expect(throws: StartError.self) { try PrivateFiles.write("new", to: file) }
        #expect(text(file) == "old")
    }

    @Test func aFolderOfSomebodyElseIsRefused() throws {
        let trap = "\(folder)/trap"
        mkdir(trap, 0o777)
        // A folder of ours is taken, and closed.
        try PrivateFiles.makeFolder(trap, mode: 0o700, owner: nil)
        #expect(Fixture.mode(trap) == 0o700)
        let owners = SystemAccount(named: "nobody")
        guard geteuid() == 0, let nobody = owners else { return }
        #expect(chown(trap, nobody.uid, nobody.gid) == 0)
        #expect(throws: StartError.self) { try PrivateFiles.makeFolder(trap, mode: 0o700, owner: nil) }
        try PrivateFiles.makeFolder(trap, mode: 0o711, owner: nobody)
        #expect(Fixture.mode(trap) == 0o711)
        // A link to a folder of theirs, and a file.
        symlink(trap, "\(folder)/link")
        #expect(throws: StartError.self) { try PrivateFiles.makeFolder("\(folder)/link", mode: 0o700, owner: nil) }
        try PrivateFiles.write("", to: "\(folder)/file")
        #expect(throws: StartError.self) { try PrivateFiles.makeFolder("\(folder)/file", mode: 0o700, owner: nil) }
    }
}
