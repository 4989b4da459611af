import Foundation
import Testing

/// Who may import whom; the table of docs/architecture.md as a test.
@Suite struct ImportTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let services = ["Auth", "Organization", "Project", "Task", "Notification"]
    static let serviceModules = Set((services + ["Gateway"]).map { "\($0)Service" })

    /// Modules that a folder's files may not import.
    static func forbidden(in folder: String) -> Set<String> {
        switch folder {
        case "Routes": ["Postgres", "Redis", "CLibPQ", "CHiredis"]
        case "Domain": ["Hummingbird", "HummingbirdCore", "HTTPTypes", "Postgres", "Redis", "ServiceKit", "NIOCore"]
        case "Store": ["Hummingbird", "HummingbirdCore", "HTTPTypes", "ServiceKit"]
        case "Events": ["Hummingbird", "HummingbirdCore", "HTTPTypes", "Postgres", "Redis"]
        default: []
        }
    }

    /// The modules that each Shared module may use; nothing else of ours.
    static let shared: [String: Set<String>] = [
        "Chronology": [], "Failures": [], "Failpoints": [], "Poller": ["CEpoll"],
        "Identity": ["Chronology"],
        "Events": ["Identity", "Chronology"],
        "Postgres": ["CLibPQ", "Poller", "Identity", "Chronology", "Failpoints"],
        "Redis": ["CHiredis", "Poller"],
        "Messaging": ["Postgres", "Redis", "Events", "Identity", "Chronology", "Failures", "Failpoints"],
        "Lists": ["Postgres", "Messaging", "Identity", "Chronology", "Failures"],
        "ServiceKit": [
            "Lists", "Messaging", "Postgres", "Redis", "Events", "Identity", "Chronology", "Failures",
        ],
    ]

    @Test(arguments: services) func servicesKeepTheirLayers(_ service: String) throws {
        for file in try Self.sources(in: "Services/\(service)") {
            let parts = file.path.split(separator: "/")
            let folder = parts.count > 3 ? String(parts[2]) : ""
            for module in file.imports {
                #expect(!Self.forbidden(in: folder).contains(module), "\(file.path) imports \(module)")
                #expect(!Self.serviceModules.contains(module), "\(file.path) imports \(module)")
            }
        }
    }

    @Test func sharedModulesFormALadder() throws {
        let ours = Set(Self.shared.keys).union(["CLibPQ", "CHiredis", "CCurl", "CArgon2", "CEpoll"])
        for (module, allowed) in Self.shared {
            let files = try Self.sources(in: "Shared/\(module)")
            #expect(!files.isEmpty, "Shared/\(module) has no sources")
            for file in files {
                for name in file.imports where ours.contains(name) && name != module {
                    #expect(allowed.contains(name), "\(file.path) imports \(name)")
                }
                #expect(Self.serviceModules.isDisjoint(with: file.imports), "\(file.path) imports a service")
            }
        }
    }

    /// BUS-1: only the relay appends to a stream.
    @Test func onlyTheRelayAppends() throws {
        for file in try Self.sources(in: "Services") + Self.sources(in: "Shared") where file.text.contains("\"XADD\"") {
            #expect(file.path.hasPrefix("Shared/Messaging/"), "\(file.path) appends to a stream")
        }
    }

    /// The organization's context is set for one transaction, never for a session.
    @Test func noSessionContext() throws {
        let files = try Self.sources(in: "Services") + Self.sources(in: "Shared")
        #expect(files.count > 50)
        for file in files {
            #expect(!file.text.contains("SET app."), "\(file.path) sets a session variable")
            #expect(
                !file.text.contains("'app.organization_id', $1, false"),
                "\(file.path) sets a session variable"
            )
        }
    }

    struct Source {
        let path: String
        let text: String
        let imports: Set<String>
    }

    static func sources(in folder: String) throws -> [Source] {
        let base = root.appendingPathComponent(folder)
        guard let walk = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil) else { return [] }
        return try walk.compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }.map { url in
            let text = try String(contentsOf: url, encoding: .utf8)
            let imports = text.split(separator: "\n").compactMap { line -> String? in
                var words = line.split(separator: " ").map(String.init)
                while let first = words.first,
                    ["public", "internal", "private", "package", "@testable"].contains(first)
                {
                    words.removeFirst()
                }
                guard words.count >= 2, words[0] == "import" else { return nil }
                return words[1].split(separator: ".").first.map(String.init)
            }
            return Source(
                path: String(url.path.dropFirst(root.path.count + 1)),
                text: text,
                imports: Set(imports)
            )
        }
    }
}
