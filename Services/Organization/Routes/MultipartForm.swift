/// One field of a `multipart/form-data` body.
struct MultipartField: Sendable {
    var name: String
    /// Given for files.
    var fileName: String?
    var mediaType: String?
    var body: ArraySlice<UInt8>
}

/// A `multipart/form-data` body (RFC 7578), read strictly: what two readers could take for two different things is
/// refused.
struct MultipartForm: Sendable {
    private(set) var fields: [MultipartField] = []

    /// More than any form here has.
    static let maximumFields = 16
    /// Of one field, in bytes.
    static let maximumHeader = 8192

    /// Reads a body; throws ``MultipartError``.
    init(_ bytes: [UInt8], boundary: String) throws {
        var reader = MultipartReader(bytes, boundary: boundary)
        try reader.skipPreamble()
        while try !reader.isAtClose() {
            guard fields.count < MultipartForm.maximumFields else { throw MultipartError("It has too many fields.") }
            let header = try MultipartHeader(reader.header())
            fields.append(
                MultipartField(
                    name: header.name,
                    fileName: header.fileName,
                    mediaType: header.mediaType,
                    body: try reader.body()
                )
            )
        }
    }

    /// The boundary named by a `Content-Type`; nil if that is not a form with a good boundary.
    static func boundary(ofContentType value: String) -> String? {
        guard
            let (type, parameters) = HeaderParameters.parse(value), type == "multipart/form-data",
            let boundary = parameters.first(where: { $0.name == "boundary" })?.value,
            parameters.count(where: { $0.name == "boundary" }) == 1, (1...70).contains(boundary.utf8.count),
            boundary.utf8.allSatisfy({ byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || "'()+_,-./:=? ".utf8.contains(byte)
            }), boundary.utf8.last != 0x20
        else { return nil }
        return boundary
    }
}

/// Why a form could not be read, in one sentence for people.
struct MultipartError: Error, Hashable {
    let detail: String

    init(_ detail: String) { self.detail = detail }
}

/// Walks over the body from delimiter to delimiter.
private struct MultipartReader {
    private let bytes: [UInt8]
    private let delimiter: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8], boundary: String) {
        self.bytes = bytes
        delimiter = Array("\r\n--\(boundary)".utf8)
    }

    /// The first delimiter stands at the start or after a line of preamble.
    mutating func skipPreamble() throws {
        if bytes.starts(with: delimiter.dropFirst(2)) {
            offset = delimiter.count - 2
        } else if let start = find(delimiter) {
            offset = start + delimiter.count
        } else {
            throw MultipartError("Its boundary does not occur in it.")
        }
    }

    /// After a delimiter: true for the last one, false at the start of a field's header.
    mutating func isAtClose() throws -> Bool {
        if bytes[offset...].starts(with: [0x2D, 0x2D]) { return true }
        while offset < bytes.count, bytes[offset] == 0x20 || bytes[offset] == 0x09 { offset += 1 }
        guard bytes[offset...].starts(with: [0x0D, 0x0A]) else { throw MultipartError("It is cut off or damaged.") }
        offset += 2
        return false
    }

    mutating func header() throws -> [String] {
        var lines: [String] = []
        let start = offset
        while true {
            guard let end = find([0x0D, 0x0A]), end - start <= MultipartForm.maximumHeader else {
                throw MultipartError("It is cut off, or a field's header is too long.")
            }
            let line = bytes[offset..<end]
            offset = end + 2
            if line.isEmpty { return lines }
            guard
                let text = String(validating: line, as: UTF8.self),
                !line.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F })
            else { throw MultipartError("A field's header is not UTF-8 text.") }
            lines.append(text)
        }
    }

    mutating func body() throws -> ArraySlice<UInt8> {
        // A field without a byte has its delimiter right after the header's empty line.
        if bytes[(offset - 2)...].starts(with: delimiter) {
            defer { offset += delimiter.count - 2 }
            return bytes[offset..<offset]
        }
        guard let end = find(delimiter) else { throw MultipartError("It is cut off.") }
        defer { offset = end + delimiter.count }
        return bytes[offset..<end]
    }

    /// Where `pattern` begins, from here on. Patterns begin with CR, which is rare enough in pictures that looking for
    /// it first is all the cleverness needed.
    private func find(_ pattern: [UInt8]) -> Int? {
        bytes.withUnsafeBufferPointer { buffer in
            pattern.withUnsafeBufferPointer { pattern in
                var index = offset
                while index + pattern.count <= buffer.count {
                    if buffer[index] == pattern[0] {
                        var matched = 1
                        while matched < pattern.count, buffer[index + matched] == pattern[matched] { matched += 1 }
                        if matched == pattern.count { return index }
                    }
                    index += 1
                }
                return nil
            }
        }
    }
}

/// What the header of a field says.
private struct MultipartHeader {
    var name: String
    var fileName: String?
    var mediaType: String?

    init(_ lines: [String]) throws {
        var disposition: String?
        for line in lines {
            guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else {
                throw MultipartError("A field's header has a line without a colon.")
            }
            let value = String(line[line.index(after: colon)...])
            switch line[..<colon].lowercased() {
            case "content-disposition":
                guard disposition == nil else { throw MultipartError("A field has two dispositions.") }
                disposition = value
            case "content-type":
                guard mediaType == nil else { throw MultipartError("A field has two types.") }
                mediaType = value
            case "content-transfer-encoding":
                let encoding = value.lowercased().filter { $0 != " " && $0 != "\t" }
                guard ["binary", "8bit", "7bit"].contains(encoding) else {
                    throw MultipartError("A field is encoded in a way that is not understood.")
                }
            default:
                break
            }
        }
        guard let disposition, let (type, parameters) = HeaderParameters.parse(disposition), type == "form-data" else {
            throw MultipartError("A field has no disposition.")
        }
        func only(_ name: String) throws -> String? {
            let values = parameters.filter { $0.name == name }
            guard values.count <= 1 else { throw MultipartError("A field has two of \(name).") }
            return values.first?.value
        }
        guard let name = try only("name") else { throw MultipartError("A field has no name.") }
        self.name = name
        fileName = try only("filename")
    }
}
