"""TEN-11: key queries use an index led by organization_id, and row level security costs next to nothing.

A smaller copy of the size that the requirement names: 50 organizations with 4,000 tasks and 4,000 notices each
(TASKFLOW_TENANCY_ROWS=200000 for the whole), on the Postgres of an installation of its own whose services idle.
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import unittest

import catalogue
import installation

ORGANIZATIONS = 50
ROWS = int(os.environ.get("TASKFLOW_TENANCY_ROWS", "4000"))
# What the overhead is measured against, and how often; the requirement says 15 % more at most.
ROUNDS, TRANSACTIONS, OVERHEAD = 9, 1500, 1.15
ORGANIZATION = "0190a000-0000-7000-8000-000000000007"
PERSON = "0190a000-0000-7000-8000-0000000f0007"

# The indexes of the large tables are made after their rows: with millions of them that is several times as fast.
SEED = f"""
SET synchronous_commit = off;
SET maintenance_work_mem = '1GB';
CREATE TEMP TABLE set_aside AS SELECT x.indexrelid::regclass AS name, pg_get_indexdef(x.indexrelid) AS definition
    FROM pg_index x WHERE NOT x.indisunique
    AND x.indrelid IN ('task.task'::regclass, 'task.task_collaborator'::regclass, 'notification.notice'::regclass);
DO $$ DECLARE index record; BEGIN
    FOR index IN SELECT name FROM set_aside LOOP EXECUTE 'DROP INDEX ' || index.name; END LOOP;
