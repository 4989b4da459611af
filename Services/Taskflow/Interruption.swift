import Glibc
import Synchronization

/// Notes a Ctrl-C or SIGTERM while something must not be left half done, and ends a child process with it. One at a time
/// in a process.
///
/// A signal handler and no dispatch source: that one learns of a signal only while the main thread waits for events, and
/// a command works on it.
enum Interruption {
    private static let signalled = Atomic(false)
    private static let child = Atomic<pid_t>(0)

    static var happened: Bool { signalled.load(ordering: .sequentiallyConsistent) }

    /// Signals end nothing from here on.
    static func watch() {
        signalled.store(false, ordering: .sequentiallyConsistent)
        child.store(0, ordering: .sequentiallyConsistent)
        for number in [SIGINT, SIGTERM] {
            signal(number) { _ in
                Interruption.signalled.store(true, ordering: .sequentiallyConsistent)
                let process = Interruption.child.load(ordering: .sequentiallyConsistent)
                if process > 0 { kill(process, SIGKILL) }
            }
        }
    }

    /// A child process that is to be killed with a signal, also one that has come meanwhile: it may have been started
    /// from a thread that lets no other signal through, and has that from it.
    static func ends(_ process: pid_t) {
        child.store(process, ordering: .sequentiallyConsistent)
        if happened { kill(process, SIGKILL) }
    }

    /// Signals end the process again.
    static func stopWatching() {
        child.store(0, ordering: .sequentiallyConsistent)
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    }
}
