public import Postgres

/// One filter of a list: `?status=PENDING`.
public struct ListFilter: Sendable {
    /// The parameter.
    public let name: String
    /// Whether it may be given several times, which means "or".
    public let repeats: Bool
    /// The condition for one value; throws ``ListValueError`` if the value is not of the form.
    let predicate: @Sendable (String) throws -> SQL

    /// A filter with a condition of its own.
    public init(_ name: String, repeats: Bool, _ predicate: @escaping @Sendable (String) throws -> SQL) {
        self.name = name
        self.repeats = repeats
        self.predicate = predicate
    }

    /// One of fixed values, case-sensitive, may repeat; `column` is an SQL expression of our own, of type text or of
    /// an enumeration with these labels.
    public static func choice(_ name: String, column: String, values: [String]) -> ListFilter {
        choice(name, values: values) { place in "\(unsafe: column) = \(values[place])" }
    }

    /// The same with a condition of its own for the value at a place of the list.
    public static func choice(
        _ name: String,
        values: [String],
        _ predicate: @escaping @Sendable (Int) -> SQL
    ) -> ListFilter {
        ListFilter(name, repeats: true) { value in
            // Not `==`, which takes canonically equivalent text.
            guard let place = values.firstIndex(where: { $0.utf8.elementsEqual(value.utf8) }) else {
                throw ListValueError("Must be one of \(values.joined(separator: ", ")).")
            }
            return predicate(place)
        }
    }

    /// `true` or `false`. The column is written bare, not compared with a parameter, so that an index on it serves.
    public static func boolean(_ name: String, column: String) -> ListFilter {
        ListFilter(name, repeats: false) { value in
            switch value {
            case "true": "(\(unsafe: column))"
            case "false": "NOT (\(unsafe: column))"
            default: throw ListValueError("Must be true or false.")
            }
        }
    }

    /// A positive 63-bit number; may repeat.
    public static func number(_ name: String, column: String) -> ListFilter {
        ListFilter(name, repeats: true) { value in
            guard let number = plainNumber(value), number > 0 else {
                throw ListValueError("Must be a positive number.")
            }
            return "\(unsafe: column) = \(number)::bigint"
        }
    }
}

/// A filter value of the wrong form; answered with 400 naming the parameter.
public struct ListValueError: Error, Sendable {
    /// One sentence for people: `Must be true or false.`
    public let detail: String

    /// Says what would be right.
    public init(_ detail: String) { self.detail = detail }
}

/// Plain decimal digits without sign or leading zero; nil for anything else.
func plainNumber(_ text: String) -> Int64? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int64(text) else { return nil }
    return text.utf8.count > 1 && text.utf8.first == 0x30 ? nil : number
}
