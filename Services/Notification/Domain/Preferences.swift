import Foundation

/// What a person wants to be told, how, and when the day's reminder is to come.
struct Preferences: Sendable, Hashable {
    /// Kinds that make no notice in the app.
    var mutedInApp: Set<NoticeKind> = []
    /// Kinds that make no mail.
    var mutedMail: Set<NoticeKind> = []
    /// 0...23 in the person's zone; nil: the organization's.
    var reminderHour: Int?
    /// IANA name; nil: the organization's.
    var timeZone: String?

    /// Those of someone who never said anything: everything, when the organization says.
    static let standard = Preferences()

    /// The zone of an IANA name; nil if there is no such zone.
    ///
    /// Foundation's list of known names lacks valid ones such as `Asia/Kolkata`, and its lookup takes `GMT+3`, which
    /// is no IANA name but comes back under another one.
    static func zone(named name: String) -> TimeZone? {
        if name.utf8.elementsEqual("UTC".utf8) { return .gmt }
        guard let zone = TimeZone(identifier: name), zone.identifier.utf8.elementsEqual(name.utf8) else { return nil }
        return zone
    }
}

/// Preferences as they are kept, with the version their ETag is made of; 0 for those nobody has changed yet.
struct StoredPreferences: Sendable {
    var preferences: Preferences
    var version: Int64
}
