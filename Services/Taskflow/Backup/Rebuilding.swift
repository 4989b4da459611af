import Identity
import Postgres
import TaskService

/// Writes a service's read models anew from the tables they are made from, while all services go on working.
///
/// Shard by shard, in one transaction each: the logs that feed the read models are held, so that nothing new is said; the
/// reader comes to their end; then tables and truth are of the same moment, and what differs is replaced. Cursors stay
/// where they are, and so does everything that was done on hearing an event: nobody is told of anything twice.
struct Rebuilding {
    let service: ServiceName
    /// In which a transaction sees what was committed before each of its statements.
    let pool: PostgresPool

    /// The reader has not come to the end of a log while it was held.
    struct ReaderBehind: Error {
        var stream: String
        var at: Int64
        var head: Int64
    }

    /// What was done to one read model of one shard.
    struct Change: Equatable {
        var model: String
        /// Rows that were wrong or too many.
        var removed: Int
        /// Rows that were wrong or missing.
        var written: Int
    }

    /// What was done in one shard.
    struct Outcome {
        var changes: [Change] = []
        /// For how long writers of the shard may have waited.
        var held = Duration.zero
        /// Streams of which the events after the cursor are kept no more; their cursors are at the end now.
        var skipped: [String] = []
    }

    private var schema: SQL { "\(unsafe: service.rawValue)" }
    private var producers: [ServiceName] { ReadModel.producers(of: service) }

    /// One shard, 0 to 15. Throws ``ReaderBehind`` after `patience`, and then nothing has been changed.
    func rebuild(shard: Int, patience: Duration) async throws -> Outcome {
        let clock = ContinuousClock()
        return try await pool.transaction(in: nil) { transaction in
            // A deadlock with a writer is not possible: whoever holds a log's row is about to commit.
            _ = try await transaction.query("SET LOCAL lock_timeout = '2s'")
            // Of tables that were filled a moment ago the planner knows nothing yet, and would compare each with each.
            _ = try await transaction.query("SET LOCAL enable_nestloop = off")
            var heads: [String: Int64] = [:]
            let begun = clock.now
            for producer in producers {
                let rows = try await transaction.query(
                    "SELECT seq FROM \(unsafe: producer.rawValue).event_log WHERE shard = \(shard) FOR UPDATE"
                )
                heads[Self.stream(of: producer, shard)] = try rows.first?.get("seq") ?? 0
            }
            var outcome = Outcome()
            outcome.skipped = try await lost(heads, shard, in: transaction)
            try await waitForReader(heads.filter { !outcome.skipped.contains($0.key) }, begun + patience, transaction)
            // Whoever applies an event has the cursor's row first.
            let streams = heads.keys.sorted()
            _ = try await transaction.query(
                "SELECT FROM \(schema).cursor WHERE stream = ANY(\(streams)::text[]) ORDER BY stream FOR UPDATE"
            )
            let zones = service == .task ? try await movedZones(shard, in: transaction) : []
            for model in ReadModel.all where model.service == service {
                let change = try await write(model, shard, in: transaction)
                if change.removed + change.written > 0 { outcome.changes.append(change) }
            }
            for (organization, zone) in zones {
                try await Moments.reckon(of: organization, zoneName: zone, transaction.query)
            }
            try await know(shard, outcome, in: transaction)
            for stream in outcome.skipped {
                transaction.send(
                    """
                    UPDATE \(schema).cursor SET seq = \(heads[stream] ?? 0), settled = \(heads[stream] ?? 0),
                        updated_at = now() WHERE stream = \(stream)
                    """
                )
            }
            // Waits for what was only sent, so that the time is that of the whole work.
            _ = try await transaction.query("SELECT 1")
            outcome.held = clock.now - begun
            return outcome
        }
    }

    /// Streams whose next event the producer has given up: their reader could wait for ever.
    private func lost(
        _ heads: [String: Int64],
        _ shard: Int,
        in transaction: PostgresTransaction
    ) async throws -> [String] {
        var lost: [String] = []
        for producer in producers {
            let stream = Self.stream(of: producer, shard)
            let rows = try await transaction.query(
                """
                SELECT FROM \(schema).cursor c WHERE c.stream = \(stream) AND c.seq < \(heads[stream] ?? 0) AND NOT EXISTS (
                    SELECT FROM \(unsafe: producer.rawValue).outbox o WHERE o.shard = \(shard) AND o.seq = c.seq + 1)
                """
            )
            if !rows.isEmpty { lost.append(stream) }
        }
        return lost
    }

