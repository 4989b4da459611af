import Chronology
import Failures
import HTTPTypes
import Hummingbird
import Identity
import Logging
import NIOCore
import Synchronization
import Testing

@testable import OrganizationService

/// Stands in for Cloudinary: checks what a request must hold, and answers as it is told to.
private final class FakeCloudinary: Sendable {
    enum Mood: Sendable {
        case fine
        case status(Int)
        case anotherName
        case badSignature
        case notJSON
        case endless
    }

    let mood: Mutex<Mood>
    let seen = Mutex<[String]>([])
    private let signature = CloudinarySignature(secret: "abcd")

    init(_ mood: Mood) { self.mood = Mutex(mood) }

    /// Serves while `body` runs, which gets the origin.
    func serve(_ body: @Sendable @escaping (String) async throws -> Void) async throws {
        let (ports, continuation) = AsyncStream<Int>.makeStream()
        let router = Router()
        router.post("/v1_1/demo/image/:action") { request, context in try await self.answer(request, context) }
        // It is cancelled each time, and would complain of it.
        var logger = Logger(label: "fake-cloudinary")
        logger.logLevel = .critical
        let application = Application(
            router: router,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in continuation.yield(channel.localAddress?.port ?? 0) },
            logger: logger
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            for await port in ports {
                try await body("http://127.0.0.1:\(port)")
                break
            }
            group.cancelAll()
        }
    }

    private func answer(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
        let boundary = MultipartForm.boundary(ofContentType: request.headers[.contentType] ?? "")
        let body = try await request.body.collect(upTo: 6 << 20)
        let form = try MultipartForm(Array(body.readableBytesView), boundary: boundary ?? "")
        var fields: [String: String] = [:]
        for field in form.fields { fields[field.name] = String(decoding: field.body, as: UTF8.self) }
        let parameters = fields.map { (name: $0.key, value: $0.value) }
        let now = WallClock.system.now.seconds
        let action = context.parameters.get("action") ?? ""
        guard
            fields["signature"] == signature.sign(parameters), fields["api_key"] == "key",
            let time = fields["timestamp"].flatMap({ Int64($0) }), abs(time - now) <= 3600,
            let name = fields["public_id"], action == "destroy" || fields["file"] != nil
        else { return Response(status: .unauthorized) }
        seen.withLock { $0.append("\(action) \(form.fields.last?.mediaType ?? "")") }
        func json(_ text: String) -> Response {
            Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        }
        func upload(_ name: String, _ signed: String) -> Response {
            json(
                """
                {"public_id": "\(name)", "version": 17, "signature": "\(signed)",
                "secure_url": "https://res.example/\(name).png"}
                """
            )
        }
        if action == "destroy" { return json(#"{"result": "ok"}"#) }
        let signed = signature.sign([("public_id", name), ("version", "17")])
        return switch mood.withLock({ $0 }) {
        case .fine: upload(name, signed)
        case .status(let code): Response(status: .init(code: code))
        case .anotherName: upload("\(name)x", signature.sign([("public_id", "\(name)x"), ("version", "17")]))
        case .badSignature: upload(name, String(repeating: "0", count: 40))
        case .notJSON: json("<html>")
        case .endless: json(String(repeating: " ", count: 100_000))
        }
    }
}

@Suite struct CloudinaryTests {
    private func storage(_ origin: String, secret: String = "abcd", clock: WallClock = .system) -> CloudinaryStorage {
        CloudinaryStorage(
            account: CloudinaryAccount(
                cloud: "demo",
                key: "key",
                signature: CloudinarySignature(secret: secret),
                origin: origin
            ),
            clock: clock,
            work: BlockingWork(name: "cloudinary-test", threads: 2, maximumWaiting: 8)
        )
    }

    @Test func storesAndRemoves() async throws {
        let fake = FakeCloudinary(.fine)
        try await fake.serve { origin in
            let storage = storage(origin)
            let organization = OrganizationID.make(milliseconds: 1)
            let user = UserID.make(milliseconds: 1)
            let name = storage.makeName(for: user, in: organization, format: .png)
            #expect(name.hasPrefix("\(organization)/\(user)/"))
            let url = try await storage.store(Pictures.png(), name: name, format: .png)
            #expect(url == "https://res.example/\(name).png")
            try await storage.remove(name)
        }
        #expect(fake.seen.withLock { $0.map { $0.split(separator: " ").first } } == ["upload", "destroy"])
    }

    @Test func whatIsNotRightIsUnavailable() async throws {
        let moods: [FakeCloudinary.Mood] = [
            .status(500), .status(420), .status(302), .anotherName, .badSignature, .notJSON, .endless,
        ]
        for mood in moods {
            try await FakeCloudinary(mood).serve { origin in
                let storage = storage(origin)
                let refused = await code { _ = try await storage.store([1], name: "a/b/c", format: .png) }
                #expect(refused == "picture-storage-unavailable", "\(mood)")
            }
        }
        try await FakeCloudinary(.fine).serve { origin in
            let forged = await code { _ = try await storage(origin, secret: "x").store([1], name: "a", format: .png) }
            #expect(forged == "picture-storage-unavailable")
            let late = WallClock { WallClock.system.now - .seconds(4000) }
            let old = await code { _ = try await storage(origin, clock: late).store([1], name: "a", format: .png) }
            #expect(old == "picture-storage-unavailable")
        }
        // Nobody there at all.
        let gone = await code { _ = try await storage("http://127.0.0.1:1").store([1], name: "a", format: .png) }
        #expect(gone == "picture-storage-unavailable")
    }
}
