import Identity
import Logging
import NIOCore
import ServiceKit

/// One request and its answer: judged here, sent on in `Exchange+Forward`, answered in `Exchange+Answer`. Lives on the
/// event loop of its connection.
final class Exchange {
    enum Stage {
        case judging
        /// Admitted; its body is on its way to us.
        case collecting
        /// Waiting for a place at the upstream, under this number.
        case queued(Int)
        case connecting
        /// The request is on its way or has arrived; nothing of the answer is here.
        case forwarding
        /// The answer's head has come; the positions in it may still be on their way to Redis.
        case answering
        case done
    }

    let head: RequestHead
    let connection: ClientConnection
    let front: Front
    let table: GatewayTable
    let pool: LoopPool
    let started = NIODeadline.now()
    let requestID: String
    let trace: TraceContext
    let client: NetworkAddress?

    var stage = Stage.judging
    var target: RequestTarget?
    var route: GatewayTable.Route?
    var admission = Gate.Admission()
    var principal: Principal?

    // The request's body
    var requestIsComplete = false
    var bodyBytes = 0
    /// Since when the body is waited for, and how much of it had come by then.
    var bodySince = NIODeadline.now()
    var bodyBefore = 0
    /// The body as far as it has come before the request was sent, and while it may have to be sent again.
    var replay: ByteBuffer?

    // The way to the service
    var upstreamConnection: (any UpstreamTransport)?
    /// The server chosen, until its outcome is reported.
    var serverIndex: Int?
    /// When that server was chosen.
    var serverSince = NIODeadline.distantPast
    /// The server that failed, to be avoided by a second try.
    var lastServer: Int?
    var holdsPlace = false
    var attempts = 0
    var isRetrying = false
    var answerSince = NIODeadline.now()

    // The answer
    var answer: ResponseHead?
    var answerHasBegun = false
    var answerIsChunked = false
    var answerKeepsAlive = false
    var sentBytes = 0
    var status = 0

    init(_ head: RequestHead, connection: ClientConnection) {
        self.head = head
        self.connection = connection
        front = connection.front
        table = connection.front.table
        pool = connection.pool
        let identifiers = head.headers.all("x-request-id")
        requestID = RequestIdentifier.accept(identifiers.count == 1 ? identifiers.first : nil)
        let parents = head.headers.all("traceparent")
        let parent = parents.count == 1 ? parents.first.flatMap { TraceContext(traceparent: $0) } : nil
        trace = parent?.child() ?? TraceContext()
        client = connection.peer.map {
            connection.front.table.configuration.trustedProxies.client(
                peer: $0,
                forwardedFor: head.headers.all("x-forwarded-for")
            )
        }
        continuesTrace = parent != nil
    }

    /// Whether `tracestate` belongs to the trace that goes on.
    let continuesTrace: Bool

    /// Judges the request as far as it can be without asking anyone.
    func begin() {
        do throws(Rejection) {
            try HeaderRules.check(head)
            let target = try readTarget()
            self.target = target
            if serveOwn(target) { return }
            guard let match = table.match(target) else {
                throw Rejection(status: 404, code: "not-found", detail: "There is nothing here that you may see.")
            }
            if isPreflight { return answerPreflight(allow: match.allow) }
            guard let index = match.methods[head.method == "HEAD" ? "GET" : head.method] else {
                throw Self.methodNotAllowed(match.allow)
            }
            route = table.routes[index]
        } catch {
            return reject(error)
        }
        judge()
    }

    private func readTarget() throws(Rejection) -> RequestTarget {
        guard head.method != "CONNECT", head.method != "TRACE" else { throw Self.methodNotAllowed(Self.everyMethod) }
        var text = head.target
        if text == "*", head.method == "OPTIONS" { throw Self.methodNotAllowed(Self.everyMethod) }
        // The absolute form is for proxies; it may say no more than Host does.
        if !text.hasPrefix("/"), let host = head.headers["host"] {
            for scheme in ["http://", "https://"] where text.lowercased().hasPrefix(scheme + host.lowercased() + "/") {
                text = String(text.dropFirst(scheme.utf8.count + host.utf8.count))
            }
        }
        do throws(TargetComplaint) {
            return try RequestTarget(text)
        } catch {
            throw .refused(error.reason, code: "bad-path")
        }
    }

    private static let everyMethod = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

    private static func methodNotAllowed(_ allow: String) -> Rejection {
        Rejection(
            status: 405,
            code: "method-not-allowed",
            detail: "This path does not know this method.",
            headers: [HeaderFields.Field(name: "allow", value: allow)]
        )
    }

    private var isPreflight: Bool {
        head.method == "OPTIONS" && head.headers.contains("origin")
            && head.headers.contains("access-control-request-method")
    }

