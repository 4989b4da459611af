"""A steady load for a long time: no process grows, none leaves files or connections open (TST-7).

TASKFLOW_DRILL_SOAK is for how many seconds, 240 if it is not given, 1800 for the requirement; TASKFLOW_DRILL_RATE for how
many requests a second, 100 if it is not given.
"""
import os
import pathlib
import time

from load import Company, Load
from stage import SERVICES, Stage, expect

SECONDS = float(os.environ.get("TASKFLOW_DRILL_SOAK", "240"))
RATE = float(os.environ.get("TASKFLOW_DRILL_RATE", "100"))
POOL = 10
# MiB a minute, after a third of the time for caches and pools to fill.
SLOPE_LIMIT = 1.0


def drill(binary, say, keep=False):
    stage = Stage(binary, settings={f"TASKFLOW_{name.upper()}_POOL": str(POOL) for name in SERVICES})
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(8)]
        samples = {process.name: [] for process in stage.processes}
        connections = {}
        with Load(companies, rate=RATE, threads=16) as load:
            while time.monotonic() < load.begun + SECONDS:
                time.sleep(SECONDS / 120)
                for process in stage.processes:
                    samples[process.name].append((time.monotonic(), *sizes(process.process.pid)))
                for role, number in stage.postgres.sql(
                        "SELECT usename, count(*) FROM pg_stat_activity WHERE usename LIKE '%\\_app' GROUP BY 1"):
                    connections[role] = max(connections.get(role, 0), int(number))
        expect(not load.failures, f"{len(load.failures)} requests failed: {load.failures[:3]}")
        say(load.figures())
        grown = []
        for name, taken in samples.items():
            taken = taken[len(taken) // 3:]
            slope = slope_of([(at / 60, resident / 1048576) for at, resident, _ in taken])
            files = [number for _, _, number in taken]
            say(f"{name}: {taken[0][1] / 1048576:.1f} MiB, at the end {taken[-1][1] / 1048576:.1f}, "
                f"{slope:+.2f} MiB a minute; {files[0]} files, at the end {files[-1]}, at most {max(files)}")
            if slope >= SLOPE_LIMIT:
                grown.append(f"{name} grows by {slope:.2f} MiB a minute")
            if files[-1] > max(files[:len(files) // 2]) + 8:
                grown.append(f"{name} has {files[-1]} files open, it had {max(files[:len(files) // 2])}")
        # Beside the pool: a connection each for the locks of relay and reader, and for waiting.
        for role, number in connections.items():
            if number > POOL + 4:
                grown.append(f"{role} has {number} connections to Postgres")
        say(f"connections to Postgres, at most: {', '.join(f'{r} {n}' for r, n in sorted(connections.items()))}")
        expect(not grown, "; ".join(grown))
        stage.wait_quiet()
        say(stage.verify())
    finally:
        stage.close(keep)


def sizes(pid):
    """Resident bytes and open files."""
    process = pathlib.Path(f"/proc/{pid}")
    resident = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(list((process / "fd").iterdir()))


def slope_of(points):
    """The straight line through them: its rise for one unit of x."""
    x = sum(p[0] for p in points) / len(points)
    y = sum(p[1] for p in points) / len(points)
    return sum((p[0] - x) * (p[1] - y) for p in points) / sum((p[0] - x) ** 2 for p in points)
