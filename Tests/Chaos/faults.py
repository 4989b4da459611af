"""What is broken, and how: every fault by its name. A plan of them follows from a seed alone.

A fault is written `kind` or `kind:target`: `kill-task`, `kill-task:task-2`, `net-reset:gateway-1>task-2`. Without a
target the seed chooses one.
"""
import glob
import os
import random
import shutil
import signal
import time

from installation import GATEWAYS, SERVICES, role

PROCESSES = [*SERVICES, *GATEWAYS, "redis", "postgres"]
FAKETIME = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))

# Of one kind several targets are possible; the weight says how often a kind comes.
KINDS = {}
for _name in PROCESSES:
    KINDS.setdefault(f"kill-{role(_name)}", [2, []])[1].append(_name)
    KINDS.setdefault(f"stop-{role(_name)}", [1, []])[1].append(_name)
KINDS["kill-redis"][0] = KINDS["kill-postgres"][0] = 3
KINDS["kill-backend"] = [1, ["postgres"]]
for _name in ("flushall", "redis-empty", "redis-rollback", "redis-tail-cut"):
    KINDS[_name] = [3, ["redis"]]
LINKS = [f"{g}>{s}" for g in GATEWAYS for s in SERVICES] + [f"{g}>redis" for g in GATEWAYS] \
    + [f"{s}>{server}" for s in SERVICES for server in ("redis", "postgres")] \
    + [f"{s}>auth" for s in SERVICES if s != "auth"] + ["notification>task-1", "task-1>project", "project>organization"]
for _name in ("latency", "reset", "slice", "half-open", "bandwidth"):
    KINDS[f"net-{_name}"] = [4, LINKS]
for _name in ("clock-slight", "clock-far"):
    KINDS[_name] = [1, [*SERVICES, *GATEWAYS]]

# Kinds after which Redis has forgotten something.
REDIS_LOSS = ("flushall", "redis-empty", "redis-rollback", "redis-tail-cut")


class Step:
    """One fault of a plan."""

    def __init__(self, number, kind, target, rng):
        self.number, self.kind, self.target = number, kind, target
        # How long it is in force; where a process was killed, how long that stays away.
        self.hold = round(rng.uniform(0.3, 6.0) if kind.startswith(("stop", "net", "clock"))
                          else rng.uniform(0.0, 4.0), 2)
        # How long nothing is done after it, and whether the next waits for its end and the recovery from it.
        self.gap = round(rng.uniform(1.0, 3.0), 2)
        self.is_awaited = rng.random() < 0.7
        self.strength = rng.random()

    @property
    def name(self):
        return f"{self.kind}:{self.target}"

    def __str__(self):
        return (f"{self.number:3} {self.name:34} for {self.hold:4.1f} s, strength {self.strength:.2f}, then "
                + (f"recovery and {self.gap:.1f} s" if self.is_awaited else f"{self.gap:.1f} s, without waiting"))


def plan(seed, only=None):
    """An endless sequence of steps, the same for the same seed and choice of kinds."""
    rng = random.Random(f"{seed}/plan")
    chosen = []
    for word in only or KINDS:
        kind, _, target = word.partition(":")
        if kind not in KINDS:
            raise ValueError(f"there is no fault {word}; there are {', '.join(sorted(KINDS))}")
        if target and target not in KINDS[kind][1]:
            raise ValueError(f"{kind} does not know {target}; it knows {', '.join(KINDS[kind][1])}")
        chosen.append((KINDS[kind][0], kind, [target] if target else KINDS[kind][1]))
    # Every kind once, in an order of chance, before any comes by its weight.
    first = [(k, t) for _, k, t in chosen]
    rng.shuffle(first)
    number = 0
    while True:
        number += 1
        kind, targets = first.pop() if first else _weighted(rng, chosen)
        yield Step(number, kind, rng.choice(targets), rng)


def _weighted(rng, chosen):
    point = rng.random() * sum(weight for weight, _, _ in chosen)
    for weight, kind, targets in chosen:
        point -= weight
        if point < 0:
            break
    return kind, targets


