import AsyncHTTPClient
import Events
import Failures
import Foundation
import HTTPTypes
import Messaging
import NIOCore
import NIOHTTP1

/// Calls other services on `/internal/`, with the service credential; pooled, 2 s timeout.
public struct NeighbourClient: Sendable {
    private let installation: InstallationSettings
    private let timeout: Duration

    /// A client for the services of an installation.
    public init(_ installation: InstallationSettings, timeout: Duration = .seconds(2)) {
        self.installation = installation
        self.timeout = timeout
    }

    /// A JSON answer; throws ``Failures/Failure`` 503 if the neighbour is not there or does not answer 2xx.
    public func get(_ service: String, _ path: String) async throws -> JSON {
        try json(await exchange("GET", service, path, body: nil))
    }

    /// The same for POST. An answer without a body is `null`.
    public func post(_ service: String, _ path: String, _ body: JSON) async throws -> JSON {
        try json(await exchange("POST", service, path, body: body.encoded()))
    }

    /// Whatever the neighbour answers; throws ``Failures/Failure`` 503 if it does not.
    public func exchange(
        _ method: String,
        _ service: String,
        _ path: String,
        body: [UInt8]?,
        limit: Int = 67_108_864
    ) async throws -> (status: Int, body: [UInt8]) {
        var headers = [(HTTPField.Name.internalCredential.rawName, installation.secrets.serviceCredential)]
        if let scope = RequestScope.current {
            if let id = scope.requestID { headers.append((HTTPField.Name.requestID.rawName, id)) }
            if let trace = scope.traceparent { headers.append((HTTPField.Name.traceparent.rawName, trace)) }
        }
        if body != nil { headers.append(("Content-Type", "application/json")) }
        do {
            return try await InternalHTTP.exchange(
                method,
                installation.url(of: service) + path,
                headers: headers,
                body: body,
                timeout: timeout,
                limit: limit
            )
        } catch {
            throw Failure.unavailable
        }
    }

    private func json(_ answer: (status: Int, body: [UInt8])) throws -> JSON {
        guard (200..<300).contains(answer.status) else { throw Failure.unavailable }
        if answer.body.isEmpty { return .null }
        guard let json = try? JSON(parsing: answer.body, maximumDepth: 128) else { throw Failure.unavailable }
        return json
    }
}

/// Missing events, from their producer.
struct HTTPReplaySource: ReplaySource {
    let neighbours: NeighbourClient

    func events(of stream: StreamName, after sequence: Int64, limit: Int) async throws -> [StoredEvent] {
        let answer = try await neighbours.exchange(
            "GET",
            stream.producer.rawValue,
            "/internal/events?stream=\(stream)&after=\(sequence)&limit=\(limit)",
            body: nil
        )
        guard answer.status == 200 else { throw Failure.unavailable }
        return try StoredEvent.list(encoded: answer.body)
    }

    func origin(of stream: StreamName, lineage: String?) async throws -> LogOrigin? {
        let answer = try await neighbours.exchange(
            "GET",
            stream.producer.rawValue,
            "/internal/log/origin?stream=\(stream)" + (lineage.map { "&lineage=\($0)" } ?? ""),
            body: nil
        )
        if answer.status == 404 { return nil }
        guard answer.status == 200 else { throw Failure.unavailable }
        return try JSONDecoder().decode(LogOrigin.self, from: Data(answer.body))
    }
}

/// HTTP between the parts of an installation. One client for the process: it has no state but its connections, which
/// end with the process.
public enum InternalHTTP {
    struct UnexpectedStatus: Error {
        let status: Int
    }

    struct TookTooLong: Error {}

    private static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        // The credential must not follow a redirect.
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = .seconds(1)
        configuration.httpVersion = .http1Only
        // Shorter than the 90 s after which our servers close an idle connection.
        configuration.connectionPool.idleTimeout = .seconds(60)
        return HTTPClient(configuration: configuration)
    }()

    static func get(_ url: String, timeout: Duration, limit: Int) async throws -> [UInt8] {
        let answer = try await exchange("GET", url, headers: [], body: nil, timeout: timeout, limit: limit)
        guard answer.status == 200 else { throw UnexpectedStatus(status: answer.status) }
        return answer.body
    }

    /// The answer, whatever its status. Throws when it is not there whole within `timeout`, or larger than `limit` bytes.
    public static func exchange(
        _ method: String,
        _ url: String,
        headers: [(String, String)],
        body: [UInt8]?,
        timeout: Duration,
        limit: Int
    ) async throws -> (status: Int, body: [UInt8]) {
        var request = HTTPClientRequest(url: url)
        request.method = HTTPMethod(rawValue: method)
        request.headers = HTTPHeaders(headers)
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        let asked = request
        // The client's own timeout ends with the head, and a body may come byte by byte for ever.
        return try await withThrowingTaskGroup { group in
            group.addTask {
                let response = try await client.execute(asked, timeout: TimeAmount(timeout))
                let buffer = try await response.body.collect(upTo: limit)
                return (Int(response.status.code), Array(buffer.readableBytesView))
            }
            group.addTask {
                try await Task.sleep(for: timeout)
                throw TookTooLong()
            }
            defer { group.cancelAll() }
            guard let answer = try await group.next() else { throw TookTooLong() }
            return answer
        }
    }
}