    /// As the log names it: ``Events/StreamName``.
    private static func stream(of producer: ServiceName, _ shard: Int) -> String {
        "\(producer.rawValue).\(shard < 10 ? "0" : "")\(shard)"
    }

    private func waitForReader(
        _ heads: [String: Int64],
        _ deadline: ContinuousClock.Instant,
        _ transaction: PostgresTransaction
    ) async throws {
        while true {
            var behind: ReaderBehind?
            var cursors: [String: Int64] = [:]
            for row in try await transaction.query("SELECT stream, seq FROM \(schema).cursor") {
                cursors[try row.get("stream")] = try row.get("seq")
            }
            for (stream, head) in heads.sorted(by: { $0.key < $1.key }) where cursors[stream] ?? 0 < head {
                behind = ReaderBehind(stream: stream, at: cursors[stream] ?? 0, head: head)
            }
            guard let behind else { return }
            guard ContinuousClock.now < deadline else { throw behind }
            // Nothing tells of a cursor that moves; a reader needs a few milliseconds.
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Organizations whose time zone Task does not have right, with the right one. What it has reckoned in the wrong
    /// one is to be reckoned again, and nobody may write a task meanwhile.
    private func movedZones(
        _ shard: Int,
        in transaction: PostgresTransaction
    ) async throws -> [(organization: OrganizationID, zone: String)] {
        // The tables of Task, as its own statements name them; ours name them with their schemas.
        _ = try await transaction.query("SET LOCAL search_path = task, pg_catalog")
        let rows = try await transaction.query(
            """
            SELECT s.organization_id, s.time_zone FROM organization.organization s
            LEFT JOIN task.organization r ON r.organization_id = s.organization_id
            WHERE \(Self.isOf(shard, "s")) AND r.time_zone IS DISTINCT FROM s.time_zone ORDER BY s.organization_id
            """
        )
        for row in rows { _ = try await transaction.query(Moments.lock(try row.get("organization_id"))) }
        return try rows.map { (organization: try $0.get("organization_id"), zone: try $0.get("time_zone")) }
    }

    private func write(_ model: ReadModel, _ shard: Int, in transaction: PostgresTransaction) async throws -> Change {
        let wanted: SQL = "SELECT * FROM (\(model.truth)) x WHERE \(Self.isOf(shard, "x"))"
        let removed = try await transaction.query(
            """
            DELETE FROM \(model.place) r WHERE \(Self.isOf(shard, "r")) AND NOT EXISTS (
                SELECT FROM (\(wanted)) t WHERE \(model.isSame("t", "r"))
                AND \(model.value(of: "t")) IS NOT DISTINCT FROM \(model.value(of: "r")))
            """
        )
        let written = try await transaction.query(
            """
            INSERT INTO \(model.place) (\(model.names)) SELECT \(model.names) FROM (\(wanted)) t WHERE NOT EXISTS (
                SELECT FROM \(model.place) r WHERE \(model.isSame("t", "r")))
            """
        )
        return Change(model: model.name, removed: removed.affected, written: written.affected)
    }

    /// What is kept beside the read models: which organizations there are, and that what is shown of people has changed.
    private func know(_ shard: Int, _ outcome: Outcome, in transaction: PostgresTransaction) async throws {
        let live: SQL = """
            SELECT s.organization_id FROM organization.organization s WHERE \(Self.isOf(shard, "s"))
            """
        switch service {
        case .task, .notification:
            transaction.send(
                "INSERT INTO \(schema).known_organization (organization_id) \(live) ON CONFLICT DO NOTHING"
            )
        case .project:
            transaction.send("INSERT INTO project.live_organization (id) \(live) ON CONFLICT DO NOTHING")
        case .auth, .organization, .gateway: break
        }
        if service == .task {
            // As hearing of it would have done: the trash clock removes the tasks of projects that are marked.
            transaction.send(
                """
                UPDATE task.counter r SET kind = 'purged-project:' || p.id FROM project.project p
                WHERE \(Self.isOf(shard, "r")) AND p.organization_id = r.organization_id AND p.name = ''
                    AND r.kind = 'task-number:' || p.id
                """
            )
        }
        if service == .task, outcome.changes.contains(where: { $0.model == "users in task" }) {
            transaction.send(
                "UPDATE task.organization r SET people_epoch = people_epoch + 1 WHERE \(Self.isOf(shard, "r"))"
            )
        }
    }

    /// An organization's shard is the last four bits of its id: ``Events/Shard``.
    private static func isOf(_ shard: Int, _ row: String) -> SQL {
        "get_byte(uuid_send(\(unsafe: row).organization_id), 15) & 15 = \(shard)::integer"
    }
}
