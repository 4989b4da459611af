#!/usr/bin/env python3
"""What pg_catalog says of a migrated installation: TEN-1, TEN-2, TEN-3, TEN-4, as one statement that gives complaints.

    Tests/Tenancy/catalogue.py URL         # URL of a superuser, in the database that holds the schemas

The same requirements are checked in Swift on the schemas as the test database has them; this form of them is for the
mutants, which break a database one thing at a time and want to see a complaint.
"""
import json
import pathlib
import re
import subprocess
import sys

SERVICES = ["auth", "organization", "project", "task", "notification"]


def declared_global():
    """The tables that belong to no organization, from the one list there is: that of the Swift test."""
    path = pathlib.Path(__file__).resolve().parents[1] / "EndToEnd/CatalogueDatabaseTests.swift"
    listed = re.search(r"static let global: .*?= \[\n(.*?)\n    \]", path.read_text(), re.S)[1]
    return {service: re.findall(r'"(\w+)"', tables)
            for service, tables in re.findall(r'"(\w+)": \[(.*?)\]', listed, re.S)}


GLOBAL = declared_global()
# The log's own, in every schema.
LOG = ["migration", "event_log", "outbox", "cursor", "parked", "lineage"]
# Functions that run with their owner's rights, each with a search_path of its own.
DEFINERS = ["outbox_retire", "search_candidates"]
# The one role above row level security, and all that it may read: what the index of the search is made of.
SEARCHER, SEARCHED = "task_search", ["organization_id", "id", "search_text", "deleted_at"]

POLICY = ("(organization_id = ( SELECT (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid "
          "AS \"nullif\"))")


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def array(words):
    return "ARRAY[" + ", ".join(literal(w) for w in words) + "]::text[]"


