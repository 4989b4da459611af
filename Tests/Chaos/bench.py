"""A run: brings an installation up, lets the load work on it while faults come and go, then heals and judges."""
import itertools
import pathlib
import random
import shutil
import statistics
import tempfile
import threading
import time

import faults as fault_catalogue
from accounts import AccountKeeper, Founder
from checks import Checks
from client import Maybe, Session, insist
from installation import GATEWAYS, Installation
from judge import Judge
from model import Model
from supervisor import Supervisor
from work import Admin, Developer, Manager
from world import PASSWORD, Organization, found_all

# Requirements: 15 s after Redis has lost data, 30 s after anything else.
RECOVERY_LIMIT = 30.0
REDIS_LOSS_LIMIT = 15.0
# A mail that was claimed by a sender which then died, or could not say that it was done, is claimed again after that.
MAIL_LEASE = 180.0


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.seed, self.duration = arguments.seed, arguments.duration
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-chaos."))
        # Postgres runs under another account than root and must get through.
        self.folder.chmod(0o755)
        self.judge = Judge()
        self.model = Model(self.judge)
        self.supervisor = Supervisor(lambda sentence: self.judge.violate("processes", sentence))
        self.installation = Installation(arguments.binary, self.folder, self.supervisor)
        self.is_over = threading.Event()
        self.organizations = [Organization(n, self.seed) for n in range(1, arguments.organizations + 1)]
        self.workers = []
        self.executed = []
        self.recoveries = {}
        self.quiescence = None
        self.is_stopped = False
        self.readers = {}

    # The course of a run

    def start(self):
        self.installation.start()
        self.gateways = {name: self.installation.origin(name) for name in GATEWAYS}
        for organization in self.organizations:
            self.model.secrets.add(PASSWORD)
        setup = self.judge.faults.begin("start")
        found_all(self, self.organizations)
        self.judge.faults.end(setup)
        self.probe = Probe(self)
        self.breaker = fault_catalogue.Breaker(self.installation, self.judge)
        self.judge.begun = time.monotonic()

    def load(self):
        number = 0
        for organization in self.organizations:
            for kind, who in ((Admin, "admin"), (Manager, "manager-1"), (Developer, "developer-1")):
                number += 1
                self.workers.append(kind(self, number, organization, who))
            number += 1
            self.workers.append(AccountKeeper(self, number, organization))
        self.workers.append(Founder(self, number + 1))
        # An action is about one and a half requests.
        self.interval = 1.5 * sum(1 / worker.LEISURE for worker in self.workers) / self.arguments.rate
        for worker in self.workers:
            worker.start()

    def break_things(self):
        """Faults, one after the other, until the time is over."""
        end = time.monotonic() + self.duration
        steps = fault_catalogue.plan(self.seed, self.arguments.only)
        self.is_over.wait(min(5.0, self.duration / 4))
        copied = time.monotonic()
        self.breaker.copy_redis()
        while time.monotonic() < end and not self.is_over.is_set():
            step = next(steps)
            if step.kind.startswith("clock") and not fault_catalogue.FAKETIME:
                self.judge.count("clock faults left out, libfaketime is not installed")
                continue
            self.say(f"{step}")
            span = self.judge.faults.begin(step.name)
            try:
                self.breaker.run(step)
            except OSError as error:
                # The process that was to be hit is just away.
                self.say(f"    not done: {error}")
            self.executed.append(step.name)
            self._recover(step, span, end)
            if time.monotonic() - copied > 10:
                copied = time.monotonic()
                self.breaker.copy_redis()
            self.is_over.wait(max(0.0, min(step.gap, end - time.monotonic())))

    def _recover(self, step, span, end):
        """Waits until all is well again, or lets somebody else do so while the next fault begins."""
        healed = time.monotonic()
        watcher = Recovery(self, step, span, healed)
        watcher.start()
        if step.is_awaited:
            watcher.join(RECOVERY_LIMIT + 5)

    def settle(self):
        """Stops the load, mends everything, and waits until nothing moves any more."""
        self.is_over.set()
        span = self.judge.faults.begin("settling")
        for worker in self.workers:
            worker.join()
        self.breaker.heal()
        begun = time.monotonic()
        try:
            self.installation.wait_ready(90)
        except RuntimeError as error:
            self.judge.violate("recovery", f"after the last fault: {error}")
        threads = [threading.Thread(target=worker.finish, args=(60,)) for worker in self.workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rested = time.monotonic()
        while True:
            is_quiet, status = self.installation.events_status()
            if is_quiet:
                break
            if time.monotonic() - rested > RECOVERY_LIMIT:
                lines = [line for line in status.splitlines() if "stream=" not in line or "lag=0" not in line]
                self.judge.violate("event log", f"not at rest {RECOVERY_LIMIT:.0f} s after the last write: {lines}")
                break
            time.sleep(0.5)
        self.quiescence = time.monotonic() - rested
        while not self._is_at_rest() and time.monotonic() - rested < MAIL_LEASE + 60:
            time.sleep(0.5)
        self.judge.faults.end(span)

    def _is_at_rest(self):
        """Nothing waits to be mailed, nothing is about to become overdue."""
        try:
            rows = self.installation.sql.query("""
                SELECT (SELECT count(*) FROM notification.mail_queue WHERE state = 'pending')
                     + (SELECT count(*) FROM task.task t JOIN task.project p ON p.organization_id = t.organization_id
                        AND p.id = t.project_id AND p.deleted_at IS NULL
                        WHERE t.due_moment < now() + interval '10 s' AND t.deleted_at IS NULL
                        AND NOT t.overdue_marked AND t.status IN ('PENDING', 'IN_PROGRESS')) AS waiting""")
        except OSError:
            return False
        return rows[0]["waiting"] == 0

    def reader(self, organization, who):
        """A session to judge with, logged in once."""
        key = (organization.number, who)
        if key not in self.readers:
            session = organization.session(self, who, random.Random(f"{self.seed}/reader/{key}"))
            insist(session.log_in, 60)
            self.readers[key] = session
        return self.readers[key]

    def check(self):
        return Checks(self).run()

    def stop(self):
        if self.is_stopped:
            return
        self.is_stopped = True
        self.is_over.set()
        stubborn = self.installation.stop()
        if stubborn:
            self.judge.violate("processes", f"did not end on SIGTERM within 45 s: {', '.join(stubborn)}")
        for path in pathlib.Path("/dev/shm").glob("*faketime_*"):
            # What a killed process with a preloaded clock has left behind.
            pid = path.name.rsplit("_", 1)[-1]
            if pid.isdigit() and not pathlib.Path(f"/proc/{pid}").exists():
                path.unlink(missing_ok=True)

    def remove(self):
        if self.arguments.keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def say(self, sentence):
        print(f"{time.monotonic() - self.judge.begun:7.1f} {sentence}", flush=True)

    # What it came to

    def figures(self):
        judge = self.judge
        with judge.lock:
            latencies = sorted(judge.latencies)
            kinds = {}
            for kind, found in sorted(self.recoveries.items()):
                done = [s for s in found if s is not None]
                kinds[kind] = {"times": len(found), "measured": len(done),
                               "median_seconds": round(statistics.median(done), 2) if done else None,
                               "max_seconds": round(max(done), 2) if done else None}
            created = list(self.model.creations.values())
            return {
                "seed": self.seed, "seconds": self.duration, "rate": self.arguments.rate,
                "organizations": len(self.organizations), "binary": self.arguments.binary,
                "faults": self.executed, "fault_count": len(self.executed),
                "clock_faults": bool(fault_catalogue.FAKETIME),
                "requests": judge.counts["requests"], "acknowledged": judge.counts["acknowledged"],
                "ambiguous": judge.counts["ambiguous"],
                "ambiguous_creations_left": sum(c.state == "maybe" for c in created),
                "answers": {str(k): v for k, v in sorted(judge.statuses.items())},
                "passing_errors": dict(judge.problems.most_common()), "no_answer": dict(judge.transport),
                "latency_ms": {f"p{p}": round(1000 * latencies[int(len(latencies) * p / 100)]) for p in (50, 99)}
                if latencies else {},
                "recovery_by_fault": kinds, "seconds_to_rest_after_the_last_fault": self.quiescence
                and round(self.quiescence, 1),
                "counts": dict(sorted(judge.counts.items())),
                "violations": {k: {"count": judge.violation_counts[k], "first": v}
                               for k, v in sorted(judge.violations.items())},
            }


class Recovery(threading.Thread):
    """Measures how long it takes from the end of a fault until every service answers through both gateways, and every
    event that was committed by then has been applied."""

    def __init__(self, bench, step, span, healed):
        super().__init__(name=f"recovery-{step.number}", daemon=True)
        self.bench, self.step, self.span, self.healed = bench, step, span, healed

    def run(self):
        bench = self.bench
        kind = self.step.kind
        limit = REDIS_LOSS_LIMIT if kind in fault_catalogue.REDIS_LOSS else RECOVERY_LIMIT
        spans = len(bench.judge.faults.spans)
        wanted = None
        is_disturbed = False
        reason = ""
        while time.monotonic() - self.healed < limit + 30 and not bench.is_over.is_set():
            is_disturbed = len(bench.judge.faults.spans) > spans
            if is_disturbed:
                break
            try:
                if wanted is None:
                    wanted = committed(bench)
                many = bench.probe.failure_of_many() if kind == "net-half-open" else ""
                reason = bench.probe.failure() or many or lagging(bench, wanted)
            except (OSError, ValueError) as error:
                reason = f"Postgres: {error}"
            if not reason:
                break
            time.sleep(0.1)
        seconds = time.monotonic() - self.healed
        if is_disturbed or reason:
            found = None
        else:
            found = seconds
        bench.recoveries.setdefault(kind, []).append(found)
        # The next fault begins a little after the limit, so that one that does not end is seen to be none.
        if (seconds > limit or (reason and not is_disturbed)) and not bench.is_over.is_set():
            bench.judge.violate("recovery", f"{self.step.name}: {seconds:.1f} s and more than {limit:.0f}; {reason}")
        if is_disturbed:
            # The next fault has begun meanwhile; what this one has left behind may still be there.
            threading.Timer(RECOVERY_LIMIT, bench.judge.faults.end, [self.span]).start()
        else:
            bench.judge.faults.end(self.span)


def committed(bench):
    """How far the log of each producer is."""
    rows = bench.installation.sql.query(" UNION ALL ".join(
        f"SELECT '{p}.' || lpad(shard::text, 2, '0') AS stream, seq FROM {p}.event_log WHERE seq > 0"
        for p in ("auth", "organization", "project", "task")))
    return {row["stream"]: row["seq"] for row in rows}


def lagging(bench, wanted):
    """Who has not yet applied what; nothing if all have."""
    rows = bench.installation.sql.query(" UNION ALL ".join(
        f"SELECT '{c}' AS consumer, stream, settled FROM {c}.cursor"
        for c in ("auth", "organization", "project", "task", "notification")))
    late = [f"{r['consumer']} has {r['stream']} at {r['settled']} of {wanted[r['stream']]}" for r in rows
            if r["settled"] < wanted.get(r["stream"], 0)]
    return "; ".join(late[:4])


class Probe:
    """One request to every service through each gateway, as an admin of the first organization."""

    # How many ask at once where connections may have stayed dead: through both gateways more than a service has
    # connections to Postgres, so that none is found dead long after.
    MANY = 6
    PATHS = ["/api/organization/", "/api/project_management/projects/?page_size=1", "/api/project/tasks/?page_size=1",
             "/api/notifications/?page_size=1", "/api/account/sessions/?page_size=1"]

    def __init__(self, bench):
        self.lock = threading.Lock()
        organization = bench.organizations[0]
        self.open = lambda: Session(bench.judge, bench.gateways, random.Random(f"{bench.seed}/probe"),
                                    organization.address("admin"), PASSWORD, organization.canary)
        self.session = self.open()

    def failure(self):
        """What does not answer; nothing if everything does."""
        with self.lock:
            for gateway in sorted(self.session.gateways):
                for path in self.PATHS:
                    try:
                        self.session.stay_logged_in()
                        answer = self.session.send("GET", path, gateway=gateway, patience=3)
                        if answer.status == 401:
                            self.session.access = None
                        if answer.status != 200:
                            return f"GET {path} at {gateway}: {answer.status} {answer.code}"
                    except Maybe as maybe:
                        return f"GET {path} at {gateway}: {maybe}"
        return ""

    def failure_of_many(self):
        """The same, asked by many at once over new connections, with the token that the one has. Without a renewal: who
        waits for one finds the dead connections of the others too late."""
        found = []

        def ask(session, gateway, path):
            try:
                answer = session.send("GET", path, gateway=gateway, patience=3)
                if answer.status != 200:
                    found.append(f"GET {path} at {gateway} by many: {answer.status} {answer.code}")
            except Maybe as maybe:
                found.append(f"GET {path} at {gateway} by many: {maybe}")
            finally:
                session.close()
        with self.lock:
            threads = []
            for gateway, path in self.MANY * list(itertools.product(sorted(self.session.gateways), self.PATHS)):
                session = self.open()
                session.access = self.session.access
                threads.append(threading.Thread(target=ask, args=(session, gateway, path)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return found[0] if found else ""
