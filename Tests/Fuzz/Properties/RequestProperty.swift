import NIOCore

@testable import GatewayService

/// HTTP requests at the front door: however the bytes are cut they are the same requests up to the same refusal, what
/// is accepted means one thing only, and it ends where another reader says that it ends.
enum RequestProperty {
    /// Small, so that small inputs reach them.
    static let limits: FrontLimits = {
        var limits = FrontLimits()
        limits.lineBytes = 128
        limits.headerBytes = 512
        limits.headerCount = 12
        return limits
    }()

    enum Event: Equatable {
        case head(RequestHead)
        case body([UInt8])
        case end
    }

    /// What a parser has made of some bytes.
    struct Reading {
        var events: [Event] = []
        var refusal: Rejection?
        /// Where each request ended, in bytes from the start.
        var ends: [Int] = []
        var isInsideHead = false
    }

    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let all = Array(bytes)
        let whole = try read([all[...]], limits)
        var chooser = Chooser(all)
        for longest in [1, chooser.within(2...40)] {
            let cut = try read(chooser.pieces(of: all, longest: longest), limits)
            try expect(cut.events == whole.events, "other requests in pieces: \(cut.events), \(whole.events) at once")
            try expect(
                (cut.refusal == nil) == (whole.refusal == nil),
                "refused only if cut one way: \(String(describing: cut.refusal)) or \(String(describing: whole.refusal))"
            )
            try expect(cut.ends == whole.ends, "a request ends elsewhere when it comes in pieces")
            try expect(cut.isInsideHead == whole.isInsideHead, "inside a head only if it comes in pieces")
        }
        if let refusal = whole.refusal {
            try expect(refusal.closes, "goes on after a refusal: \(refusal)")
            try expect([400, 414, 431, 501].contains(refusal.status), "refuses with another status: \(refusal)")
        }
        try judgeOrder(whole.events)
        for case .head(let head) in whole.events { try judgeHead(head) }
        try judgeEnds(whole, all)
        try judgeWritten(whole)
    }

    private static func read(_ pieces: [ArraySlice<UInt8>], _ limits: FrontLimits) throws -> Reading {
        var parser = RequestParser(limits: limits)
        var reading = Reading()
        var buffer = ByteBuffer()
        var fed = 0
        for piece in pieces {
            if buffer.readableBytes == 0 { buffer = ByteBuffer(atEnd: piece) } else { buffer.writeBytes(piece) }
            fed += piece.count
            var isHungry = false
            while !isHungry {
                switch parser.next(&buffer) {
                case .head(let head): reading.events.append(.head(head))
                case .body(let part):
                    try expect(part.readableBytes > 0, "a piece of a body without a byte")
                    if case .body(let before)? = reading.events.last {
                        reading.events[reading.events.count - 1] = .body(before + part.readableBytesView)
                    } else {
                        reading.events.append(.body(Array(part.readableBytesView)))
                    }
                case .end:
                    reading.events.append(.end)
                    reading.ends.append(fed - buffer.readableBytes)
                case .more: isHungry = true
                case .failure(let refusal):
                    reading.refusal = refusal
                    guard case .failure(refusal) = parser.next(&buffer) else {
                        throw Violation("goes on after a refusal")
                    }
                    return reading
                }
            }
        }
        reading.isInsideHead = parser.isInsideHead
        return reading
    }

    private static func judgeOrder(_ events: [Event]) throws {
        var rest = events[...]
        while let first = rest.popFirst() {
            guard case .head(let head) = first else { throw Violation("something without a head: \(first)") }
            var length = 0
            if case .body(let body)? = rest.first {
                length = body.count
                rest.removeFirst()
            }
            let isComplete = rest.first == .end
            if isComplete { rest.removeFirst() }
            switch head.framing {
            case .none: try expect(length == 0 && isComplete, "a body that was not announced")
            case .length(let announced):
                try expect(
                    isComplete ? length == announced : length < announced,
                    "a body of another length: \(length) bytes of \(announced)"
                )
            case .chunked: break
            case .untilClose: throw Violation("a request to the end of the connection")
            }
            try expect(isComplete || rest.isEmpty, "another request before the end of one")
        }
    }

    private static func judgeHead(_ head: RequestHead) throws {
        try expect(head.method.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a bad method: \(head.method)")
        try expect(head.target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a bad target: \(head.target)")
        try expect(head.target.utf8.count + head.method.utf8.count + 10 <= limits.lineBytes, "a line too long")
        try expect(head.headers.fields.count <= limits.headerCount, "too many fields: \(head.headers.fields.count)")
        var size = 0
        for field in head.headers.fields {
            try expect(!field.name.isEmpty && field.name == field.name.lowercased(), "a bad name: \(field.name)")
            try expect(field.name.utf8.allSatisfy { FieldLine.isToken[Int($0)] }, "a bad name: \(field.name)")
            try expect(field.value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 9 }, "a control character")
            try expect(field.value.trimmedOfBlanks.utf8.count == field.value.utf8.count, "blanks around a value")
            size += field.name.utf8.count + field.value.utf8.count + 3
        }
        try expect(size <= limits.headerBytes, "fields too long: \(size) bytes")
        let (lengths, codings) = (head.headers.all("content-length"), head.headers.all("transfer-encoding"))
        switch head.framing {
        case .none: try expect(codings.isEmpty && lengths.allSatisfy { Int($0) == 0 }, "a body that is not seen")
        case .length(let length):
            try expect(codings.isEmpty && lengths.count == 1 && Int(lengths[0]) == length, "a length of its own")
            try expect(lengths[0].utf8.allSatisfy { (0x30...0x39).contains($0) }, "a bad length: \(lengths[0])")
        default:
            try expect(codings.count == 1 && lengths.isEmpty && head.minorVersion == 1, "chunks and something else")
            try expect(codings[0].lowercased() == "chunked", "a coding that is not known: \(codings[0])")
        }
        try judgeTarget(head.target)
        guard (try? HeaderRules.check(head)) != nil else { return }
        try expect(head.headers.count(of: "host") == 1 || head.minorVersion == 0, "not one Host")
        try judgeForwarded(head)
    }

    private static func judgeTarget(_ text: String) throws {
        guard let target = try? RequestTarget(text) else { return }
        try expect(target.text.utf8.elementsEqual(text.utf8), "a target is changed: \(text) goes on as \(target.text)")
        for segment in target.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).dropLast() {
            try expect(!segment.isEmpty, "an empty segment: \(text)")
        }
        for segment in target.segments {
            let plain = segment.replacing("%2e", with: ".").replacing("%2E", with: ".")
            try expect(plain != "." && plain != "..", "a path that goes up: \(text)")
        }
        let path = target.path.lowercased()
        for hidden in ["%2f", "%5c", "%00", "\\", "%2e"] {
            try expect(!path.contains(hidden), "a path that hides something: \(hidden) in \(text)")
        }
    }

    /// What a service gets to see says nothing that the gateway alone may say.
    private static func judgeForwarded(_ head: RequestHead) throws {
        var forwarded = HeaderFields()
        HeaderRules.forward(head.headers, withToken: false, into: &forwarded)
        let named = head.headers.elements(of: "connection")
        for field in forwarded.fields {
            let name = field.name
            try expect(head.headers.all(name).contains(field.value), "a field was made up: \(name)")
            try expect(!named.contains(name) && !name.contains("_"), "forwards what it must not: \(name)")
            for start in ["x-user-", "x-org-", "x-internal-", "x-forwarded-", "taskflow-"] {
                try expect(!name.hasPrefix(start), "forwards what it must not: \(name)")
            }
            for own in ["authorization", "connection", "te", "upgrade", "transfer-encoding", "content-length", "host"] {
                try expect(name != own, "forwards what it must not: \(name)")
            }
        }
    }

    /// Where another reader, which knows nothing but CR LF, lengths and chunks, finds the ends.
    private static func judgeEnds(_ reading: Reading, _ bytes: [UInt8]) throws {
        var offset = 0
        var ends = reading.ends[...]
        for case .head(let head) in reading.events {
            while bytes[offset...].starts(with: [0x0D, 0x0A]) { offset += 2 }
            guard let last = bytes.indices.first(where: { $0 > offset && bytes[$0...].starts(with: [13, 10, 13, 10]) })
            else { throw Violation("a head without an end") }
            offset = last + 4
            switch head.framing {
            case .length(let length): offset += length
            case .chunked: offset = endOfChunks(bytes, from: offset) ?? .max
            default: break
            }
            guard let end = ends.popFirst() else { return }
            try expect(end == offset, "a request ends elsewhere: at \(end), not \(offset)")
        }
    }

    private static func endOfChunks(_ bytes: [UInt8], from start: Int) -> Int? {
        var offset = start
        while true {
            guard let lineEnd = bytes[offset...].firstIndex(of: 0x0D) else { return nil }
            let digits = bytes[offset..<lineEnd].prefix { $0 != UInt8(ascii: ";") }
            guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 16) else { return nil }
            offset = lineEnd + 2 + size
            if size == 0 { break }
            guard offset < bytes.count, bytes[offset...].starts(with: [0x0D, 0x0A]) else { return nil }
            offset += 2
        }
        while offset < bytes.count, !bytes[offset...].starts(with: [0x0D, 0x0A]) {
            guard let lineEnd = bytes[offset...].firstIndex(of: 0x0A) else { return nil }
            offset = lineEnd + 1
        }
        return offset + 2
    }

    /// The requests, each written in the plainest way, are the same requests.
    private static func judgeWritten(_ reading: Reading) throws {
        var text: [UInt8] = []
        var isChunked = false
        for event in reading.events {
            switch event {
            case .head(let head):
                isChunked = head.framing == .chunked
                text += "\(head.method) \(head.target) HTTP/1.\(head.minorVersion)\r\n".utf8
                var fields = ByteBuffer()
                head.headers.write(into: &fields)
                text += Array(fields.readableBytesView) + [0x0D, 0x0A]
            case .body(let body):
                text += isChunked ? "\(String(body.count, radix: 16))\r\n".utf8 + body + [0x0D, 0x0A] : body
            case .end: text += isChunked ? Array("0\r\n\r\n".utf8) : []
            }
        }
        let again = try read([text[...]], FrontLimits())
        try expect(again.refusal == nil && again.events == reading.events, "reads differently what it has read")
    }
}

extension ByteBuffer {
    /// The bytes at the very end of the memory they are in, so that a look behind them is seen.
    init(atEnd bytes: ArraySlice<UInt8>) {
        self = ByteBufferAllocator().buffer(capacity: bytes.count)
        let before = capacity - bytes.count
        writeRepeatingByte(0, count: before)
        moveReaderIndex(forwardBy: before)
        writeBytes(bytes)
    }
}
