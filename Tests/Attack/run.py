#!/usr/bin/env python3
"""Attacks an installation of its own: the gateway with hostile bytes, accounts with guesses and races, both with floods

    Tests/Attack/run.py --binary .build/debug/taskflow [--quick] [--compare FILE] [NAME ...]

Without --quick everything, in a few minutes; with it what takes little time, in about one. NAME is a module, class or
test as unittest names them.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
# What is quick, and what of a module is not.
MODULES = [
    "test_framing",
    "test_paths",
    "test_identity",
    "test_direct",
    "test_limits",
    "test_browsers",
    "test_operations",
    "test_traces",
    "test_rates",
    "test_tokens",
    "test_accounts",
    "test_secrets",
    "test_keys",
    "test_overload",
]
SLOW = [
    "GW_06_a_new_key",
    "GW_10_no_60_s",
    "GW_11_10000",
    "GW_11_slow_heads",
    "GW_11_slow_bodies",
    "GW_16_many",
    "AUTH_02",
    "AUTH_03_a_hundred",
    "AUTH_06_a_refresh_survives",
    "AUTH_07",
    "AUTH_09",
    "test_overload",
    "GW_15",
    "GW_09_a_circuit",
    "GW_13_strict",
    "Proxies",
    "AUTH_12",
]
# These wait for time-outs and whole minutes, which they do beside the others.
WAITING = ["test_limits.Slow", "test_rates.Rates.test_GW_10_no_60_s_hold_more_than_the_limit"]
QUICK = {"TASKFLOW_ATTACK_PATHS": "1500", "TASKFLOW_ATTACK_CONNECTIONS": "1500"}


class Result(unittest.TextTestResult):
    """Says how long each test took, and keeps it."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        self.seconds = time.monotonic() - self.began
        self.stream.writeln(f"  [{self.seconds:.1f} s]")
        super().stopTest(test)


def tests_in(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(HERE.parent.parent / ".build/debug/taskflow"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--compare", help="also write the table of framing verdicts to this file")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.environ["TASKFLOW_ATTACK_BINARY"] = str(pathlib.Path(arguments.binary).resolve())
    if not shutil.which("redis-server"):
        sys.exit("redis-server is missing: install the package redis-server")
    if arguments.quick:
        for name, value in QUICK.items():
            os.environ.setdefault(name, value)
    sys.path.insert(0, str(HERE))
    import installation
    import lab

    suite = unittest.defaultTestLoader.loadTestsFromNames(arguments.names or MODULES)
    beside = None
    if not arguments.quick and not arguments.names:
        suite = unittest.TestSuite(test for test in tests_in(suite) if not any(name in test.id() for name in WAITING))
        beside = subprocess.Popen(
            [sys.executable, __file__, "--binary", arguments.binary, *WAITING], stdout=subprocess.PIPE, text=True
        )
    if arguments.quick:
        suite = unittest.TestSuite(test for test in tests_in(suite) if not any(word in test.id() for word in SLOW))
    status = 1
    began = time.monotonic()
    try:
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout, resultclass=Result).run(suite)
        failed = len(result.failures) + len(result.errors)
        passed = result.testsRun - failed
        if beside:
            output, count = beside.communicate(timeout=300)[0].rsplit("acceptance: ", 1)
            print(output)
            passed, failed = passed + int(count.split()[0]), failed + int(count.split()[2])
        status = 1 if failed or not passed else 0
        print(f"attacks took {time.monotonic() - began:.0f} s")
        print(f"acceptance: {passed} passed, {failed} failed")
    finally:
        if beside and beside.poll() is None:
            beside.terminate()
        lab.stop_shared()
        installation.stop_shared()
    if arguments.compare:
        import compare

        sys.argv = [sys.argv[0], "--binary", arguments.binary, "--output", arguments.compare]
        status = compare.main() or status
    sys.exit(status)


if __name__ == "__main__":
    main()
