import Crypto
import Events
import Failures
import HTTPTypes
public import Hummingbird
import Identity
import Messaging
import Synchronization

/// Runs a POST that creates under the request's `Idempotency-Key`, if it has one.
///
/// `work` does one `TenantDatabase.write`, whose transaction calls `claimIdempotencyKey()` after judging rights and
/// returns a `Value`; `answer` makes the response of it with ``Reply``, which is stored in that transaction and given
/// again for the same key. Without a principal the key is ignored: it would have no scope.
public func idempotent<Value: Sendable>(
    _ request: Request,
    _ context: AppContext,
    body: JSON,
    work: () async throws -> Value,
    answer: @escaping @Sendable (Value) throws -> Response
) async throws -> Response {
    guard let header = request.headers[.idempotencyKey], let principal = context.principal else {
        return try answer(try await work())
    }
    let key = try IdempotencyKey(header)
    let claim = IdempotencyClaim(
        scope: key.scope(
            principal.organization.description,
            principal.user.description,
            request.method.rawValue,
            request.plainPath
        ),
        fingerprint: Array(SHA256.hash(data: body.encoded()))
    )
    let made = Mutex<Response?>(nil)
    claim.render { (value: Value) in
        let capture = ReplyCapture()
        let response = try ReplyCapture.$current.withValue(capture) { try answer(value) }
        guard let bytes = capture.bytes else { throw UnstorableReply() }
        made.withLock { $0 = response }
        return StoredReply(
            status: response.status.code,
            body: bytes,
            location: response.headers[.location],
            etag: response.headers[.eTag]
        )
    }
    let outer = RequestScope.current
    let scope = RequestScope(
        actor: outer?.actor ?? principal.user,
        requestID: outer?.requestID ?? context.requestID,
        traceparent: outer?.traceparent ?? context.trace.description,
        causationID: outer?.causationID,
        idempotency: claim
    )
    do {
        let value = try await RequestScope.$current.withValue(scope) { try await work() }
        // What was stored is what is answered, byte for byte.
        var response = try made.withLock { $0 } ?? answer(value)
        response.addPositions(scope.positions)
        return response
    } catch let replay as IdempotentReplay {
        var response = Reply.replay(replay.reply)
        response.addPositions(scope.positions)
        return response
    }
}

/// The value of `Idempotency-Key`: 1 to 255 visible ASCII characters.
struct IdempotencyKey {
    let text: String

    init(_ header: String) throws {
        guard (1...255).contains(header.utf8.count), header.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Failure(
                .badRequest,
                "bad-idempotency-key",
                "Idempotency-Key must be 1 to 255 visible ASCII characters."
            )
        }
        text = header
    }

    /// Names the record: every part with its length, so that no two lists of parts look alike.
    func scope(_ parts: String...) -> [UInt8] {
        var hash = SHA256()
        for part in parts + [text] {
            let bytes = Array(part.utf8)
            withUnsafeBytes(of: UInt64(bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: bytes)
        }
        return Array(hash.finalize())
    }
}

/// An answer to be stored was not made by ``Reply``; a mistake in a route, found by its first test.
struct UnstorableReply: Error {}

extension Response {
    /// Says where writes ended, beside what inner layers have said.
    mutating func addPositions(_ positions: [Position]) {
        guard !positions.isEmpty else { return }
        let list = positions.map(\.description).joined(separator: ",")
        headers[.internalPosition] = headers[.internalPosition].map { "\($0),\(list)" } ?? list
    }
}
