#!/usr/bin/env python3
"""Runs schemathesis (PyPI) with its default checks against an installation of its own.

    python3 -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install schemathesis
    PATH=/tmp/fuzz/bin:$PATH Tests/Acceptance/fuzz.py --binary .build/debug/taskflow [ARGUMENTS OF schemathesis run]

It makes a throw-away organization with something in it and works with the token of its admin, which is got anew
whenever the fuzzer has logged it out or ended its session. fuzz_hooks.py says which refusals no schema can foresee.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import run

HERE = pathlib.Path(__file__).resolve().parent


def found():
    """An organization with a few of everything, so that small numbers name something; gives its admin."""
    import support
    admin = support.sign_up()
    manager = support.add_user(admin, "MANAGER")
    for number in range(3):
        admin.post(support.DEPARTMENTS, {"department_name": f"Department {number}"})
        project = support.project(admin)
        support.collaborate(admin, project["id"], manager)
        parent = support.task(admin, project["id"], start_date=None, collaborators=[manager.email])
        admin.post(support.task_path(parent) + "subtasks/", {"title": "A part of it", "start_date": None})
    return admin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(HERE.parent.parent / ".build/debug/taskflow"))
    parser.add_argument("--defaults", action="store_true", help="without fuzz.toml: the default checks as they are")
    arguments, more = parser.parse_known_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-fuzz."))
    folder.chmod(0o755)
    processes, status = [], 1
    try:
        origin, mail, processes, log = run.start(arguments.binary, folder)
        os.environ |= {"TASKFLOW_ORIGIN": origin, "TASKFLOW_MAIL": str(mail)}
        admin = found()
        import support
        environment = {**os.environ, "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "fuzz_hooks",
                       "TASKFLOW_FUZZ_ORIGIN": origin, "TASKFLOW_FUZZ_EMAIL": admin.email,
                       "TASKFLOW_FUZZ_PASSWORD": support.PASSWORD}
        config = [] if arguments.defaults else ["--config-file", str(HERE / "fuzz.toml")]
        status = subprocess.run(["schemathesis", *config, "run", *more, origin + "/api/openapi.json"],
                                env=environment, cwd=folder).returncode
    finally:
        if not run.stop(processes):
            status = 1
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
