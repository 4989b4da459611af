import Foundation

/// Where the time of day comes from: the system in a service, a value that the test moves in a test.
public struct WallClock: Sendable {
    private let read: @Sendable () -> Timestamp

    /// A clock that asks `read` each time.
    public init(_ read: @escaping @Sendable () -> Timestamp) {
        self.read = read
    }

    /// The moment now.
    public var now: Timestamp { read() }

    /// The system's clock, read by `clock_gettime(CLOCK_REALTIME)`.
    public static let system = WallClock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }
}
