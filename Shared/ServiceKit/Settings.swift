public import Configuration
public import Foundation

/// Where settings come from, and how one is read and checked.
///
/// A setting has one name everywhere, that of its environment variable: `TASKFLOW_PUBLIC_URL`. In a `ConfigReader` it
/// stands under the key `taskflow.public.url`, which is the same name as swift-configuration's environment provider
/// spells it. A variable that is set to nothing counts as not set, so that a compose file may pass `${NAME:-}` on.
public enum Settings {
    /// Flags over environment over the file `.env` in the working directory; defaults are given where a setting is read.
    ///
    /// - Parameters:
    ///   - overrides: values by name, from the command line.
    ///   - environment: the process' own by default.
    ///   - file: the path of a `.env` file; not there is not an error, a line that cannot be read is.
    ///   - names: is told what is set and what is asked for.
    public static func reader(
        overrides: [String: String] = [:],
        environment: [String: String] = ProcessInfo.processInfo.environment,
        file: String = ".env",
        names: SettingNames? = nil
    ) throws -> ConfigReader {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (name, value) in overrides {
            values[AbsoluteConfigKey(key(name))] = ConfigValue(.string(value), isSecret: false)
        }
        var providers: [any ConfigProvider] = [
            InMemoryProvider(name: "flags", values: values),
            EnvironmentVariablesProvider(environmentVariables: environment.filter { !$0.value.isEmpty }),
        ]
        if let data = FileManager.default.contents(atPath: file) {
            let entries = try EnvironmentFile.parse(String(decoding: data, as: UTF8.self), name: file)
            providers.append(EnvironmentVariablesProvider(environmentVariables: entries.filter { !$0.value.isEmpty }))
            names?.give(entries.keys)
        }
        names?.give(environment.keys)
        return ConfigReader(providers: providers, accessReporter: names)
    }

    /// A reader over nothing but these values, for tests.
    public static func fixed(_ values: [String: String]) -> ConfigReader {
        ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: values))
    }

    /// The key of a setting: `TASKFLOW_PUBLIC_URL` is `taskflow.public.url`.
    public static func key(_ name: String) -> ConfigKey {
        ConfigKey(name.lowercased().split(separator: "_").map(String.init))
    }
}

extension ConfigReader {
    /// The setting as text, nil if it is not set.
    public func text(_ name: String, secret: Bool = false) -> String? {
        let value = string(forKey: Settings.key(name), isSecret: secret)
        return value?.isEmpty == true ? nil : value
    }

    /// The setting as text, or its default.
    public func text(_ name: String, default value: String, secret: Bool = false) -> String {
        text(name, secret: secret) ?? value
    }

    /// The setting as text; throws ``SettingError`` if it is not set. `meaning` says what it would be right to give:
    /// `the URL of Postgres, postgres://task_app:...@host/taskflow`.
    public func required(_ name: String, secret: Bool = false, _ meaning: String) throws -> String {
        guard let value = text(name, secret: secret) else {
            throw SettingError("\(name) is not set; set it to \(meaning).")
        }
        return value
    }

    /// A whole number in a range, or its default.
    public func number(_ name: String, default value: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = text(name) else { return value }
        guard let number = Int(text), range.contains(number) else {
            throw SettingError(
                "\(name) is \"\(text)\"; give a whole number from \(range.lowerBound) to \(range.upperBound)."
            )
        }
        return number
    }

    /// A number of seconds in a range, fractions allowed, or its default.
    public func seconds(_ name: String, default value: Double, in range: ClosedRange<Double>) throws -> Duration {
        guard let text = text(name) else { return .seconds(value) }
        guard let number = Double(text), range.contains(number) else {
            throw SettingError("\(name) is \"\(text)\"; give seconds from \(range.lowerBound) to \(range.upperBound).")
        }
        return .seconds(number)
    }

    /// A switch, `on` or `off` (`true`, `yes`, `1` and their opposites too), or its default.
    public func flag(_ name: String, default value: Bool) throws -> Bool {
        guard let text = text(name) else { return value }
        switch text.lowercased() {
        case "on", "true", "yes", "1": return true
        case "off", "false", "no", "0": return false
        default: throw SettingError("\(name) is \"\(text)\"; give on or off.")
        }
    }

    /// One of fixed values, or its default.
    public func choice(_ name: String, of values: [String], default value: String) throws -> String {
        guard let text = text(name) else { return value }
        guard values.contains(text) else {
            throw SettingError("\(name) is \"\(text)\"; give one of \(values.joined(separator: ", ")).")
        }
        return text
    }

    /// An origin such as `https://taskflow.example`, a slash at its end cut off, or its default.
    public func origin(_ name: String, default value: String) throws -> String {
        guard let text = text(name) else { return value }
        var origin = text
        if origin.hasSuffix("/") { origin.removeLast() }
        guard
            let parts = URLComponents(string: origin), parts.scheme == "http" || parts.scheme == "https",
            let host = parts.host, !host.isEmpty, parts.path.isEmpty, parts.query == nil, parts.fragment == nil,
            parts.user == nil, parts.password == nil
        else {
            throw SettingError("\(name) is \"\(text)\"; give scheme, host and port only: https://taskflow.example.")
        }
        return origin
    }

    /// `host:port` or `[v6]:port`, or its default.
    public func address(_ name: String, default value: (host: String, port: Int)) throws -> (host: String, port: Int) {
        guard let text = text(name) else { return value }
        guard
            let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
            colon > text.startIndex
        else {
            throw SettingError("\(name) is \"\(text)\"; give host:port, such as \(value.host):\(value.port).")
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        return (host, Int(port))
    }
}

/// A setting that is missing or wrong, in one line that says what to do.
public struct SettingError: Error, Sendable, CustomStringConvertible {
    /// The line.
    public let description: String

    /// An error with this line.
    public init(_ description: String) { self.description = description }
}

/// The `.env` format: `NAME=value`, `#` comments, optional `export`, values in single or double quotes.
enum EnvironmentFile {
    static func parse(_ text: String, name file: String) throws -> [String: String] {
        var entries: [String: String] = [:]
        for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            var line = raw.trimmingCharacters(in: .whitespaces)
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("export ") { line = line.dropFirst(7).trimmingCharacters(in: .whitespaces) }
            guard let equals = line.firstIndex(of: "="), isName(line[..<equals]) else {
                // The line itself is not shown: it may hold a secret.
                throw SettingError("\(file) line \(index + 1) cannot be read; write NAME=value.")
            }
            let rest = line[line.index(after: equals)...].trimmingCharacters(in: .whitespaces)
            guard let value = value(rest) else {
                throw SettingError("\(file) line \(index + 1) cannot be read; close the quotation mark.")
            }
            entries[String(line[..<equals])] = value
        }
        return entries
    }

    private static func isName(_ text: Substring) -> Bool {
        guard let first = text.unicodeScalars.first, first == "_" || first.properties.isAlphabetic else { return false }
        return text.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "_") || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte & 0xDF)
        }
    }

    private static func value(_ text: String) -> String? {
        guard let quote = text.first, quote == "\"" || quote == "'" else {
            // A comment after a bare value needs a space before it, so that `#` may stand in passwords.
            guard let comment = text.range(of: " #") else { return text }
            return text[..<comment.lowerBound].trimmingCharacters(in: .whitespaces)
        }
        let inner = text.dropFirst()
        guard let end = inner.firstIndex(of: quote) else { return nil }
        return String(inner[..<end])
    }
}