def statement():
    declared = ", ".join(f"({literal(s)}, {literal(t)})" for s in SERVICES for t in [*GLOBAL[s], *LOG])
    return f"""
WITH declared (service, name) AS (VALUES {declared}),
service (name) AS (SELECT unnest({array(SERVICES)})),
listed AS (
    SELECT n.nspname::text AS service, c.relname::text AS name, c.oid, c.relrowsecurity, c.relforcerowsecurity,
        c.relowner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN service s ON s.name = n.nspname
    WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
),
tenant AS (
    SELECT * FROM listed t WHERE NOT EXISTS (SELECT FROM declared d WHERE d.service = t.service AND d.name = t.name)
),
role AS (
    SELECT s.name AS service, r.* FROM service s JOIN pg_roles r ON r.rolname = s.name || '_app'
),
complaint (requirement, text) AS (
    SELECT 'TEN-1', d.service || '.' || d.name || ' is declared as global, but there is none' FROM declared d
    WHERE NOT EXISTS (SELECT FROM listed t WHERE t.service = d.service AND t.name = d.name)
    UNION ALL
    SELECT 'TEN-1', s.name || ' has no tenant table' FROM service s
    WHERE NOT EXISTS (SELECT FROM tenant t WHERE t.service = s.name)
    UNION ALL
    SELECT 'TEN-1', t.service || '.' || t.name || ' has no organization_id uuid NOT NULL without a default'
    FROM tenant t
    WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'organization_id'
        AND a.atttypid = 'uuid'::regtype AND a.attnotnull AND NOT a.atthasdef AND NOT a.attisdropped)
    UNION ALL
    SELECT 'TEN-1', t.service || '.' || t.name || ' has no primary key' FROM tenant t
    WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary)
    UNION ALL
    SELECT 'TEN-1', t.service || '.' || t.name || ': ' || i.indexrelid::regclass
        || ' does not begin with organization_id'
    FROM tenant t JOIN pg_index i ON i.indrelid = t.oid
    WHERE (i.indisunique OR i.indisprimary) AND pg_get_indexdef(i.indexrelid, 1, true) <> 'organization_id'
    UNION ALL
    SELECT 'TEN-1', t.service || '.' || t.name || ': ' || k.conname || ' does not join organization to organization'
    FROM tenant t JOIN pg_constraint k ON k.contype = 'f' AND (k.conrelid = t.oid OR k.confrelid = t.oid)
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute here, pg_attribute there
        WHERE here.attrelid = k.conrelid AND here.attnum = k.conkey[1] AND here.attname = 'organization_id'
        AND there.attrelid = k.confrelid AND there.attnum = k.confkey[1] AND there.attname = 'organization_id')
    UNION ALL
    SELECT 'TEN-2', t.service || '.' || t.name || ' is not under forced row level security' FROM tenant t
    WHERE NOT (t.relrowsecurity AND t.relforcerowsecurity)
    UNION ALL
    SELECT 'TEN-2', t.service || '.' || t.name || ' has ' || count(p.oid) || ' policies' FROM tenant t
    LEFT JOIN pg_policy p ON p.polrelid = t.oid GROUP BY t.service, t.name HAVING count(p.oid) <> 1
    UNION ALL
    SELECT 'TEN-2', t.service || '.' || t.name || ': ' || p.polname || ' says something else' FROM tenant t
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE (p.polcmd = '*' AND p.polpermissive AND p.polroles = '{{0}}'
        AND pg_get_expr(p.polqual, p.polrelid) = {literal(POLICY)}
        AND pg_get_expr(p.polwithcheck, p.polrelid) = {literal(POLICY)}) IS NOT TRUE
    UNION ALL
    SELECT 'TEN-3', s.name || ' is not owned by a role without login, or not all of it is' FROM service s
    WHERE NOT EXISTS (SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
            WHERE n.nspname = s.name AND r.rolname = s.name || '_owner' AND NOT r.rolcanlogin
            AND NOT r.rolsuper AND NOT r.rolbypassrls)
        OR EXISTS (SELECT FROM listed t JOIN pg_roles r ON r.oid = t.relowner
            WHERE t.service = s.name AND r.rolname <> s.name || '_owner')
    UNION ALL
    SELECT 'TEN-3', s.name || '_app is missing' FROM service s
    WHERE NOT EXISTS (SELECT FROM role r WHERE r.service = s.name AND r.rolcanlogin)
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' is more than a plain role' FROM role r
    WHERE r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
        OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' may ' || w.word || ' ' || t.service || '.' || t.name FROM role r
    JOIN listed t ON t.service = r.service, unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) w(word)
    WHERE has_table_privilege(r.oid, t.oid, w.word)
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' may use the schema ' || n.nspname FROM role r, pg_namespace n
    WHERE n.nspname NOT IN (r.service, 'pg_catalog', 'information_schema')
        AND (has_schema_privilege(r.oid, n.oid, 'USAGE') OR has_schema_privilege(r.oid, n.oid, 'CREATE'))
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' may create in its schema' FROM role r
    WHERE has_schema_privilege(r.oid, r.service, 'CREATE')
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' may read ' || t.service || '.' || t.name FROM role r
    JOIN listed t ON t.service <> r.service
    WHERE has_any_column_privilege(r.oid, t.oid, 'SELECT') OR has_any_column_privilege(r.oid, t.oid, 'UPDATE')
        OR has_table_privilege(r.oid, t.oid, 'DELETE')
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' has no search_path of its own' FROM role r
    WHERE NOT EXISTS (SELECT FROM pg_db_role_setting x JOIN pg_database d ON d.oid = x.setdatabase
        WHERE d.datname = current_database() AND x.setrole = r.oid
        AND x.setconfig @> ARRAY['search_path=' || r.service])
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' is above row level security' FROM pg_roles r
    WHERE r.rolbypassrls AND NOT r.rolsuper AND r.rolname <> {literal(SEARCHER)}
        AND EXISTS (SELECT FROM service s WHERE has_schema_privilege(r.oid, s.name, 'USAGE'))
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' can be somebody, or somebody can be it' FROM pg_roles r
    WHERE r.rolname = {literal(SEARCHER)} AND (r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb
        OR r.rolreplication OR EXISTS (SELECT FROM pg_auth_members m WHERE r.oid IN (m.roleid, m.member)))
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' may read ' || t.service || '.' || t.name || '.' || a.attname FROM pg_roles r
    CROSS JOIN listed t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE r.rolname = {literal(SEARCHER)} AND has_column_privilege(r.oid, t.oid, a.attnum, 'SELECT')
        AND NOT (t.service = 'task' AND t.name = 'task' AND a.attname = ANY ({array(SEARCHED)}))
    UNION ALL
    SELECT 'TEN-3', r.rolname || ' may write ' || t.service || '.' || t.name FROM pg_roles r CROSS JOIN listed t
    WHERE r.rolname = {literal(SEARCHER)} AND (has_any_column_privilege(r.oid, t.oid, 'INSERT, UPDATE, REFERENCES')
        OR has_table_privilege(r.oid, t.oid, 'DELETE, TRUNCATE, TRIGGER'))
    UNION ALL
    SELECT 'TEN-4', n.nspname || '.' || p.proname || ' is of ' || r.rolname
    FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE r.rolname = {literal(SEARCHER)} AND p.proname <> 'search_candidates'
    UNION ALL
    SELECT 'TEN-4', n.nspname || '.' || p.proname || ' may be run by ' || r.rolname
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace CROSS JOIN pg_roles r
    WHERE p.proname = 'search_candidates' AND p.prosecdef AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
        AND NOT r.rolsuper AND r.rolname NOT IN ('task_app', {literal(SEARCHER)})
    UNION ALL
    SELECT 'TEN-4', n.nspname || '.' || c.relname || ' shows rows past row level security'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN service s ON s.name = n.nspname
    WHERE c.relkind = 'm' OR (c.relkind = 'v' AND NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'], false))
    UNION ALL
    SELECT 'TEN-4', n.nspname || '.' || p.proname || ' runs with its owner''s rights'
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN service s ON s.name = n.nspname
    WHERE p.prosecdef AND NOT (p.proname = ANY ({array(DEFINERS)})
        AND p.proconfig @> ARRAY['search_path=' || n.nspname || ', pg_temp'])
    UNION ALL
    SELECT 'TEN-4', 'the policy ' || d.objid::text || ' calls ' || p.proname FROM pg_depend d
    JOIN pg_proc p ON p.oid = d.refobjid AND d.refclassid = 'pg_proc'::regclass
    WHERE d.classid = 'pg_policy'::regclass AND p.provolatile = 'v'
)
SELECT coalesce(json_agg(json_build_array(requirement, text) ORDER BY requirement, text), '[]') FROM complaint
"""


def psql(url, text):
    """Runs statements; gives what they print. Raises on an error of the server."""
    done = subprocess.run(["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", url], input=text, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()


def check(url, breaking=None):
    """The complaints [requirement, text]; with `breaking`, those after these statements, which are then undone."""
    text = statement() + ";"
    if breaking:
        text = f"BEGIN;\n{breaking};\n{text}\nROLLBACK;"
    return json.loads(psql(url, text).splitlines()[-1])


def main():
    complaints = check(sys.argv[1])
    for requirement, text in complaints:
        print(f"{requirement}: {text}")
    print(f"{len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
