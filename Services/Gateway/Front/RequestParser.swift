import NIOCore

/// Cuts a connection's bytes into requests. A pure value: bytes in, parts out.
///
/// It is our own, since the gateway must be stricter than any general parser and must say which limit was passed. What
/// is not exactly in the form of RFC 9112 is refused, with one leniency the RFC asks for: empty lines before a request.
struct RequestParser {
    enum Output {
        case head(RequestHead)
        case body(ByteBuffer)
        /// The request is complete; the next call begins another.
        case end
        /// Nothing more to be said without more bytes.
        case more
        /// The connection cannot go on.
        case failure(Rejection)
    }

    private enum State {
        case head
        case fixed(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers(Int)
        case failed(Rejection)
    }

    private let limits: FrontLimits
    private var state = State.head
    private var scanner = HeadScanner()
    private var emptyLines = 0
    /// Whether the line of a head that has not come whole was looked at.
    private var isLineJudged = false

    init(limits: FrontLimits) { self.limits = limits }

    /// Whether some bytes of a head have come but not all.
    private(set) var isInsideHead = false

    mutating func next(_ buffer: inout ByteBuffer) -> Output {
        do throws(Rejection) {
            switch state {
            case .head: return try head(&buffer)
            case .fixed(let rest): return fixed(&buffer, rest)
            case .chunkSize: return try chunkSize(&buffer)
            case .chunk(let rest): return chunk(&buffer, rest)
            case .chunkEnd: return try chunkEnd(&buffer)
            case .trailers(let seen): return try trailers(&buffer, seen)
            case .failed(let rejection): return .failure(rejection)
            }
        } catch {
            state = .failed(error)
            return .failure(error)
        }
    }

    private mutating func head(_ buffer: inout ByteBuffer) throws(Rejection) -> Output {
        if scanner.isAtStart {
            guard try skipEmptyLines(&buffer) else { return .more }
        }
        guard buffer.readableBytes > 0 else {
            isInsideHead = false
            return .more
        }
        isInsideHead = true
        guard let length = try scanner.end(of: buffer, limits) else {
            if !isLineJudged, let line = scanner.firstLine {
                // Whoever speaks another HTTP, as 0.9, sends no more than this line and would wait for an answer.
                isLineJudged = true
                try HeadReader.checkRequestLine(buffer, length: line)
            }
            return .more
        }
        scanner = HeadScanner()
        isLineJudged = false
        emptyLines = 0
        isInsideHead = false
        guard let slice = buffer.readSlice(length: length) else { return .more }
        let result = slice.withUnsafeReadableBytes { bytes -> Result<RequestHead, Rejection> in
            do throws(Rejection) { return .success(try HeadReader.request(bytes)) } catch { return .failure(error) }
        }
        let head = try result.get()
        switch head.framing {
        case .none: state = .fixed(0)
        case .length(let length): state = .fixed(length)
        case .chunked, .untilClose: state = .chunkSize
        }
        return .head(head)
    }

    /// A robust server skips an empty line before a request (RFC 9112, section 2.2); four are more than any client sends.
    /// False while it is not known whether a line is empty.
    private mutating func skipEmptyLines(_ buffer: inout ByteBuffer) throws(Rejection) -> Bool {
        while let first = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self), first == 0x0D || first == 0x0A {
            guard first == 0x0D, emptyLines < 4 else { throw .malformed("The request line is missing.") }
            guard let second = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt8.self) else { return false }
            guard second == 0x0A else { throw .malformed("A carriage return stands alone.") }
            buffer.moveReaderIndex(forwardBy: 2)
            emptyLines += 1
        }
        return true
    }

    private mutating func fixed(_ buffer: inout ByteBuffer, _ rest: Int) -> Output {
        if rest == 0 {
            state = .head
            return .end
        }
        let count = min(rest, buffer.readableBytes)
        guard count > 0, let slice = buffer.readSlice(length: count) else { return .more }
        state = .fixed(rest - count)
        return .body(slice)
    }

    private mutating func chunkSize(_ buffer: inout ByteBuffer) throws(Rejection) -> Output {
        guard let line = try line(&buffer, limit: 256, "A chunk's size") else { return .more }
        guard let size = ChunkSize.parse(line) else { throw .malformed("A chunk's size is not well formed.") }
        state = size == 0 ? .trailers(0) : .chunk(size)
        return next(&buffer)
    }

    private mutating func chunk(_ buffer: inout ByteBuffer, _ rest: Int) -> Output {
        let count = min(rest, buffer.readableBytes)
        guard count > 0, let slice = buffer.readSlice(length: count) else { return .more }
        state = count == rest ? .chunkEnd : .chunk(rest - count)
        return .body(slice)
    }

    private mutating func chunkEnd(_ buffer: inout ByteBuffer) throws(Rejection) -> Output {
        guard buffer.readableBytes > 0 else { return .more }
        guard buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) == 0x0D else {
            throw .malformed("A chunk is longer than it says.")
        }
        guard let second = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt8.self) else { return .more }
        guard second == 0x0A else { throw .malformed("A chunk is longer than it says.") }
        buffer.moveReaderIndex(forwardBy: 2)
        state = .chunkSize
        return next(&buffer)
    }

    /// Trailers are checked and dropped: no service reads any.
    private mutating func trailers(_ buffer: inout ByteBuffer, _ seen: Int) throws(Rejection) -> Output {
        guard let line = try line(&buffer, limit: limits.lineBytes, "A trailer") else { return .more }
        if line.isEmpty {
            state = .head
            return .end
        }
        guard seen < 20 else { throw .malformed("There are too many trailers.") }
        let field = line.withUnsafeBytes { FieldLine.parse($0[...]) }
        guard let field, !HeaderRules.isForbiddenTrailer(field.name) else {
            throw .malformed("A trailer is not well formed or not allowed.")
        }
        state = .trailers(seen + 1)
        return next(&buffer)
    }

    /// A line without its CR LF; nil while it is incomplete.
    private func line(_ buffer: inout ByteBuffer, limit: Int, _ what: String) throws(Rejection) -> [UInt8]? {
        let view = buffer.readableBytesView
        guard let end = view.prefix(limit).firstIndex(of: 0x0A) else {
            guard view.count < limit else { throw .malformed("\(what) is too long.") }
            return nil
        }
        guard end > view.startIndex, view[end - 1] == 0x0D else { throw .malformed("A line feed stands alone.") }
        let line = Array(view[view.startIndex..<(end - 1)])
        buffer.moveReaderIndex(to: end + 1)
        return line
    }
}

