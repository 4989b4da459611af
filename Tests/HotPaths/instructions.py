#!/usr/bin/env python3
"""Counts the instructions of what is done for every request, and holds them against instructions.json.

    Tests/HotPaths/instructions.py PROGRAM            # the program `hotpaths` of a debug build
    Tests/HotPaths/instructions.py PROGRAM --write    # the counts become the thresholds, with a tenth to spare

Valgrind's cachegrind counts them, so neither the machine's speed nor its load has a say. A count is that of 40 times less
that of 20, divided by 20: what is done once at the start falls out. The build is the debug build of the tests; it tells
that something has become dearer, not what it costs in a release.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

THRESHOLDS = pathlib.Path(__file__).resolve().parent / "instructions.json"
FEW, MANY, SPARE = 20, 40, 1.1


def instructions(program, name, count):
    run = subprocess.run(["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
                          program, name, str(count)], capture_output=True, text=True,
                         # Else the order of sets and dictionaries is another one each time.
                         env={**os.environ, "SWIFT_DETERMINISTIC_HASHING": "1"})
    found = re.search(r"I\s+refs:\s+([\d,]+)", run.stderr)
    if run.returncode or not found:
        sys.exit(f"{name} cannot be counted: {run.stderr[-1500:]}")
    return int(found[1].replace(",", ""))


def each(program, name):
    return round((instructions(program, name, MANY) - instructions(program, name, FEW)) / (MANY - FEW))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: apt-get install valgrind")
    # Without its debugging information, which valgrind's reader does not understand.
    folder = tempfile.TemporaryDirectory()
    stripped = pathlib.Path(folder.name) / "hotpaths"
    subprocess.run(["strip", "--strip-debug", "-o", stripped, options.program], check=True)
    options.program = str(stripped)
    names = subprocess.run([options.program], check=True, capture_output=True, text=True).stdout.split()[1:]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        counts = dict(zip(names, pool.map(lambda name: each(options.program, name), names)))
    if options.write:
        THRESHOLDS.write_text(json.dumps({name: round(count * SPARE) for name, count in counts.items()}, indent=2) + "\n")
    thresholds = json.loads(THRESHOLDS.read_text())
    wrong = 0
    for name, count in counts.items():
        limit = thresholds.get(name)
        good = limit is not None and count <= limit
        wrong += not good
        print(f"{'ok    ' if good else 'FAILED'} {name:16} {count:>10,} instructions, at most "
              f"{'nothing is said' if limit is None else f'{limit:,}'}")
    for name in thresholds.keys() - counts.keys():
        wrong += 1
        print(f"FAILED {name:16} is not counted any more")
    print(f"instructions: {len(counts) - wrong} passed, {wrong} failed")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
