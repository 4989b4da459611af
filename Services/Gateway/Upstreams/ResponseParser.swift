import NIOCore

/// The head of a service's answer.
struct ResponseHead: Sendable, Hashable {
    var status: Int
    var headers: HeaderFields
    var framing: BodyFraming
    /// Whether the connection may be used again.
    var keepsAlive: Bool
}

/// Cuts the bytes of a service into one answer. A pure value, like ``RequestParser``; anything odd is a failure, since
/// the services are ours and an answer that is not well formed means that the connection is out of step.
struct ResponseParser {
    enum Output {
        case head(ResponseHead)
        case body(ByteBuffer)
        case end
        case more
        case failure
    }

    private enum State {
        case head
        case fixed(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers(Int)
        case untilClose
        case done
        case failed
    }

    /// Generous: an answer with a long `Location` and many fields of ours still fits.
    private static let limits: FrontLimits = {
        var limits = FrontLimits()
        limits.headerBytes = 65_536
        limits.headerCount = 200
        return limits
    }()

    private var state = State.head
    private var scanner = HeadScanner()
    /// Interim answers so far. One is read within the other, like trailers, so there must be an end to both; it lies
    /// beyond what any service sends.
    private var interimAnswers = 0
    private static let maximumInRow = 20

    /// Answers to HEAD announce a body that does not follow.
    private let isHead: Bool

    /// Ready for the answer to one request.
    init(isHead: Bool = false) { self.isHead = isHead }

    mutating func next(_ buffer: inout ByteBuffer) -> Output {
        switch state {
        case .head: return head(&buffer)
        case .fixed(let rest):
            if rest == 0 { return finish() }
            let count = min(rest, buffer.readableBytes)
            guard count > 0, let slice = buffer.readSlice(length: count) else { return .more }
            state = .fixed(rest - count)
            return .body(slice)
        case .chunkSize:
            guard let line = line(&buffer) else { return unlessFailed(.more) }
            guard let size = ChunkSize.parse(line) else { return fail() }
            state = size == 0 ? .trailers(0) : .chunk(size)
            return next(&buffer)
        case .chunk(let rest):
            let count = min(rest, buffer.readableBytes)
            guard count > 0, let slice = buffer.readSlice(length: count) else { return .more }
            state = count == rest ? .chunkEnd : .chunk(rest - count)
            return .body(slice)
        case .chunkEnd:
            guard let line = line(&buffer) else { return unlessFailed(.more) }
            guard line.isEmpty else { return fail() }
            state = .chunkSize
            return next(&buffer)
        case .trailers(let seen):
            guard let line = line(&buffer) else { return unlessFailed(.more) }
            if line.isEmpty { return finish() }
            guard seen < Self.maximumInRow else { return fail() }
            state = .trailers(seen + 1)
            return next(&buffer)
        case .untilClose:
            guard buffer.readableBytes > 0, let slice = buffer.readSlice(length: buffer.readableBytes) else {
                return .more
            }
            return .body(slice)
        case .done: return .more
        case .failed: return .failure
        }
    }

    /// Whether the end of the connection is the end of the answer and not a fault.
    var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

    private mutating func head(_ buffer: inout ByteBuffer) -> Output {
        guard buffer.readableBytes > 0 else { return .more }
        let length: Int?
        do { length = try scanner.end(of: buffer, Self.limits) } catch { return fail() }
        guard let length else { return .more }
        scanner = HeadScanner()
        guard
            let slice = buffer.readSlice(length: length),
            let (status, minor, headers) = slice.withUnsafeReadableBytes({ HeadReader.response($0) })
        else { return fail() }
        // An interim answer is followed by the real one; 101 was never asked for.
        if status < 200 {
            interimAnswers += 1
            return status == 101 || interimAnswers > Self.maximumInRow ? fail() : next(&buffer)
        }
        let options = headers.elements(of: "connection")
        var keepsAlive = minor == 1 ? !options.contains("close") : options.contains("keep-alive")
        let framing: BodyFraming
        if status == 204 || status == 304 {
            framing = .none
        } else if headers.contains("transfer-encoding") {
            guard headers.elements(of: "transfer-encoding") == ["chunked"], !headers.contains("content-length") else {
                return fail()
            }
            framing = .chunked
        } else if let text = headers["content-length"] {
            guard headers.count(of: "content-length") == 1, let length = HeaderRules.decimal(text) else {
                return fail()
            }
            framing = .length(length)
        } else {
            framing = .untilClose
            if !isHead { keepsAlive = false }
        }
        switch isHead ? .none : framing {
        case .none: state = .fixed(0)
        case .length(let length): state = .fixed(length)
        case .chunked: state = .chunkSize
        case .untilClose: state = .untilClose
        }
        return .head(ResponseHead(status: status, headers: headers, framing: framing, keepsAlive: keepsAlive))
    }

    private mutating func finish() -> Output {
        state = .done
        return .end
    }

    private mutating func fail() -> Output {
        state = .failed
        return .failure
    }

    private func unlessFailed(_ output: Output) -> Output { if case .failed = state { .failure } else { output } }

    /// A line without its CR LF; nil while it is incomplete, or after a failure.
    private mutating func line(_ buffer: inout ByteBuffer) -> [UInt8]? {
        let view = buffer.readableBytesView
        guard let end = view.prefix(8192).firstIndex(of: 0x0A) else {
            if view.count >= 8192 { state = .failed }
            return nil
        }
        guard end > view.startIndex, view[end - 1] == 0x0D else {
            state = .failed
            return nil
        }
        let line = Array(view[view.startIndex..<(end - 1)])
        buffer.moveReaderIndex(to: end + 1)
        return line
    }
}
