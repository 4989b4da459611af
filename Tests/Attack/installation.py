"""A whole installation for the attacks on accounts and for overload: every service a process, so that each can be hung.

Started as the acceptance tests start theirs; what only an operator sees (the database, the command line, processes) is
reached from here, and nothing else is.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import lab

sys.path.insert(0, str(lab.HERE.parent / "Acceptance"))
import run  # noqa: E402


class Installation:
    def __init__(self, settings=None, in_processes=True):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-attack."))
        self.folder.chmod(0o755)
        self.in_processes = in_processes
        before = dict(os.environ)
        origin, mail, self.processes, self.log = run.start(
            lab.BINARY, self.folder, in_processes, settings={"TASKFLOW_LOG_LEVEL": "info", **(settings or {})}
        )
        assert dict(os.environ) == before
        self.origin, self.mail = origin, mail
        self.port = int(origin.rsplit(":", 1)[1])
        lines = (self.folder / "data" / "taskflow.env").read_text().splitlines()
        self.settings = dict(line.split("=", 1) for line in lines)
        self.database = "processes" if in_processes else "taskflow"

    def process(self, name):
        """The first process of a service."""
        return next(p for p in self.processes if p.args[1:] == ["serve", name])

    def start_like(self, name, **settings):
        """Another process like the first one of a service, with other settings."""
        process = self.process(name)
        return self.launch(process.args, {**environment_of(process), **settings})

    def launch(self, arguments, environment):
        with self.log.open("ab") as log:
            return subprocess.Popen(
                arguments, env=environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def restart(self, name):
        """Kills a service without warning and starts it again."""
        old = self.process(name)
        environment = environment_of(old)
        old.kill()
        old.wait()
        self.processes[self.processes.index(old)] = self.launch(old.args, environment)

    def database_url(self):
        """Where the database's administrator reaches it."""
        return self.settings["TASKFLOW_ADMIN_DATABASE_URL"].rsplit("/", 1)[0] + "/" + self.database

    def sql(self, statement):
        """What the database says to its administrator, row by row."""
        answer = subprocess.run(
            ["psql", "-qXAt", "-F", "|", "-v", "ON_ERROR_STOP=1", self.database_url(), "-c", statement],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return [line.split("|") for line in answer.stdout.splitlines()]

    def command(self, *words):
        """`taskflow ...` as an operator types it."""
        environment = {**lab.surroundings(), **self.settings}
        environment["TASKFLOW_AUTH_DATABASE_URL"] = re.sub(
            r"/[^/]*$", "/" + self.database, self.settings["TASKFLOW_AUTH_DATABASE_URL"]
        )
        return subprocess.run(
            [lab.BINARY, *words],
            cwd=self.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def stop(self):
        run.stop(self.processes)
        shutil.rmtree(self.folder, ignore_errors=True)


def environment_of(process):
    text = pathlib.Path(f"/proc/{process.pid}/environ").read_text()
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


_shared = None


def shared():
    """The installation that most tests use; the helpers of the acceptance tests speak to it from then on."""
    global _shared
    if _shared is None:
        _shared = Installation()
        adopt(_shared)
    return _shared


def adopt(place):
    """Makes the helpers of the acceptance tests speak to an installation."""
    os.environ["TASKFLOW_ORIGIN"], os.environ["TASKFLOW_MAIL"] = place.origin, str(place.mail)
    import support

    support.ORIGIN, support.MAIL = place.origin, place.mail
    return support


def stop_shared():
    if _shared:
        _shared.stop()
