#!/usr/bin/env python3
"""Operations drills: what an operator does or has done to them, played on servers of their own.

    Tests/Drills/run.py [--binary .build/debug/taskflow] [NAME ...]

Without a name all are played, one after the other. Each prints its figures; the last line counts. What needs something
that this machine has not (pgbouncer, the right to mount a disk) is left out, and said so.
"""
import argparse
import importlib
import pathlib
import sys
import time
import traceback

from stage import Failed, LeftOut

HERE = pathlib.Path(__file__).resolve().parent
MODULES = {
    "backup-restore": "backup_restore", "redis-ahead": "redis_ahead", "rolling-restart": "rolling_restart",
    "late-stores": "late_stores", "full-disk": "full_disk", "exhausted-connections": "exhausted_connections",
    "upgrade": "upgrade", "redis-cluster": "redis_cluster",
    "redis-away": "redis_away", "rebuild": "rebuild", "soak": "soak", "redis-short": "redis_short", "pooler": "pooler",
}


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--binary", default=str(HERE.parent.parent / ".build/debug/taskflow"))
    parser.add_argument("--keep", action="store_true", help="leave the folders for a look")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MODULES))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in MODULES]
    if unknown:
        parser.error(f"no drill is called {unknown[0]}; there are {', '.join(MODULES)}")
    if not pathlib.Path(arguments.binary).is_file():
        parser.error(f"{arguments.binary} is not there: build it, or give --binary")
    passed = failed = 0
    left_out = []
    for name in arguments.names or MODULES:
        print(f"{name}: begins", flush=True)
        begun = time.monotonic()
        try:
            module = importlib.import_module(MODULES[name])
            module.drill(arguments.binary, lambda *words: print(" ", *words, flush=True), keep=arguments.keep)
            passed += 1
            verdict = "passed"
        except LeftOut as lack:
            left_out.append(name)
            verdict = "left out"
            print(f"  {lack}")
        except Exception as error:  # noqa: BLE001: whatever it is, the others are still to be played
            failed += 1
            verdict = "failed"
            if not isinstance(error, Failed):
                traceback.print_exc(file=sys.stdout)
            print(f"  {error}")
        print(f"{name}: {verdict} in {time.monotonic() - begun:.0f} s", flush=True)
    print(f"drills: {passed} passed, {failed} failed" + (f", left out: {', '.join(left_out)}" if left_out else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
