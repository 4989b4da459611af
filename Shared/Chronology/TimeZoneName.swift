import Foundation

/// Names of time zones.
public enum TimeZoneName {
    /// Whether a name is one of the IANA database, spelled as there.
    ///
    /// Foundation knows more than that: `GMT+3`, which it spells otherwise itself, and abbreviations such as `PST`,
    /// which Postgres and other programs read in other ways. Names without a slash are therefore listed.
    public static func isKnown(_ name: String) -> Bool {
        guard name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !name.utf8.isEmpty else { return false }
        guard name.utf8.contains(UInt8(ascii: "/")) else { return plain.contains(name) }
        guard !["posix/", "right/", "SystemV/"].contains(where: name.hasPrefix) else { return false }
        // Left over from a law that was never made; no longer in the database, and unknown to Postgres.
        guard name != "US/Pacific-New" else { return false }
        return TimeZone(identifier: name)?.identifier == name
    }

    private static let plain: Set<String> = [
        "CET", "CST6CDT", "Cuba", "EET", "EST", "EST5EDT", "Egypt", "Eire", "GB", "GB-Eire", "GMT", "GMT0",
        "Greenwich", "HST", "Hongkong", "Iceland", "Iran", "Israel", "Jamaica", "Japan", "Kwajalein", "Libya",
        "MET", "MST", "MST7MDT", "NZ", "NZ-CHAT", "Navajo", "PRC", "PST8PDT", "Poland", "Portugal", "ROC",
        "ROK", "Singapore", "Turkey", "UCT", "UTC", "Universal", "W-SU", "WET", "Zulu",
    ]
}
