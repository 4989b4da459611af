"""An upgrade under load: the migration is killed again and again, then old and new run side by side: TST-6.

The new version is the same program with one more migration (TASKFLOW_DRILL_MIGRATION, debug builds only); the old one
does not know it.
"""
import contextlib
import os
import random
import signal
import subprocess
import time

from load import Company, Load
from stage import Stage, expect, wait_for

KILLS = 8
# Who holds this advisory lock keeps a migration in the middle of its file.
LOCK = 9999
# What a release would do to a table in use: expand only, and slow enough to be killed in the middle of it.
SQL = f"""
CREATE TABLE drill (organization_id uuid NOT NULL, id bigint NOT NULL, PRIMARY KEY (organization_id, id));
ALTER TABLE drill ENABLE ROW LEVEL SECURITY;
ALTER TABLE drill FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON drill
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));
DO $$ BEGIN
    WHILE NOT pg_try_advisory_xact_lock({LOCK}) LOOP PERFORM pg_sleep(0.05); END LOOP;
END $$;
SELECT pg_sleep(3);
CREATE INDEX drill_id ON drill (organization_id, id DESC);
ALTER TABLE task ADD COLUMN drill text;
"""


def drill(binary, say, keep=False):
    stage = Stage(binary, copies=2, gateways=2)
    try:
        stage.start()
        file = stage.folder / "V9999_drill.sql"
        file.write_text(SQL)
        new = {"TASKFLOW_DRILL_MIGRATION": f"task={file}"}
        random_ = random.Random(6)
        companies = [Company(stage.origins) for _ in range(2)]
        with Load(companies, rate=50) as load:
            time.sleep(3)
            killed, midway = kill_migrations(stage, new, random_)
            expect(not applied(stage), "a killed migration counts as applied")
            begun = time.monotonic()
            stage.run("migrate", **new)
            took = time.monotonic() - begun
            expect(applied(stage), "the migration was not applied")
            expect(stage.postgres.sql("SELECT count(*) FROM task.migration WHERE name = 'V9999_drill'") == [["1"]],
                   "applied more than once")
            stage.run("migrate", **new)
            # The old version goes on while the schema is newer; the new one comes in, one process after the other.
            time.sleep(3)
            for process in stage.services + stage.gateways:
                process.extra = new
                process.stop()
                process.start()
                stage.wait_ready([process])
                time.sleep(2)
            time.sleep(2)
        say(f"migration killed {killed} times, {midway} of them in the middle of its file, then done in {took:.1f} s; "
            f"{load.figures()}")
        expect(not load.failures, f"requests failed: {load.failures[:5]}")
        refuses_to_go_back(stage)
        say("the old version refuses to start on the newer schema")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(stage.verify())
    finally:
        stage.close(keep)


def kill_migrations(stage, new, random_):
    """Ends `migrate` without a warning, at random moments and inside the new file; how many were killed, and how many
    of them inside. None gets to its end by being faster than the kill."""
    killed = midway = 0
    begun = time.monotonic()
    stage.run("migrate")
    whole = time.monotonic() - begun
    for attempt in range(KILLS):
        with held(stage):
            process = subprocess.Popen([stage.binary, "migrate"], env=stage.environment() | new, cwd=stage.folder,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if attempt % 2:
                wait_for(lambda: is_inside(stage) or process.poll() is not None, "the new file is run", 60, every=0.05)
                time.sleep(random_.uniform(0, 1))
            else:
                time.sleep(random_.uniform(0.02, whole))
            inside = is_inside(stage)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
                midway += inside
            process.wait()
        # The server goes on until it notices; then everything of it is rolled back.
        wait_for(lambda: stage.postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'taskflow-migrate'") == [["0"]],
            "the killed migration's session ends", 20)
    expect(killed == KILLS, f"only {killed} of {KILLS} migrations were killed before their end")
    expect(midway >= KILLS / 2, f"only {midway} migrations were killed in the middle of the new file")
    return killed, midway


@contextlib.contextmanager
def held(stage):
    """Whoever runs the new file meanwhile does not get beyond its middle."""
    process = subprocess.Popen(["psql", "-XqAt", stage.postgres.admin], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(f"SELECT 'held' FROM pg_advisory_lock({LOCK});\n")
        process.stdin.flush()
        expect(process.stdout.readline() == "held\n", "no session that holds the migration")
        yield
    finally:
        process.stdin.close()
        process.wait()


def is_inside(stage):
    return stage.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%CREATE TABLE drill%' "
                              "AND application_name = 'taskflow-migrate' AND state <> 'idle'") == [["1"]]


def applied(stage):
    there = stage.postgres.sql("SELECT count(*) FROM task.migration WHERE name = 'V9999_drill'") == [["1"]]
    column = stage.postgres.sql("SELECT count(*) FROM pg_attribute WHERE attrelid = 'task.task'::regclass "
                                "AND attname = 'drill' AND NOT attisdropped") == [["1"]]
    expect(there == column, "half a migration is there")
    return there


def refuses_to_go_back(stage):
    process = stage.named("task")[1]
    process.stop()
    process.extra = {}
    process.start()
    code = process.process.wait(30)
    expect(code != 0 and process.says("has run V9999_drill"), f"an old program ended with {code} on a newer schema")
    expect(os.path.exists(process.log), "no log")
    process.extra = {"TASKFLOW_DRILL_MIGRATION": f"task={stage.folder / 'V9999_drill.sql'}"}
    process.start()
    stage.wait_ready([process])
