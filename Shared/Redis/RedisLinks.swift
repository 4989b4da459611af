import NIOCore
import NIOPosix

/// The connections to one server: one, or one on each event loop of the process, so that whoever asks from a loop is
/// answered there.
///
/// When one of them is lost all are given up, so that there is always one answer to which server is asked.
struct RedisLinks: Sendable {
    let first: RedisLink
    private let byLoop: [ObjectIdentifier: RedisLink]

    /// `first` alone.
    init(_ first: RedisLink) {
        self.first = first
        byLoop = [:]
    }

    /// `first` and one more on every other loop. Closes those it has opened if it throws.
    init(_ first: RedisLink, onEachLoopTo address: RedisAddress, timeout: Duration) async throws {
        self.first = first
        var links = [ObjectIdentifier(first.eventLoop): first]
        do {
            for loop in MultiThreadedEventLoopGroup.singleton.makeIterator() where loop !== first.eventLoop {
                links[ObjectIdentifier(loop)] = try await RedisLink.open(address, on: loop, timeout: timeout)
            }
        } catch {
            for link in links.values { link.close() }
            throw error
        }
        byLoop = links
    }

    var all: [RedisLink] { byLoop.isEmpty ? [first] : Array(byLoop.values) }

    /// The one on the loop whose thread this is; on any other thread the first.
    var nearest: RedisLink {
        guard !byLoop.isEmpty, let loop = MultiThreadedEventLoopGroup.currentEventLoop else { return first }
        return byLoop[ObjectIdentifier(loop)] ?? first
    }

    /// Returns when one of them is closed, and all of them then; closes them if the task is cancelled.
    func waitUntilClosed() async {
        await withTaskGroup { group in
            for link in all { group.addTask { await link.waitUntilClosed() } }
            await group.next()
            group.cancelAll()
        }
    }
}
