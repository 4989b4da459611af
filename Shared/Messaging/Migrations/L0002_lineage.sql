-- A log that comes back from a backup goes on where the backup ended: numbers after that have been given before, to
-- other events. Its lineage tells the two apart. It is reckoned from what is new in a restored database (the server,
-- its timeline, the database, the table), so that nobody has to remember to change it; this table remembers from which
-- number on each lineage was a log of its own.
CREATE TABLE lineage (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    shard smallint NOT NULL,
    since bigint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, shard)
);

CREATE FUNCTION current_lineage() RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT left(md5(concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        'event_log'::regclass::oid)), 16)
$$;

DO $$ BEGIN EXECUTE format('ALTER FUNCTION current_lineage() SET search_path = %I, pg_temp', current_schema()); END $$;

-- What the consumer believes: of which lineage the events are that it has applied, and in which database of its own it
-- applied them. If that is not this one, it was restored itself and asks before it reads on.
ALTER TABLE cursor ADD COLUMN lineage text, ADD COLUMN home text;
