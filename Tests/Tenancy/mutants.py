#!/usr/bin/env python3
"""TEN-14: breaks tenancy one thing at a time and asks for each whether a check turns red.

    Tests/Tenancy/mutants.py --binary .build/debug/taskflow [--only schema|sources]

Schema: on a throw-away installation, each mutant in a transaction of its own that is rolled back, judged by
`catalogue.py`. Sources: each organization predicate of each statement, on a copy in memory, judged by `statements.py`;
nothing has to be compiled for that. Survivors are listed; one makes the run fail.
"""
import argparse
import concurrent.futures
import os
import sys
import time

import catalogue
import predicates
import statements
from installation import Installation, run

LOOSE = "(organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid) OR {})"
STRICT = "(organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))"


def tenant_tables(url):
    listed = catalogue.psql(url, f"""
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ({catalogue.array(catalogue.SERVICES)}) AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition ORDER BY 1, 2;""")
    for line in listed.splitlines():
        service, table = line.split("|")
        if table not in catalogue.GLOBAL[service] and table not in catalogue.LOG:
            yield service, table


def protect(name):
    return (f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; ALTER TABLE {name} FORCE ROW LEVEL SECURITY; "
            f"CREATE POLICY tenant ON {name} USING {STRICT} WITH CHECK {STRICT}")


def of_table(service, table):
    """(what, statements) for everything that can be taken from one table."""
    name = f"{service}.{table}"
    create = f"DROP POLICY tenant ON {name}; CREATE POLICY tenant ON {name}"
    odd = f"ALTER TABLE {name} ADD COLUMN odd bigint"
    policy = f"ALTER POLICY tenant ON {name}"
    yield "policy dropped", f"DROP POLICY tenant ON {name}"
    yield "FORCE dropped", f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY"
    yield "ENABLE dropped", f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY"
    yield "USING true", f"{policy} USING (true)"
    yield "WITH CHECK true", f"{policy} WITH CHECK (true)"
    yield "USING open without a context", policy + " USING " + LOOSE.format(
        "nullif(current_setting('app.organization_id', true), '') IS NULL")
    yield "WITH CHECK open for one more", policy + " WITH CHECK " + LOOSE.format(
        "organization_id = '00000000-0000-0000-0000-000000000000'")
    yield "WITH CHECK left out", f"{create} USING {STRICT}"
    yield "policy for SELECT only", f"{create} FOR SELECT USING {STRICT}"
    yield "policy for some roles only", f"{create} TO {service}_app USING {STRICT} WITH CHECK {STRICT}"
    yield "a second, permissive policy", f"CREATE POLICY more ON {name} USING (true)"
    yield "policy without the subselect's guard", policy + (
        " USING (organization_id = current_setting('app.organization_id', true)::uuid)")
    yield "a default organization", (f"ALTER TABLE {name} ALTER organization_id "
                                     "SET DEFAULT '00000000-0000-0000-0000-000000000000'")
    yield "a key without the organization", f"{odd}; CREATE UNIQUE INDEX ON {name} (odd)"
    yield "a key with the organization last", f"{odd}; CREATE UNIQUE INDEX ON {name} (odd, organization_id)"
    yield "a foreign key on an id alone", (
        f"{odd} UNIQUE; CREATE TABLE {service}.elsewhere (organization_id uuid NOT NULL, "
        f"odd bigint REFERENCES {name} (odd), PRIMARY KEY (organization_id)); "
        f"ALTER TABLE {service}.elsewhere OWNER TO {service}_owner; {protect(f'{service}.elsewhere')}")
    yield "primary key dropped", f"ALTER TABLE {name} DROP CONSTRAINT {table}_pkey CASCADE"
    yield "organization may be NULL", (f"ALTER TABLE {name} DROP CONSTRAINT {table}_pkey CASCADE; "
                                       f"ALTER TABLE {name} ALTER organization_id DROP NOT NULL")
    yield "a view with its owner's rights", f"CREATE VIEW {service}.leak AS SELECT * FROM {name}"
    yield "a materialized view", f"CREATE MATERIALIZED VIEW {service}.leak AS SELECT * FROM {name}"
    yield "a SECURITY DEFINER function", (f"CREATE FUNCTION {service}.leak() RETURNS bigint LANGUAGE sql "
                                          f"SECURITY DEFINER AS 'SELECT count(*) FROM {name}'")
    yield "TRUNCATE granted", f"GRANT TRUNCATE ON {name} TO {service}_app"
    yield "another service may read", f"GRANT SELECT ON {name} TO {'task' if service != 'task' else 'auth'}_app"


