"""What was seen while the load ran: answers that must not be, counts of all kinds, and when a fault was in force."""
import collections
import json
import re
import threading
import time

CANARY = re.compile(rb"cnry-[0-9a-f]{12}")
# What a client may be told while something is broken; each with Retry-After.
PASSING = (502, 503, 504)


class Faults:
    """When faults were in force. A fault lasts from its begin until the installation has been seen healthy again."""

    def __init__(self):
        self.lock = threading.Lock()
        self.spans = []
        # How long a request may still suffer from what was healed: it may have begun long before.
        self.grace = 1.0

    def begin(self, name):
        with self.lock:
            span = [name, time.monotonic(), None]
            self.spans.append(span)
            return span

    def end(self, span):
        with self.lock:
            span[2] = time.monotonic()

    def during(self, since, until, kinds=None):
        """The names of faults in force at any moment of a request."""
        with self.lock:
            return [n for n, begun, ended in self.spans
                    if begun <= until and (ended is None or ended + self.grace >= since)
                    and (kinds is None or n.split(":")[0].startswith(tuple(kinds)))]


class Judge:
    """Collects violations, by the name of the check they fail, and counts everything else."""

    # Violations kept with their words; the count goes on.
    KEPT = 40

    def __init__(self):
        self.lock = threading.Lock()
        self.faults = Faults()
        self.violations = collections.defaultdict(list)
        self.violation_counts = collections.Counter()
        self.counts = collections.Counter()
        self.statuses = collections.Counter()
        self.problems = collections.Counter()
        self.transport = collections.Counter()
        self.latencies = []
        self.begun = time.monotonic()

    def violate(self, check, sentence):
        with self.lock:
            self.violation_counts[check] += 1
            if len(self.violations[check]) < self.KEPT:
                self.violations[check].append(f"[{time.monotonic() - self.begun:7.2f}s] {sentence}")

    def count(self, name, number=1):
        with self.lock:
            self.counts[name] += number

    def answered(self, answer):
        """Looks at an answer as such; whether its status was to be expected is asked separately."""
        with self.lock:
            self.statuses[answer.status] += 1
            self.latencies.append(answer.until - answer.since)
        if answer.status in PASSING:
            code = answer.code
            with self.lock:
                self.problems[f"{answer.status} {code}"] += 1
            if not answer.headers.get("Retry-After"):
                self.violate("answers", f"{answer} without Retry-After")
            if not code or not answer.body_json.get("request_id"):
                self.violate("answers", f"{answer} is no problem of ours: {answer.body[:300]!r}")
            if not self.faults.during(answer.since, answer.until):
                self.violate("answers", f"{answer} {code} while no fault was in force")
        elif answer.status >= 500:
            self.violate("answers", f"{answer}: {answer.body[:400]!r}")

    def failed(self, client, method, path, since, error):
        """No answer at all: the connection broke, or none came in time."""
        kind = type(error).__name__
        with self.lock:
            self.transport[kind] += 1
        now = time.monotonic()
        if not self.faults.during(since, now):
            self.violate("answers", f"{method} {path} by {client}: {kind} {error} after {now - since:.1f} s while no "
                                    "fault was in force")

    def unexpected(self, answer, wanted):
        self.violate("answers", f"{answer} where {wanted} was to be expected: {answer.body[:300]!r}; "
                                f"faults: {self.faults.during(answer.since, answer.until)}")

    def canaries(self, answer, own):
        """Not one byte of another organization."""
        seen = answer.head_bytes + answer.body
        for canary in set(CANARY.findall(seen)):
            if canary.decode() != own:
                self.violate("tenancy of answers", f"{answer} to {own} holds {canary.decode()}: {answer.body[:200]!r}")


class Answer:
    def __init__(self, method, path, client, status, headers, body, since, until):
        self.method, self.path, self.client = method, path, client
        self.status, self.headers, self.body = status, headers, body
        self.since, self.until = since, until
        self._json = None

    @property
    def head_bytes(self):
        return "".join(f"{k}: {v}\r\n" for k, v in self.headers.items()).encode(errors="replace")

    @property
    def json(self):
        if self._json is None:
            self._json = json.loads(self.body)
        return self._json

    @property
    def body_json(self):
        """The same, or an empty object where the body is none of ours."""
        try:
            return self.json if isinstance(self.json, dict) else {}
        except ValueError:
            return {}

    @property
    def code(self):
        return self.body_json.get("code", "")

    def __str__(self):
        return (f"{self.method} {self.path} by {self.client} answered {self.status} "
                f"after {self.until - self.since:.1f} s (request {self.headers.get('X-Request-Id')})")
