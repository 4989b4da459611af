#!/usr/bin/env python3
"""Runs the tenancy tests: the static checks, then the matrix and the canaries against an installation of their own.

    Tests/Tenancy/run.py --binary .build/debug/taskflow [--quick] [--only MODULE ...]

--quick is the part that `make test` runs; without it the deletion drill and the plans follow, which take minutes.
"""
import argparse
import os
import pathlib
import sys
import unittest

import installation

HERE = pathlib.Path(__file__).resolve().parent
QUICK = ["test_static", "test_matrix", "test_canaries"]
SLOW = ["test_keys", "test_deletion", "test_plans"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(HERE.parents[1] / ".build/debug/taskflow"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="MODULE", help="modules, or tests as unittest names them")
    arguments = parser.parse_args()
    os.environ["TASKFLOW_ACCEPTANCE_BINARY"] = str(pathlib.Path(arguments.binary).resolve())
    sys.path.insert(0, str(HERE))
    names = arguments.only or QUICK + ([] if arguments.quick else SLOW)
    failed = count = 0
    stopped = True
    # The slow modules start installations of their own; the first part shares this one.
    shared = installation.Installation(arguments.binary) if set(n.split(".")[0] for n in names) & set(QUICK) else None
    try:
        if shared:
            os.environ |= {"TASKFLOW_ORIGIN": shared.origin, "TASKFLOW_MAIL": str(shared.mail),
                           "TASKFLOW_TENANCY_DATABASE": shared.administrator(), "TASKFLOW_TENANCY_LOG": str(shared.log)}
        suite = unittest.TestLoader().loadTestsFromNames(names)
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
        # A test may fail in several of its parts.
        bad = {test.id().split(" ")[0] for test, _ in [*result.failures, *result.errors]}
        failed, count = len(bad), result.testsRun
    finally:
        if shared:
            stopped = shared.stop()
    print(f"acceptance: {max(0, count - failed)} passed, {failed} failed")
    return 0 if count and not failed and stopped else 1


if __name__ == "__main__":
    sys.exit(main())