def of_service(service):
    other = "task" if service != "task" else "auth"
    yield "a tenant table nobody protected", f"CREATE TABLE {service}.fresh (organization_id uuid NOT NULL PRIMARY KEY)"
    yield "a table without an organization", f"CREATE TABLE {service}.fresh (id bigint PRIMARY KEY)"
    yield "superuser", f"ALTER ROLE {service}_app SUPERUSER"
    yield "BYPASSRLS", f"ALTER ROLE {service}_app BYPASSRLS"
    yield "CREATEROLE", f"ALTER ROLE {service}_app CREATEROLE"
    yield "owner granted", f"GRANT {service}_owner TO {service}_app"
    yield "owner may log in", f"ALTER ROLE {service}_owner LOGIN"
    yield "owner bypasses", f"ALTER ROLE {service}_owner BYPASSRLS"
    yield "schema owned by the service", f"ALTER SCHEMA {service} OWNER TO {service}_app"
    yield "may create in its schema", f"GRANT CREATE ON SCHEMA {service} TO {service}_app"
    yield "may use another schema", f"GRANT USAGE ON SCHEMA {other} TO {service}_app"
    yield "may use public", f"GRANT USAGE ON SCHEMA public TO {service}_app"
    yield "no search_path of its own", (
        f"DO $$ BEGIN EXECUTE format('ALTER ROLE {service}_app IN DATABASE %I RESET search_path', "
        "current_database()); END $$")
    yield "outbox_retire without its search_path", f"ALTER FUNCTION {service}.outbox_retire() RESET search_path"


def of_search():
    """(what, statements) for the one function and role that are above row level security."""
    function = "task.search_candidates"
    yield "without its search_path", f"ALTER FUNCTION {function} RESET search_path"
    yield "run by everybody", f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC"
    yield "run by another service", f"GRANT EXECUTE ON FUNCTION {function} TO auth_app"
    yield "its role may log in", "ALTER ROLE task_search LOGIN"
    yield "its role is superuser", "ALTER ROLE task_search SUPERUSER"
    yield "its role lent to the service", "GRANT task_search TO task_app"
    yield "its role lent the owner", "GRANT task_owner TO task_search"
    yield "its role reads all of a task", "GRANT SELECT ON task.task TO task_search"
    yield "its role reads members", "GRANT SELECT ON task.member TO task_search"
    yield "its role writes", "GRANT UPDATE (search_text) ON task.task TO task_search"
    yield "its role has another function", (
        "CREATE FUNCTION task.leak() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM task.task'; "
        "ALTER FUNCTION task.leak() OWNER TO task_search")
    yield "another role above row level security", (
        "CREATE ROLE task_other NOLOGIN BYPASSRLS; GRANT USAGE ON SCHEMA task TO task_other")


def schema_mutants(url):
    for what, breaking in of_search():
        yield f"search: {what}", breaking
    for service in catalogue.SERVICES:
        for what, breaking in of_service(service):
            yield f"{service}: {what}", breaking
    for service, table in tenant_tables(url):
        for what, breaking in of_table(service, table):
            yield f"{service}.{table}: {what}", breaking


def report(kind, results, seconds):
    survivors = [name for name, killed in results if not killed]
    for name in survivors:
        print(f"SURVIVED {name}")
    print(f"{kind}: {len(results) - len(survivors)}/{len(results)} mutants killed in {seconds:.0f} s")
    return not survivors and bool(results)


def schema(binary):
    started = time.monotonic()
    installation = Installation(binary)
    try:
        # Nobody else may hold a lock on what is broken: the servers stay, the services are not asked anything.
        url = installation.administrator()
        if catalogue.check(url):
            sys.exit(f"the untouched installation is red: {catalogue.check(url)}")
        results = [(name, bool(catalogue.check(url, "SET LOCAL lock_timeout = '20s';\n" + breaking)))
                   for name, breaking in schema_mutants(url)]
        if catalogue.check(url):
            sys.exit("a mutant was not undone")
    finally:
        installation.stop()
    return report("schema", results, time.monotonic() - started)


def judge(arguments):
    part, mutant = arguments
    complaints, _, _ = statements.check(parts=[part], texts={mutant.path: mutant.text})
    place = f"{os.path.relpath(mutant.path, statements.ROOT)}:{mutant.line}"
    return f"{place}: {mutant.what}", bool(complaints)


def sources():
    started = time.monotonic()
    if statements.check()[0]:
        sys.exit("the untouched sources are red: see Tests/Tenancy/statements.py")
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        results = list(pool.map(judge, predicates.all_of(), chunksize=8))
    return report("sources", results, time.monotonic() - started)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(run.HERE.parent.parent / ".build/debug/taskflow"))
    parser.add_argument("--only", choices=["schema", "sources"])
    arguments = parser.parse_args()
    good = [check() for name, check in (("sources", sources), ("schema", lambda: schema(arguments.binary)))
            if arguments.only in (None, name)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
