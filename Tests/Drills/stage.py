"""What the drills are played on: a Postgres, a Redis, services and gateways, each a process of its own.

Python and its standard library only; nothing here knows the program but by its commands, settings and public API.
"""
import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

# At the end: both folders have a run.py and more that are called alike.
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "Acceptance"))
from stores import Failed, Redis, RedisCluster, expect, free_port, surroundings, wait_for  # noqa: E402, F401

SERVICES = ["auth", "organization", "project", "task", "notification"]
SECRET = "drill-secret-0123456789-0123456789-abcdef"
PASSWORD = "drill-password"


class LeftOut(Exception):
    """What a drill needs and this machine has not."""


def postgres_program(name):
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    return str(folders[-1] / name) if folders else name


class Postgres:
    """A cluster of its own on a Unix socket and, for `port`, on loopback."""

    def __init__(self, folder, options=(), data=None):
        self.folder = folder
        self.data = data or folder / "data"
        self.port = free_port()
        self.options = ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", *options]
        self.process = None
        self.log = folder / "log"
        self.account = []
        self.log_folder = None
        folder.mkdir(exist_ok=True)
        if os.getuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            self.account = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--"]

    @property
    def admin(self):
        return self.url("postgres", "taskflow", PASSWORD)

    def url(self, role, database="taskflow", password=PASSWORD):
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    def initialize(self):
        if self.data.exists():
            shutil.rmtree(self.data, ignore_errors=True)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        subprocess.run([*self.account, postgres_program("initdb"), "-D", str(self.data), "-U", "postgres",
                        f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
                        "--wal-segsize=1", *([f"--waldir={self.log_folder}"] if self.log_folder else [])],
                       check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self, wait=True):
        output = self.log.open("ab")
        self.process = subprocess.Popen(
            [*self.account, postgres_program("postgres"), "-D", str(self.data), "-k", str(self.folder), "-p",
             str(self.port), *self.options], stdout=output, stderr=output, cwd="/", start_new_session=True)
        if wait:
            wait_for(self.is_ready, "Postgres is ready")

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failed(f"Postgres ended: {self.log.read_text()[-2000:]}")
        return subprocess.run([postgres_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                              check=False).returncode == 0

    def stop(self, how=signal.SIGINT):
        if self.process and self.process.poll() is None:
            if how == signal.SIGKILL:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.send_signal(how)
            self.process.wait(60)

    def destroy(self):
        self.stop(signal.SIGKILL)
        # Its children may live on for a moment after their parent.
        wait_for(lambda: remove(self.data), "the cluster is gone")

    def sql(self, text, database="taskflow"):
        """Rows as lists of texts."""
        done = subprocess.run(["psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                               self.url("postgres", database, PASSWORD), "-c", text], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise Failed(f"psql: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()


class Process:
    """One process of the program; it may be ended and started again, on the same port."""

    def __init__(self, stage, name, number, ports):
        self.stage, self.name, self.number, self.ports = stage, name, number, ports
        self.log = stage.folder / f"{name}-{number}.log"
        self.binary = stage.binary
        self.process = None
        self.extra = {}

    @property
    def port(self):
        return self.ports[0]

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        environment = self.stage.environment(self)
        self.process = subprocess.Popen([self.binary, "serve", self.name], env=environment, cwd=self.stage.folder,
                                        stdout=subprocess.DEVNULL, stderr=self.log.open("ab"), start_new_session=True)

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
        return status(self.origin + "/health/ready") == 200

    def stop(self, how=signal.SIGTERM):
        """The code with which it ended."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(how)
        return self.process.wait(45)

    def says(self, text):
        """How many of its records hold the text."""
        return sum(text in line for line in self.log.read_text(errors="replace").splitlines())


def status(url, timeout=2):
    """The status of a GET, 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Stage:
    """Everything together. `copies` says how many processes of each service and of the gateway there are."""

    def __init__(self, binary, copies=1, gateways=1, settings=None, postgres_options=(), redis_options=(),
                 postgres_data=None):
        self.binary = str(pathlib.Path(binary).resolve())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-drill."))
        self.folder.chmod(0o755)
        self.settings = settings or {}
        self.postgres = Postgres(self.folder / "pg", postgres_options, postgres_data)
        self.redis = Redis(self.folder / "redis", redis_options)
        self.redis_url = self.redis.url
        self.services = [Process(self, name, number, [free_port()]) for name in SERVICES
                         for number in range(1, copies + 1)]
        self.gateways = [Process(self, "gateway", number, [free_port(), free_port()])
                         for number in range(1, gateways + 1)]

    @property
    def processes(self):
        return self.services + self.gateways

    @property
    def origins(self):
        return [gateway.origin for gateway in self.gateways]

    def named(self, name):
        return [process for process in self.processes if process.name == name]

    def environment(self, process=None):
        """The settings of a process, or of a command."""
        environment = {
            **surroundings(),
            "TASKFLOW_SECRET": SECRET, "TASKFLOW_PUBLIC_URL": self.gateways[0].origin if self.gateways else "http://x",
            "TASKFLOW_REDIS_URL": self.redis_url, "TASKFLOW_ADMIN_DATABASE_URL": self.postgres.admin,
            "TASKFLOW_RATE_LIMITS": "off", "TASKFLOW_OVERDUE_INTERVAL": "1", "TASKFLOW_REMINDER_INTERVAL": "60",
            "TASKFLOW_MAIL_DIRECTORY": str(self.folder / "mail"), "TASKFLOW_LOG_FORMAT": "json",
            "TASKFLOW_MEDIA_DIRECTORY": str(self.folder / "media"), "TASKFLOW_LOG_LEVEL": "notice",
            "TASKFLOW_DRAIN": "3",
        }
        for name in SERVICES:
            key, copies = name.upper(), self.named(name)
            environment |= {
                f"TASKFLOW_{key}_DATABASE_URL": self.postgres.url(f"{name}_app"),
                f"TASKFLOW_{key}_URL": copies[0].origin,
                f"TASKFLOW_{key}_LISTEN": f"127.0.0.1:{copies[0].port}",
                f"TASKFLOW_UPSTREAM_{key}": " ".join(f"127.0.0.1:{copy.port}" for copy in copies),
            }
        environment |= self.settings
        if process and process.name == "gateway":
            environment |= {"TASKFLOW_GATEWAY_LISTEN": f"127.0.0.1:{process.ports[0]}",
                            "TASKFLOW_GATEWAY_ADMIN": f"127.0.0.1:{process.ports[1]}"}
        elif process:
            environment[f"TASKFLOW_{process.name.upper()}_LISTEN"] = f"127.0.0.1:{process.port}"
        return environment | (process.extra if process else {})

    def run(self, *words, check=True, timeout=600, binary=None, **extra):
        """A command of the program to its end."""
        done = subprocess.run([binary or self.binary, *map(str, words)], env=self.environment() | extra,
                              cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise Failed(f"taskflow {' '.join(map(str, words))}: {done.returncode} {done.stdout}{done.stderr}")
        return done

    def create_database(self):
        self.postgres.sql("CREATE DATABASE taskflow TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'", "postgres")

    def start(self):
        """Stores, schemas, services, gateways; ready when it returns."""
        self.postgres.initialize()
        self.postgres.start()
        self.create_database()
        self.redis.start()
        self.run("migrate")
        self.start_processes()

    def start_processes(self, seconds=120):
        for process in self.processes:
            process.start()
        self.wait_ready(seconds=seconds)

    def wait_ready(self, processes=None, seconds=120):
        for process in processes or self.processes:
            wait_for(process.is_ready, f"{process.name}-{process.number} is ready", seconds)

    def stop_processes(self, how=signal.SIGTERM):
        for process in self.processes:
            if process.process and process.process.poll() is None:
                process.process.send_signal(how)
        for process in self.processes:
            if process.process:
                process.process.wait(45)

    def close(self, keep=False):
        for process in self.processes:
            with contextlib.suppress(Exception):
                process.stop(signal.SIGKILL)
        for store in (self.redis, self.postgres):
            with contextlib.suppress(Exception):
                store.stop(signal.SIGKILL)
        if keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def verify(self, wait=60):
        """`taskflow verify`; its last line."""
        done = self.run("verify", "--wait", wait, check=False)
        expect(done.returncode == 0, f"verify: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip().splitlines()[-1]

    def log_heads(self):
        """By stream, the number at which each log is."""
        query = " UNION ALL ".join(f"SELECT '{name}.' || lpad(shard::text, 2, '0'), seq FROM {name}.event_log"
                                   for name in SERVICES)
        return {stream: int(seq) for stream, seq in self.postgres.sql(query)}

    def wait_quiet(self, seconds=60):
        """Waits until every cursor is where its log is and every stream too."""
        def is_quiet():
            heads = self.log_heads()
            query = " UNION ALL ".join(f"SELECT stream, seq FROM {name}.cursor" for name in SERVICES)
            return all(int(seq) == heads.get(stream, 0) for stream, seq in self.postgres.sql(query))
        wait_for(is_quiet, "all readers have caught up", seconds, every=0.5)

    def grep(self, pattern):
        """Records of all processes that match, with the process' name."""
        found = []
        for process in self.processes:
            if process.log.exists():
                found += [f"{process.name}-{process.number}: {line}"
                          for line in process.log.read_text(errors="replace").splitlines() if re.search(pattern, line)]
        return found
