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

/// Names of time zones.
enum TimeZoneName {
    /// Whether a name is one of the IANA database, spelled as there.
    ///
    /// Foundation knows more than that: `GMT+3`, which it spells otherwise itself, and abbreviations such as `PST`,
    /// which Postgres and other programs read in other ways. Names without a slash are therefore listed.
    static func isKnown(_ name: String) -> Bool {
        guard name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !name.utf8.isEmpty else { return false }
        guard name.utf8.contains(UInt8(ascii: "/")) else { return plain.contains(name) }
        guard !["posix/", "right/", "SystemV/"].contains(where: name.hasPrefix) else { return false }
        return TimeZone(identifier: name)?.identifier == name
    }

    private static let plain: Set<String> = [
        "CET", "CST6CDT", "Cuba", "EET", "EST", "EST5EDT", "Egypt", "Eire", "GB", "GB-Eire", "GMT", "Greenwich", "HST",
        "Hongkong", "Iceland", "Iran", "Israel", "Jamaica", "Japan", "Kwajalein", "Libya", "MET", "MST", "MST7MDT",
        "NZ", "NZ-CHAT", "Navajo", "PRC", "PST8PDT", "Poland", "Portugal", "ROC", "ROK", "Singapore", "Turkey", "UCT",
        "UTC", "Universal", "W-SU", "WET", "Zulu",
    ]
}
