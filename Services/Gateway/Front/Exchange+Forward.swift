import Metrics
import NIOCore
import ServiceKit

/// Sending a request on to its service.
extension Exchange: UpstreamUser {
    /// Bodies up to this size are kept for a second try.
    private static let replayLimit = 65_536

    /// Whether the connection may hand over more of the request's body.
    var wantsBody: Bool {
        guard !requestIsComplete else { return false }
        switch stage {
        case .forwarding, .answering: return upstreamConnection?.isWritable ?? false
        default: return false
        }
    }

    // MARK: Reaching the service

    func enterUpstream() {
        guard let route else { return }
        let loop = pool.loop
        let bound = NIOLoopBound(self, eventLoop: loop)
        switch route.upstream.enter({ loop.execute { bound.value.placeGranted() } }) {
        case .admitted:
            holdsPlace = true
            connect(fresh: false)
        case .queued(let number): stage = .queued(number)
        case .refused: reject(Self.overloaded)
        }
    }

    private func placeGranted() {
        guard case .queued = stage else {
            route?.upstream.leave()
            return
        }
        holdsPlace = true
        connect(fresh: false)
    }

    private func connect(fresh: Bool) {
        guard let route else { return }
        switch route.upstream.choose(avoiding: lastServer, now: .now()) {
        case .none(let seconds):
            reject(.unavailable("upstream-unavailable", "The service is not available at the moment.", after: seconds))
        case .server(let index):
            serverIndex = index
            let address = route.upstream.rule.servers[index]
            if !fresh, let kept = pool.take(address) { return send(on: kept) }
            stage = .connecting
            pool.connect(to: address, timeout: route.upstream.rule.connectTimeout) { [self] connection in
                connected(connection)
            }
        }
    }

    private func connected(_ connection: UpstreamConnection?) {
        guard case .connecting = stage else {
            connection?.close()
            return
        }
        guard let connection else {
            reportServer(.failed)
            // Not a byte was sent, so that any method may be tried at another server.
            return again(if: route?.rule.retry != .off)
        }
        send(on: connection)
    }

