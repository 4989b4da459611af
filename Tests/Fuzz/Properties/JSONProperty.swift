import Failures

@testable import Identity
@testable import Messaging
@testable import ServiceKit

/// JSON: what is accepted is written out and read again as the same, nesting ends where it must, and the three readers
/// of the product agree: the one for bodies, the stricter one for tokens, and the scanner that cuts out values.
enum JSONProperty {
    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let bytes = Array(bytes)
        let strict = StrictJSON(bytes)
        _ = JSONScanner.elements(of: bytes)
        _ = JSONScanner.member("a", of: bytes)
        guard let value = try parsed(bytes, maximumDepth: 32) else {
            return try expect(strict == nil, "the reader for tokens accepts what the one for bodies refuses")
        }
        let written = value.encoded()
        guard let again = try parsed(written, maximumDepth: 32) else {
            throw Violation("cannot read its own writing: \(String(decoding: written, as: UTF8.self).debugDescription)")
        }
        try expect(again.isSame(as: value), "reads its own writing differently")
        try expect(again.encoded() == written, "writes differently the second time")
        try expect(value.isSame(as: .raw(bytes)) && JSON.raw(bytes).isSame(as: value), "is not the same as itself")

        let depth = value.depth
        try expect(depth <= 32, "nests too deep: \(depth) levels")
        if depth > 0 { try judgeTooDeep(bytes, depth) }
        if let strict {
            try expect(agree(value, strict), "the reader for tokens reads something else")
        } else {
            try expect(value.nesting > 8 || value.hasTwins, "the reader for tokens refuses what is good")
        }
        try judgeScanner(bytes, value)
    }

    /// The value, nil where it is refused in one of the three ways.
    private static func parsed(_ bytes: [UInt8], maximumDepth: Int) throws -> JSON? {
        do {
            return try withExactCopy(of: bytes) { buffer in
                var parser = JSONParser(buffer, maximumDepth: maximumDepth)
                return try parser.document()
            }
        } catch let failure as Failure {
            try expect(
                failure.kind == .badRequest && ["bad-json", "duplicate-key", "too-deep"].contains(failure.code),
                "refused with another code: \(failure.code)"
            )
            return nil
        }
    }

    private static func judgeTooDeep(_ bytes: [UInt8], _ depth: Int) throws {
        try expect(try parsed(bytes, maximumDepth: depth) != nil, "refuses what is not too deep: \(depth) levels")
        do {
            _ = try JSON(parsing: bytes, maximumDepth: depth - 1)
            throw Violation("nests deeper than it may: \(depth) levels")
        } catch let failure as Failure {
            try expect(failure.code == "too-deep", "too deep but refused with another code: \(failure.code)")
        }
    }

    private static func agree(_ value: JSON, _ strict: StrictJSON) -> Bool {
        switch (value, strict) {
        case (.null, .null), (.number, .otherNumber), (.integer(0), .otherNumber): true
        case (.bool(let left), .bool(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { agree($0, $1) }
        case (.object(let left), .object(let right)):
            left.count == right.count
                && left.allSatisfy { member in right[member.key].map { agree(member.value, $0) } ?? false }
        default: false
        }
    }

    private static func judgeScanner(_ bytes: [UInt8], _ value: JSON) throws {
        switch value {
        case .array(let elements):
            let slices = JSONScanner.elements(of: bytes)
            try expect(slices?.count == elements.count, "the scanner finds other elements")
            for (slice, element) in zip(slices ?? [], elements) {
                try expect(JSON.raw(Array(slice)).isSame(as: element), "the scanner cuts out something else")
            }
        case .object(let members):
            // In its own writing no name is escaped that need not be.
            let written = value.encoded()
            for (name, element) in members where JSON.string(name).encoded().count == name.utf8.count + 2 {
                guard let slice = JSONScanner.member(name, of: written) else {
                    throw Violation("the scanner does not find a member: \(name.debugDescription)")
                }
                try expect(JSON.raw(Array(slice)).isSame(as: element), "the scanner cuts out something else")
            }
        default:
            try expect(JSONScanner.elements(of: bytes) == nil, "the scanner finds elements in no array")
        }
    }
}

extension JSON {
    /// Levels of arrays and objects.
    fileprivate var depth: Int {
        switch self {
        case .array(let elements): 1 + (elements.map(\.depth).max() ?? 0)
        case .object(let members): 1 + (members.map(\.value.depth).max() ?? 0)
        default: 0
        }
    }

    /// Levels of values, the innermost included.
    fileprivate var nesting: Int {
        switch self {
        case .array(let elements): 1 + (elements.map(\.nesting).max() ?? 0)
        case .object(let members): 1 + (members.map(\.value.nesting).max() ?? 0)
        default: 1
        }
    }

    /// Whether two names of an object differ only in how their accents are composed.
    fileprivate var hasTwins: Bool {
        switch self {
        case .array(let elements): elements.contains(where: \.hasTwins)
        case .object(let members):
            Set(members.map(\.key)).count < members.count || members.contains(where: \.value.hasTwins)
        default: false
        }
    }
}
