import NIOCore

@testable import GatewayService

/// Answers of services: however the bytes are cut they are one answer up to the same fault, no longer than it says, and
/// what the gateway itself writes as an answer is read as that answer.
enum ResponseProperty {
    enum Event: Equatable {
        case head(ResponseHead)
        case body([UInt8])
        case end
    }

    struct Reading: Equatable {
        var events: [Event] = []
        var isBroken = false
        var endsWithConnection = false
        /// Bytes that belong to nothing.
        var rest = 0
    }

    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let all = Array(bytes)
        var chooser = Chooser(all)
        for isHead in [false, true] {
            let whole = try read([all[...]], isHead: isHead)
            for longest in [1, chooser.within(2...40)] {
                let cut = try read(chooser.pieces(of: all, longest: longest), isHead: isHead)
                try expect(
                    cut.events == whole.events && cut.isBroken == whole.isBroken
                        && cut.endsWithConnection == whole.endsWithConnection,
                    "another answer in pieces: \(cut), \(whole) at once"
                )
                if !whole.isBroken {
                    try expect(cut.rest == whole.rest, "another answer in pieces: \(cut), \(whole) at once")
                }
            }
            try judgeOrder(whole, isHead: isHead)
            if !isHead { try judgeWritten(whole) }
        }
    }

    private static func read(_ pieces: [ArraySlice<UInt8>], isHead: Bool) throws -> Reading {
        var parser = ResponseParser(isHead: isHead)
        var reading = Reading()
        var buffer = ByteBuffer()
        for piece in pieces {
            if buffer.readableBytes == 0 { buffer = ByteBuffer(atEnd: piece) } else { buffer.writeBytes(piece) }
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
                case .end: reading.events.append(.end)
                case .more: isHungry = true
                case .failure:
                    reading.isBroken = true
                    guard case .failure = parser.next(&buffer) else { throw Violation("goes on after a fault") }
                    return reading
                }
            }
        }
        reading.rest = buffer.readableBytes
        reading.endsWithConnection = parser.endsWithConnection
        return reading
    }

    private static func judgeOrder(_ reading: Reading, isHead: Bool) throws {
        var rest = reading.events[...]
        guard let first = rest.popFirst() else { return }
        guard case .head(let head) = first else { throw Violation("something without a head: \(first)") }
        try expect((200...599).contains(head.status), "a bad status: \(head.status)")
        var length = 0
        if case .body(let body)? = rest.first {
            length = body.count
            rest.removeFirst()
        }
        let isComplete = rest.first == .end
        if isComplete { rest.removeFirst() }
        try expect(rest.isEmpty, "more than one answer")
        try expect(!isHead || length == 0, "a body in an answer to HEAD")
        try expect(
            !(head.status == 204 || head.status == 304) || length == 0,
            "a body where there is none: \(head.status)"
        )
        if !isHead, case .length(let announced) = head.framing {
            try expect(
                isComplete ? length == announced : length < announced,
                "a body of another length: \(length) bytes of \(announced)"
            )
        }
        if head.framing == .untilClose, !isHead { try expect(!head.keepsAlive && !isComplete, "ends by itself") }
        for field in head.headers.fields {
            try expect(field.value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 9 }, "a control character")
        }
        for field in HeaderRules.answered(head.headers).fields {
            let own = ["connection", "transfer-encoding", "content-length", "server", "x-request-id"]
            try expect(!own.contains(field.name), "passes on what it must not: \(field.name)")
            try expect(!field.name.hasPrefix("x-internal-"), "passes on what it must not: \(field.name)")
        }
    }

    /// The gateway's own writing of the answer, read again.
    private static func judgeWritten(_ reading: Reading) throws {
        guard case .head(let head)? = reading.events.first else { return }
        var fields = head.headers
        for name in ["connection", "content-length", "transfer-encoding"] { fields.remove(name) }
        var written = AnswerHead(status: head.status, fields: fields).bytes(
            framing: head.framing,
            keepsAlive: head.keepsAlive,
            minorVersion: 1,
            ByteBufferAllocator()
        )
        var parser = ResponseParser()
        guard case .head(let again) = parser.next(&written) else { throw Violation("cannot read its own head") }
        try expect(
            again.status == head.status && again.framing == head.framing && again.keepsAlive == head.keepsAlive,
            "reads its own head differently: \(head) as \(again)"
        )
        try expect(Array(again.headers.fields.prefix(fields.fields.count)) == fields.fields, "other fields")
    }
}
