#!/usr/bin/env python3
"""Breaks an installation of Taskflow in every way it knows, while people use it, and checks what they were promised.

    Tests/Chaos/chaos.py [--duration 10m] [--seed N] [--only flushall,kill-task] [--binary PATH]
    Tests/Chaos/chaos.py --self-check     the checks themselves are made to fail, each once
    Tests/Chaos/chaos.py --plan           prints the faults of a seed and does nothing
    Tests/Chaos/chaos.py --list           prints the names of all faults
"""
import argparse
import itertools
import json
import pathlib
import random
import re
import resource
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import faults  # noqa: E402
import selfcheck  # noqa: E402
from bench import Bench  # noqa: E402


def seconds(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is no time: write it as 90s, 10m or 1h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[match[2]]


def find_binary():
    for folder in ("debug", "release"):
        path = ROOT / ".build" / folder / "taskflow"
        if path.exists():
            return str(path)
    sys.exit("there is no build of taskflow under .build; build it, or name one with --binary")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=seconds, default=600.0, help="of the faults: 90s, 10m, 1h (10m)")
    parser.add_argument("--seed", type=int, help="repeats the plan of a run; one of chance if it is not given")
    parser.add_argument("--only", type=lambda t: t.split(","), help="names of faults, with commas between")
    parser.add_argument("--binary", help="the program (.build/debug/taskflow, or else the release build)")
    parser.add_argument("--organizations", type=int, default=4)
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second that the load aims at (60)")
    parser.add_argument("--report", type=pathlib.Path, help="where the figures go (.build/chaos/SEED.json)")
    parser.add_argument("--keep", action="store_true", help="leave the installation's folder for a look")
    parser.add_argument("--self-check", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    # Everyone who was ever invited keeps two connections, and the proxy two for each of those between processes.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    if arguments.list:
        for kind, (_, targets) in sorted(faults.KINDS.items()):
            print(f"{kind:18} {' '.join(targets)}")
        return 0
    try:
        steps = list(itertools.islice(faults.plan(arguments.seed, arguments.only), 100))
    except ValueError as error:
        parser.error(str(error))
    if arguments.plan:
        print(*steps, sep="\n")
        return 0
    arguments.binary = arguments.binary or find_binary()
    # An interrupted run must not leave servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return selfcheck.run(arguments) if arguments.self_check else run(arguments)


def run(arguments):
    print(f"chaos: seed {arguments.seed}, {arguments.duration:.0f} s, {arguments.binary}", flush=True)
    bench = Bench(arguments)
    passed = failed = 0
    try:
        bench.start()
        bench.load()
        bench.break_things()
        bench.settle()
        results = bench.check()
        bench.stop()
        passed, failed = tell(bench, results)
    finally:
        bench.stop()
        bench.remove()
    figures = bench.figures()
    path = arguments.report or ROOT / ".build" / "chaos" / f"{arguments.seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures | {"passed": passed, "failed": failed}, indent=2) + "\n")
    for kind, found in figures["recovery_by_fault"].items():
        print(f"recovery after {kind:18} {found['measured']:3} of {found['times']:3} measured, median "
              f"{found['median_seconds']} s, max {found['max_seconds']} s")
    print(f"passing errors: {figures['passing_errors']}, no answer: {figures['no_answer']}")
    print(f"chaos: seed {arguments.seed}, {figures['fault_count']} faults, {figures['requests']} requests, "
          f"{figures['acknowledged']} acknowledged, {figures['ambiguous']} ambiguous; figures in {path}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def tell(bench, results):
    """Prints what every check has found."""
    # The end of the processes is judged too, and it comes after the checks.
    results["processes"] = bench.judge.violations.get("processes", [])
    for name, violations in sorted(results.items()):
        count = max(len(violations), bench.judge.violation_counts[name])
        print(f"{'FAILED' if violations else 'passed'}  {name}" + (f": {count} violations" if violations else ""))
        for sentence in violations[:10]:
            print(f"        {sentence}")
    failed = sum(bool(v) for v in results.values())
    return len(results) - failed, failed


if __name__ == "__main__":
    sys.exit(main())
