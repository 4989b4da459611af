#!/usr/bin/env python3
"""The benchmark: brings up all it needs, measures, writes the report. See README.md.

    Tests/Benchmarks/bench.py --binary .build/release/taskflow [--size 100k] [--quick] [--only NAME ...]
"""
import argparse
import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import baseline
import data
import drive
import measures
import postgres_floor
import report
import servers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PARTS = ["drf", "nginx", "pgbench", "lag", "single", "load", "ready", "size", "sizes"]


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def first_line(path, start):
    return next((line.split(":", 1)[1].strip() for line in open(path) if line.startswith(start)), "unknown")


def settings_of(machine, database, redis):
    settings = machine.settings(database)
    # One issuer, so that a token of the six processes is good for the single one beside them too.
    return settings | {"TASKFLOW_REDIS_URL": settings["TASKFLOW_REDIS_URL"] + f"?db={redis}",
                       "TASKFLOW_PUBLIC_URL": "http://bench.localhost"}


def prepared(machine, database, redis, total):
    """A migrated database with data; gives its settings."""
    machine.psql(f"CREATE DATABASE {database}", "postgres")
    settings = settings_of(machine, database, redis)
    machine.migrate(settings)
    # The password's hash is made by Auth itself.
    installation = servers.Installation(machine, settings)
    drive.post_json(installation.origin + "/api/account/signup/", {
        "email": "first@example.com", "password": data.PASSWORD, "first_name": "First", "last_name": "Person",
        "organization": "First"})
    installation.stop()
    began = time.monotonic()
    data.load(machine, database, total, machine.psql("SELECT password_hash FROM auth.account", database))
    say(f"{total:,} tasks loaded into {database} in {time.monotonic() - began:.0f} s")
    return settings


def log_in(installation, organizations):
    return {n: drive.post_json(installation.origin + "/api/account/login/", {
        "email": data.address(n, 0), "password": data.PASSWORD})["access"] for n in organizations}


def watched(machine, installation):
    return {**{name: process.pid for name, process in installation.processes.items()},
            "postgres": machine.postgres.pid, "redis": machine.redis.pid}


def measure(machine, options):
    """Everything, in order; gives rows and details."""
    total = data.SIZES[options.size]
    organizations = range(1, options.organizations + 1)
    machine.start_servers()
    settings = prepared(machine, "taskflow", 0, total)
    work = measures.Measures(machine, options, say)
    parts = set(options.only or PARTS)

    installation = servers.Installation(machine, settings)
    tokens = log_in(installation, organizations)
    pids = watched(machine, installation)
    time.sleep(options.idle)
    work.memory(installation, "idle", 150)
    if parts & {"drf", "load"}:
        other = baseline.Baseline(machine, options.work / "venv", total, organizations)
        other.check(installation, tokens)
        say("the baseline is up, and answers the same")
        if "drf" in parts:
            work.against_baseline(installation, tokens, other, total, pids)
        if "load" in parts:
            work.load_curve(installation, tokens, other, total)
        machine.stop([other.process])
    if "nginx" in parts:
        work.against_nginx(installation, tokens, total, pids)
    if "pgbench" in parts:
        work.against_pgbench(installation, tokens, total, pids)
    if "single" in parts:
        work.single_process(installation, settings, tokens, total, pids)
    if "lag" in parts:
        work.lags(installation, tokens)
    work.memory(installation, "under load", 350)
    sizes = [work.cost(installation, tokens, total, pids)]
    large = work.pages(installation, tokens) if options.size == "1m" else None
    explained = slowest(work, installation, tokens, large) if large else None
    installation.stop()
    if "ready" in parts:
        work.ready(settings)
    if "size" in parts:
        work.size()
    if "sizes" in parts and options.size != "10k":
        settings = prepared(machine, "small", 1, data.SIZES["10k"])
        installation = servers.Installation(machine, settings)
        tokens = log_in(installation, organizations)
        sizes.insert(0, work.cost(installation, tokens, data.SIZES["10k"], watched(machine, installation)))
        if large:
            work.compare_pages(work.pages(installation, tokens), large)
            work.details["explain"] = explained
        installation.stop()
    work.details["sizes"] = sizes
    return work


def slowest(work, installation, tokens, pages):
    """The plan of the list that takes longest."""
    n, token = next(iter(tokens.items()))
    page = max(pages, key=lambda page: pages[page]["p99"])
    statement, values = postgres_floor.captured(
        work.machine, installation.origin, "/api/project/tasks/?" + page.format(n=n), token)
    return page + "\n" + postgres_floor.explain(work.machine, statement, values, data.organization_id(n))


def command(options):
    """What makes this report again."""
    if options.quick:
        return "make bench-quick"
    extra = [f"--{name} {getattr(options, name)}" for name, usual in (("rounds", 5), ("seconds", 4))
             if getattr(options, name) != usual]
    return f"make bench SIZE={options.size}" + (f' ARGUMENTS="{" ".join(extra)}"' if extra else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--size", choices=data.SIZES, default="100k")
    parser.add_argument("--quick", action="store_true", help="two minutes, 10,000 tasks, no report in docs")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="only these parts, no report in docs")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    options = parser.parse_args()
    options.work = ROOT / ".build/bench"
    options.work.mkdir(parents=True, exist_ok=True)
    quick = options.quick
    if quick:
        options.size = "10k"
    options.rounds = options.rounds or (2 if quick else 5)
    options.seconds = options.seconds or (1 if quick else 4)
    options.curve, options.idle, options.organizations = (1, 2, 20) if quick else (3, 15, 100)
    options.lag_seconds, options.lag_rounds = (2, 1) if quick else (6, 5)
    for tool in ("wrk", "nginx", "redis-server", "psql"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install wrk nginx redis-server postgresql postgresql-contrib")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-bench."))
    folder.chmod(0o755)
    machine = servers.Machine(folder, options.binary)
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    before = os.getloadavg()[0]
    try:
        work = measure(machine, options)
    finally:
        machine.stop()
        shutil.rmtree(folder, ignore_errors=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    result = {
        "about": {"command": command(options),
                  "date": datetime.date.today().isoformat(), "processors": os.cpu_count(),
                  "model": first_line("/proc/cpuinfo", "model name"), "tasks": data.SIZES[options.size],
                  "commit": commit.strip(), "rounds": options.rounds, "seconds": options.seconds,
                  "load_before": round(before, 1), "load_after": round(os.getloadavg()[0], 1),
                  "postgres_settings": servers.POSTGRES_SETTINGS, "pool": servers.POOL},
        "rows": work.rows, "details": work.details}
    target = options.work if quick or options.only else ROOT / "docs"
    # A report for each size in docs; the usual one has the plain name.
    name = "benchmarks" if options.size == "100k" or target == options.work else f"benchmarks-{options.size}"
    report.write(result, target, name)
    say(f"written: {(target / name).relative_to(ROOT)}.md; "
        f"{sum(row['met'] is True for row in work.rows)} of {len(work.rows)} targets met")


if __name__ == "__main__":
    main()
