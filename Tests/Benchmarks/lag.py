"""How long an event takes from its commit to the commit that applied it in the other service.

Postgres keeps the time of every commit (track_commit_timestamp). The row of `task.outbox` was written by the commit of
the change, the row of `notification.task` by the one that applied the event: the lag of each event is the difference.
"""
import http.client
import json
import signal
import threading
import time
import urllib.parse

LAGS = """
SELECT count(*), coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY lag), -1),
       coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY lag), -1), coalesce(max(lag), -1)
FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(n.xmin) - pg_xact_commit_timestamp(o.xmin)) * 1000 AS lag
      FROM task.outbox o JOIN notification.task n ON n.organization_id = o.organization_id
      AND 'task/' || n.id = o.subject WHERE o.type = 'task.created' AND n.title = '{title}') x
"""


def body(title, project):
    return json.dumps({"project": project, "title": title, "priority": "LOW"}).encode()


def paced(origin, tokens, title, per_second, seconds, threads=8):
    """POSTs tasks at a rate; gives how many were created and in how many seconds."""
    url = urllib.parse.urlsplit(origin)
    begin = time.monotonic() + 0.1
    total = int(per_second * seconds)
    failures, ends = [], []

    def work(which):
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        for i in range(which, total, threads):
            wait = begin + i / per_second - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            connection.request("POST", "/api/project/tasks/", body(title, i % 5 + 1), {
                "Authorization": f"Bearer {tokens[i % len(tokens)]}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                failures.append(answer.status)
        ends.append(time.monotonic())

    workers = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise RuntimeError(f"{len(failures)} creations failed: {failures[:3]}")
    return total, max(ends) - begin


def lags(machine, title, expected, seconds=60):
    """Waits until all are applied; gives p50, p99 and the longest in ms."""
    deadline = time.monotonic() + seconds
    while True:
        count, *values = machine.psql(LAGS.format(title=title)).split("|")
        if int(count) == expected:
            return dict(zip(("p50", "p99", "max"), map(float, values)))
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} of {expected} events applied after {seconds} s")
        time.sleep(0.2)


def at_rate(machine, origin, tokens, per_second, seconds):
    title = f"lag at {per_second} {time.time_ns()}"
    count, took = paced(origin, tokens, title, per_second, seconds, 8 if per_second <= 100 else 16)
    return {**lags(machine, title, count), "asked": per_second, "reached": count / took, "events": count}


def burst(machine, installation, tokens, count=2000):
    """The consumer is halted, the events pile up, it goes on: how long until the last is applied."""
    title = f"burst {time.time_ns()}"
    consumer = installation.processes["notification"]
    consumer.send_signal(signal.SIGSTOP)
    try:
        paced(installation.origin, tokens, title, 1e6, count / 1e6, 32)
        # The relay is done when the producer has nothing left to copy; it is never far behind.
        time.sleep(1)
        begin = machine.psql("SELECT clock_timestamp()")
    finally:
        consumer.send_signal(signal.SIGCONT)
    lags(machine, title, count)
    return float(machine.psql("SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)) "
                              f"- '{begin}'::timestamptz) FROM notification.task WHERE title = '{title}'"))
