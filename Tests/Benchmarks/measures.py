"""The rows of the table: what is set against what, in alternating rounds."""
import json
import shutil
import statistics
import subprocess
import time

import data
import drive
import lag
import postgres_floor
import servers

BODY = {"title": "A new task", "description": "What is to be done", "priority": "HIGH"}
LEVELS = [1, 2, 4, 8, 16, 32, 64]
PAGES = [
    *(f"ordering={sign}{name}" for name in ("start_date", "due_date", "priority", "status", "title", "created_at",
                                            "updated_at") for sign in ("", "-")),
    "ordering=-due_date,priority", "status=PENDING", "status=CANCELLED&ordering=-updated_at",
    "status=PENDING&status=ON_HOLD&ordering=title", "priority=HIGH", "priority=HIGH&ordering=due_date", "project=2",
    "created_by=person4@organization{n}.example.com", "collaborator=person5@organization{n}.example.com",
    "due_before=2031-06-01", "due_after=2032-06-01&ordering=due_date", "parent=1", "parent=none",
    "search=badofi", "search=ba", "search=badofi%20zozozo", "search=qqqq", "search=high&ordering=-created_at",
]


def middle(values):
    return statistics.median(values)


def settle(patience=6.0):
    """Waits until the processors are idle: what one side still has queued must not run in the other's round."""
    def busy():
        with open("/proc/stat") as file:
            numbers = [int(n) for n in file.readline().split()[1:]]
        return sum(numbers) - numbers[3] - numbers[4], sum(numbers)

    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = busy()
        time.sleep(0.2)
        after = busy()
        if after[0] - before[0] < 0.3 * (after[1] - before[1]):
            return


