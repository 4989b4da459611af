import Failures

/// What a password has to be, everywhere one is set. No rule of composition: length, and not one that is tried first.
struct PasswordRule: Sendable {
    /// The longest password, in code points.
    static let maximum = 128
    /// The longest text looked at in a field that holds a password, in bytes.
    static let maximumBytes = 1024

    /// The shortest password, in code points.
    let minimum: Int
    /// The block-list.
    let common: CommonPasswords

    init(minimum: Int, common: CommonPasswords = .standard) {
        self.minimum = minimum
        self.common = common
    }

    /// What is known of the person, none of which can be their password.
    struct Person: Sendable, Hashable {
        var email: String
        var names: [String]
        var organizations: [String]

        init(email: String, names: [String] = [], organizations: [String] = []) {
            self.email = email
            self.names = names
            self.organizations = organizations
        }
    }

    /// Why a password cannot be accepted, as a failure at a field; nil if it can.
    func failure(_ password: String, of person: Person, at pointer: String) -> FieldFailure? {
        let length = password.unicodeScalars.count
        if length < minimum {
            return FieldFailure(pointer: pointer, "too-short", "Use at least \(minimum) characters.")
        }
        if length > PasswordRule.maximum {
            return FieldFailure(pointer: pointer, "too-long", "Use at most \(PasswordRule.maximum) characters.")
        }
        if common.contains(password) || isMadeOf(person, password) {
            return FieldFailure(
                pointer: pointer,
                "too-common",
                "This is one of the first passwords that would be tried."
            )
        }
        return nil
    }

    /// Whether a password is nothing but the person's address and names and those of their organizations, with digits
    /// and marks around and between them.
    private func isMadeOf(_ person: Person, _ password: String) -> Bool {
        let text = password.lowercased()
        let email = person.email.lowercased()
        let local = String(email.prefix { $0 != "@" })
        if text == email || text == local { return true }
        var words: Set<[Unicode.Scalar]> = []
        for source in [email, local] + person.names + person.organizations + ["taskflow"] {
            let lower = source.lowercased()
            words.insert(PasswordRule.letters(lower))
            for part in lower.unicodeScalars.split(whereSeparator: { !$0.properties.isAlphabetic }) {
                words.insert(Array(part))
            }
        }
        // Two letters are in everything; a name that short is no reason to refuse.
        words = words.filter { $0.count >= 3 }
        let rest = PasswordRule.letters(text)
        return !rest.isEmpty && PasswordRule.consists(rest, of: words)
    }

    private static func letters(_ text: String) -> [Unicode.Scalar] {
        text.unicodeScalars.filter { $0.properties.isAlphabetic }
    }

    /// Whether letters can be cut into words.
    private static func consists(_ letters: [Unicode.Scalar], of words: Set<[Unicode.Scalar]>) -> Bool {
        var reachable = [Bool](repeating: false, count: letters.count + 1)
        reachable[0] = true
        for start in letters.indices where reachable[start] {
            for word in words where letters[start...].starts(with: word) { reachable[start + word.count] = true }
        }
        return reachable[letters.count]
    }
}
