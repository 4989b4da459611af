import ArgumentParser
import Foundation
import Logging
import Postgres
import ServiceKit

/// `taskflow verify`: whether what the services keep agrees.
struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check that the services' data agrees: logs, cursors, replicas, orphans.",
        discussion: """
            Compares what each service keeps of the others with what these hold themselves, in one snapshot of the \
            database, and prints every difference. It may run at any time: what differs is looked at again after \
            the readers have caught up with where the logs were, and reported only if it is still the same.

              taskflow verify
              taskflow verify --directory /srv/taskflow --wait 60

            Needs the installation in --directory, or TASKFLOW_ADMIN_DATABASE_URL (a role above row level security) \
            and TASKFLOW_SECRET. All services have to be in one database.

            Exit code: 0 if all agrees, 2 if something differs, 1 if it could not be checked.
            """
    )

    @OptionGroup var installation: InstallationFolder

    @Option(help: "For how many seconds to wait for readers that are behind.")
    var wait = 30

    func validate() throws {
        guard (0...3600).contains(wait) else { throw ValidationError("--wait is 0 to 3600 seconds") }
    }

    func run() async throws {
        try await Program.run(DatabaseAccess.neededRole) {
            let logger = Program.quietLogger
            let database = try await DatabaseAccess.open(installation, for: .reading, logger: logger)
            let report: Report
            do {
                report = try await verify(try database.pool(logger: logger))
                await database.close()
            } catch {
                await database.close()
                throw error
            }
            for line in report.lines { Program.say(line) }
            if !report.isGood { throw ExitCode(2) }
        }
    }

    /// What was found, as it is printed.
    struct Report {
        var checks: Int
        var findings: [Finding]
        /// Readers that had not caught up in time.
        var late: [String]

        var isGood: Bool { findings.isEmpty && late.isEmpty }

        var lines: [String] {
            var lines = late.map { "behind: \($0)" }
            for (check, group) in Dictionary(grouping: findings, by: \.check).sorted(by: { $0.key < $1.key }) {
                lines.append("\(check): \(group.count)\(group.count == Check.limit ? " or more" : "")")
                lines += group.sorted().prefix(20).map { "  \($0.key)  \($0.detail)" }
                if group.count > 20 { lines.append("  ...") }
            }
            lines.append(
                isGood
                    ? "verify: \(checks) checks, all agree"
                    : "verify: \(checks) checks, \(findings.count) differences, \(late.count) readers behind"
            )
            return lines
        }
    }

    /// One look at everything.
    private struct Look {
        var findings: [Finding] = []
        var checks = 0
        /// By `service stream`, where it is and where its log ends.
        var cursors: [String: (at: Int64, head: Int64)] = [:]
        /// Whether anything found may be gone once readers have caught up.
        var mayPass = false
    }

    private func verify(_ pool: PostgresPool) async throws -> Report {
        let first = try await look(pool)
        guard first.mayPass else { return Report(checks: first.checks, findings: first.findings, late: []) }
        // Differences count if they outlive the moment when readers are where the logs were.
        let deadline = ContinuousClock.now + .seconds(wait)
        var now = first
        while true {
            let late = first.cursors.filter { key, cursor in
                (now.cursors[key]?.at ?? 0) < min(cursor.head, now.cursors[key]?.head ?? 0)
            }
            if late.isEmpty { break }
            guard ContinuousClock.now < deadline else {
                let names = late.keys.sorted().map { key in
                    "\(key) is at \(now.cursors[key]?.at ?? 0) of \(now.cursors[key]?.head ?? 0)"
                }
                return Report(checks: now.checks, findings: common(first, now), late: names)
            }
            // Readers of a busy installation need a moment; looking more often would only slow them.
            try await Task.sleep(for: .milliseconds(500))
            now = try await look(pool)
        }
        // The readers have caught up, but another look is needed if this was the first one.
        if now.cursors.values.contains(where: { $0.at < $0.head }) || !common(first, now).isEmpty {
            // As above: readers need a moment.
            try await Task.sleep(for: .milliseconds(500))
            now = try await look(pool)
        }
        return Report(checks: now.checks, findings: common(first, now), late: [])
    }

    private func common(_ first: Look, _ second: Look) -> [Finding] {
        Array(Set(first.findings).intersection(second.findings))
    }

    private func look(_ pool: PostgresPool) async throws -> Look {
        try await pool.transaction(in: nil) { transaction in
            var look = Look()
            for row in try await transaction.query(Verification.cursors) {
                let name = "\(try row.get("service", as: String.self)) \(try row.get("stream", as: String.self))"
                look.cursors[name] = (try row.get("seq"), try row.get("head"))
            }
            let tables = try await transaction.query(Verification.ownedTables)
            let checks =
                try Verification.checks
                + tables.map { Verification.homeless(try $0.get("schema"), try $0.get("name")) }
            for check in checks {
                let found = try await check.findings(in: transaction)
                look.findings += found
                look.checks += 1
                if check.isOfReplicas, !found.isEmpty { look.mayPass = true }
            }
            return look
        }
    }
}
