import ServiceKit
import Yams

/// YAML as the JSON it stands for, members in their order.
enum YAMLDocument {
    struct BadDocument: Error, CustomStringConvertible {
        var description: String
    }

    static func read(_ bytes: [UInt8], name: String) throws -> JSON {
        // Without the timestamp rule: a date in an example is the text that it would be in JSON.
        let resolver = Resolver.default.removing(.timestamp)
        do {
            guard let node = try Yams.compose(yaml: String(decoding: bytes, as: UTF8.self), resolver) else {
                throw BadDocument(description: "\(name) is empty")
            }
            return try json(node, name: name)
        } catch let error as YamlError {
            throw BadDocument(description: "\(name): \(error)")
        }
    }

    private static func json(_ node: Node, name: String) throws -> JSON {
        switch node {
        case .mapping(let mapping):
            return .object(
                try mapping.map { key, value in
                    guard let key = key.scalar?.string else {
                        throw BadDocument(description: "\(name): a key is not a text")
                    }
                    return (key: key, value: try json(value, name: name))
                }
            )
        case .sequence(let sequence): return .array(try sequence.map { try json($0, name: name) })
        case .scalar(let scalar): return value(node, scalar)
        case .alias: throw BadDocument(description: "\(name): aliases are not known here")
        }
    }

    private static func value(_ node: Node, _ scalar: Node.Scalar) -> JSON {
        switch scalar.style {
        case .singleQuoted, .doubleQuoted, .literal, .folded: return .string(scalar.string)
        case .any, .plain: break
        }
        if node.null != nil { return .null }
        // YAML 1.1 reads `no` and `on` as truth values; in OpenAPI they are words.
        if scalar.string == "true" || scalar.string == "false" { return .bool(scalar.string == "true") }
        if let integer = Int64(scalar.string), String(integer) == scalar.string { return .integer(integer) }
        if isNumber(scalar.string) { return .number(scalar.string) }
        return .string(scalar.string)
    }

    /// The grammar of JSON's numbers.
    private static func isNumber(_ text: String) -> Bool {
        (try? JSON(parsing: Array("[\(text)]".utf8))).map { parsed in
            if case .number = parsed.elements?.first { parsed.elements?.count == 1 } else { false }
        } ?? false
    }
}