class Measures:
    """All measures of one run; `rows` fills up, `details` has what the charts and tables are made of."""

    def __init__(self, machine, options, say):
        self.machine, self.options, self.say = machine, options, say
        self.driver = drive.Driver(machine.folder)
        self.rows, self.details = [], {"comparisons": {}}

    def row(self, what, target, measured, unit="x", at_least=True, note=""):
        met = None if measured is None else measured >= target if at_least else measured <= target
        self.rows.append({"what": what, "target": target, "relation": ">=" if at_least else "<=", "unit": unit,
                          "measured": measured, "met": met, "note": note})
        shown = "not measured" if measured is None else f"{measured:.3g} {unit}"
        self.say(f"{what}: {shown}, target {'>=' if at_least else '<='} {target} {unit}")

    def alternate(self, name, sides):
        """A B A B: each side once in every round; the first round of each warms up and is not counted."""
        results = {side: [] for side in sides}
        for action in sides.values():
            action(1)
            settle()
        for _ in range(self.options.rounds):
            for side, action in sides.items():
                results[side].append(action(self.options.seconds))
                settle()
        self.details["comparisons"][name] = {
            side: {"rate": middle([r["rate"] for r in found]), "p50": middle([r["p50"] for r in found]),
                   "p99": middle([r["p99"] for r in found]) if "p99" in found[0] else None,
                   "rates": [r["rate"] for r in found],
                   "cpu_us": {p: middle([r["cpu_us"][p] for r in found]) for p in found[0]["cpu_us"]}}
            for side, found in results.items()}
        return results

    @staticmethod
    def ratio(results, above, below, key="rate"):
        """The median of the rounds' ratios."""
        return middle([a[key] / b[key] for a, b in zip(results[above], results[below])])

    # The requests

    def task_requests(self, tokens, total, numbered=lambda n, task: task):
        each = total // data.ORGANIZATIONS
        step = max(1, each // 40)
        return self.driver.requests([("GET", f"/api/project/tasks/{numbered(n, task)}/", token, "")
                                     for n, token in tokens.items() for task in range(1, each + 1, step)])

    def list_requests(self, tokens):
        return self.driver.requests([("GET", "/api/project/tasks/", token, "") for token in tokens.values()])

    def creations(self, tokens, due, project=lambda n, p: p):
        return self.driver.requests([
            ("POST", "/api/project/tasks/", token, json.dumps(BODY | {"project": project(n, p), "due_date": due}))
            for n, token in tokens.items() for p in range(1, data.PROJECTS + 1)])

    def side(self, origin, requests, watched, connections=32):
        return lambda seconds: self.driver.run(origin, requests, connections, seconds, watched)

    # The rows

    def against_baseline(self, installation, tokens, baseline, total, watched):
        theirs = {"gunicorn": baseline.process.pid, "postgres": self.machine.postgres.pid}
        for name, ours, other, target in (
                ("GET one task", self.task_requests(tokens, total),
                 self.task_requests(baseline.tokens, total, baseline.task), 15),
                ("GET a list page of 50 tasks", self.list_requests(tokens), self.list_requests(baseline.tokens), 20),
                ("POST a task with its event", self.creations(tokens, "2031-05-05"),
                 self.creations(baseline.tokens, "2031-05-05T00:00:00Z", baseline.project), 10)):
            found = self.alternate(name, {"taskflow": self.side(installation.origin, ours, watched),
                                          "drf": self.side(baseline.origin, other, theirs)})
            self.row(f"{name}, through the gateway, against DRF: requests/s", target,
                     self.ratio(found, "taskflow", "drf"))
            if name == "GET one task":
                self.row(f"{name}: p99 at 32 connections, part of DRF's", 0.1,
                         self.ratio(found, "taskflow", "drf", "p99"), at_least=False)

    def against_nginx(self, installation, tokens, total, watched):
        process, origins = servers.start_nginx(self.machine, {"keys": installation.ports["auth"],
                                                              "tasks": installation.ports["task"]})
        beside = {**watched, "nginx": process.pid}
        keys = self.driver.requests([("GET", "/.well-known/jwks.json", "", "")])
        tasks = self.task_requests(tokens, total)
        found = self.alternate("no token: gateway and nginx", {
            "gateway": self.side(installation.origin, keys, watched),
            "nginx": self.side(origins["keys"], keys, beside)})
        self.row("gateway without auth against nginx (the keys of Auth): requests/s", 0.9,
                 self.ratio(found, "gateway", "nginx"))
        one = self.alternate("no token, one connection: gateway and nginx", {
            "gateway": self.side(installation.origin, keys, watched, 1),
            "nginx": self.side(origins["keys"], keys, beside, 1)})
        self.row("gateway without auth against nginx: p50 added, one connection", 0.15,
                 middle([a["p50"] - b["p50"] for a, b in zip(one["gateway"], one["nginx"])]), "ms", False)
        found = self.alternate("token: gateway and nginx", {
            "gateway": self.side(installation.origin, tasks, watched),
            "nginx": self.side(origins["tasks"], tasks, beside)})
        self.row("gateway with auth and revocation against nginx without (GET one task): requests/s", 0.7,
                 self.ratio(found, "gateway", "nginx"))
        self.machine.stop([process])

    def against_pgbench(self, installation, tokens, total, watched):
        first, token = next(iter(tokens.items()))
        statement, values = postgres_floor.captured(
            self.machine, installation.origin, "/api/project/tasks/7/", token)
        cases = [(statement, values, data.organization_id(first), 7)]
        floor = postgres_floor.PgBench(self.machine, cases, total // data.ORGANIZATIONS)
        direct = f"http://127.0.0.1:{installation.ports['task']}"
        same = {first: token}
        found = self.alternate("Task alone and pgbench", {
            "task": self.side(direct, self.task_requests(same, total), watched), "pgbench": floor.run})
        self.row("Task service alone against pgbench running its statement: requests/s", 0.4,
                 self.ratio(found, "task", "pgbench"))

    def single_process(self, installation, settings, tokens, total, watched):
        requests = self.task_requests(tokens, total)
        single = servers.Installation(self.machine, settings, single=True)
        alone = {"serve": single.processes["serve"].pid, "postgres": watched["postgres"], "redis": watched["redis"]}
        time.sleep(3)
        found = self.alternate("one process and six", {"one": self.side(single.origin, requests, alone),
                                                       "six": self.side(installation.origin, requests, watched)})
        self.row("one process against separate processes, GET one task: requests/s", 1.6,
                 self.ratio(found, "one", "six"))
        single.stop()

    def ready(self, settings):
        times, idle = [], []
        for _ in range(self.options.rounds):
            single = servers.Installation(self.machine, settings, single=True)
            times.append(single.ready_after)
            if len(times) == self.options.rounds:
                time.sleep(8)
                idle.append(drive.resident(single.processes["serve"].pid))
            single.stop()
        self.details["ready"] = times
        self.row("taskflow serve on a migrated database: ready", 0.5, middle(times), "s", False)
        self.row("resident memory: one process, idle", 60, idle[0], "MB", False)

    def memory(self, installation, label, target):
        pids = {name: process.pid for name, process in installation.processes.items()}
        each = {name: drive.proportional(pid) for name, pid in pids.items()}
        added = sum(drive.resident(pid) for pid in pids.values())
        self.details.setdefault("memory", {})[label] = {**each, "sum of Rss": added}
        self.row(f"resident memory: six services {label}, pages they share counted once (Pss)", target,
                 sum(each.values()), "MB", False,
                 f"the sum of Rss, in which the program's code counts six times, is {added:.0f} MB")

    def lags(self, installation, tokens):
        tokens = list(tokens.values())
        found = self.details["lag"] = []
        for per_second, target in ((50, 10), (500, 25)):
            rounds = [lag.at_rate(self.machine, installation.origin, tokens, per_second, self.options.lag_seconds)
                      for _ in range(self.options.lag_rounds)]
            found += rounds
            reached = middle([r["reached"] for r in rounds])
            # At a lower rate than asked for it would be the answer to another question.
            self.row(f"event lag at {per_second}/s: p99", target,
                     middle([r["p99"] for r in rounds]) if reached >= 0.9 * per_second else None, "ms", False,
                     f"{reached:.0f}/s reached")
        self.row("event lag: 2,000 waiting at once, until the last is applied", 2,
                 middle([lag.burst(self.machine, installation, tokens) for _ in range(self.options.lag_rounds)]),
                 "s", False)

    def load_curve(self, installation, tokens, baseline, total):
        ours = self.task_requests(tokens, total)
        theirs = self.task_requests(baseline.tokens, total, baseline.task)
        self.details["load"] = [
            {"connections": level, "taskflow": self.driver.run(installation.origin, ours, level, self.options.curve),
             "drf": self.driver.run(baseline.origin, theirs, level, self.options.curve)} for level in LEVELS]

    def cost(self, installation, tokens, total, watched):
        """CPU of a request at this size, for the chart."""
        return {"tasks": total, **{
            name: self.driver.run(installation.origin, requests, 16, self.options.seconds, watched)
            for name, requests in (("one", self.task_requests(tokens, total)), ("list", self.list_requests(tokens)))}}

    def pages(self, installation, tokens):
        """p99 of every list of the API page, for an admin, at the size that is loaded, and how many tasks it shows."""
        found = {}
        for page in PAGES:
            paths = {n: "/api/project/tasks/?" + page.format(n=n) for n in tokens}
            requests = self.driver.requests([("GET", paths[n], token, "") for n, token in tokens.items()])
            # Every organization's rows come into memory first: the question is what the indexes do, not the disk.
            self.driver.run(installation.origin, requests, 8, 3)
            times = [self.driver.run(installation.origin, requests, 2, 1)["p99"] for _ in range(5)]
            n, token = next(iter(tokens.items()))
            shown = json.loads(drive.get(installation.origin + paths[n], token))["results"]
            found[page] = {"p99": middle(times), "tasks": len(shown)}
        return found

    def compare_pages(self, small, large):
        """A page with more tasks on it costs more at any size; so those that show as many are set apart."""
        def worst(pages, what):
            page = max(pages, key=lambda page: large[page]["p99"] / small[page]["p99"])
            self.row(what, 1.5, large[page]["p99"] / small[page]["p99"], at_least=False,
                     note=f"`{page}`, {small[page]['tasks']} and {large[page]['tasks']} tasks on the page")
        worst(PAGES, "1,000,000 tasks against 10,000: p99 of the list that suffers most")
        worst([page for page in PAGES if small[page]["tasks"] == large[page]["tasks"]],
              "the same, of the lists that show as many tasks at both sizes")
        self.details["pages"] = {"10,000": small, "1,000,000": large}

    def size(self):
        linked = subprocess.run(["ldd", self.machine.binary], capture_output=True, text=True).stdout
        copy = self.machine.folder / "stripped"
        shutil.copy(self.machine.binary, copy)
        subprocess.run(["strip", str(copy)], check=True)
        megabytes = copy.stat().st_size / 1e6
        static = "libswiftCore" not in linked
        self.details["stripped_mb"] = {"megabytes": megabytes, "static_runtime": static}
        self.row("size of the stripped program with a static runtime", 90, megabytes if static else None, "MB", False,
                 "" if static else f"Swift's runtime is not in this one; stripped it has {megabytes:.0f} MB")
