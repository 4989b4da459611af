import Chronology
import Identity

/// A department of an organization.
struct Department: Sendable, Hashable {
    let id: DepartmentID
    /// Unique in the organization ignoring case, kept as typed.
    var name: String
    /// Counts the changes, 1 and up.
    var version: Int64

    var label: DepartmentLabel { DepartmentLabel(id: id, name: name) }

    /// The department under another name; nil if that is the name it has.
    func renamed(_ name: String) -> Department? {
        guard !name.utf8.elementsEqual(self.name.utf8) else { return nil }
        return Department(id: id, name: name, version: version + 1)
    }
}
