import Chronology
import Identity

/// Removes stored pictures that nobody's row names: replaced ones, those of deleted organizations, and uploads that
/// were cut off.
struct MediaSweep: Sendable {
    let store: PortraitStore
    /// By kind; a picture stays where it was stored when the settings name another storage for new ones.
    let storages: [any MediaStorage]
    let clock: WallClock
    /// Told of a picture that could not be removed; it is tried again later.
    let failed: @Sendable (LooseMedia, any Error) -> Void

    /// Pictures taken at once.
    private static let batch = 20

    /// Works until nothing is due. What cannot be removed now comes again, at the latest a quarter of an hour later.
    func run() async throws {
        while true {
            let due = try await store.claim(limit: MediaSweep.batch, now: clock.now)
            for media in due {
                guard let storage = storages.first(where: { $0.kind == media.storage }) else { continue }
                do {
                    try await storage.remove(media.name)
                    try await store.forget(media)
                } catch is CancellationError {
                    throw CancellationError()
                } catch {
                    failed(media, error)
                }
            }
            if due.count < MediaSweep.batch { return }
        }
    }
}
