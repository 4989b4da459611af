public import Configuration
public import Logging
import Synchronization

/// Which settings a process has asked for, to find the mistyped among those it was given: a setting that nobody asks for
/// changes nothing, and `TASKFLOW_SINGUP=closed` leaves sign-up open.
///
/// What is not near to a name that was asked for may be another process' and is let be.
public final class SettingNames: AccessReporter, Sendable {
    private struct State {
        var asked: Set<String> = []
        var given: Set<String> = []
    }

    private let state = Mutex(State())

    /// No name yet.
    public init() {}

    /// Called by a reader for each setting that is asked for.
    public func report(_ event: AccessEvent) {
        let name = event.metadata.key.components.joined(separator: "_").uppercased()
        state.withLock { _ = $0.asked.insert(name) }
    }

    /// Names that are set somewhere.
    func give(_ names: some Sequence<String>) {
        state.withLock { $0.given.formUnion(names) }
    }

    /// What is set and was not asked for, each with the setting that was probably meant: one that is not set and differs
    /// by one or two letters.
    public var mistyped: [(given: String, meant: String)] {
        let (asked, given) = state.withLock { ($0.asked, $0.given) }
        return given.subtracting(asked).filter { $0.hasPrefix("TASKFLOW_") }.sorted().compactMap { name in
            let letters = Array(name.unicodeScalars)
            let others = asked.subtracting(given).map { (Spelling.distance(letters, Array($0.unicodeScalars)), $0) }
            guard let near = others.min(by: { $0 < $1 }), near.0 <= 2 else { return nil }
            return (name, near.1)
        }
    }

    /// Says so in the log, once everything that is asked for has been.
    public func warn(_ logger: Logger) {
        for (given, meant) in mistyped { logger.warning("\(given) is no setting; did you mean \(meant)?") }
    }
}
