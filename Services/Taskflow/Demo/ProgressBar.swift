import Foundation
import Synchronization

/// A line on the terminal that says how far the work is; one line per tenth where there is no terminal.
final class ProgressBar: Sendable {
    private let total: Int
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let state = Mutex<(done: Int, shown: Int)>((0, -1))

    init(total: Int) { self.total = max(total, 1) }

    /// One more step is done.
    func advance(_ what: String) {
        state.withLock { state in
            state.done += 1
            let percent = min(state.done * 100 / total, 100)
            if isTerminal {
                let filled = percent * 40 / 100
                let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 40 - filled)
                write("\r\u{1B}[K\(bar) \(percent)%  \(state.done)/\(total)  \(what)")
            } else if percent / 10 != state.shown {
                state.shown = percent / 10
                write("\(percent)%  \(state.done)/\(total)  \(what)\n")
            }
        }
    }

    /// Leaves the line.
    func finish() {
        if isTerminal { write("\n") }
    }

    private func write(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }
}
