import Foundation
import Redis
import Testing

@testable import taskflow

/// The folder of an installation: who may have it, and where its database is.
@Suite struct InstallationTests {
    private let folder: String

    init() throws {
        folder = try Fixture.folder(mode: 0o755)
    }

    private func makeDatabase(in place: String) throws {
        try PrivateFiles.makeFolders("\(place)/postgres", mode: 0o700)
        try PrivateFiles.write("15\n", to: "\(place)/postgres/PG_VERSION")
    }

    /// As for an account that may reach the folder.
    private func state(isNew: Bool = false, mayBeEmpty: Bool = false) throws -> String {
        try EmbeddedServers.state(
            of: folder,
            elsewhere: "\(folder)/elsewhere",
            account: nil,
            isNew: isNew,
            mayBeEmpty: mayBeEmpty
        )
    }

    @Test func foldersAreMadeWithThoseAboveThem() throws {
        let path = "\(folder)/a/b/c"
        #expect(try PrivateFiles.makeFolders(path, mode: 0o700))
        #expect(Fixture.mode(path) == 0o700)
        #expect(try !PrivateFiles.makeFolders(path, mode: 0o711))
        #expect(Fixture.mode(path) == 0o700)
    }

    @Test func theReasonWhyAFolderCannotBeMadeIsTheSystems() throws {
        try PrivateFiles.write("", to: "\(folder)/file")
        for path in ["\(folder)/file", "\(folder)/file/below"] {
            #expect { try PrivateFiles.makeFolders(path, mode: 0o700) } throws: {
                "\($0)" == "\(path) could not be made: Not a directory"
            }
        }
        #expect(throws: StartError.self) { try PrivateFiles.makeFolders("", mode: 0o700) }
    }

    @Test func aFolderThatWasThereKeepsItsMode() throws {
        chmod(folder, 0o750)
        let installation = try Installation(directory: folder)
        #expect(Fixture.mode(installation.directory) == 0o750)
    }

    @Test func oneAtATimeAndTheOtherIsNamed() throws {
        #expect(!Installation.isRunning(in: folder))
        let installation = try Installation(directory: folder)
        #expect(Installation.isRunning(in: folder))
        #expect { try Installation(directory: folder) } throws: {
            "\($0)".contains("process \(getpid())") && "\($0)".contains(installation.directory)
        }
    }

    @Test func theDatabaseIsWhereItWasMade() throws {
        #expect(try state(isNew: true, mayBeEmpty: true) == folder)
        try makeDatabase(in: folder)
        #expect(try state() == folder)
        // One that lies elsewhere is found by the link, whatever the folder is called by now.
        let other = "\(folder)/other"
        try makeDatabase(in: other)
        symlink(other, "\(folder)/servers")
        #expect(try state() == other)
        // It has been taken by this process.
        #expect(throws: InstallationInUse.self) { try state() }
    }

    @Test func aDatabaseThatIsGoneIsNotMadeAnew() throws {
        #expect { try state() } throws: { "\($0)".contains("is not in \(folder)") }
        symlink("\(folder)/gone", "\(folder)/servers")
        #expect { try state() } throws: { "\($0)".contains("is not in \(folder)/gone") }
        #expect(access("\(folder)/gone", F_OK) != 0)
    }

    @Test func aPortThatIsTakenIsSaidToBe() throws {
        let taken = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(taken) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                #expect(bind(taken, generic, size) == 0 && listen(taken, 1) == 0)
                #expect(getsockname(taken, generic, &size) == 0)
            }
        }
        let port = Int(in_port_t(bigEndian: address.sin_port))
        #expect { try FreePorts.pick(wanted: port, otherwise: 8080) } throws: { "\($0)".contains("is taken") }
    }

    @Test(arguments: ["plain", "per%20cent", "what?", "a,b"]) func serversAreReachedInAFolderOfAnyName(name: String)
        throws
    {
        let path = "\(folder)/\(name)"
        try PrivateFiles.makeFolders(path, mode: 0o755)
        let servers = try EmbeddedServers(
            directory: path,
            administratorPassword: "x",
            isNew: true,
            mayBeEmpty: true
        )
        #expect(RedisClient.isValid(url: servers.redisURL))
        #expect(!servers.redisURL.contains("?") && !servers.sockets.contains(","))
        #expect(name != "plain" || servers.redisURL == "unix://\(servers.sockets)/redis/redis.sock")
        #expect(servers.redisURL.removingPercentEncoding == "unix://\(servers.sockets)/redis/redis.sock")
    }
}
