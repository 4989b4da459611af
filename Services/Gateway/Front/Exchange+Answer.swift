import Chronology
import Identity
import Logging
import NIOCore
import ServiceKit

/// Answering the client.
extension Exchange {
    // MARK: With a service's answer

    func upstreamAnswered(_ head: ResponseHead) {
        answer = head
        stage = .answering
        reportServer(.answered)
        guard let position = head.headers["x-internal-position"] else { return sendHead(head, sealed: nil) }
        // The client's next request may come to another gateway, so the position has to be known there before the
        // client knows of the answer.
        upstreamConnection?.hold()
        let session = principal?.session ?? head.headers["x-internal-session"].flatMap { SessionID($0) }
        let organization =
            principal?.organization ?? head.headers["x-internal-organization"].flatMap { OrganizationID($0) }
        let gate = front.gate
        let bound = NIOLoopBound(self, eventLoop: pool.loop)
        Task(executorPreference: pool.executor) {
            let sealed = await gate.remember(position, session: session, organization: organization)
            bound.value.remembered(sealed)
        }
    }

    private func remembered(_ sealed: String?) {
        guard case .answering = stage, let answer else { return }
        sendHead(answer, sealed: sealed)
        upstreamConnection?.release()
    }

    private func sendHead(_ answer: ResponseHead, sealed: String?) {
        var fields = HeaderRules.answered(answer.headers)
        for field in admission.fields where !fields.contains(field.name) { fields.append(field.name, field.value) }
        for field in front.crossOrigin.fields(origin: head.headers["origin"]) { fields.set(field.name, field.value) }
        if let sealed { fields.append("taskflow-position", sealed) }
        var framing = answer.framing
        // HTTP/1.0 knows no chunks, and an answer without a length ends with the connection.
        var keepsAlive = head.keepsAlive && requestIsComplete && !front.isDraining
        switch framing {
        case .chunked, .untilClose:
            framing = head.minorVersion == 1 ? .chunked : .untilClose
            if head.minorVersion == 0, head.method != "HEAD" { keepsAlive = false }
        case .none where answer.status != 204 && answer.status != 304: framing = .length(0)
        case .none, .length: break
        }
        answerIsChunked = framing == .chunked && head.method != "HEAD"
        write(
            AnswerHead(status: answer.status, fields: fields),
            framing: framing,
            keepsAlive: keepsAlive,
            cache: route?.rule.effectiveCache ?? "no-store"
        )
    }

    func upstreamSent(_ part: ByteBuffer) {
        sentBytes += part.readableBytes
        guard head.method != "HEAD" else { return }
        if answerIsChunked {
            connection.write(ByteBuffer(string: String(part.readableBytes, radix: 16) + "\r\n"))
            connection.write(part)
            connection.write(ByteBuffer(string: "\r\n"))
        } else {
            connection.write(part)
        }
        guard !connection.isWritable else { return }
        connection.flush()
        // The flush may have made room already, and nobody would say so again.
        if !connection.isWritable { upstreamConnection?.hold() }
    }

    func upstreamPaused() { if answerHasBegun { connection.flush() } }

    func clientBecameWritable() { if answerHasBegun { upstreamConnection?.release() } }

    func upstreamFinished() {
        if answerIsChunked { connection.write(ByteBuffer(string: "0\r\n\r\n")) }
        upstreamConnection?.finish(reusable: requestIsComplete && answer?.keepsAlive == true)
        upstreamConnection = nil
        finish()
    }

    // MARK: With an answer of our own

    func reject(_ rejection: Rejection) {
        var fields = [HeaderFields.Field(name: "content-type", value: MediaType.problem)]
        fields += rejection.headers
        fields.append(HeaderFields.Field(name: "cache-control", value: "no-store"))
        for field in admission.fields where !fields.contains(where: { $0.name == field.name }) { fields.append(field) }
        answerLocally(
            rejection.status,
            fields,
            rejection.body(instance: target?.path ?? rawPath, requestID: requestID),
            closes: rejection.closes
        )
    }

    /// What was asked for where it is no path that could be routed; the root for what never became a request.
    private var rawPath: String {
        let path = head.target.prefix { $0 != "?" && $0 != "#" }
        return path.hasPrefix("/") ? String(path) : "/"
    }

    func answerLocally(_ status: Int, _ fields: [HeaderFields.Field], _ body: [UInt8], closes: Bool = false) {
        guard !answerHasBegun else { return connection.abandon(self) }
        var headers = HeaderFields()
        for field in fields { headers.append(field.name, field.value) }
        if head.method != "OPTIONS" {
            for field in front.crossOrigin.fields(origin: head.headers["origin"]) {
                headers.set(field.name, field.value)
            }
        }
        let isEmpty = status == 204 || status == 304
        let keepsAlive = !closes && head.keepsAlive && !front.isDraining && (requestIsComplete || canDiscard)
        write(
            AnswerHead(status: status, fields: headers),
            framing: isEmpty ? .none : .length(body.count),
            keepsAlive: keepsAlive,
            cache: "no-store"
        )
        if head.method != "HEAD", !isEmpty, !body.isEmpty {
            sentBytes = body.count
            connection.write(ByteBuffer(bytes: body))
        }
        finish()
    }

    /// A short body that is under way anyway is read and dropped, so that the connection need not be given up.
    private var canDiscard: Bool {
        if case .length(let length) = head.framing {
            length <= 65_536 && !head.headers.contains("expect")
        } else {
            false
        }
    }

    // MARK: Both

    private func write(_ answer: AnswerHead, framing: BodyFraming, keepsAlive: Bool, cache: String) {
        var answer = answer
        answer.complete(
            front.common,
            cache: cache,
            requestID: requestID,
            date: pool.dateText(front.clock.now.seconds)
        )
        status = answer.status
        answerHasBegun = true
        answerKeepsAlive = keepsAlive
        connection.write(
            answer.bytes(
                framing: framing,
                keepsAlive: keepsAlive,
                minorVersion: head.minorVersion,
                ByteBufferAllocator()
            )
        )
    }

    private func finish() {
        note(status)
        connection.finished(self, keepsAlive: answerKeepsAlive, requestIsComplete: requestIsComplete)
    }

    /// The end of every request, however it came about: gives back what was held, counts and logs.
    func note(_ status: Int) {
        if case .done = stage { return }
        stage = .done
        dropUpstream(.unknown)
        releaseUpstream()
        let elapsed = (NIODeadline.now() - started).nanoseconds
        (route?.meter ?? front.meters.unrouted).note(method: head.method, status: status, nanoseconds: elapsed)
        AccessLog.write(self, status: status, nanoseconds: elapsed)
    }
}