END $$;
CREATE TEMP TABLE o AS SELECT i, ('0190a000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid AS id,
    ('0190a000-0000-7000-8000-' || lpad(to_hex(15728640 + i), 12, '0'))::uuid AS person
    FROM generate_series(1, {ORGANIZATIONS}) i;
INSERT INTO task.organization (organization_id, revision, name, time_zone, sql_zone, reminder_hour, created_at,
    updated_at)
    SELECT id, 1, 'Org ' || i, 'UTC', 'UTC', 9, now(), now() FROM o;
INSERT INTO task.member (organization_id, user_id, revision, email, first_name, last_name, role, is_active,
    created_at, updated_at)
    SELECT id, person, 1, 'p' || i || '@example.com', 'P', 'Q', 'ADMIN', true, now(), now() FROM o;
INSERT INTO task.project (organization_id, id, revision, key, name, status, task_visibility, created_by)
    SELECT o.id, p, 1, 'P' || p, 'Project ' || p, 'PENDING', 'project', o.person FROM o, generate_series(1, 20) p;
INSERT INTO task.project_collaborator (organization_id, project_id, user_id)
    SELECT o.id, p, o.person FROM o, generate_series(1, 10) p;
INSERT INTO task.task (organization_id, id, project_id, number, title, description, priority, status, start_at,
    start_moment, due_at, due_moment, created_by, updated_by, created_at, updated_at)
    SELECT o.id, t, 1 + t % 20, t, 'Task ' || md5(t::text), 'text',
        (ARRAY['LOW', 'MEDIUM', 'HIGH'])[1 + t % 3]::task.task_priority,
        'PENDING', now() + t * interval '1 minute', now() + t * interval '1 minute', now() + t * interval '1 hour',
        now() + t * interval '1 hour', o.person, o.person, now(), now()
    FROM o, generate_series(1, {ROWS}) t;
INSERT INTO task.task_collaborator (organization_id, task_id, user_id, added_at, added_by)
    SELECT o.id, t, o.person, now(), o.person FROM o, generate_series(1, {ROWS}, 4) t;
INSERT INTO notification.notice (organization_id, id, user_id, event_id, kind, title, body, created_at)
    SELECT o.id, n, o.person, gen_random_uuid(), 'task-assigned', 'title', 'body', now() - n * interval '1 second'
    FROM o, generate_series(1, {ROWS}) n;
INSERT INTO organization.app_user (organization_id, id, email, first_name, last_name, role, is_active, version,
    created_at, updated_at)
    SELECT o.id, gen_random_uuid(), 'u' || n || '@example.com', 'U' || n, 'V', 'DEVELOPER', true, 1, now(), now()
    FROM o, generate_series(1, 400) n;
INSERT INTO project.project (organization_id, id, key, name, description, status, task_visibility, created_by,
    updated_by, created_at, updated_at, version, revision)
    SELECT o.id, n, 'P' || n, 'Project ' || n, '', 'PENDING', 'project', o.person, o.person, now(),
        now() - n * interval '1 minute', 1, 1 FROM o, generate_series(1, 400) n;
DO $$ DECLARE index record; BEGIN
    FOR index IN SELECT definition FROM set_aside LOOP EXECUTE index.definition; END LOOP;
END $$;
ANALYZE;
"""

# (role, what, statement), as the services write them.
QUERIES = [
    ("task", "a page of tasks by start",
     "SELECT t.id, p.key FROM task t LEFT JOIN project p ON p.organization_id = :o AND p.id = t.project_id "
     "WHERE t.organization_id = :o AND t.deleted_at IS NULL AND (t.project_id IN (SELECT v.id FROM project v "
     "WHERE v.organization_id = :o AND v.deleted_at IS NULL)) IS TRUE "
     "ORDER BY CASE WHEN t.start_moment IS NULL THEN 'infinity'::timestamptz ELSE t.start_moment END, t.id LIMIT 51"),
    ("task", "a page of a project's tasks",
     "SELECT t.id FROM task t WHERE t.organization_id = :o AND t.project_id = 7 AND t.deleted_at IS NULL "
     "ORDER BY CASE WHEN t.start_moment IS NULL THEN 'infinity'::timestamptz ELSE t.start_moment END, t.id LIMIT 51"),
    ("task", "a task by id", "SELECT t.title FROM task t WHERE t.organization_id = :o AND t.id = 77"),
    ("task", "a task by key",
     "SELECT kt.id FROM project kp JOIN task kt ON kt.organization_id = kp.organization_id "
     "AND kt.project_id = kp.id WHERE kp.organization_id = :o AND kp.key = 'P7' AND kt.number = 6"),
    ("task", "the subtasks of a task", "SELECT s.id FROM task s WHERE s.organization_id = :o AND s.parent_id = 77"),
    ("task", "the collaborators of a task",
     "SELECT c.user_id FROM task_collaborator c WHERE c.organization_id = :o AND c.task_id = 77"),
    ("task", "somebody's open tasks with a due date",
     "SELECT t.id FROM task t WHERE t.organization_id = :o AND t.deleted_at IS NULL AND t.due_moment IS NOT NULL "
     "AND t.id = ANY(ARRAY(SELECT mc.task_id FROM task_collaborator mc WHERE mc.organization_id = :o "
     f"AND mc.user_id = '{PERSON}')) ORDER BY t.due_moment, t.id LIMIT 10"),
    ("task", "what the overdue clock looks for",
     "SELECT t.id FROM task t WHERE t.organization_id = :o AND t.deleted_at IS NULL AND NOT t.overdue_marked "
     "AND t.status IN ('PENDING', 'IN_PROGRESS') AND t.due_moment < now() ORDER BY t.due_moment, t.id LIMIT 500"),
    ("notification", "a page of notices",
     f"SELECT n.id FROM notice n WHERE n.organization_id = :o AND n.user_id = '{PERSON}' "
     "ORDER BY n.created_at DESC, n.id DESC LIMIT 51"),
    ("notification", "unread notices",
     f"SELECT n.id FROM notice n WHERE n.organization_id = :o AND n.user_id = '{PERSON}' AND n.read_at IS NULL "
     "ORDER BY n.created_at DESC, n.id DESC LIMIT 51"),
    ("organization", "a user by address",
     "SELECT u.id FROM app_user u WHERE u.organization_id = :o AND u.email_key = 'u7@example.com'"),
    ("organization", "a page of users",
     "SELECT u.id FROM app_user u WHERE u.organization_id = :o ORDER BY u.email_key, u.id LIMIT 51"),
    ("project", "a page of projects",
     "SELECT p.id FROM project p WHERE p.organization_id = :o AND p.deleted_at IS NULL "
     "ORDER BY p.updated_at DESC, p.id DESC LIMIT 51"),
]
MEASURED = ["a task by id", "a page of a project's tasks", "a page of notices"]


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


class Plans(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.there = installation.Installation(os.environ["TASKFLOW_ACCEPTANCE_BINARY"])
        cls.url = cls.there.administrator()
        catalogue.psql(cls.url, SEED)

    @classmethod
    def tearDownClass(cls):
        assert cls.there.stop()

    @staticmethod
    def as_service(role, text):
        bound = text.replace(":o", f"'{ORGANIZATION}'::uuid")
        return (f"BEGIN; SET LOCAL ROLE {role}_app; SET LOCAL search_path = {role}; "
                f"SELECT set_config('app.organization_id', '{ORGANIZATION}', true); {bound}; COMMIT;")

    def first_columns(self):
        found = catalogue.psql(self.url, "SELECT c.relname, pg_get_indexdef(i.indexrelid, 1, true) FROM pg_index i "
                                         "JOIN pg_class c ON c.oid = i.indexrelid;")
        return dict(line.split("|", 1) for line in found.splitlines())

    def test_TEN_11_key_queries_use_an_index_led_by_the_organization(self):
        columns = self.first_columns()
        for role, what, text in QUERIES:
            with self.subTest(what=what):
                printed = catalogue.psql(self.url, self.as_service(role, "EXPLAIN (FORMAT JSON) " + text))
                plan = json.loads(printed[printed.index("["):])[0]["Plan"]
                scans = [n for n in nodes(plan) if "Scan" in n["Node Type"] and n["Node Type"] not in (
                    "Subquery Scan", "Function Scan", "Result", "CTE Scan", "Bitmap Heap Scan")]
                self.assertTrue(scans)
                for scan in scans:
                    self.assertIn("Index Name", scan, f"{what}: {scan['Node Type']} of {scan.get('Relation Name')}")
                    self.assertEqual(columns[scan["Index Name"]], "organization_id", what)
                    self.assertRegex(scan.get("Index Cond", ""), r"organization_id = ", what)

    def test_TEN_11_a_lookup_by_address_uses_all_of_its_index(self):
        """`lower` is not leakproof, so under row level security Postgres may not ask an index for it."""
        role, what, text = next(query for query in QUERIES if query[1] == "a user by address")
        printed = catalogue.psql(self.url, self.as_service(role, "EXPLAIN (FORMAT JSON) " + text))
        conditions = [n.get("Index Cond", "") for n in nodes(json.loads(printed[printed.index("["):])[0]["Plan"])]
        self.assertTrue(any("email" in condition for condition in conditions), f"all users are looked at: {printed}")

    def test_TEN_11_a_search_asks_the_index_of_its_organization(self):
        """As the function of the search asks: both conditions go into one index, and what others write is not looked at."""
        asked = ("BEGIN; SET LOCAL ROLE task_search; SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; "
                 "EXPLAIN (ANALYZE, FORMAT JSON) SELECT t.id FROM task.task t "
                 f"WHERE t.organization_id = '{ORGANIZATION}'::uuid AND t.deleted_at IS NULL "
                 "AND t.search_text LIKE '%c4ca4238%' LIMIT 100; COMMIT;")
        printed = catalogue.psql(self.url, asked)
        plan = json.loads(printed[printed.index("["):])[0]["Plan"]
        self.assertEqual(plan["Actual Rows"], 1)
        scan = next(node for node in nodes(plan) if node["Node Type"] == "Bitmap Index Scan")
        self.assertEqual(scan["Index Name"], "task_search")
        self.assertRegex(scan["Index Cond"], r"organization_id = .* AND .*search_text ~~ ")
        # The tasks with these letters in the other organizations, one in each, are no part of it.
        self.assertLess(scan["Actual Rows"], 10)

    def test_TEN_11_row_level_security_costs_little(self):
        """The same statements with their own predicates, under row level security and past it, in turns."""
        administrator = catalogue.psql(self.url, "SELECT current_user;")
        ratios = {}
        with tempfile.TemporaryDirectory() as folder:
            for role, what, text in QUERIES:
                if what not in MEASURED:
                    continue
                scripts = {}
                for kind, user in (("under", f"{role}_app"), ("past", administrator)):
                    scripts[kind] = pathlib.Path(folder) / f"{kind}.sql"
                    scripts[kind].write_text(self.as_service(role, text).replace(f"{role}_app;", f"{user};", 1) + "\n")
                times = {"under": [], "past": []}
                for _ in range(ROUNDS):
                    for kind in times:
                        times[kind].append(self.latency(scripts[kind]))
                # The fastest round of each: what else the machine does only ever adds.
                one, two = (min(times[kind]) for kind in ("under", "past"))
                ratios[what] = one / two
                print(f"{what}: {one:.3f} ms under row level security, {two:.3f} ms past it: {one / two:.3f}")
        overhead = statistics.geometric_mean(ratios.values())
        print(f"row level security costs {100 * (overhead - 1):.1f} % at {ORGANIZATIONS} x {ROWS} rows")
        self.assertLess(overhead, OVERHEAD, ratios)

    def latency(self, script):
        """Milliseconds of one transaction, as pgbench sees them."""
        # Prepared, as the services prepare them: a plan is made once, with and without row level security.
        done = subprocess.run(["pgbench", "-n", "-M", "prepared", "-c", "1", "-t", str(TRANSACTIONS), "-f", str(script),
                               self.url], capture_output=True, text=True)
        match = re.search(r"latency average = ([\d.]+) ms", done.stdout)
        self.assertTrue(match, done.stderr)
        return float(match[1])
