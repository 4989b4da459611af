"""An installation for the bench: Postgres, Redis, and every service as a process of its own, two of Task, two gateways.

Between any two of them runs a link of the proxy, named `from>to`: `gateway-1>task-2`, `task-1>redis`,
`notification>postgres`, `task-2>auth`. The bench itself speaks to the gateways and to the servers directly.
"""
import json
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from supervisor import Process, tail

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "Acceptance"))
from stores import free_port, surroundings  # noqa: E402

SERVICES = ["auth", "organization", "project", "task-1", "task-2", "notification"]
GATEWAYS = ["gateway-1", "gateway-2"]
SCHEMAS = ["auth", "organization", "project", "task", "notification"]
TOKEN_LIFETIME = 60


def role(name):
    """The service that a process runs: `task` for `task-2`."""
    return name.split("-")[0]


def find_program(name):
    for folder in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if not found:
        sys.exit(f"{name} is not installed")
    return found


class Psql:
    """A psql that stays open: Python's standard library speaks no Postgres. One question at a time."""

    def __init__(self, url):
        self.url = url
        self.lock = threading.Lock()
        self.process = None

    def _open(self):
        self.process = subprocess.Popen(
            ["psql", "-qAtX", "-v", "ON_ERROR_STOP=0", self.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "PGCONNECT_TIMEOUT": "3", "PGOPTIONS": "-c timezone=UTC"})

    def query(self, sql):
        """The rows of a SELECT, as dictionaries. Raises OSError if the server is not there."""
        answer = self.run(f"SELECT coalesce(json_agg(q), '[]') FROM ({sql.rstrip().rstrip(';')}) q;")
        return json.loads(answer)

    def run(self, sql):
        """What psql prints for these statements."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self._open()
            mark = secrets.token_hex(8)
            try:
                self.process.stdin.write(f"{sql}\n;\n\\echo {mark}\n")
                self.process.stdin.flush()
                lines = []
                for line in self.process.stdout:
                    if line.rstrip("\n") == mark:
                        text = "".join(lines).strip()
                        if text.startswith(("ERROR:", "FATAL:")) or "server closed the connection" in text:
                            # After a crash psql reconnects by itself; what was asked is not answered.
                            raise OSError(text[:2000])
                        return text
                    lines.append(line)
            except BrokenPipeError:
                lines = ["psql is gone"]
            self.process.wait()
            raise OSError("".join(lines)[:2000])

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class Installation:
    def __init__(self, binary, folder, supervisor, settings=None):
        self.binary = str(pathlib.Path(binary).resolve())
        self.folder = pathlib.Path(folder)
        self.supervisor = supervisor
        self.settings = settings or {}
        self.user = "postgres" if os.geteuid() == 0 else None
        self.mail = self.folder / "mail"
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        self.links = {}
        self.proxy_lock = threading.Lock()
        self.proxy = None
        self.sql = None
        self.passwords = {name: secrets.token_hex(12) for name in ["admin", *SCHEMAS]}
        self.secret = secrets.token_hex(32)

    # Starting

    def start(self):
        names = [*SERVICES, *GATEWAYS, "admin-1", "admin-2", "postgres", "redis"]
        self.ports = {name: free_port() for name in names}
        self._start_postgres()
        self._start_redis()
        self._start_proxy()
        self._migrate()
        for name in [*SERVICES, *GATEWAYS]:
            words = [self.binary, "serve", role(name)]
            process = Process(name, words, self._environment(name), self.logs / f"{name}.log", self.folder)
            self.supervisor.add(process).start()
        self.supervisor.begin()
        self.wait_ready(120)

    def _start_postgres(self):
        data = self.folder / "postgres"
        data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(self.passwords["admin"])
        if self.user:
            who = pwd.getpwnam(self.user)
            os.chown(data, who.pw_uid, who.pw_gid)
            os.chown(password, who.pw_uid, who.pw_gid)
        as_user = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        subprocess.run(
            [find_program("initdb"), "-D", str(data), "-U", "chaos_admin", "--auth=scram-sha-256",
             f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"],
            check=True, cwd="/", stdout=(self.logs / "initdb.log").open("wb"), stderr=subprocess.STDOUT, **as_user)
        password.unlink()
        words = [find_program("postgres"), "-D", str(data), "-p", str(self.ports["postgres"]),
                 "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200",
                 "-c", "shared_buffers=128MB", "-c", "log_timezone=UTC", "-c", "timezone=UTC",
                 # More often than by default, so that a crash meets a checkpoint now and then.
                 "-c", "checkpoint_timeout=120s"]
        process = Process("postgres", words, dict(os.environ), self.logs / "postgres.log", "/", self.user)
        process.patience = 30
        self.supervisor.add(process).start()
        self.sql = Psql(self.database_url("chaos_admin", self.passwords["admin"], "postgres"))
        self._until(self._postgres_answers, process, 60)
        self.sql.run("CREATE DATABASE taskflow TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
        self.sql.close()
        self.sql = Psql(self.database_url("chaos_admin", self.passwords["admin"]))

    def _postgres_answers(self):
        try:
            return self.sql.query("SELECT 1 AS one") == [{"one": 1}]
        except (OSError, ValueError):
            return False

    def _start_redis(self):
        folder = self.folder / "redis"
        folder.mkdir()
        words = ["redis-server", "--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(folder),
                 "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
                 "--daemonize", "no"]
        process = Process("redis", words, dict(os.environ), self.logs / "redis.log", folder)
        process.patience = 10
        self.supervisor.add(process).start()
        self._until(lambda: self.redis("PING") == "+PONG", process, 30)

    def _start_proxy(self):
        words = [sys.executable, str(HERE / "proxy.py")]
        self.proxy = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      stderr=(self.logs / "proxy.log").open("ab"), start_new_session=True)
        pairs = [(s, server) for s in SERVICES for server in ("redis", "postgres")]
        pairs += [(g, "redis") for g in GATEWAYS] + [(g, s) for g in GATEWAYS for s in SERVICES]
        # Services ask each other for public keys, revocations and lost events. Of the two of Task, the first is asked.
        pairs += [(a, b) for a in SERVICES for b in SERVICES if role(a) != role(b) and b != "task-2"]
        targets = {f"{a}>{b}": ["127.0.0.1", self.ports[b]] for a, b in pairs}
        self.links = self.command({"links": targets})["ports"]

    def command(self, command):
        """One order to the proxy."""
        with self.proxy_lock:
            self.proxy.stdin.write(json.dumps(command) + "\n")
            self.proxy.stdin.flush()
            return json.loads(self.proxy.stdout.readline())

    def _migrate(self):
        environment = {**surroundings(), **self._shared("auth")}
        environment["TASKFLOW_ADMIN_DATABASE_URL"] = self.database_url("chaos_admin", self.passwords["admin"])
        for schema in SCHEMAS:
            environment[f"TASKFLOW_{schema.upper()}_DATABASE_URL"] = self.database_url(
                f"{schema}_app", self.passwords[schema])
        done = subprocess.run([self.binary, "migrate"], env=environment, cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        if done.returncode:
            raise RuntimeError(f"migrate failed: {done.stdout}")

    def database_url(self, name, password, database="taskflow", port=None):
        return f"postgresql://{name}:{password}@127.0.0.1:{port or self.ports['postgres']}/{database}"

    def _shared(self, name):
        """What every process is told; addresses of others go over this process's own links."""
        def at(target):
            return self.links.get(f"{name}>{target}", self.ports[target])
        values = {"TASKFLOW_SECRET": self.secret, "TASKFLOW_PUBLIC_URL": self.origin("gateway-1"),
                  "TASKFLOW_REDIS_URL": f"redis://127.0.0.1:{at('redis')}/0", "TASKFLOW_RATE_LIMITS": "off",
                  "TASKFLOW_LOG_LEVEL": "info", "TASKFLOW_LOG_FORMAT": "json",
                  "TASKFLOW_ACCESS_TOKEN_LIFETIME": str(TOKEN_LIFETIME), "TASKFLOW_MAIL_DIRECTORY": str(self.mail),
                  "TASKFLOW_OVERDUE_INTERVAL": "1", "TASKFLOW_REMINDER_INTERVAL": "1",
                  "TASKFLOW_MEDIA_DIRECTORY": str(self.folder / "media"), "TASKFLOW_GATEWAY_DRAIN": "0"}
        for service in SERVICES:
            if service != "task-2":
                values[f"TASKFLOW_{role(service).upper()}_URL"] = f"http://127.0.0.1:{at(service)}"
        return values | self.settings

    def _environment(self, name):
        values = {**surroundings(), **self._shared(name)}
        if name in GATEWAYS:
            number = name[-1]
            values["TASKFLOW_GATEWAY_LISTEN"] = f"127.0.0.1:{self.ports[name]}"
            values["TASKFLOW_GATEWAY_ADMIN"] = f"127.0.0.1:{self.ports['admin-' + number]}"
            for schema in SCHEMAS:
                servers = [s for s in SERVICES if role(s) == schema]
                values[f"TASKFLOW_UPSTREAM_{schema.upper()}"] = " ".join(
                    f"127.0.0.1:{self.links[f'{name}>{s}']}" for s in servers)
        else:
            schema = role(name)
            values[f"TASKFLOW_{schema.upper()}_LISTEN"] = f"127.0.0.1:{self.ports[name]}"
            values[f"TASKFLOW_{schema.upper()}_DATABASE_URL"] = self.database_url(
                f"{schema}_app", self.passwords[schema], port=self.links[f"{name}>postgres"])
        return values

    def origin(self, gateway):
        return f"http://127.0.0.1:{self.ports[gateway]}"

    # Looking

    def _until(self, check, process, seconds):
        deadline = time.monotonic() + seconds
        while not check():
            if time.monotonic() > deadline or (process and not process.is_running):
                raise RuntimeError(f"{process.name if process else 'the installation'} is not ready: "
                                   f"{tail(process.log) if process else ''}")
            time.sleep(0.1)

    def is_ready(self, name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/health/ready", timeout=3) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False
        except ValueError:
            return False

    def wait_ready(self, seconds):
        """Until every service and gateway says that it is ready; gives how long that took."""
        begun = time.monotonic()
        for name in [*SERVICES, *GATEWAYS]:
            process = self.supervisor.processes[name]
            while not self.is_ready(name):
                if time.monotonic() - begun > seconds:
                    raise RuntimeError(f"{name} is not ready after {seconds} s: {tail(process.log)}")
                time.sleep(0.1)
        return time.monotonic() - begun

    def redis(self, *words, timeout=5):
        """One command to Redis, and the first line of its answer; None if it is not there."""
        message = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
        try:
            with socket.create_connection(("127.0.0.1", self.ports["redis"]), timeout) as connection:
                connection.sendall(message.encode())
                return connection.makefile("rb").readline().decode().rstrip("\r\n")
        except OSError:
            return None

    def redis_replies(self, commands):
        """Answers of several commands, parsed; for the checks."""
        with socket.create_connection(("127.0.0.1", self.ports["redis"]), 10) as connection:
            for words in commands:
                message = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
                connection.sendall(message.encode())
            stream = connection.makefile("rb")
            return [_reply(stream) for _ in commands]

    def events_status(self):
        """`taskflow events status`, and whether everything in it is at rest."""
        environment = {**surroundings(), **self._shared("nobody")}
        done = subprocess.run([self.binary, "events", "status"], env=environment, cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        wanted = {"depth": "0", "lag": "0", "retrying": "0", "parked": "0"}
        lines = [dict(w.split("=", 1) for w in line.split() if "=" in w)
                 for line in done.stdout.splitlines() if "stream=" in line]
        rest = len(lines) > 0 and all(line.get(k, v) == v for line in lines for k, v in wanted.items())
        # Each service's outbox and each reader's cursors stand in it, or somebody did not answer.
        complete = sum("depth" in line for line in lines) == 64 and "does not answer" not in done.stdout
        return rest and complete and done.returncode == 0, done.stdout

    # Ending

    def stop(self):
        """Stops everything; gives the names of processes that did not stop on SIGTERM."""
        processes = self.supervisor.processes
        order = [[(processes[n], signal.SIGTERM) for n in GATEWAYS if n in processes],
                 [(processes[n], signal.SIGTERM) for n in SERVICES if n in processes],
                 [(processes[n], signal.SIGINT if n == "postgres" else signal.SIGTERM)
                  for n in ("postgres", "redis") if n in processes]]
        if self.sql:
            self.sql.close()
        stubborn = self.supervisor.end(order)
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()
        return stubborn


def _reply(stream):
    line = stream.readline()
    kind, rest = line[:1], line[1:].rstrip(b"\r\n")
    if kind == b"$":
        size = int(rest)
        if size < 0:
            return None
        return stream.read(size + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return [_reply(stream) for _ in range(max(0, int(rest)))]
    if kind == b":":
        return int(rest)
    if kind == b"-":
        raise OSError(rest.decode())
    return rest.decode()
