"""Read models are lost and written anew while people work: BUS-13.

An organization of 100,000 tasks that only the owners of its data know, as after the loss of everybody else's tables, and
the loss of all that Notification keeps of tasks and projects, of the companies at work too.
"""
import re
import time
import uuid

from load import Company, Load
from stage import SERVICES, Stage, expect

TASKS, LIMIT = 100_000, 120
LOST = ["task", "task_collaborator", "project"]


def drill(binary, say, keep=False):
    stage = Stage(binary)
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(2)]
        stage.wait_quiet()
        bulk(stage)
        differing = stage.run("verify", "--wait", "0", check=False)
        expect(differing.returncode == 2, f"verify finds nothing: {differing.stdout}")
        with Load(companies, rate=40) as load:
            time.sleep(2)
            notices = count(stage, "notification.notice")
            for table in LOST:
                stage.postgres.sql(f"DELETE FROM notification.{table}")
            begun = time.monotonic()
            for service in ("project", "task", "notification"):
                one = time.monotonic()
                done = stage.run("rebuild", service)
                say(f"{service} in {time.monotonic() - one:.1f} s: {done.stdout.splitlines()[-1]}")
            took = time.monotonic() - begun
            time.sleep(2)
        expect(not load.failures, f"requests failed: {load.failures[:3]}")
        expect(took < LIMIT, f"it took {took:.0f} s")
        stage.wait_quiet()
        say(f"{TASKS:,} tasks in {took:.1f} s; {load.figures()}")
        say(stage.verify())
        expect(count(stage, "notification.task") == count(stage, "task.task"), "tasks are missing in Notification")
        expect(count(stage, "notification.notice") >= notices, "notices are gone")
        for company in companies:
            company.check()
        again = stage.run("rebuild", "notification").stdout
        expect(" 0 rows removed, 0 written" in again, f"a second run changes something: {again}")
        status(stage, say)
        refused = stage.run("rebuild", "auth", check=False)
        expect(refused.returncode == 64 and "keeps no read models" in refused.stderr, f"auth: {refused}")
    finally:
        stage.close(keep)


def status(stage, say):
    """BUS-16: `taskflow events status` names every outbox and every cursor, and which service does not answer."""
    told = stage.run("events", "status").stdout
    expect([line for line in told.splitlines() if not line.startswith(" ")] == SERVICES, f"other services: {told}")
    depths, lags = re.findall(r"depth=(\d+)", told), re.findall(r"lag=(-?\d+)", told)
    expect(len(depths) == 16 * 4 and set(depths) == {"0"}, f"outboxes: {told}")
    heads = stage.log_heads()
    for stream, newest, published in re.findall(r"stream=(\S+)  newest=(\d+)  published=(\d+)", told):
        expect(int(newest) == int(published) == heads[stream], f"{stream}: {newest}, {published}, {heads[stream]}")
    expect(lags and set(lags) == {"0"}, f"cursors: {told}")
    expect(set(re.findall(r"parked=(\d+)", told)) == {"0"}, f"parked: {told}")
    stage.named("notification")[0].stop()
    told = stage.run("events", "status").stdout
    expect("does not answer" in told and told.count("depth=") == 16 * 4, f"with Notification gone: {told}")
    say(f"events status: {len(depths)} outboxes, {len(lags)} cursors, all at the end; a service that is gone is named")


def count(stage, table):
    return int(stage.postgres.sql(f"SELECT count(*) FROM {table}")[0][0])


def bulk(stage):
    """Written past the services, where the truth is: in Organization, Project, Task and the accounts of Auth."""
    organization, user = uuid.uuid4(), uuid.uuid4()
    for statement in (
            "auth.account (id, email, email_key, created_at) SELECT '{u}', 'bulk@example.com', 'bulk@example.com', now()",
            "auth.organization SELECT '{o}', 1, 'Bulk', 'UTC', 9, now(), now()",
            "auth.membership SELECT '{o}', '{u}', '{u}', 1, 'bulk@example.com', 'B', 'U', 'ADMIN', NULL, NULL, true, NULL, "
            "now(), now()",
            "organization.organization SELECT '{o}', 'Bulk', 'UTC', 9, 1, now(), now()",
            "organization.app_user (organization_id, id, email, first_name, last_name, role, is_active, version, "
            "created_at, updated_at) SELECT '{o}', '{u}', 'bulk@example.com', 'B', 'U', 'ADMIN', true, 1, now(), now()",
            "project.project SELECT '{o}', 1, 'BULK', 'Bulk', '', 'PENDING', 'project', '{u}', '{u}', now(), now(), NULL, "
            "1, 1",
            "project.project_collaborator SELECT '{o}', 1, '{u}', now(), '{u}'",
            "task.task (organization_id, id, project_id, number, title, description, priority, status, created_by, "
            "updated_by, created_at, updated_at) SELECT '{o}', i, 1, i, 'Task ' || i, '', 'LOW', 'PENDING', '{u}', '{u}', "
            f"now(), now() FROM generate_series(1, {TASKS}) i",
            f"task.task_collaborator SELECT '{{o}}', i, '{{u}}', now(), '{{u}}' FROM generate_series(1, {TASKS}) i"):
        stage.postgres.sql("INSERT INTO " + statement.format(o=organization, u=user))
