import NIOCore

/// Reads the lines of a complete head whose line ends are known to be CR LF.
enum HeadReader {
    typealias Bytes = UnsafeRawBufferPointer.SubSequence

    static func request(_ bytes: UnsafeRawBufferPointer) throws(Rejection) -> RequestHead {
        var rest = bytes[...]
        let (method, target, minor) = try requestLine(line(&rest))
        let headers = try fields(&rest)
        let framing = try HeaderRules.framing(headers, minorVersion: minor)
        return RequestHead(method: method, target: target, minorVersion: minor, headers: headers, framing: framing)
    }

    /// Judges a first line whose head has not come whole.
    static func checkRequestLine(_ buffer: ByteBuffer, length: Int) throws(Rejection) {
        let fault = buffer.withUnsafeReadableBytes { bytes -> Rejection? in
            do throws(Rejection) {
                _ = try requestLine(bytes[0..<length])
                return nil
            } catch {
                return error
            }
        }
        if let fault { throw fault }
    }

    /// An answer's status and fields; nil if it is not well formed.
    static func response(_ bytes: UnsafeRawBufferPointer) -> (status: Int, minorVersion: Int, headers: HeaderFields)? {
        var rest = bytes[...]
        let first = line(&rest)
        guard
            first.count >= 12, let minor = version(first.prefix(8)), first[first.startIndex + 8] == 0x20,
            let status = Int(text(first[(first.startIndex + 9)..<(first.startIndex + 12)])),
            (100...599).contains(status),
            first.count == 12 || first[first.startIndex + 12] == 0x20,
            let headers = try? fields(&rest)
        else { return nil }
        return (status, minor, headers)
    }

    /// The next line, without its end, which is taken as well.
    private static func line(_ rest: inout Bytes) -> Bytes {
        guard let end = rest.firstIndex(of: 0x0A) else {
            defer { rest = rest[rest.endIndex...] }
            return rest
        }
        let line = rest[rest.startIndex..<max(rest.startIndex, end - 1)]
        rest = rest[(end + 1)...]
        return line
    }

    private static func requestLine(_ line: Bytes) throws(Rejection) -> (String, String, Int) {
        guard
            let first = line.firstIndex(of: 0x20), first > line.startIndex,
            let second = line[(first + 1)...].firstIndex(of: 0x20), second > first + 1
        else { throw .malformed("The request line is not well formed.") }
        let method = line[line.startIndex..<first]
        guard method.count <= 32, method.allSatisfy({ (0x41...0x5A).contains($0) || $0 == 0x2D || $0 == 0x5F }) else {
            throw .malformed("The method is not well formed.")
        }
        let target = line[(first + 1)..<second]
        guard target.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .malformed("The target has a character that must be percent-encoded.")
        }
        guard let minor = version(line[(second + 1)...]) else {
            throw .malformed("The version must be HTTP/1.1 or HTTP/1.0.")
        }
        return (text(method), text(target), minor)
    }

    private static func version(_ bytes: Bytes) -> Int? {
        guard bytes.count == 8, bytes.dropLast().elementsEqual("HTTP/1.".utf8) else { return nil }
        switch bytes.last {
        case UInt8(ascii: "0"): return 0
        case UInt8(ascii: "1"): return 1
        default: return nil
        }
    }

    private static func fields(_ rest: inout Bytes) throws(Rejection) -> HeaderFields {
        var headers = HeaderFields()
        while !rest.isEmpty {
            let line = line(&rest)
            if line.isEmpty { break }
            guard line.first != 0x20, line.first != 0x09 else {
                throw .malformed("A header field is folded over two lines.")
            }
            guard let field = FieldLine.parse(line) else { throw .malformed("A header field is not well formed.") }
            headers.append(field.name, field.value)
        }
        return headers
    }

    private static func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }
}
