"""An installation for these tests: started as the acceptance tests do it, with a look behind its scenes."""
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Acceptance"))
import run  # noqa: E402


class Installation:
    """`origin` and `mail` for clients; `administrator(service)` and `redis` to look at what is stored."""

    def __init__(self, binary, in_processes=False, settings=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-tenancy."))
        self.folder.chmod(0o755)
        self.binary, self.in_processes = str(pathlib.Path(binary).resolve()), in_processes
        self.settings = {"TASKFLOW_LOG_LEVEL": "info", **(settings or {})}
        self.origin, self.mail, self.processes, self.log = run.start(
            self.binary, self.folder, in_processes, self.settings)
        values = (self.folder / "data/taskflow.env").read_text().splitlines()
        self.values = dict(line.split("=", 1) for line in values)

    def administrator(self):
        url = self.values["TASKFLOW_ADMIN_DATABASE_URL"]
        return url.rsplit("/", 1)[0] + "/processes" if self.in_processes else url

    def redis_socket(self):
        if self.in_processes:
            return str(self.folder / "redis.sock")
        return self.values["TASKFLOW_REDIS_URL"].removeprefix("unix://")

    def media(self):
        return self.folder / ("media" if self.in_processes else "data/media")

    def stop(self):
        stopped = run.stop(self.processes)
        shutil.rmtree(self.folder, ignore_errors=True)
        return stopped
