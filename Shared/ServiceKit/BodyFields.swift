public import Chronology
import Failures

/// What a merge patch says of one field: nothing, null, or a value.
public enum FieldChange<Value: Sendable>: Sendable {
    /// The member is not there, or is wrong.
    case absent
    /// The member is null.
    case null
    /// The member has a value.
    case value(Value)
}

/// Reads the members of a JSON object one by one, collecting what is wrong with each; `finish()` throws all of it at
/// once as 422, members nobody asked for included (`unknown-field`).
///
/// ```swift
/// var fields = BodyFields(object)
/// let name = fields.text("name", maximumLength: 255, allowsBlank: false)       // nil: absent or wrong
/// let status = fields.choice("status", ProjectStatus.self)
/// fields.require("name")
/// try fields.finish()
/// ```
/// Codes: `required, null, wrong-type, blank, too-long, too-short, out-of-range, not-a-choice, bad-date, nul-character,
/// unknown-field, read-only`.
public struct BodyFields: Sendable {
    /// A body of a megabyte can be wrong in a hundred thousand places; an answer names this many.
    private static let maximumFailures = 100

    private let members: [(key: String, value: JSON)]
    private var known: [String] = []
    private var failures: [FieldFailure] = []

    /// Over an object's members.
    public init(_ object: JSON) {
        if case .object(let members) = object {
            self.members = members
        } else {
            self.members = []
        }
    }

    /// Whether the member is there, null or not.
    public func has(_ name: String) -> Bool { member(name) != nil }

    /// Adds a failure found by a rule of the caller's.
    public mutating func fail(_ name: String, _ code: String, _ detail: String) {
        fail(pointer: BodyFields.pointer(name), code, detail)
    }

    /// Adds a failure with a pointer of its own: `/collaborators/2`.
    public mutating func fail(pointer: String, _ code: String, _ detail: String) {
        guard failures.count < BodyFields.maximumFailures else { return }
        failures.append(FieldFailure(pointer: pointer, code, detail))
    }

    /// Fails with `required` unless the member is there.
    public mutating func require(_ name: String) {
        known.append(name)
        if !has(name) { fail(name, "required", "This field is required.") }
    }

    /// Text: length in code points, U+0000 refused; `allowsBlank` false refuses nothing-but-white-space.
    /// Absent, null (`null` failure) or wrong gives nil.
    public mutating func text(_ name: String, maximumLength: Int, allowsBlank: Bool = true) -> String? {
        guard let value = present(name) else { return nil }
        return text(value, BodyFields.pointer(name), maximumLength: maximumLength, allowsBlank: allowsBlank)
    }

    /// Text or null.
    public mutating func nullableText(
        _ name: String,
        maximumLength: Int,
        allowsBlank: Bool = true
    ) -> FieldChange<String> {
        nullable(name) { fields, value in
            fields.text(
                value,
                BodyFields.pointer(name),
                maximumLength: maximumLength,
                allowsBlank: allowsBlank
            )
        }
    }

