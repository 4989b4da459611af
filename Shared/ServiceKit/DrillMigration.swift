import Foundation
import Postgres

/// A migration that a program of the next version would have, for the drill of an upgrade; in debug builds only.
///
/// `TASKFLOW_DRILL_MIGRATION` is `task=/folder/V9999_drill.sql`.
enum DrillMigration {
    static func all(of service: String) -> [Migration] {
        #if DEBUG
        let parts = (ProcessInfo.processInfo.environment["TASKFLOW_DRILL_MIGRATION"] ?? "").split(separator: "=")
        guard parts.count == 2, parts[0] == service, let data = FileManager.default.contents(atPath: String(parts[1]))
        else { return [] }
        let name = parts[1].split(separator: "/").last.map { String($0.dropLast(".sql".count)) } ?? ""
        return [Migration(name, Array(data))]
        #else
        return []
        #endif
    }
}
