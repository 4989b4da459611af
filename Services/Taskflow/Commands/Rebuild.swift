import ArgumentParser
import Chronology
import Postgres
import ServiceKit

/// `taskflow rebuild`: a service's read models, written anew.
struct Rebuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write what a service keeps of the others anew from their own data.",
        discussion: """
            For when `taskflow verify` finds replicas that differ, or a service's tables were lost. It may run while \
            all services work, and needs its reader running; of each sixteenth of the organizations, writers wait for \
            as long as that takes. Rows that are right are not touched, and nobody is told of anything again.

              taskflow rebuild notification
              taskflow rebuild task --directory /srv/taskflow

            Needs the installation in --directory, or TASKFLOW_ADMIN_DATABASE_URL (a role above row level security) \
            and TASKFLOW_SECRET. All services have to be in one database.

            Exit code: 0 if all is right now, 1 if something could not be rebuilt.
            """
    )

    @OptionGroup var installation: InstallationFolder
    @Argument(help: "project, task or notification.") var service: ServiceName
    @Option(help: "For how many seconds to try again where the reader is behind.") var wait = 60

    func validate() throws {
        guard !ReadModel.producers(of: service).isEmpty else {
            throw ValidationError("\(service.rawValue) keeps no read models; project, task and notification do")
        }
        guard (0...3600).contains(wait) else { throw ValidationError("--wait is 0 to 3600 seconds") }
    }

    func run() async throws {
        try await Program.run(DatabaseAccess.neededRole) {
            let logger = Program.quietLogger
            let database = try await DatabaseAccess.open(installation, for: .reading, logger: logger)
            do {
                let pool = try database.pool(isolation: "read committed", logger: logger)
                try await KnownMigrations.refuseNewer(pool)
                try await rebuild(Rebuilding(service: service, pool: pool))
                await database.close()
            } catch {
                await database.close()
                throw error
            }
        }
    }

    private func rebuild(_ rebuilding: Rebuilding) async throws {
        let deadline = ContinuousClock.now + .seconds(wait)
        var (removed, written, longest) = (0, 0, Duration.zero)
        for shard in 0..<16 {
            let outcome = try await patiently(rebuilding, shard, until: deadline)
            longest = max(longest, outcome.held)
            for stream in outcome.skipped {
                Program.say("\(stream): events after the cursor are kept no more; it is at the end now")
            }
            for change in outcome.changes {
                Program.say("shard \(shard), \(change.model): \(change.removed) removed, \(change.written) written")
                removed += change.removed
                written += change.written
            }
        }
        Program.say(
            "rebuild: \(service.rawValue), \(removed) rows removed, \(written) written; writers of a shard waited for at "
                + "most \(longest.wholeMicroseconds / 1000) ms"
        )
    }

    /// A reader that is busy gets another chance, with the logs let go in between.
    private func patiently(
        _ rebuilding: Rebuilding,
        _ shard: Int,
        until deadline: ContinuousClock.Instant
    ) async throws -> Rebuilding.Outcome {
        while true {
            do {
                return try await rebuilding.rebuild(shard: shard, patience: .seconds(1))
            } catch let behind as Rebuilding.ReaderBehind {
                guard ContinuousClock.now < deadline else {
                    throw SettingError(
                        "\(service.rawValue) has applied \(behind.at) of \(behind.head) events of \(behind.stream): start "
                            + "it, or see what stops it with `taskflow events status`"
                    )
                }
            } catch let error as PostgresError
                where (error.isRetryable || error.sqlState == "55P03") && ContinuousClock.now < deadline
            {
                // Somebody held a row for longer than we wait.
            }
            // Writers go first, and the reader gets time to catch up: nothing tells of either.
            try await Task.sleep(for: .milliseconds(300))
        }
    }
}
