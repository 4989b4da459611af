#if DEBUG
import Foundation
import Synchronization
#endif

/// Named places at which a debug build can be made to die, fail or stall; in a release build they are nothing.
///
/// `TASKFLOW_FAILPOINT=name[:nth]=kill|error|sleep:milliseconds`, several separated by commas, arms them for a process.
/// An armed place acts once, the nth time it is passed, and never again in this process.
public enum Failpoint: String, CaseIterable, Sendable {
    /// A write has done its work and is about to commit it.
    case requestBeforeCommit = "request.before-commit"
    /// A write is committed and nobody knows of it yet.
    case requestAfterCommit = "request.after-commit"
    /// The relay has read a batch from the outbox.
    case relayBeforeAppend = "relay.before-xadd"
    /// The relay has appended to one stream and has others to append to; the nth of m, with `:n`.
    case relayAfterAppend = "relay.after-xadd"
    /// A reader has read a batch from a stream.
    case readerAfterRead = "reader.after-read"
    /// A reader has applied events and has not moved its cursor yet.
    case readerInTransaction = "reader.mid-transaction"
    /// A reader has committed a batch, before the actions after it.
    case readerAfterCommit = "reader.after-commit"
    /// A reader is setting an event aside.
    case readerInPark = "reader.in-park"
    /// A refresh token's counter has moved, and the new token has not been given out.
    case refreshAfterStep = "refresh.after-step"
    /// The media store has taken a picture, and the profile does not know yet.
    case uploadAfterReply = "upload.after-reply"
    /// A migration's statements have run, and it is not recorded yet.
    case migrationMidStep = "migration.mid-step"
    /// The process was told to end and has begun to.
    case shutdown = "shutdown"

    /// Acts if this place is armed and its turn has come.
    @inlinable
    public static func hit(_ place: Failpoint) async throws {
        #if DEBUG
        try await act(at: place)
        #endif
    }

    /// True if a debug build is to act at this place one day; lets code be slower that otherwise does several things at
    /// once.
    @inlinable
    public static func isArmed(_ place: Failpoint) -> Bool {
        #if DEBUG
        return isWaiting(at: place)
        #else
        return false
        #endif
    }
}

/// What the environment says of failpoints cannot be understood.
public struct FailpointMistake: Error, Sendable, CustomStringConvertible {
    /// One line for whoever started the program.
    public let description: String
}

/// An armed failpoint's error.
public struct FailpointError: Error, Sendable {
    /// Where it was thrown.
    public let place: Failpoint
}

#if DEBUG
extension Failpoint {
    enum Effect: Sendable, Equatable {
        case kill
        case error
        case sleep(milliseconds: Int)
    }

    /// What is still to happen at a place: after so many passages more.
    struct Plan: Sendable, Equatable {
        var passages: Int
        var effect: Effect
    }

    private static let plans = Mutex<[Failpoint: Plan]>([:])

    /// Arms what `TASKFLOW_FAILPOINT` names; throws ``FailpointMistake``.
    public static func arm(_ text: String) throws {
        let parsed = try parse(text)
        plans.withLock { $0 = parsed }
    }

    static func parse(_ text: String) throws -> [Failpoint: Plan] {
        var plans: [Failpoint: Plan] = [:]
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = sides[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let place = Failpoint(rawValue: String(name[0])) else {
                let known = allCases.map(\.rawValue).joined(separator: ", ")
                throw FailpointMistake(description: "TASKFLOW_FAILPOINT: \(name[0]) is none of \(known).")
            }
            let passages = name.count == 2 ? Int(name[1]) : 1
            guard let passages, passages > 0, sides.count == 2, let effect = effect(sides[1]) else {
                throw FailpointMistake(
                    description: "TASKFLOW_FAILPOINT: \(part) is not name[:nth]=kill|error|sleep:milliseconds."
                )
            }
            plans[place] = Plan(passages: passages, effect: effect)
        }
        return plans
    }

    private static func effect(_ text: Substring) -> Effect? {
        switch text {
        case "kill": return .kill
        case "error": return .error
        default:
            guard text.hasPrefix("sleep:"), let milliseconds = Int(text.dropFirst("sleep:".count)),
                (0...600_000).contains(milliseconds)
            else { return nil }
            return .sleep(milliseconds: milliseconds)
        }
    }

    @usableFromInline
    static func isWaiting(at place: Failpoint) -> Bool { plans.withLock { $0[place] != nil } }

    @usableFromInline
    static func act(at place: Failpoint) async throws {
        let effect = plans.withLock { plans -> Effect? in
            guard let plan = plans[place] else { return nil }
            plans[place] = plan.passages > 1 ? Plan(passages: plan.passages - 1, effect: plan.effect) : nil
            return plan.passages > 1 ? nil : plan.effect
        }
        guard let effect else { return }
        // Said before it happens, without the logger: a killed process says nothing more.
        try? FileHandle.standardError.write(contentsOf: Data("failpoint \(place.rawValue): \(effect)\n".utf8))
        switch effect {
        case .kill: kill(getpid(), SIGKILL)
        case .error: throw FailpointError(place: place)
        case .sleep(let milliseconds): try? await Task.sleep(for: .milliseconds(milliseconds))
        }
    }
}
#endif
