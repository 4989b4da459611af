"""A backup while people work, both stores destroyed, a restore: TST-5."""
import json
import shutil
import signal
import subprocess
import time

from load import Company, Load, Session
from stage import Failed, Stage, expect

# Twice, so that a million rows come back.
ROWS = 500_000


def drill(binary, say, keep=False):
    stage = Stage(binary, settings={"TASKFLOW_OVERDUE_INTERVAL": "60"})
    try:
        stage.start()
        (stage.folder / "media").mkdir(exist_ok=True)
        picture = stage.folder / "media" / "drill" / "picture.png"
        picture.parent.mkdir()
        picture.write_bytes(b"picture")
        bulk(stage)
        companies = [Company(stage.origins) for _ in range(2)]
        target = stage.folder / "backup"
        with Load(companies, rate=40) as load:
            time.sleep(5)
            before = [dict(company.tasks) for company in companies]
            begun = time.monotonic()
            stage.run("backup", target, "--media")
            taken = time.monotonic() - begun
            time.sleep(3)
        manifest = json.loads((target / "manifest.json").read_text())
        say(f"backup under load: {manifest['contents']['tasks']} tasks, {manifest['dumpBytes'] / 1e6:.1f} MB "
            f"in {taken:.1f} s; {load.figures()}")
        expect(not load.failures, f"requests failed during the backup: {load.failures[:3]}")
        expect("drill-secret" not in (target / "manifest.json").read_text(), "the secret is in the manifest")
        refusals(stage, target, say)

        # Everything is gone: both stores, without a warning, and the pictures.
        stage.postgres.destroy()
        stage.redis.destroy()
        stage.stop_processes()
        shutil.rmtree(stage.folder / "media")

        begun = time.monotonic()
        stage.postgres.initialize()
        stage.postgres.start()
        stage.redis.start()
        broken_off(stage, target, say)
        begun = time.monotonic()
        stage.run("restore", target)
        restored = time.monotonic() - begun
        stage.start_processes()
        ready = time.monotonic() - begun
        sessions = [company.session() for company in companies]
        usable = time.monotonic() - begun
        say(f"restore: {restored:.1f} s, all services ready after {ready:.1f} s, logins after {usable:.1f} s (RTO)")
        expect(usable < 300, "it took longer than five minutes")
        expect(picture.read_bytes() == b"picture", "the pictures are not back")
        for company, session, sure in zip(companies, sessions, before):
            # What was acknowledged before the backup began is there; what came after its snapshot is lost, and may be.
            company.unsure |= set(company.tasks.values())
            company.tasks = sure
            count = company.check(session)
            expect(count >= len(sure), "tasks are missing")
        stage.wait_quiet()
        say(stage.verify())
        streams_are_rebuilt(stage, say)

        # And it goes on: from the login page to a task and its notice.
        with Load(companies, rate=40) as load:
            time.sleep(5)
        expect(not load.failures, f"requests failed after the restore: {load.failures[:3]}")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(f"afterwards: {load.figures()}; {stage.verify()}")
        expect(has_index(stage), "the index of the search is not back")
        without_superuser(stage, target, companies[0], before[0], say)
    finally:
        stage.close(keep)


def bulk(stage):
    """Rows as an installation of some size has them; written past the services, in no company of the drill."""
    stage.postgres.sql(f"""
        INSERT INTO notification.mail_queue (event_id, recipient, kind, state, due_at, created_at, finished_at)
        SELECT gen_random_uuid(), gen_random_uuid(), 'bulk', 'sent', now(), now(), now()
        FROM generate_series(1, {ROWS})""")
    stage.postgres.sql(f"""
        INSERT INTO auth.audit (at, action, detail)
        SELECT now(), 'bulk', md5(i::text) || md5((i + 1)::text) FROM generate_series(1, {ROWS}) i""")


def refusals(stage, target, say):
    """What must not go through, with one line each."""
    def refused(words, *command, **extra):
        done = stage.run(*command, check=False, **extra)
        expect(done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1,
               f"{command}: {done.returncode} {done.stderr}")
    refused("is there already", "backup", target)
    refused("services are connected", "restore", target, "--replace")
    refused("belongs to another TASKFLOW_SECRET", "restore", target, TASKFLOW_SECRET="x" * 40)
    refused("this works on one database", "backup", stage.folder / "other",
            TASKFLOW_TASK_DATABASE_URL=stage.postgres.url("task_app", "elsewhere"))
    stage.stop_processes()
    refused("the database is not empty", "restore", target)
    damaged = stage.folder / "damaged"
    shutil.copytree(target, damaged)
    with (damaged / "database.dump").open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    refused("is damaged", "restore", damaged, "--replace")
    stage.start_processes()
    expect(Session(stage.origins).send("GET", "/health/ready").status == 200, "not ready again")
    say("refused: an existing folder, running services, another secret, several databases, a full database, damage")


def broken_off(stage, target, say):
    """A restore that is interrupted leaves nothing that could be taken for an empty installation."""
    process = subprocess.Popen([stage.binary, "restore", target], env=stage.environment(), cwd=stage.folder,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not is_restoring(stage):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    expect(process.returncode == 1 and "broken off" in said, f"interrupted: {process.returncode} {said}")
    for _ in range(200):
        if not is_restoring(stage):
            break
        time.sleep(0.05)
    expect(not is_restoring(stage), "pg_restore goes on although the restore was broken off")
    done = stage.run("migrate", check=False)
    expect(done.returncode == 1 and "did not come to its end" in done.stderr, f"migrate: {done.returncode} {done.stderr}")
    say("a restore that is broken off stops, and the database is refused until another one is through")


def is_restoring(stage):
    try:
        return stage.postgres.sql("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_restore')") \
            == [["t"]]
    except Failed:
        return False  # The database is not made yet.


def has_index(stage):
    return stage.postgres.sql("SELECT to_regclass('task.task_search') IS NOT NULL") == [["t"]]


def without_superuser(stage, target, company, sure, say):
    """The same backup on a server whose administrator is none: without the index of the search, with all the rest."""
    stage.stop_processes()
    stage.postgres.stop()
    stage.postgres.destroy()
    stage.postgres.initialize()
    stage.postgres.start()
    stage.postgres.sql("CREATE ROLE manager LOGIN CREATEROLE CREATEDB BYPASSRLS PASSWORD 'drill'", "postgres")
    stage.run("restore", target, TASKFLOW_ADMIN_DATABASE_URL=stage.postgres.url("manager", password="drill"))
    expect(not has_index(stage), "the index is there without a superuser")
    stage.start_processes()
    session = company.session()
    for task, title in list(sure.items())[:3]:
        found = session.must(200, "GET", f"/api/project/tasks/?search={title[-12:]}").json["results"]
        expect([row["id"] for row in found] == [task], f"{title} is not found")
    stage.wait_quiet()
    say(f"restored without a superuser: {stage.verify()}")


def streams_are_rebuilt(stage, say):
    count = 0
    for stream, head in stage.log_heads().items():
        if head == 0:
            continue
        top = stage.redis.command("XREVRANGE", f"ev:{{{stream}}}", "+", "-", "COUNT", "1").split()
        expect(top and top[0] == f"{head}-0", f"the stream {stream} ends at {top[:1]}, its log at {head}")
        count += 1
    say(f"streams rebuilt: {count}")
