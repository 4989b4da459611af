"""Redis is gone for minutes while 20,000 tasks are made; once it is back all have heard of them within one (BUS-6).

The gateway lets nobody in without Redis, since it could not ask who was logged out; the tasks are made at the port of
the Task service, which needs none. TASKFLOW_DRILL_AWAY is for how many seconds Redis is away at least, 60 if it is not
given.
"""
import os
import threading
import time

from load import Company, Session
from stage import Stage, expect, status, wait_for

# The access tokens of the threads have to outlast the making, however slow the machine is.
SETTINGS = {"TASKFLOW_ACCESS_TOKEN_LIFETIME": "3600"}
AWAY = float(os.environ.get("TASKFLOW_DRILL_AWAY", "60"))
EVENTS, THREADS, LIMIT = 20_000, 8, 60


def drill(binary, say, keep=False):
    stage = Stage(binary, settings=SETTINGS)
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(THREADS)]
        stage.wait_quiet()
        gone = time.monotonic()
        stage.redis.stop()
        made_in = make(stage, companies)
        say(f"{EVENTS:,} tasks made without Redis, {EVENTS / made_in:.0f}/s")
        refused = companies[0].admin.send("GET", "/api/project/tasks/")
        expect(refused.status == 503 and refused.headers["Retry-After"], f"the gateway answers {refused}")
        for process in stage.services:
            expect(status(process.origin + "/health/live") == 200, f"{process.name} is not alive")
        time.sleep(max(0, gone + AWAY - time.monotonic()))
        say(f"Redis was away for {time.monotonic() - gone:.0f} s")

        came = time.monotonic()
        stage.redis.start()
        heads = {stream: seq for stream, seq in stage.log_heads().items() if stream.startswith("task.")}
        expect(sum(heads.values()) >= EVENTS, f"the log holds {sum(heads.values())} events")

        def is_heard():
            cursors = stage.postgres.sql("SELECT stream, seq FROM notification.cursor WHERE stream LIKE 'task.%'")
            return all(int(seq) >= heads.get(stream, 0) for stream, seq in cursors) and len(cursors) >= len(heads)
        wait_for(is_heard, "Notification has applied them", LIMIT, every=0.2)
        say(f"applied in Notification {time.monotonic() - came:.1f} s after Redis was back")
        stage.wait_ready(seconds=30)
        for company in companies:
            # Idle for that long, its connection has been closed.
            company.admin.close()
            company.admin.renew()
            company.check(company.admin)
        stage.wait_quiet()
        say(stage.verify())
    finally:
        stage.close(keep)


def make(stage, companies):
    """Every company makes its share, each over a connection of its own; gives the seconds it took."""
    begun = time.monotonic()
    failures = []

    def work(company):
        direct = Session([stage.named("task")[0].origin])
        direct.access = company.admin.access
        try:
            for _ in range(EVENTS // len(companies)):
                answer = company.create_task(direct)
                expect(answer.status == 201, f"a task is not made: {answer}")
        except Exception as error:  # noqa: BLE001: told by the drill, which would otherwise count too few
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(company,)) for company in companies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not failures, f"{len(failures)} gave up: {failures[:2]}")
    return time.monotonic() - begun
