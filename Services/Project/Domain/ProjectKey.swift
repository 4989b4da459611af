import Foundation

/// The short name of a project that its tasks' names begin with: `WEB` in `WEB-42`.
enum ProjectKey {
    /// Characters.
    static let lengths = 2...10

    /// A letter A-Z and one to nine of A-Z and 0-9.
    static func isValid(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard lengths.contains(bytes.count), let first = bytes.first, (0x41...0x5A).contains(first) else {
            return false
        }
        return bytes.allSatisfy { (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) }
    }

    /// Keys for a project of this name, the most telling first: initials of several words, the beginning of a single
    /// one, and then the same with numbers. Endless, so that one is always free.
    static func candidates(for name: String) -> some Sequence<String> {
        let stem = stem(of: name)
        let first = lengths.contains(stem.utf8.count) ? [stem] : []
        let numbered = (first.isEmpty ? 1 : 2)...
        return sequence(state: (first: first.makeIterator(), number: numbered.makeIterator())) { state -> String? in
            if let key = state.first.next() { return key }
            guard let number = state.number.next() else { return nil }
            let digits = String(number)
            return stem.prefix(lengths.upperBound - digits.utf8.count) + digits
        }
    }

    /// One letter at least, all of them A-Z or, after the first, 0-9; `P` for a name that has none.
    private static func stem(of name: String) -> String {
        let words = latin(name).utf8
            .split(whereSeparator: { !isAlphanumeric($0) })
            .map { Array($0).map { $0 >= 0x61 ? $0 - 0x20 : $0 } }
        // A number says most as a whole: WR2 and WR12 rather than twice WR1.
        let letters = words.map { word in word.allSatisfy { $0 <= 0x39 } ? word : Array(word.prefix(1)) }
        let all = words.count == 1 ? Array(words[0].prefix(3)) : letters.flatMap { $0 }
        let stem = all.drop { $0 <= 0x39 }.prefix(lengths.upperBound)
        return stem.isEmpty ? "P" : String(decoding: stem, as: UTF8.self)
    }

    /// The name in Latin letters without marks, as far as that can be done: `Über` is `Uber`, `Проект` is `Proekt`.
    private static func latin(_ name: String) -> String {
        // No name needs more of its beginning than this to make ten letters of.
        let beginning = String(String.UnicodeScalarView(name.unicodeScalars.prefix(255)))
        return beginning.applyingTransform(.toLatin, reverse: false)?
            .applyingTransform(.stripDiacritics, reverse: false) ?? beginning
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}
