public import Postgres

/// The tables that the log needs in every service's schema: `event_log`, `outbox`, `cursor`, `parked`,
/// `idempotency`, `counter`. To be run before the service's own migrations.
public enum MessagingSchema {
    /// In order.
    public static let migrations = [
        Migration("L0001_event_log", PackageResources.L0001_event_log_sql),
        Migration("L0002_lineage", PackageResources.L0002_lineage_sql),
    ]
}
