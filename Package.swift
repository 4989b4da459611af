// swift-tools-version: 6.1
import PackageDescription

// Conventions that every target of ours follows; the data below stays a table.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .unsafeFlags(["-warnings-as-errors"]),
]

/// How a release is linked. Relocations in the packed form (DT_RELR, which needs glibc 2.36) and no table of symbols for
/// others to bind to are a tenth of the program's size; equal functions are kept once where nobody compares addresses.
let releaseLinking: LinkerSetting = .unsafeFlags(
    [
        "-use-ld=lld", "-Xlinker", "-z", "-Xlinker", "pack-relative-relocs", "-Xlinker", "--no-export-dynamic",
        "-Xlinker", "--icf=safe",
    ],
    .when(platforms: [.linux], configuration: .release)
)

/// A C library of the system: headers and a module map, nothing else.
func system(_ name: String, pkgConfig: String? = nil, apt: String) -> Target {
    .systemLibrary(name: name, path: "Shared/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

/// A module under `Shared/`, named as its folder.
func shared(_ name: String, _ dependencies: [Target.Dependency], embedding: [String] = []) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: "Shared/\(name)",
        exclude: [],
        resources: embedding.map { .embedInCode($0) },
        swiftSettings: settings
    )
}

/// A service under `Services/`: `Services/Task` becomes the module `TaskService`.
func service(_ name: String, _ dependencies: [Target.Dependency], embedding: [String] = []) -> Target {
    .target(
        name: "\(name)Service",
        dependencies: dependencies,
        path: "Services/\(name)",
        exclude: ["README.md"],
        resources: embedding.map { .embedInCode($0) },
        swiftSettings: settings
    )
}

/// A test target `<module>Tests` in the folder `Tests/<folder>`.
func tests(_ module: String, in folder: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: "\(module)Tests",
        dependencies: dependencies + ["TestSupport"],
        path: "Tests/\(folder)",
        swiftSettings: settings
    )
}

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTesting: Target.Dependency = .product(name: "HummingbirdTesting", package: "hummingbird")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTPTypes: Target.Dependency = .product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioHTTPTypesHTTP1: Target.Dependency = .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let jwt: Target.Dependency = .product(name: "JWTKit", package: "jwt-kit")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

/// What every service that keeps data is built from.
let kit: [Target.Dependency] = [
    "ServiceKit", "Messaging", "Postgres", "Redis", "Identity", "Events", "Chronology", "Failures", "Lists",
    hummingbird, httpTypes, nioCore, logging, metrics, lifecycle, configuration, crypto,
]