    /// One of an enumeration's raw values.
    public mutating func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
        _ name: String,
        _ type: Choice.Type
    ) -> Choice? where Choice.RawValue == String {
        guard let value = present(name) else { return nil }
        guard case .string(let text) = value else {
            fail(name, "wrong-type", "Must be a string.")
            return nil
        }
        // `init(rawValue:)` would take canonically equivalent text: a Kelvin sign for a K.
        let choice = Choice.allCases.first { $0.rawValue.utf8.elementsEqual(text.utf8) }
        if choice == nil {
            let values = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            fail(name, "not-a-choice", "Must be one of \(values).")
        }
        return choice
    }

    /// `true` or `false`.
    public mutating func bool(_ name: String) -> Bool? {
        guard let value = present(name) else { return nil }
        guard case .bool(let flag) = value else {
            fail(name, "wrong-type", "Must be true or false.")
            return nil
        }
        return flag
    }

    /// An integer (no fraction or exponent) in a range.
    public mutating func integer(_ name: String, in range: ClosedRange<Int64>) -> Int64? {
        guard let value = present(name) else { return nil }
        return integer(value, name, in: range)
    }

    /// An integer in a range, or null.
    public mutating func nullableInteger(_ name: String, in range: ClosedRange<Int64>) -> FieldChange<Int64> {
        nullable(name) { fields, value in fields.integer(value, name, in: range) }
    }

    /// An array of texts.
    public mutating func texts(_ name: String, maximumCount: Int, maximumLength: Int) -> [String]? {
        guard let value = present(name) else { return nil }
        guard case .array(let elements) = value else {
            fail(name, "wrong-type", "Must be an array of strings.")
            return nil
        }
        guard elements.count <= maximumCount else {
            fail(name, "too-long", "May have at most \(maximumCount) elements.")
            return nil
        }
        var texts: [String] = []
        for (index, element) in elements.enumerated() {
            let pointer = "\(BodyFields.pointer(name))/\(index)"
            if let text = text(element, pointer, maximumLength: maximumLength, allowsBlank: true) {
                texts.append(text)
            }
        }
        return texts.count == elements.count ? texts : nil
    }

    /// A civil date or an RFC 3339 date-time with an offset, or null; `bad-date` otherwise.
    public mutating func date(_ name: String) -> FieldChange<CivilDateOrMoment> {
        nullable(name) { fields, value in
            guard case .string(let text) = value else {
                fields.fail(name, "wrong-type", "Must be a string.")
                return nil
            }
            if let day = CivilDate(text) { return .day(day) }
            if let moment = Timestamp(text) { return .moment(moment) }
            fields.fail(
                name,
                "bad-date",
                "Must be a day (2026-12-01) or a time with an offset (2026-12-01T09:30:00Z)."
            )
            return nil
        }
    }

    /// The member as it is, counted as known; for what has a form of its own.
    public mutating func value(_ name: String) -> JSON? {
        known.append(name)
        return member(name)
    }

    /// A read-only member: fails with `read-only` unless absent or equal to what an answer would show.
    public mutating func readOnly(_ name: String, equals stored: JSON) {
        known.append(name)
        guard let value = member(name), !value.isSame(as: stored) else { return }
        fail(name, "read-only", "This field cannot be changed.")
    }

    /// Throws ``Failures/Failure`` 422 with every failure collected, if any.
    public mutating func finish() throws {
        for (key, _) in members where !known.contains(where: { $0.utf8.elementsEqual(key.utf8) }) {
            fail(key, "unknown-field", "There is no such field.")
        }
        if !failures.isEmpty { throw Failure.invalid(failures) }
    }

    /// JSON pointer (RFC 6901) to a member of the top level.
    private static func pointer(_ name: String) -> String { "/\(escaped(name))" }

    /// A member's name as a part of a JSON pointer: `~` and `/` escaped.
    public static func escaped(_ name: String) -> String {
        var escaped = ""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "~": escaped += "~0"
            case "/": escaped += "~1"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    private func member(_ name: String) -> JSON? {
        members.first { $0.key.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The member unless it is absent or null, which is a failure.
    private mutating func present(_ name: String) -> JSON? {
        known.append(name)
        switch member(name) {
        case .none: return nil
        case .null?:
            fail(name, "null", "Must not be null.")
            return nil
        case .some(let value): return value
        }
    }

    private mutating func nullable<Value>(
        _ name: String,
        _ read: (inout BodyFields, JSON) -> Value?
    ) -> FieldChange<Value> {
        known.append(name)
        switch member(name) {
        case .none: return .absent
        case .null?: return .null
        case .some(let value): return read(&self, value).map { .value($0) } ?? .absent
        }
    }

    private mutating func text(
        _ value: JSON,
        _ pointer: String,
        maximumLength: Int,
        allowsBlank: Bool
    ) -> String? {
        guard case .string(let text) = value else {
            fail(pointer: pointer, "wrong-type", "Must be a string.")
            return nil
        }
        if text.utf8.contains(0) {
            fail(pointer: pointer, "nul-character", "Must not contain U+0000.")
        } else if text.unicodeScalars.count > maximumLength {
            fail(pointer: pointer, "too-long", "May have at most \(maximumLength) characters.")
        } else if !allowsBlank, text.unicodeScalars.allSatisfy(\.properties.isWhitespace) {
            fail(pointer: pointer, "blank", "Must not be blank.")
        } else {
            return text
        }
        return nil
    }

    private mutating func integer(_ value: JSON, _ name: String, in range: ClosedRange<Int64>) -> Int64? {
        switch value {
        case .integer(let number) where range.contains(number): return number
        case .integer:
            fail(name, "out-of-range", "Must be \(range.lowerBound) to \(range.upperBound).")
        case .number(let text) where text.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }:
            fail(name, "out-of-range", "Must be \(range.lowerBound) to \(range.upperBound).")
        default:
            fail(name, "wrong-type", "Must be an integer.")
        }
        return nil
    }
}

/// A day or a moment.
public enum CivilDateOrMoment: Sendable, Hashable {
    /// A day without a time or a zone.
    case day(CivilDate)
    /// A moment.
    case moment(Timestamp)
}