/// The size line of a chunk.
enum ChunkSize {
    /// `1*HEXDIG [ chunk-ext ]`; extensions are accepted in visible characters and dropped.
    static func parse(_ line: [UInt8]) -> Int? {
        var size = 0
        var index = 0
        while index < line.count, let digit = hex(line[index]) {
            guard index < 8 else { return nil }
            size = size << 4 | digit
            index += 1
        }
        guard index > 0 else { return nil }
        guard index < line.count else { return size }
        guard line[index] == UInt8(ascii: ";") else { return nil }
        let isVisible = line[index...].allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x09 }
        return isVisible ? size : nil
    }

    private static func hex(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte - 0x30)
        case 0x41...0x46: Int(byte - 0x41 + 10)
        case 0x61...0x66: Int(byte - 0x61 + 10)
        default: nil
        }
    }
}

/// Looks for the end of a head as its bytes come in and judges it line by line, so that a head that never ends is
/// refused as soon as it breaks a limit.
struct HeadScanner {
    private var scanned = 0
    private var lineStart = 0
    private var lines = 0
    private var firstLineLength = 0

    /// The length of the first line without its end, once it has come.
    var firstLine: Int? { lines > 0 ? firstLineLength - 2 : nil }

    var isAtStart: Bool { scanned == 0 }

    /// The length of the head with its empty line; nil while it is incomplete.
    mutating func end(of buffer: ByteBuffer, _ limits: FrontLimits) throws(Rejection) -> Int? {
        let bytes = buffer.readableBytesView
        let base = bytes.startIndex
        if scanned == 0, let first = bytes.first, !FieldLine.isToken[Int(first)] {
            throw .malformed("This is not HTTP/1.1.")
        }
        while let found = bytes[(base + scanned)...].firstIndex(of: 0x0A) {
            let index = found - base
            guard index > lineStart, bytes[found - 1] == 0x0D else { throw .malformed("A line feed stands alone.") }
            let length = index - 1 - lineStart
            scanned = index + 1
            if lines == 0 {
                try checkLine(length, limits)
                firstLineLength = index + 1
            } else {
                guard index + 1 - firstLineLength <= limits.headerBytes + 2 else { throw Self.headersTooLarge }
                if length == 0 { return index + 1 }
                guard lines <= limits.headerCount else { throw Self.headersTooLarge }
            }
            lines += 1
            lineStart = index + 1
        }
        scanned = bytes.count
        if lines == 0 {
            // A CR may be the first half of the line's end, which does not count.
            try checkLine(bytes.last == 0x0D ? bytes.count - 1 : bytes.count, limits)
        } else if bytes.count - firstLineLength > limits.headerBytes + 2 {
            throw Self.headersTooLarge
        }
        return nil
    }

    private func checkLine(_ length: Int, _ limits: FrontLimits) throws(Rejection) {
        guard length <= limits.lineBytes else {
            throw Rejection(
                status: 414,
                code: "target-too-long",
                detail: "The request line is too long.",
                closes: true
            )
        }
    }

    private static let headersTooLarge = Rejection(
        status: 431,
        code: "headers-too-large",
        detail: "There are too many header fields, or they are too long.",
        closes: true
    )
}
