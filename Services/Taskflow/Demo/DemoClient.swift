import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import ServiceKit
import Synchronization

/// Why the demo stopped: what the API answered, in one line.
struct APIFailure: Error, CustomStringConvertible {
    let status: Int
    let code: String
    let description: String
}

/// One logged-in person talking to the public API: waits where the rate limits say so, tries again where that is safe,
/// and renews the access token in time.
actor DemoClient {
    private let http: HTTPClient
    private let origin: String
    private var access: String?
    private var refresh: String?
    private var renewAt: ContinuousClock.Instant?
    private var renewal: Task<Void, any Error>?

    init(http: HTTPClient, origin: String) {
        self.http = http
        self.origin = origin
    }

    /// What an answer holds.
    struct Answer: Sendable {
        let status: Int
        let body: JSON
        /// To hand to another session, which then sees this write.
        let position: String?
    }

    /// Takes over the tokens of a login answer.
    func adopt(_ login: JSON) {
        access = login["access"]?.text
        refresh = login["refresh"]?.text
        let lifetime = login["expires_in"]?.integer ?? 300
        renewAt = ContinuousClock.now + .seconds(max(lifetime - 60, lifetime / 2))
    }

    /// Sends a request and gives its answer; throws ``APIFailure`` for any status but 2xx.
    ///
    /// - Parameter key: an `Idempotency-Key`, under which a POST may be repeated safely.
    func send(
        _ method: String,
        _ path: String,
        _ body: JSON? = nil,
        key: String? = nil,
        position: String? = nil,
        anonymous: Bool = false
    ) async throws -> Answer {
        var attempt = 0
        while true {
            if !anonymous { try await renewIfNeeded() }
            attempt += 1
            var request = HTTPClientRequest(url: origin + path)
            request.method = .init(rawValue: method)
            if let access, !anonymous { request.headers.add(name: "Authorization", value: "Bearer \(access)") }
            if let key { request.headers.add(name: "Idempotency-Key", value: key) }
            if let position { request.headers.add(name: "Taskflow-Position", value: position) }
            if let body {
                request.headers.add(name: "Content-Type", value: "application/json")
                request.body = .bytes(ByteBuffer(bytes: body.encoded()))
            }
            let response: HTTPClientResponse
            do {
                response = try await http.execute(request, timeout: .seconds(30))
            } catch {
                guard attempt < 5, method == "GET" || key != nil else {
                    throw APIFailure(
                        status: 0,
                        code: "unreachable",
                        description: "\(origin) does not answer: is Taskflow running there? (--url says where)"
                    )
                }
                try await ContinuousClock().sleep(for: .milliseconds(500 * attempt))
                continue
            }
            let bytes = try await response.body.collect(upTo: 16 << 20)
            let status = Int(response.status.code)
            if status == 429 || (status == 503 && attempt < 20) {
                let seconds = response.headers.first(name: "Retry-After").flatMap(Int.init) ?? 1
                try await ContinuousClock().sleep(for: .seconds(max(seconds, 1)))
                continue
            }
            let json = (try? JSON(parsing: Array(bytes.readableBytesView))) ?? .null
            guard (200..<300).contains(status) else {
                let code = json["code"]?.text ?? ""
                let errors = json["errors"]?.elements?.map { error in
                    "\(error["pointer"]?.text ?? error["parameter"]?.text ?? ""): \(error["detail"]?.text ?? "")"
                }.joined(separator: "; ")
                let detail = json["detail"]?.text ?? ""
                throw APIFailure(
                    status: status,
                    code: code,
                    description: "\(method) \(path): \(status) \(code): \(detail) \(errors ?? "")"
                )
            }
            return Answer(status: status, body: json, position: response.headers.first(name: "Taskflow-Position"))
        }
    }

    /// Renews the tokens once, however many requests find them old.
    private func renewIfNeeded() async throws {
        guard let renewAt, ContinuousClock.now >= renewAt, let refresh else { return }
        if renewal == nil {
            renewal = Task {
                let answer = try await send(
                    "POST",
                    "/api/account/token/refresh/",
                    .object([("refresh", .string(refresh))]),
                    anonymous: true
                )
                adopt(answer.body)
            }
        }
        defer { renewal = nil }
        try await renewal?.value
    }
}
