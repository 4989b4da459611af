"""Postgres comes back from an earlier backup, Redis does not: its streams, and clients, know what never was. TST-5."""
import json
import re
import subprocess
import time

from load import PROJECTS, Company, Load
from stage import SERVICES, Stage, expect, postgres_program


def drill(binary, say, keep=False):
    stage = Stage(binary)
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(2)]
        with Load(companies, rate=40):
            time.sleep(4)
        stage.wait_quiet()
        target = stage.folder / "backup"
        stage.run("backup", target)
        kept = [dict(company.tasks) for company in companies]
        heads = stage.log_heads()

        # More is said, and what is said is heard by everybody.
        with Load(companies, rate=40):
            time.sleep(6)
        stage.wait_quiet()
        ahead = stage.log_heads()
        undone = sum(ahead.values()) - sum(heads.values())
        expect(undone > 20, "nothing happened after the backup")
        sessions = [company.admin for company in companies]
        for company in companies:
            # The last that a session from before does is remembered with it, in Redis.
            company.admin.renew()
            company.admin.must(200, "PATCH", f"{PROJECTS}{company.project}/", {"name": f"Undone {company.email}"})
        stage.wait_quiet()
        stage.stop_processes()

        # By hand, as somebody does who does not know our command: Redis stays as it is.
        by_hand(stage, target)
        expect(stage.log_heads() == heads, "the restore is not the backup")
        stage.start_processes()
        slowest = sessions_go_on(sessions)
        say(f"sessions from before go on at once; their slowest read took {slowest:.1f} s")
        for company, sure in zip(companies, kept):
            company.unsure |= set(company.tasks.values())
            company.tasks = dict(sure)

        # Enough new changes to pass the old ends of the streams, begun at once.
        with Load(companies, rate=60) as load:
            time.sleep(15)
        say(f"{undone} events undone; after the restore {load.figures()}")
        unexpected = [f for f in load.failures if f[2] != 503 or not f[3]]
        expect(not unexpected, f"requests failed: {unexpected[:3]}")
        expect(len(load.failures) < load.done / 4, f"too many had to wait: {load.failures[-3:]}")
        late = [f for f in load.failures if f[0] > 10]
        expect(not late, f"still failing ten seconds after the start: {late[:3]}")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(stage.verify())
        compared = compare_streams(stage)
        alarms = stage.grep("as after a restore")
        expect(alarms, "nobody said that the streams were ahead")
        say(f"streams rebuilt with an alarm: {len(alarms)}; {compared} events stand on streams as in their logs")
    finally:
        stage.close(keep)


def by_hand(stage, target):
    for name in SERVICES:
        stage.postgres.sql(f"DROP SCHEMA {name} CASCADE")
    subprocess.run([postgres_program("pg_restore"), "--exit-on-error", "-d", stage.postgres.admin,
                    str(target / "database.dump")], check=True)


def compare_streams(stage):
    """What is on a stream is what stands in its log under that number; what everybody has applied may be trimmed."""
    compared = 0
    for stream, head in stage.log_heads().items():
        producer, shard = stream.split(".")
        rows = stage.postgres.sql(f"SELECT seq, id FROM {producer}.outbox WHERE shard = {int(shard)}")
        log, number, last = dict(rows), None, 0
        for line in stage.redis.command("XRANGE", f"ev:{{{stream}}}", "-", "+").splitlines():
            if re.fullmatch(r"[0-9]+-0", line):
                number = line[:-2]
                last = int(number)
            elif line.startswith("{"):
                said = json.loads(line)["id"]
                expect(log.get(number) == said,
                       f"{stream}:{number} is {said} on the stream, {log.get(number)} in the log")
                compared += 1
        expect(last == head, f"{stream} ends at {last}, its log at {head}")
    expect(compared > 20, f"only {compared} events are on the streams")
    return compared


def sessions_go_on(sessions):
    """They remember changes that are no more. How long the slowest read took."""
    slowest = 0
    for session in sessions:
        session.close()
        # A refresh after the backup is undone too, but its token is good for as long as any.
        begun = time.monotonic()
        answer = session.send("GET", "/api/project/tasks/?page_size=1")
        slowest = max(slowest, time.monotonic() - begun)
        expect(answer.status == 200, f"an old session is answered {answer}")
    return slowest
