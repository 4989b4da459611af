"""Processes of the bench: started, watched, started again when something kills them, and stopped in the end."""
import os
import pathlib
import signal
import subprocess
import threading
import time


class Process:
    """One program with its environment; what the supervisor starts again."""

    def __init__(self, name, words, environment, log, folder, user=None):
        self.name, self.words, self.environment = name, words, environment
        self.log, self.folder, self.user = pathlib.Path(log), folder, user
        # Variables that a fault adds, such as a preloaded clock.
        self.extra = {}
        self.popen = None
        # Set while somebody means it to be down; the supervisor then leaves it alone.
        self.is_held = False
        # Deaths that a fault has asked for, and how long the process then stays away.
        self.is_doomed = False
        self.restart_after = 0.0
        self.died_at = None
        self.starts = 0
        # A server that was killed may find its own remains in the way for a moment: until then it may fail to start.
        self.patience = 0.0
        self.may_fail_until = 0.0
        self.stopped_pids = []

    def start(self):
        with self.log.open("ab") as output:
            who = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
            self.popen = subprocess.Popen(
                self.words, env={**self.environment, **self.extra}, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True, **who)
        self.starts += 1
        self.died_at = None
        self.is_doomed = False

    @property
    def pid(self):
        return self.popen.pid if self.popen else None

    @property
    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    def children(self):
        """The direct children: the backends of a Postgres."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if int(fields[1]) == self.pid:
                    found.append(int(entry.name))
        return found

    def kill(self, restart_after=0.0):
        """kill -9; the supervisor brings it back after that many seconds."""
        self.restart_after = restart_after
        self.is_doomed = True
        self.may_fail_until = time.monotonic() + restart_after + self.patience
        if self.is_running:
            self.popen.kill()

    def pause(self):
        """SIGSTOP, with all children."""
        self.stopped_pids = [self.pid, *self.children()]
        for pid in self.stopped_pids:
            _signal(pid, signal.SIGSTOP)

    def resume(self):
        for pid in self.stopped_pids:
            _signal(pid, signal.SIGCONT)
        self.stopped_pids = []

    def stop(self, sign=signal.SIGTERM, seconds=45):
        """Orderly, and for good. False if it had to be killed."""
        self.is_held = True
        if not self.is_running:
            return True
        self.resume()
        self.popen.send_signal(sign)
        try:
            self.popen.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(10)
            return False


def _signal(pid, sign):
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        pass


class Supervisor:
    """Looks after processes twenty times a second, as an operating system's service manager would."""

    def __init__(self, report):
        self.processes = {}
        # Called with a sentence for every death that no fault has asked for.
        self.report = report
        self.is_ending = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def add(self, process):
        self.processes[process.name] = process
        return process

    def begin(self):
        self.thread.start()

    def _watch(self):
        while not self.is_ending.wait(0.05):
            now = time.monotonic()
            for process in list(self.processes.values()):
                if process.is_held or process.popen is None or process.is_running:
                    continue
                if process.died_at is None:
                    process.died_at = now
                    if not process.is_doomed and now > process.may_fail_until:
                        self.report(f"{process.name} ended by itself with {process.popen.returncode}: "
                                    f"{tail(process.log)}")
                if now - process.died_at >= process.restart_after:
                    try:
                        process.start()
                    except OSError as error:
                        self.report(f"{process.name} does not start: {error}")

    def end(self, order):
        """Stops everything in that order; gives the names of those that did not go by themselves."""
        self.is_ending.set()
        if self.thread.is_alive():
            self.thread.join()
        stubborn = []
        for group in order:
            threads = []
            for process, sign in group:
                def stop(process=process, sign=sign):
                    if not process.stop(sign):
                        stubborn.append(process.name)
                threads.append(threading.Thread(target=stop))
                threads[-1].start()
            for thread in threads:
                thread.join()
        return stubborn


def tail(path, size=600):
    try:
        text = pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""
    return " ".join(text[-size:].split())