class Breaker:
    """Carries steps out on an installation."""

    def __init__(self, installation, judge):
        self.installation, self.judge = installation, judge
        self.processes = installation.supervisor.processes
        self.copies = []

    def run(self, step):
        """Begins the fault, waits while it holds, ends it."""
        do = getattr(self, "_" + step.kind.split("-")[0])
        do(step)

    def heal(self):
        """Whatever is still broken is mended."""
        for link in LINKS:
            self.installation.command({"link": link, "set": {}})
        for process in self.processes.values():
            process.resume()

    # Processes

    def _kill(self, step):
        process = self.processes[step.target]
        if step.kind == "kill-backend":
            backends = process.children()
            if backends:
                # One dies, and Postgres lets go of all.
                victim = sorted(backends)[int(step.strength * len(backends))]
                os.kill(victim, signal.SIGKILL)
            return
        process.kill(restart_after=step.hold)
        self._await_return(process, step.hold)

    def _await_return(self, process, hold):
        """Until the supervisor has started it again."""
        starts = process.starts
        deadline = time.monotonic() + hold + 20
        while process.starts == starts and time.monotonic() < deadline:
            time.sleep(0.02)

    def _stop(self, step):
        process = self.processes[step.target]
        process.pause()
        time.sleep(step.hold)
        process.resume()

    # Redis forgets

    def copy_redis(self):
        """A copy of the append-only files as they are now; the two newest are kept."""
        source = self.installation.folder / "redis" / "appendonlydir"
        target = self.installation.folder / f"redis-copy-{len(self.copies)}"
        try:
            shutil.copytree(source, target)
        except OSError:
            # A rewrite was under way; the next copy comes to the same place.
            shutil.rmtree(target, ignore_errors=True)
            return
        self.copies.append(target)
        for old in self.copies[:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def _flushall(self, step):
        self.installation.redis("FLUSHALL")

    def _redis(self, step):
        process = self.processes["redis"]
        folder = self.installation.folder / "redis" / "appendonlydir"
        process.is_held = True
        process.kill()
        process.popen.wait()
        try:
            if step.kind == "redis-empty":
                shutil.rmtree(folder, ignore_errors=True)
            elif step.kind == "redis-rollback":
                copies = [c for c in self.copies[-2:] if c.exists()]
                shutil.rmtree(folder, ignore_errors=True)
                if copies:
                    shutil.copytree(copies[0], folder)
            else:
                tails = sorted(folder.glob("*.incr.aof"), key=lambda p: p.stat().st_mtime)
                if tails:
                    size = tails[-1].stat().st_size
                    # Anywhere: in the middle of an entry, mostly.
                    cut = int(min(size, 100_000) * step.strength)
                    with tails[-1].open("r+b") as file:
                        file.truncate(size - cut)
            time.sleep(step.hold)
        finally:
            process.may_fail_until = time.monotonic() + process.patience
            process.is_doomed = True
            process.restart_after = 0
            process.is_held = False
        self._await_return(process, 0)

    # The network

    def _net(self, step):
        kind = step.kind.removeprefix("net-")
        command = {"link": step.target}
        if kind == "latency":
            command["set"] = {"latency": 0.02 + 0.5 * step.strength ** 2, "jitter": 0.1 * step.strength}
        elif kind == "bandwidth":
            command["set"] = {"rate": int(2_000 * (1 + 20 * step.strength))}
        elif kind == "slice":
            command["set"] = {"slice": True}
        elif kind == "half-open":
            command["set"] = {"dead": True}
        else:
            # Again and again, while it holds; what is opened in between is refused at times.
            until = time.monotonic() + step.hold
            while time.monotonic() < until:
                self.installation.command({"link": step.target, "reset": True,
                                           "set": {"refuse": step.strength > 0.5}})
                time.sleep(0.25)
            self.installation.command({"link": step.target, "set": {}})
            return
        self.installation.command(command)
        time.sleep(step.hold)
        self.installation.command({"link": step.target, "set": {}})

    # Clocks

    def _clock(self, step):
        """A process is started anew with a clock of its own, which then jumps, and jumps back."""
        process = self.processes[step.target]
        setting = self.installation.folder / f"clock-{step.target}"
        setting.write_text("+0\n")
        far = [-3600, -120, 120, 3600]
        seconds = far[int(step.strength * 4)] if step.kind == "clock-far" else round(-8 + 16 * step.strength, 1)
        process.is_held = True
        process.stop(signal.SIGTERM)
        process.extra = {"LD_PRELOAD": FAKETIME[0], "FAKETIME_TIMESTAMP_FILE": str(setting),
                         "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        words = process.words
        # The library adds to the environment, behind which Swift then looks for the arguments in vain. In a program
        # that is started by another one that has it already, it finds the addition made.
        process.words = ["/bin/sh", "-c", 'exec "$0" "$@"', *words]
        process.start()
        process.words = words
        process.is_held = False
        time.sleep(2)
        setting.write_text(f"{seconds:+}\n")
        time.sleep(2 + step.hold)
        setting.write_text("+0\n")
        # The preloaded clock reads its setting once a second.
        time.sleep(1.2)
        process.extra = {}

