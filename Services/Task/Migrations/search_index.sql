-- Searching by an index of trigrams. Run by the administrator whenever the database is migrated, for what it needs may
-- come later: a superuser, and the extensions pg_trgm and btree_gin, which are part of Postgres.
--
-- Row security lets no index answer LIKE, whose operator is not leakproof. So one function asks the index past it, as a
-- role that may read nothing but the text of tasks, of the organization of the transaction alone; and it gives ids,
-- nothing else. The list then reads these tasks under row security and compares their text once more.

DO $search$
DECLARE
    is_superuser boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
    place text;
BEGIN
    -- Elsewhere too, as a plain role: a backup from a server that has the index names it.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'task_search') THEN
        BEGIN
            CREATE ROLE task_search NOLOGIN NOINHERIT;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- Made meanwhile, for another database of this server.
        END;
    END IF;

    IF NOT is_superuser
        OR (SELECT count(*) FROM pg_available_extensions WHERE name IN ('pg_trgm', 'btree_gin')) < 2 THEN
        -- The form of V0003_search: restoring a backup leaves the function out.
        IF is_superuser OR to_regprocedure('task.search_candidates(uuid, text, integer)') IS NULL THEN
            CREATE OR REPLACE FUNCTION task.search_candidates(organization uuid, pattern text, most integer)
            RETURNS bigint[] LANGUAGE sql STABLE AS 'SELECT NULL::bigint[]';
            ALTER FUNCTION task.search_candidates OWNER TO task_owner;
        END IF;
        RETURN;
    END IF;

    IF NOT (SELECT rolbypassrls FROM pg_roles WHERE rolname = 'task_search') THEN
        ALTER ROLE task_search BYPASSRLS;
    END IF;
    CREATE SCHEMA IF NOT EXISTS taskflow_extension;
    CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA taskflow_extension;
    CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA taskflow_extension;
    IF to_regclass('task.task_search') IS NULL THEN
        SELECT quote_ident(n.nspname) INTO place
            FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
        -- What is new waits in a list until that is full: a new task costs 0.1 ms more and not 0.4. The shortest list that
        -- there is, since every search looks through it.
        EXECUTE format(
            'CREATE INDEX task_search ON task.task USING gin (organization_id, search_text %s.gin_trgm_ops) '
            'WITH (gin_pending_list_limit = 64) WHERE deleted_at IS NULL',
            place);
    END IF;
    GRANT USAGE ON SCHEMA task TO task_search;
    GRANT SELECT (organization_id, id, search_text, deleted_at) ON task.task TO task_search;

    -- Dynamic, so that it is planned for the pattern it gets; no plan but that of a bitmap comes near.
    CREATE OR REPLACE FUNCTION task.search_candidates(organization uuid, pattern text, most integer) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = task, pg_temp
    SET enable_seqscan = off
    SET enable_indexscan = off
    AS $function$
    DECLARE
        found bigint[];
    BEGIN
        IF organization IS DISTINCT FROM nullif(current_setting('app.organization_id', true), '')::uuid THEN
            RETURN '{}';
        END IF;
        EXECUTE 'SELECT array_agg(c.id) FROM (SELECT t.id FROM task t WHERE t.organization_id = $1 '
            'AND t.deleted_at IS NULL AND t.search_text LIKE $2 LIMIT $3) c'
            INTO found USING organization, pattern, most;
        RETURN coalesce(found, '{}');
    END
    $function$;
    ALTER FUNCTION task.search_candidates OWNER TO task_search;
    REVOKE ALL ON FUNCTION task.search_candidates FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION task.search_candidates TO task_app;
END
$search$;

SELECT 'a search looks at every task: its index takes a superuser and the extensions pg_trgm and btree_gin' AS notice
WHERE to_regclass('task.task_search') IS NULL;