    private func answerPreflight(allow: String) {
        let fields = front.crossOrigin.preflightFields(origin: head.headers["origin"], allow: allow)
        answerLocally(204, fields, [])
    }

    /// What the gateway serves by itself; false if the path is none of its own.
    private func serveOwn(_ target: RequestTarget) -> Bool {
        guard let page = front.documents.page(target.path, isServing: front.isServing) else { return false }
        if isPreflight {
            answerPreflight(allow: "GET, HEAD, OPTIONS")
        } else if head.method != "GET", head.method != "HEAD" {
            reject(Self.methodNotAllowed("GET, HEAD, OPTIONS"))
        } else if let tag = page.tag, isKnown(tag) {
            answerLocally(304, page.fields, [])
        } else {
            answerLocally(page.status, page.fields, page.body)
        }
        return true
    }

    /// Whether the client has the page already; a weak comparison (RFC 9110, section 13.1.2), since a proxy that
    /// compresses makes weak tags of ours.
    private func isKnown(_ tag: String) -> Bool {
        head.headers.elements(of: "if-none-match").contains { $0 == "*" || $0 == tag || $0 == "w/" + tag }
    }

    // MARK: The gate

    private func judge() {
        guard let route else { return }
        let question = Gate.Question(
            auth: route.rule.auth,
            rates: route.rates,
            authorization: head.headers["authorization"],
            client: client?.countedAs ?? "local",
            position: head.headers["taskflow-position"]
        )
        guard front.gate.isConcerned(question) else { return admitted(Gate.Admission()) }
        let gate = front.gate
        let verifier = table.verifier
        let bound = NIOLoopBound(self, eventLoop: pool.loop)
        Task(executorPreference: pool.executor) {
            let result: Result<Gate.Admission, Gate.Refusal>
            do throws(Gate.Refusal) {
                result = .success(try await gate.judge(question, verifier: verifier))
            } catch {
                result = .failure(error)
            }
            bound.value.judged(result)
        }
    }

    private func judged(_ result: Result<Gate.Admission, Gate.Refusal>) {
        guard case .judging = stage else { return }
        switch result {
        case .success(let admission): admitted(admission)
        case .failure(let refusal):
            principal = refusal.principal
            reject(refusal.rejection)
        }
    }

    private func admitted(_ admission: Gate.Admission) {
        guard let route else { return }
        self.admission = admission
        principal = admission.principal
        if case .length(let length) = head.framing, length > route.rule.bodyLimit { return reject(.tooLarge) }
        if requestIsComplete { enterUpstream() } else { collect() }
    }

    // MARK: Deadlines

    func tick(_ now: NIODeadline) {
        guard let route else { return }
        if now - started > route.rule.timeout.amount { return timedOut() }
        switch stage {
        case .collecting, .forwarding: break
        default: return
        }
        if requestIsComplete {
            // A route with a time of its own has it for the answer too: what it does takes long.
            let limit = route.rule.hasOwnTimeout ? route.rule.timeout : route.upstream.rule.answerTimeout
            if now - answerSince > limit.amount { timedOut() }
        } else if wantsBody {
            let limits = table.configuration.limits
            let elapsed = now - bodySince
            let isStalled =
                elapsed > .seconds(10)
                && Int64(bodyBytes - bodyBefore) < elapsed.nanoseconds / 1_000_000_000 * Int64(limits.minimumRate)
            let isLate = elapsed > (route.rule.hasOwnTimeout ? route.rule.timeout : limits.bodyTimeout).amount
            if isStalled || isLate { broke(.timeout("The body of the request")) }
        }
    }

    private func timedOut() {
        switch stage {
        case .judging: reject(.unavailable("unavailable", "This is not available at the moment."))
        case .collecting: broke(.timeout("The body of the request"))
        case .queued(let number):
            if let route, route.upstream.abandon(number) {
                reject(Self.overloaded)
            } else {
                // Admitted a moment ago, and too late all the same: `placeGranted` gives the place back.
                note(503)
                connection.abandon(self)
            }
        case .connecting, .forwarding:
            if case .forwarding = stage, !requestIsComplete, wantsBody {
                return broke(.timeout("The body of the request"))
            }
            dropUpstream(.failed)
            reject(
                Rejection(
                    status: 504,
                    code: "upstream-timeout",
                    detail: "The service did not answer in time.",
                    headers: [HeaderFields.Field(name: "retry-after", value: "1")]
                )
            )
        case .answering:
            dropUpstream(.unknown)
            note(499)
            connection.abandon(self)
        case .done: break
        }
    }

    static let overloaded = Rejection.unavailable("overloaded", "Too many requests are waiting for this service.")
}
