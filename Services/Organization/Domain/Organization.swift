import Chronology
import Events
import Failures
import Foundation
import Identity

/// An organization, the tenant.
struct Organization: Sendable, Hashable {
    let id: OrganizationID
    var name: String
    /// IANA name.
    var timeZone: String
    /// 0...23, local: when the daily reminder goes out.
    var reminderHour: Int
    /// Counts the changes, 1 and up.
    var version: Int64
    let createdAt: Timestamp
    var updatedAt: Timestamp

    /// What an organization has until somebody chooses.
    static let defaultTimeZone = "UTC"
    static let defaultReminderHour = 9

    /// What other services keep.
    var announcement: OrganizationUpdated {
        OrganizationUpdated(
            revision: version,
            name: name,
            timeZone: timeZone,
            reminderHour: reminderHour,
            updatedAt: updatedAt
        )
    }
}

/// What a PATCH wants of an organization; nil leaves a field as it is.
struct OrganizationPatch: Sendable {
    var name: String?
    var timeZone: String?
    var reminderHour: Int?
}

extension Organization {
    /// The organization after a patch; nil if that changes nothing.
    func applying(_ patch: OrganizationPatch, now: Timestamp) -> Organization? {
        var changed = self
        if let name = patch.name { changed.name = name }
        if let timeZone = patch.timeZone { changed.timeZone = timeZone }
        if let reminderHour = patch.reminderHour { changed.reminderHour = reminderHour }
        let isSame =
            changed.name.utf8.elementsEqual(name.utf8) && changed.timeZone == timeZone
            && changed.reminderHour == reminderHour
        guard !isSame else { return nil }
        changed.version += 1
        changed.updatedAt = now
        return changed
    }

    /// Throws 422 unless the name was repeated code point for code point: nobody deletes everything by a slip.
    func confirmDeletion(by repeated: String) throws {
        guard repeated.utf8.elementsEqual(name.utf8) else {
            throw Failure.invalid("/name", "name-mismatch", "Must repeat the organization's name exactly.")
        }
    }
}
