/// The block-list: well over a million passwords that are tried first, kept as words, endings and runs of keys.
///
/// A list of whole passwords of the length that is asked for here would be megabytes of the same few hundred words with
/// the same few hundred endings; `common-passwords.txt` says so in twenty kilobytes, and how the parts go together.
struct CommonPasswords: Sendable {
    private let words: Set<String>
    private let endings: Set<String>
    private let runs: [[UInt8]]
    private let whole: Set<String>

    /// The shortest part of a run of keys that counts.
    private static let shortestRun = 8

    /// The list embedded in the program.
    static let standard = CommonPasswords(PackageResources.common_passwords_txt)

    /// Reads the file's form.
    init(_ bytes: [UInt8]) {
        var sections: [Substring: [Substring]] = [:]
        var section: Substring?
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            if ["[words]", "[endings]", "[runs]", "[whole]"].contains(line) {
                section = line
            } else if let section {
                sections[section, default: []] += line.split(separator: " ")
            }
        }
        words = Set((sections["[words]"] ?? []).map(String.init))
        // No ending is an ending as well: the bare word.
        endings = Set((sections["[endings]"] ?? []).map(String.init) + [""])
        runs = (sections["[runs]"] ?? []).flatMap { [Array($0.utf8), Array($0.utf8.reversed())] }
        whole = Set((sections["[whole]"] ?? []).map(String.init))
    }

    /// How many passwords of at least so many characters are of the form word and ending; there are more than these.
    func count(atLeast length: Int) -> Int {
        let lengths = Dictionary(grouping: endings, by: \.utf8.count).mapValues(\.count)
        return words.union(whole).reduce(0) { sum, word in
            sum + lengths.reduce(0) { $0 + ($1.key + word.utf8.count >= length ? $1.value : 0) }
        }
    }

    /// Whether a password is on the list, ignoring case.
    func contains(_ password: String) -> Bool {
        let text = password.lowercased()
        let bytes = Array(text.utf8)
        return isRun(bytes) || isRepetition(bytes) || isWordWithEnding(text)
    }

    private func isWordWithEnding(_ text: String) -> Bool {
        var index = text.endIndex
        while index > text.startIndex {
            if endings.contains(String(text[index...])) {
                let stem = String(text[..<index])
                if isWord(stem) || isWord(CommonPasswords.spelled(stem)) { return true }
            }
            index = text.index(before: index)
        }
        return false
    }

    private func isWord(_ stem: String) -> Bool {
        if words.contains(stem) || whole.contains(stem) { return true }
        let half = stem.index(stem.startIndex, offsetBy: stem.count / 2)
        return stem.count % 2 == 0 && stem[..<half] == stem[half...] && words.contains(String(stem[..<half]))
    }

    /// A word with digits and marks for letters as it is spelled without.
    private static func spelled(_ text: String) -> String {
        String(
            text.map { character in
                switch character {
                case "0": "o"
                case "1", "!": "i"
                case "3": "e"
                case "4", "@": "a"
                case "5", "$": "s"
                case "7": "t"
                default: character
                }
            }
        )
    }

    /// A part of a run of keys.
    private func isRun(_ bytes: [UInt8]) -> Bool {
        guard bytes.count >= CommonPasswords.shortestRun else { return false }
        return runs.contains { run in
            run.count >= bytes.count
                && (0...(run.count - bytes.count)).contains { run[$0..<($0 + bytes.count)].elementsEqual(bytes) }
        }
    }

    /// The longest repetition that is tried first.
    private static let longestRepetition = 24

    /// One to four ASCII characters again and again: `aaaaaaaaaaaa`, `123123123123`.
    private func isRepetition(_ bytes: [UInt8]) -> Bool {
        guard bytes.count <= CommonPasswords.longestRepetition, bytes.allSatisfy({ $0 < 0x80 }) else { return false }
        return (1...4).contains { unit in
            bytes.count >= 2 * unit && bytes.indices.allSatisfy { bytes[$0] == bytes[$0 % unit] }
        }
    }
}
