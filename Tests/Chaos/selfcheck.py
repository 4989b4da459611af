"""Makes every kind of check fail once, so that nobody has to believe in them.

An installation runs under a short load without faults, and all checks must pass. Then one thing after the other is
falsified behind the services' backs, by SQL, in Redis or among the mails; the check that is there for it must fail, and
must pass again when the thing is put right. What is judged of single answers is asked with answers that were made up.
"""
import base64
import email.message
import json
import re
import shutil
import time

from accounts import AccountKeeper, try_dead
from bench import Bench
from checks import Checks
from judge import Answer, Judge
from work import Developer

NOBODY = "00000000-0000-7000-8000-000000000001"


class Injection:
    """What is falsified, how it is put right again, and which check must notice."""

    def __init__(self, name, check, do, undo):
        self.name, self.check, self.do, self.undo = name, check, do, undo


def sql(bench, name, check, do, undo):
    return Injection(name, check, lambda: bench.installation.sql.run(do), lambda: bench.installation.sql.run(undo))


def kept(bench, table, condition, change):
    """SQL that does something to one row, and SQL that puts the row back."""
    schema, name = table.split(".")
    # What the server generates can be given to nobody, and comes by itself.
    rows = bench.installation.sql.query(
        "SELECT column_name AS name FROM information_schema.columns WHERE is_generated = 'NEVER' "
        f"AND (table_schema, table_name) = ('{schema}', '{name}') ORDER BY ordinal_position")
    columns = ", ".join(row["name"] for row in rows)
    copy = f"public.kept_{schema}_{name}"
    return (f"CREATE TABLE {copy} AS SELECT * FROM {table} WHERE {condition} LIMIT 1; {change.format(copy=copy)}",
            # Without the triggers of foreign keys: what hangs on the row must not go with it.
            f"BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM {table} t USING {copy} k WHERE {{key}}; "
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {copy}; DROP TABLE {copy}; COMMIT;")


def injections(bench):
    one, other = bench.organizations[0], bench.organizations[1]
    mine = f"organization_id = '{one.id}'"
    key = "(t.organization_id, t.id) = (k.organization_id, k.id)"
    by_key = "({0}.organization_id, {0}.id) IN (SELECT organization_id, id FROM {{copy}})"
    # A task that was acknowledged, is live, and stands in the common project.
    things = [t for t in bench.model.of(one.id, "task")
              if t.gone == "no" and t.project is None and "status" in t.fields]
    task, second = things[0], things[1]
    at = f"{mine} AND id = {task.id}"

    def row(name, check, table, condition, change, match=key):
        do, undo = kept(bench, table, condition, change)
        return sql(bench, name, check, do, undo.format(key=match))
    found = [
        row("a task is missing in Notification's replica", "read model of notification: tasks", "notification.task",
            mine, "DELETE FROM notification.task t WHERE " + by_key.format("t").format(copy="{copy}")),
        row("a name in Task's replica is old", "read model of task: members", "task.member", mine,
            "UPDATE task.member t SET last_name = 'Old' FROM {copy} k WHERE t.user_id = k.user_id AND "
            "t.organization_id = k.organization_id",
            "(t.organization_id, t.user_id) = (k.organization_id, k.user_id)"),
        row("an acknowledged title is another", "acknowledged writes", "task.task", at,
            f"UPDATE task.task SET title = title || '!' WHERE {at}"),
        row("an acknowledged task is not there", "acknowledged writes", "task.task", at,
            f"UPDATE task.task SET deleted_at = now() - interval '40 days' WHERE {at}"),
        row("a task is there twice", "acknowledged writes", "task.task", f"{mine} AND id = {second.id}",
            f"UPDATE task.task SET title = (SELECT title FROM task.task WHERE {at}) WHERE {mine} AND id = {second.id}"),
        row("a version has gone back", "versions", "task.task", at,
            f"UPDATE task.task SET version = version - 100000 WHERE {at}"),
        row("a word of another organization", "tenancy of answers", "task.task", at,
            f"UPDATE task.task SET description = '{other.canary}' WHERE {at}"),
        sql(bench, "a notice without an event", "notices: one for each person and event, none without",
            "CREATE TABLE public.kept_notice AS SELECT * FROM notification.notice WHERE kind = 'project-added' LIMIT 1;"
            f" UPDATE public.kept_notice SET id = 999999999, event_id = '{NOBODY}'; "
            "INSERT INTO notification.notice SELECT * FROM public.kept_notice;",
            f"DELETE FROM notification.notice WHERE event_id = '{NOBODY}'; DROP TABLE public.kept_notice;"),
        row("a notice is missing", "notices: one for each person and event, none without", "notification.notice",
            "kind = 'project-added'", "DELETE FROM notification.notice t WHERE " + by_key.format("t").format(
                copy="{copy}")),
        row("a person lacks a notice of what the bench knows", "notices", "notification.notice",
            f"{mine} AND kind = 'project-added' AND project_id = {one.base}",
            "DELETE FROM notification.notice t WHERE " + by_key.format("t").format(copy="{copy}")),
        row("a hole in the log", "event log: numbers are dense", "task.outbox", "seq = 1",
            "DELETE FROM task.outbox t USING {copy} k WHERE (t.shard, t.seq, t.week) = (k.shard, k.seq, k.week)",
            "(t.shard, t.seq, t.week) = (k.shard, k.seq, k.week)"),
        row("a reader is behind", "event log: cursors are at the end", "notification.cursor", "seq > 1",
            "UPDATE notification.cursor t SET seq = t.seq - 1 FROM {copy} k WHERE t.stream = k.stream",
            "t.stream = k.stream"),
    ]
    # As if it had been deleted under the load.
    bench.model.deleted.add(NOBODY)
    found += [
        row("a deleted organization has left a person behind", "organizations deleted: nothing is left",
            "project.member", mine, f"INSERT INTO project.member SELECT '{NOBODY}', user_id, revision, email, "
            "first_name, last_name, is_active, profile_img FROM {copy}",
            f"t.organization_id = '{NOBODY}' OR (t.organization_id, t.user_id) = (k.organization_id, k.user_id)"),
    ]
    mails = sorted(bench.installation.mail.glob("*.eml"))
    aside = bench.folder / "aside.eml"
    double = bench.installation.mail / "again.eml"
    found += [
        Injection("a mail is missing", "mails", lambda: shutil.move(mails[0], aside),
                  lambda: shutil.move(aside, mails[0])),
        Injection("a mail came twice", "mails", lambda: shutil.copy(mails[0], double), double.unlink),
        Injection("a mail with a word of another organization", "tenancy of mails",
                  lambda: (shutil.copy(mails[0], aside), _replace(mails[0], one, other)),
                  lambda: shutil.move(aside, mails[0])),
    ]
    log = bench.installation.logs / "made-up.log"
    line = '{"organization":"%s","path":"%s"}\n' % (one.id, other.canary)
    found.append(Injection("a log line with a word of another organization", "tenancy and secrets of logs",
                           lambda: log.write_text(line), log.unlink))
    return found


def _replace(path, one, other):
    text = path.read_text()
    head, body = text.split("\n\n", 1)
    own = re.search(r"cnry-[0-9a-f]{12}", head.split("To:", 1)[1].split("\n", 1)[0])[0]
    foreign = other.canary if own != other.canary else one.canary
    path.write_text(head + "\n\n" + body.replace(own, foreign))


def judgements():
    """What is said of single answers that must not be: name, whether something was said."""
    def headers(**values):
        message = email.message.Message()
        for name, value in values.items():
            message[name.replace("_", "-")] = value
        return message

    def answer(status, body=b'{"code":"x","request_id":"1"}', **values):
        now = time.monotonic()
        return Answer("GET", "/made/up", "nobody", status, headers(**values), body, now, now + 1)

    def said(body, check="answers"):
        judge = Judge()
        body(judge)
        return judge.violation_counts[check] > 0

    def during(judge, given):
        judge.faults.begin("made-up")
        judge.answered(given)
    yield "500 while a fault lasts", said(lambda j: during(j, answer(500)))
    yield "503 without Retry-After", said(lambda j: during(j, answer(503)))
    yield "503 that is no problem of ours", said(lambda j: during(j, answer(503, b"<html>", Retry_After="1")))
    yield "503 while no fault lasts", said(lambda j: j.answered(answer(503, Retry_After="1")))
    yield "no answer while no fault lasts", said(lambda j: j.failed("nobody", "GET", "/", time.monotonic(), OSError()))
    yield "nothing said of a good 503", not said(lambda j: during(j, answer(503, Retry_After="1")))
    yield "a foreign canary in a header", said(
        lambda j: j.canaries(answer(200, Location="/cnry-0123456789ab"), "cnry-ba9876543210"), "tenancy of answers")


def revived(bench):
    """Whether it is noticed that Redis has lost a revocation and nobody has said so."""
    keeper = next(worker for worker in bench.workers if isinstance(worker, AccountKeeper))
    entry = bench.model.dead_tokens[-1]
    payload = entry[0].split(".")[1]
    session = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sid"]
    key = f"{{auth}}:session:{session}"

    def noticed():
        bench.judge.violation_counts.clear()
        try_dead(keeper, entry, "gateway-1")
        return bench.judge.violation_counts["ended sessions"] > 0
    before = noticed()
    bench.installation.redis("RENAME", key, key + "-aside")
    during = noticed()
    bench.installation.redis("RENAME", key + "-aside", key)
    return during and not before and not noticed()


def lost_update(bench):
    """Whether it is noticed that both of two writers are told that they have changed what they had seen."""
    worker = next(worker for worker in bench.workers if isinstance(worker, Developer))
    bench.judge.violation_counts.clear()
    for _ in range(10):
        worker.race_task(is_conditional=False)
    return bench.judge.violation_counts["one writer wins"] > 0


def run(arguments):
    arguments.duration, arguments.organizations, arguments.rate = 6.0, 2, 40.0
    failures = []

    def tell(good, sentence):
        print(f"{'passed' if good else 'FAILED'}  {sentence}", flush=True)
        failures.append(not good)
    for name, good in judgements():
        tell(good, f"seen: {name}")
    bench = Bench(arguments)
    try:
        bench.start()
        bench.load()
        time.sleep(arguments.duration)
        bench.settle()
        bench.judge.faults.begin("self-check")
        wrong = {name: found for name, found in bench.check().items() if found}
        tell(not wrong, f"all checks pass without a fault {wrong or ''}")
        tell(revived(bench), "ended sessions: a token that was ended is let in")
        tell(lost_update(bench), "one writer wins: two changes of one version are both accepted")
        for injection in injections(bench):
            injection.do()
            noticed = injection.check in failing(bench, injection.check)
            injection.undo()
            after = failing(bench, injection.check)
            tell(noticed and not after, f"{injection.check}: {injection.name}" + ("" if noticed else ": not noticed")
                 + (f"; still failing after it was put right: {after}" if after else ""))
        wrong = failing(bench)
        tell(not wrong, f"all checks pass again {wrong or ''}")
    finally:
        bench.stop()
        bench.remove()
    print(f"{failures.count(False)} passed, {failures.count(True)} failed")
    return 1 if any(failures) else 0


def failing(bench, only=None):
    """The checks that fail now, for what is the case now."""
    bench.judge.violations.clear()
    bench.judge.violation_counts.clear()
    return {name: found[:2] for name, found in Checks(bench).run(only).items() if found}
