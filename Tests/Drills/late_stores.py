"""Services start first; Postgres comes half a minute later, Redis after a minute: nobody has to be started again."""
import time

from load import Company
from stage import Stage, expect, status

LATE = 60


def drill(binary, say, keep=False):
    stage = Stage(binary)
    try:
        stage.postgres.initialize()
        begun = time.monotonic()
        for process in stage.processes:
            process.start()
        time.sleep(5)
        for process in stage.services:
            expect(status(process.origin + "/health/live") == 200, f"{process.name} is not alive while it waits")
            expect(status(process.origin + "/health/ready") == 503, f"{process.name} says it is ready without Postgres")
        expect(status(stage.origins[0] + "/api/project/tasks/") in (401, 503), "the gateway does not answer")
        time.sleep(max(0, begun + LATE / 2 - time.monotonic()))
        stage.postgres.start()
        stage.create_database()
        stage.run("migrate")
        # On a slow machine the migration may have taken longer.
        time.sleep(max(0, begun + LATE - time.monotonic()))
        for process in stage.services:
            expect(status(process.origin + "/health/ready") == 503, f"{process.name} says it is ready without Redis")
        came = time.monotonic()
        stage.redis.start()
        stage.wait_ready(seconds=30)
        say(f"ready {time.monotonic() - came:.1f} s after the last of both, a minute late")
        for process in stage.processes:
            expect(process.process.poll() is None, f"{process.name} has ended")
            waits = process.says("waiting for Postgres") + process.says("waiting for the migrations")
            lost = process.says("no connection to Redis")
            expect(process.name == "gateway" or 1 <= waits <= 2, f"{process.name} said {waits} times that it waits")
            expect(lost == 1, f"{process.name} said {lost} times that Redis is not there")
            lines = len(process.log.read_text().splitlines())
            expect(lines < 40, f"{process.name} wrote {lines} lines while it waited")
        company = Company(stage.origins)
        expect(company.create_task(company.admin).status == 201, "no task can be made")
        company.check()
        stage.wait_quiet()
        say(stage.verify())
    finally:
        stage.close(keep)
