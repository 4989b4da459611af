import Identity
import Metrics
import NIOCore
import ServiceKit

/// Sending a request on to its service.
extension Exchange: UpstreamUser {
    /// Bodies up to this size are read before a service is asked, and kept for a second try.
    private static let replayLimit = 65_536

    /// Whether the connection may hand over more of the request's body.
    var wantsBody: Bool {
        guard !requestIsComplete else { return false }
        switch stage {
        case .collecting: return true
        case .forwarding, .answering: return upstreamConnection?.isWritable ?? false
        default: return false
        }
    }

    /// Reads the body, or the first 64 KiB of it, before the service is asked: who sends slowly takes nobody's place
    /// there.
    func collect() {
        stage = .collecting
        bodySince = .now()
        replay = ByteBuffer()
        if head.headers.contains("expect"), head.minorVersion == 1 {
            connection.write(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n"))
            connection.flush()
        }
        connection.bodyWanted()
    }

    // MARK: Reaching the service

    func enterUpstream() {
        guard let route else { return }
        let loop = pool.loop
        let bound = NIOLoopBound(self, eventLoop: loop)
        switch route.upstream.enter(owner, { loop.execute { bound.value.placeGranted() } }) {
        case .admitted:
            holdsPlace = true
            connect(fresh: false)
        case .queued(let number): stage = .queued(number)
        case .refused: reject(Self.overloaded)
        }
    }

    /// Whose share of the places at a service this request takes.
    private var owner: Bulkhead.Owner {
        principal.map { .organization($0.organization) } ?? .address(client?.countedAs ?? "")
    }

    private func placeGranted() {
        guard case .queued = stage else {
            route?.upstream.leave(owner)
            return
        }
        holdsPlace = true
        connect(fresh: false)
    }

    private func connect(fresh: Bool) {
        guard let route else { return }
        let now = NIODeadline.now()
        switch route.upstream.choose(avoiding: lastServer, now: now) {
        case .none(let seconds):
            reject(.unavailable("upstream-unavailable", "The service is not available at the moment.", after: seconds))
        case .server(let index):
            serverIndex = index
            serverSince = now
            let address = route.upstream.rule.servers[index]
            if let service = front.local[address], let channel = connection.channel {
                return send(on: LocalCall(service, channel: channel, executor: pool.executor))
            }
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

    private func send(on connection: any UpstreamTransport) {
        guard let target, let route else { return }
        upstreamConnection = connection
        stage = .forwarding
        answerSince = .now()
        connection.begin(forwarded(target, route), user: self)
        if let replay, replay.readableBytes > 0 { connection.writeBody(replay) }
        if requestIsComplete {
            connection.endBody()
            connection.flush()
            return
        }
        (bodySince, bodyBefore) = (.now(), bodyBytes)
        if !isRepeatable || attempts > 0 { replay = nil }
        connection.flush()
        self.connection.bodyWanted()
    }

    /// The head for the service: what the client may say, and what only the gateway may.
    private func forwarded(_ target: RequestTarget, _ route: GatewayTable.Route) -> ForwardedRequest {
        var fields = HeaderFields()
        fields.append("host", route.upstream.rule.name)
        HeaderRules.forward(head.headers, withToken: principal != nil, into: &fields)
        fields.append("x-request-id", requestID)
        fields.append("traceparent", trace.description)
        if continuesTrace, head.headers.count(of: "tracestate") == 1, let state = head.headers["tracestate"] {
            fields.append("tracestate", state)
        }
        fields.append("x-internal-credential", front.credential)
        if let client { fields.append("x-internal-client-address", client.description) }
        if !admission.positions.isEmpty { fields.append("x-internal-position", admission.positions.header) }
        return ForwardedRequest(method: head.method, target: target.text, fields: fields, framing: head.framing)
    }

    // MARK: The body

    func received(_ part: ByteBuffer) {
        guard let route else { return }
        bodyBytes += part.readableBytes
        guard bodyBytes <= route.rule.bodyLimit else { return broke(.tooLarge) }
        if case .collecting = stage {
            replay?.writeImmutableBuffer(part)
            if bodyBytes > Self.replayLimit { enterUpstream() }
            return
        }
        guard let upstreamConnection else { return }
        if bodyBytes > Self.replayLimit { replay = nil }
        replay?.writeImmutableBuffer(part)
        upstreamConnection.writeBody(part)
        upstreamConnection.flush()
    }

    func receivedEnd() {
        requestIsComplete = true
        if case .collecting = stage { return enterUpstream() }
        answerSince = .now()
        upstreamConnection?.endBody()
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
        let wasKept = upstreamConnection?.isStale ?? false
        let wasAnswering = upstreamConnection?.hasAnswerBytes ?? false
        upstreamConnection = nil
        switch stage {
        case .forwarding:
            // A kept connection that the server has closed meanwhile says nothing of the server.
            reportServer(wasKept ? .unknown : .failed)
            let isWhole = requestIsComplete ? bodyBytes == 0 || replay != nil : replay != nil
            let mayRepeat = route?.rule.retry == .onConnectAndIdempotent && isRepeatable && isWhole
            again(if: mayRepeat && !wasAnswering)
        case .answering:
            reportServer(.unknown)
            if answerHasBegun, !connection.takeBack() {
                note(502)
                connection.abandon(self)
            } else {
                answerHasBegun = false
                sentBytes = 0
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
        route.upstream.report(index, outcome, sent: serverSince, now: .now())
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
            route?.upstream.leave(owner)
        }
    }
}