let package = Package(
    name: "taskflow",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "taskflow", targets: ["taskflow"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    ],
    targets: [
        // Shared
        system("CLibPQ", pkgConfig: "libpq", apt: "libpq-dev"),
        system("CHiredis", apt: "libhiredis-dev"),
        system("CCurl", apt: "libcurl4-openssl-dev"),
        system("CArgon2", apt: "libargon2-dev"),
        shared("Chronology", []),
        shared("Failures", []),
        shared("Failpoints", []),
        system("CEpoll", apt: "libc6-dev"),
        shared("Poller", ["CEpoll"]),
        shared("Identity", ["Chronology", crypto, jwt]),
        shared("Events", ["Identity", "Chronology"]),
        shared(
            "Postgres",
            ["CLibPQ", "Poller", "Identity", "Chronology", "Failpoints", logging, metrics, lifecycle, crypto]
        ),
        shared("Redis", ["CHiredis", nioCore, nioPosix, logging, metrics, lifecycle]),
        shared(
            "Messaging",
            [
                "Postgres", "Redis", "Events", "Identity", "Chronology", "Failures", "Failpoints", logging, metrics,
                lifecycle, crypto,
            ],
            embedding: ["Migrations/L0001_event_log.sql", "Migrations/L0002_lineage.sql"]
        ),
        shared("Lists", ["Postgres", "Messaging", "Identity", "Chronology", "Failures", crypto]),
        shared(
            "ServiceKit",
            [
                "Failures", "Lists",
                "Identity", "Chronology", "Messaging", "Postgres", "Redis", "Events",
                hummingbird, hummingbirdCore, httpTypes, nioCore, nioPosix, nioHTTP1, httpClient, logging, metrics,
                coreMetrics, lifecycle, configuration, crypto,
            ]
        ),

        // Services
        service(
            "Gateway",
            [
                "ServiceKit", "Redis", "Identity", "Chronology", "Failures", "Events", hummingbird, hummingbirdCore,
                httpTypes, nioCore, nioPosix, nioHTTP1,
                nioHTTPTypes, nioHTTPTypesHTTP1, httpClient, logging, metrics, lifecycle, configuration, crypto, yams,
            ],
            embedding: ["Documents/docs.css", "Documents/docs.js", "asyncapi.yaml", "gateway.conf", "openapi.yaml"]
        ),
        service(
            "Auth",
            kit + ["CArgon2", "Failpoints", jwt],
            embedding: ["Domain/common-passwords.txt", "Migrations/V0001_create_auth.sql", "openapi.yaml"]
        ),
        service(
            "Organization",
            kit + ["CCurl", "Failpoints"],
            embedding: ["Migrations/V0001_create_organization.sql", "Migrations/V0002_keys.sql", "openapi.yaml"]
        ),
        service(
            "Project",
            kit,
            embedding: [
                "Migrations/V0001_create_project.sql", "Migrations/V0002_live_organization.sql",
                "Migrations/V0003_keys.sql", "openapi.yaml",
            ]
        ),
        service(
            "Task",
            kit,
            embedding: [
                "Migrations/V0001_tasks.sql", "Migrations/V0002_keys.sql", "Migrations/V0003_search.sql",
                "Migrations/search_index.sql", "openapi.yaml",
            ]
        ),
        service(
            "Notification",
            kit + ["CCurl"],
            embedding: ["Migrations/V0001_create_notification.sql", "openapi.yaml"]
        ),
        .executableTarget(
            name: "taskflow",
            dependencies: [
                "GatewayService", "AuthService", "OrganizationService", "ProjectService", "TaskService",
                "NotificationService", "ServiceKit", "Messaging", "Postgres", "Redis", "Identity", "Events",
                "Chronology", "Failpoints",
                httpClient, arguments, logging, metrics, coreMetrics, lifecycle, unixSignals, configuration, crypto,
                nioCore,
                nioHTTP1,
            ],
            path: "Services/Taskflow",
            exclude: ["README.md"],
            swiftSettings: settings,
            linkerSettings: [releaseLinking]
        ),

        // Tests
        .target(
            name: "TestSupport",
            dependencies: kit + [httpClient, hummingbirdTesting],
            path: "Tests/Support",
            swiftSettings: settings
        ),
        // What is done for every request, for counting its instructions.
        .executableTarget(
            name: "hotpaths",
            dependencies: kit + ["GatewayService", "TaskService", "CLibPQ"],
            path: "Tests/HotPaths",
            exclude: ["instructions.py", "instructions.json"],
            swiftSettings: settings
        ),
        tests("Architecture", in: "Architecture", []),
        tests(
            "EndToEnd",
            in: "EndToEnd",
            kit + ["AuthService", "OrganizationService", "ProjectService", "TaskService", "NotificationService"]
        ),
        tests("Failpoint", in: "Failpoints", ["Failpoints"]),
        tests(
            "Simulation",
            in: "Simulation",
            kit + ["GatewayService", "AuthService"]
        ),
        tests("Events", in: "Events", ["Events", "Messaging", "Identity", "Chronology"]),
        tests("Identity", in: "Identity", ["Identity", "Chronology", jwt, crypto]),
        tests("Postgres", in: "Postgres", kit + ["Poller"]),
        tests("Redis", in: "Redis", kit + [nioPosix]),
        tests("Messaging", in: "Messaging", kit),
        tests("Lists", in: "Lists", kit),
        tests("ServiceKit", in: "ServiceKit", kit + [hummingbirdTesting]),
        tests("GatewayService", in: "Gateway", kit + ["GatewayService", nioPosix, nioHTTP1]),
        tests("Auth", in: "Auth", kit + ["AuthService"]),
        tests("Organization", in: "Organization", kit + ["OrganizationService"]),
        tests("Project", in: "Project", kit + ["ProjectService"]),
        tests("Task", in: "Task", kit + ["TaskService"]),
        tests("taskflow", in: "Taskflow", kit + ["taskflow", arguments]),
        .testTarget(
            name: "FuzzTests",
            dependencies: kit + ["GatewayService", "OrganizationService", "CLibPQ"],
            path: "Tests/Fuzz",
            exclude: ["Driver", "README.md", "corpus", "dictionaries", "fuzz.py"],
            swiftSettings: settings
        ),
        tests("Notification", in: "Notification", kit + ["NotificationService", "CCurl", hummingbirdTesting]),
    ]
)
