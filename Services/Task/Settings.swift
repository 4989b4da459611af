import Configuration
import ServiceKit

/// What this service reads beside what every service reads.
///
/// - `TASKFLOW_OVERDUE_INTERVAL`: seconds, 1...3600, 60; how often tasks are looked for whose due moment has passed.
struct TaskSettings: Sendable {
    let overdueInterval: Duration

    init(_ config: ConfigReader) throws {
        overdueInterval = try config.seconds("TASKFLOW_OVERDUE_INTERVAL", default: 60, in: 1...3600)
    }
}
