-- The event log's tables, the same in every service's schema.

-- The next number of each shard. The row is locked from the moment a transaction takes numbers until it ends, so the
-- numbers of a shard are dense and in commit order. Mostly empty pages keep the updates on the page they are on.
CREATE TABLE event_log (
    shard smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 15),
    seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

INSERT INTO event_log (shard) SELECT generate_series(0, 15);

-- Events as they were said, kept for 30 days. The partitions are a ring of weeks: nothing has to be created in time,
-- and an old week goes by TRUNCATE.
CREATE TABLE outbox (
    shard smallint NOT NULL,
    seq bigint NOT NULL,
    week smallint NOT NULL DEFAULT (floor(extract(epoch FROM now()) / 604800)::bigint % 8)::smallint,
    id uuid NOT NULL,
    type text NOT NULL,
    version integer NOT NULL,
    subject text NOT NULL,
    happened_at timestamptz NOT NULL,
    organization_id uuid,
    actor uuid,
    causation_id uuid,
    correlation_id text,
    traceparent text,
    payload text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, seq, week)
) PARTITION BY LIST (week);

CREATE TABLE outbox_0 PARTITION OF outbox FOR VALUES IN (0);
CREATE TABLE outbox_1 PARTITION OF outbox FOR VALUES IN (1);
CREATE TABLE outbox_2 PARTITION OF outbox FOR VALUES IN (2);
CREATE TABLE outbox_3 PARTITION OF outbox FOR VALUES IN (3);
CREATE TABLE outbox_4 PARTITION OF outbox FOR VALUES IN (4);
CREATE TABLE outbox_5 PARTITION OF outbox FOR VALUES IN (5);
CREATE TABLE outbox_6 PARTITION OF outbox FOR VALUES IN (6);
CREATE TABLE outbox_7 PARTITION OF outbox FOR VALUES IN (7);

-- Empties the weeks that the ring comes to next, if all in them is older than 30 days; they hold the sixth and seventh
-- week before this one. The service's role may not truncate, hence SECURITY DEFINER. Returns how many it emptied.
CREATE FUNCTION outbox_retire() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '1s'
AS $$
DECLARE
    ahead integer;
    slot bigint;
    newest timestamptz;
    emptied integer := 0;
BEGIN
    FOR ahead IN 1..2 LOOP
        slot := (floor(extract(epoch FROM now()) / 604800)::bigint + ahead) % 8;
        EXECUTE format('SELECT max(created_at) FROM outbox_%s', slot) INTO newest;
        IF newest < now() - interval '30 days' THEN
            EXECUTE format('TRUNCATE outbox_%s', slot);
            emptied := emptied + 1;
        END IF;
    END LOOP;
    RETURN emptied;
END
$$;

DO $$ BEGIN EXECUTE format('ALTER FUNCTION outbox_retire() SET search_path = %I, pg_temp', current_schema()); END $$;

-- How far this service has applied each stream that it reads. `settled` follows `seq` when what was to be done after
-- the commit has been done too.
CREATE TABLE cursor (
    stream text PRIMARY KEY,
    seq bigint NOT NULL DEFAULT 0,
    settled bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Events that could not be applied, and those of the same aggregate that wait behind them. `event` is text because it
-- may be what could not be read as JSON.
CREATE TABLE parked (
    stream text NOT NULL,
    seq bigint NOT NULL,
    organization_id uuid,
    subject text NOT NULL,
    type text NOT NULL,
    state text NOT NULL CHECK (state IN ('retrying', 'parked')),
    attempts integer NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    reason text NOT NULL,
    event text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, seq)
);

CREATE INDEX parked_subject ON parked (stream, subject, seq);

-- Answers kept under an Idempotency-Key for 24 hours, written in the transaction of the work.
CREATE TABLE idempotency (
    organization_id uuid NOT NULL,
    scope bytea NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    location text,
    etag text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, scope)
);

CREATE INDEX idempotency_age ON idempotency (organization_id, created_at);

ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

-- The numbers that are counted per organization, taken in the statement of the insert.
CREATE TABLE counter (
    organization_id uuid NOT NULL,
    kind text NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (organization_id, kind)
);

ALTER TABLE counter ENABLE ROW LEVEL SECURITY;
ALTER TABLE counter FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON counter
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));