    private func send(on connection: UpstreamConnection) {
        guard let target, let route else { return }
        upstreamConnection = connection
        stage = .forwarding
        answerSince = .now()
        connection.begin(requestBytes(target, route), method: head.method, user: self)
        if let replay, replay.readableBytes > 0 { writeBody(replay, to: connection) }
        if requestIsComplete {
            if case .chunked = head.framing { connection.write(ByteBuffer(string: "0\r\n\r\n")) }
            connection.flush()
            return
        }
        if attempts == 0 {
            bodySince = .now()
            if isRepeatable { replay = ByteBuffer() }
        }
        if head.headers.contains("expect"), head.minorVersion == 1, !hasContinued {
            hasContinued = true
            self.connection.write(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n"))
            self.connection.flush()
        }
        connection.flush()
        self.connection.bodyWanted()
    }

    /// The head for the service: what the client may say, and what only the gateway may.
    private func requestBytes(_ target: RequestTarget, _ route: GatewayTable.Route) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: 1024)
        func write(_ name: String, _ value: String) {
            buffer.writeString(name)
            buffer.writeString(": ")
            buffer.writeString(value)
            buffer.writeString("\r\n")
        }
        buffer.writeString(head.method)
        buffer.writeString(" ")
        buffer.writeString(target.text)
        buffer.writeString(" HTTP/1.1\r\n")
        write("host", route.upstream.rule.name)
        for field in HeaderRules.forwarded(head.headers).fields {
            // A token that was not verified here is none of a service's business.
            if field.name == "authorization", principal == nil { continue }
            write(field.name, field.value)
        }
        switch head.framing {
        case .length(let length): write("content-length", String(length))
        case .chunked: write("transfer-encoding", "chunked")
        case .none, .untilClose:
            if head.method != "GET", head.method != "HEAD" { write("content-length", "0") }
        }
        write("x-request-id", requestID)
        write("traceparent", trace.description)
        if continuesTrace, head.headers.count(of: "tracestate") == 1, let state = head.headers["tracestate"] {
            write("tracestate", state)
        }
        write("x-internal-credential", front.credential)
        if let client { write("x-internal-client-address", client.description) }
        if !admission.positions.isEmpty { write("x-internal-position", admission.positions.header) }
        buffer.writeString("\r\n")
        return buffer
    }

    // MARK: The body

    func received(_ part: ByteBuffer) {
        guard let route, let upstreamConnection else { return }
        bodyBytes += part.readableBytes
        guard bodyBytes <= route.rule.bodyLimit else { return broke(.tooLarge) }
        if var kept = replay {
            if kept.readableBytes + part.readableBytes <= Self.replayLimit {
                kept.writeImmutableBuffer(part)
                replay = kept
            } else {
                replay = nil
            }
        }
        writeBody(part, to: upstreamConnection)
        upstreamConnection.flush()
    }

    private func writeBody(_ part: ByteBuffer, to connection: UpstreamConnection) {
        guard case .chunked = head.framing else { return connection.write(part) }
        connection.write(ByteBuffer(string: String(part.readableBytes, radix: 16) + "\r\n"))
        connection.write(part)
        connection.write(ByteBuffer(string: "\r\n"))
    }

    func receivedEnd() {
        requestIsComplete = true
        answerSince = .now()
        if case .chunked = head.framing { upstreamConnection?.write(ByteBuffer(string: "0\r\n\r\n")) }
        upstreamConnection?.flush()
    }

    /// The request cannot be read to its end.
    func broke(_ rejection: Rejection) {
        dropUpstream(.unknown)
        if answerHasBegun {
            note(rejection.status)
            connection.abandon(self)
        } else {
            reject(rejection)
        }
    }

    func clientLeft() {
        switch stage {
        case .done: return
        case .queued(let number):
            // If it was admitted meanwhile, `placeGranted` gives the place back.
            _ = route?.upstream.abandon(number)
        default: dropUpstream(.unknown)
        }
        note(499)
    }

    func upstreamBecameWritable() { connection.bodyWanted() }

    // MARK: Failing and trying again

    func upstreamBroke() {
        let wasKept = (upstreamConnection?.uses ?? 0) > 1 && upstreamConnection?.hasAnswerBytes == false
        upstreamConnection = nil
        switch stage {
        case .forwarding:
            // A kept connection that the server has closed meanwhile says nothing of the server.
            reportServer(wasKept ? .unknown : .failed)
            let isWhole = requestIsComplete ? bodyBytes == 0 || replay != nil : replay != nil
            again(if: route?.rule.retry == .onConnectAndIdempotent && isRepeatable && isWhole)
        case .answering:
            reportServer(.unknown)
            if answerHasBegun {
                note(502)
                connection.abandon(self)
            } else {
                reject(Self.badAnswer)
            }
        default: break
        }
    }

    /// Whether sending the request twice does no more than sending it once.
    private var isRepeatable: Bool {
        switch head.method {
        case "GET", "HEAD", "OPTIONS": true
        case "POST": head.headers.contains("idempotency-key")
        default: false
        }
    }

    private func again(if isAllowed: Bool) {
        guard isAllowed, attempts == 0, let route, route.upstream.beginRetry() else { return reject(Self.badAnswer) }
        attempts = 1
        isRetrying = true
        front.meters.retries.increment()
        connect(fresh: true)
    }

    private static let badAnswer = Rejection(
        status: 502,
        code: "bad-gateway",
        detail: "The service could not be reached or broke off.",
        headers: [HeaderFields.Field(name: "retry-after", value: "1")]
    )

    // MARK: Letting go

    func reportServer(_ outcome: Upstream.Outcome) {
        guard let index = serverIndex, let route else { return }
        route.upstream.report(index, outcome, now: .now())
        serverIndex = nil
        lastServer = index
    }

    /// Closes the way to the service, whatever was on it.
    func dropUpstream(_ outcome: Upstream.Outcome) {
        upstreamConnection?.close()
        upstreamConnection = nil
        reportServer(outcome)
    }

    /// Gives back what the request held; to be called once, at its end.
    func releaseUpstream() {
        if isRetrying {
            isRetrying = false
            route?.upstream.endRetry()
        }
        if holdsPlace {
            holdsPlace = false
            route?.upstream.leave()
        }
    }
}
