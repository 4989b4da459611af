"""How long an event takes from its commit to the commit that applied it in the other service.

Postgres keeps the time of every commit (track_commit_timestamp). The row of `task.outbox` was written by the commit of
the change, the row of `notification.task` by the one that applied the event: the lag of each event is the difference.
"""
import json
import re
import select
import signal
import socket
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


class Line:
    """A kept connection that has at most one request on its way."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def status(self):
        """What has come; the status once the answer is whole, else None."""
        piece = self.socket.recv(65536)
        if not piece:
            raise RuntimeError("the gateway closed a connection")
        self.received += piece
        head, blank, rest = self.received.partition(b"\r\n\r\n")
        if not blank:
            return None
        length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head).group(1))
        if len(rest) < length:
            return None
        self.received = b""
        return int(head[9:12])


def paced(origin, tokens, title, per_second, seconds, connections=16):
    """POSTs tasks at a rate; gives how many were created and in how many seconds.

    One thread and no HTTP library: the generator shares two processors with what it measures.
    """
    url = urllib.parse.urlsplit(origin)
    requests = []
    for token in tokens:
        for project in range(1, 6):
            content = body(title, project)
            requests.append((f"POST /api/project/tasks/ HTTP/1.1\r\nHost: {url.netloc}\r\n"
                             f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                             f"Content-Length: {len(content)}\r\n\r\n").encode() + content)
    lines = [Line(url.hostname, url.port) for _ in range(connections)]
    poll = select.epoll()
    by_number = {line.socket.fileno(): line for line in lines}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    free = list(lines)
    total, sent, failures = int(per_second * seconds), 0, []
    # Far from each other, so that a few organizations do not have all of a second.
    stride = 7919
    begin = time.monotonic()
    while sent < total or len(free) < connections:
        now = time.monotonic()
        while free and sent < total and begin + sent / per_second <= now:
            free.pop(0).socket.sendall(requests[sent * stride % len(requests)])
            sent += 1
        wait = max(0, begin + sent / per_second - now) if free and sent < total else 30
        ready = poll.poll(wait)
        if not ready and wait == 30:
            raise RuntimeError("no answer for 30 s")
        for number, _ in ready:
            status = by_number[number].status()
            if status is not None:
                free.append(by_number[number])
                if status != 201:
                    failures.append(status)
    took = time.monotonic() - begin
    poll.close()
    for line in lines:
        line.socket.close()
    if failures:
        raise RuntimeError(f"{len(failures)} creations failed: {failures[:3]}")
    return total, took


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
    count, took = paced(origin, tokens, title, per_second, seconds)
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
