"""Postgres, Redis, nginx and Taskflow's processes, all of them started here, on loopback and Unix sockets only."""
import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "Acceptance"))
from stores import free_port, surroundings  # noqa: E402

SERVICES = ["auth", "organization", "project", "task", "notification"]
# Two for each processor: Postgres shares the two of them with all the rest.
POOL = 4
# The same server for Taskflow, pgbench and the baseline: fsync and synchronous commit stay on.
POSTGRES_SETTINGS = {"listen_addresses": "", "max_connections": "200", "shared_buffers": "512MB",
                     "log_timezone": "UTC", "timezone": "UTC", "max_wal_size": "4GB", "track_commit_timestamp": "on",
                     "jit": "off"}


def postgres_tool(name):
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name) or name


def as_server_user(words):
    """Postgres refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *words] if os.geteuid() == 0 else words


class Machine:
    """Everything that was started, and its end."""

    def __init__(self, folder, binary):
        self.folder = folder
        self.binary = str(pathlib.Path(binary).resolve())
        self.log = (folder / "log").open("ab")
        self.started = []
        self.sockets = folder / "sockets"
        self.data = folder / "postgres"
        for path in (self.sockets, self.data):
            path.mkdir()
            if os.geteuid() == 0:
                shutil.chown(path, "postgres", "postgres")
        self.postgres = self.redis = None

    def run(self, words, environment=None, cwd=None):
        process = subprocess.Popen(words, env={**surroundings(), **(environment or {})}, cwd=cwd or self.folder,
                                   stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        self.started.append(process)
        return process

    def stop(self, processes=None):
        processes = list(self.started if processes is None else processes)
        for process in reversed(processes):
            if process.poll() is None:
                # SIGINT: Postgres's "fast", which does not wait for its clients.
                process.send_signal(signal.SIGINT if process is self.postgres else signal.SIGTERM)
        for process in reversed(processes):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.started = [p for p in self.started if p not in processes]

    def start_servers(self):
        subprocess.run(as_server_user([postgres_tool("initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust",
                                       "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums"]),
                       check=True, stdout=self.log, stderr=self.log, cwd="/")
        words = [postgres_tool("postgres"), "-D", str(self.data), "-k", str(self.sockets)]
        for name, value in POSTGRES_SETTINGS.items():
            words += ["-c", f"{name}={value}"]
        self.postgres_log = self.folder / "postgres.log"
        self.postgres = subprocess.Popen(as_server_user(words), cwd="/", stdin=subprocess.DEVNULL,
                                         stdout=self.postgres_log.open("ab"), stderr=subprocess.STDOUT,
                                         start_new_session=True)
        self.started.append(self.postgres)
        self.redis = self.run(["redis-server", "--port", "0", "--unixsocket", str(self.folder / "redis.sock"),
                               "--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec",
                               "--save", "", "--maxmemory-policy", "noeviction"])
        deadline = time.monotonic() + 30
        while subprocess.run([postgres_tool("pg_isready"), "-q", "-h", str(self.sockets)]).returncode:
            if time.monotonic() > deadline or self.postgres.poll() is not None:
                raise RuntimeError(self.postgres_log.read_text()[-2000:])
            time.sleep(0.1)

    def psql(self, sql, database="taskflow", role="postgres"):
        return subprocess.run(["psql", "-qXtA", "-v", "ON_ERROR_STOP=1", "-h", str(self.sockets), "-U", role, database],
                              input=sql, text=True, check=True, stdout=subprocess.PIPE).stdout.strip()

    def url(self, role, database):
        return f"postgresql://{role}:bench@/{database}?host={self.sockets}"

    def settings(self, database="taskflow"):
        """The environment that every process of an installation shares."""
        return {
            "TASKFLOW_SECRET": secrets.token_hex(32), "TASKFLOW_RATE_LIMITS": "off", "TASKFLOW_LOG_LEVEL": "warning",
            # A run must not outlive its tokens; the baseline's live as long.
            "TASKFLOW_ACCESS_TOKEN_LIFETIME": "3600",
            "TASKFLOW_REDIS_URL": f"unix://{self.folder}/redis.sock",
            "TASKFLOW_ADMIN_DATABASE_URL": self.url("postgres", database),
            "TASKFLOW_MAIL_DIRECTORY": str(self.folder / "mail"),
            "TASKFLOW_MEDIA_DIRECTORY": str(self.folder / "media"),
            **{f"TASKFLOW_{n.upper()}_DATABASE_URL": self.url(f"{n}_app", database) for n in SERVICES},
            **{f"TASKFLOW_{n.upper()}_POOL": str(POOL) for n in SERVICES},
        }

    def migrate(self, settings):
        subprocess.run([self.binary, "migrate"], env={**surroundings(), **settings}, cwd=self.folder, check=True,
                       stdout=self.log, stderr=self.log)


class Installation:
    """Taskflow's processes over one database: six of them, or one."""

    def __init__(self, machine, settings, single=False):
        self.machine = machine
        port, admin = free_port(), free_port()
        self.ports = {name: free_port() for name in SERVICES}
        self.origin = f"http://127.0.0.1:{port}"
        self.admin = f"http://127.0.0.1:{admin}"
        environment = {**settings, "TASKFLOW_GATEWAY_LISTEN": f"127.0.0.1:{port}",
                       "TASKFLOW_GATEWAY_ADMIN": f"127.0.0.1:{admin}"}
        for name, own in self.ports.items():
            key = name.upper()
            environment |= {f"TASKFLOW_{key}_LISTEN": f"127.0.0.1:{own}",
                            f"TASKFLOW_{key}_URL": f"http://127.0.0.1:{own}",
                            f"TASKFLOW_UPSTREAM_{key}": f"127.0.0.1:{own}"}
        began = time.monotonic()
        names = [[]] if single else [[name] for name in [*SERVICES, "gateway"]]
        self.processes = {(words or ["serve"])[0]: machine.run([machine.binary, "serve", *words], environment)
                          for words in names}
        self.wait(began)

    def wait(self, began, seconds=60):
        while True:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(self.origin + "/health/ready", timeout=2) as answer:
                    if answer.status == 200:
                        self.ready_after = time.monotonic() - began
                        return
            broken = [name for name, process in self.processes.items() if process.poll() is not None]
            if broken or time.monotonic() > began + seconds:
                raise RuntimeError(f"not ready: {broken}\n" + (self.machine.folder / "log").read_text()[-3000:])
            time.sleep(0.01)

    def stop(self):
        self.machine.stop(self.processes.values())


def start_nginx(machine, upstreams):
    """A plain proxy with kept connections; one server block per upstream port. Gives the process and its origins."""
    folder = machine.folder / "nginx"
    folder.mkdir(exist_ok=True)
    ports = {name: free_port() for name in upstreams}
    blocks = "\n".join(f"""
    upstream {name} {{ server 127.0.0.1:{target}; keepalive 128; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{ports[name]} reuseport;
        location / {{
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}""" for name, target in upstreams.items())
    paths = "\n".join(f"    {kind}_temp_path {folder}/{kind};"
                      for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(f"""
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes auto;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 2048; }}
http {{
    access_log off; keepalive_requests 10000000; keepalive_timeout 300;
{paths}
{blocks}
}}
""")
    process = machine.run(["nginx", "-p", str(folder), "-e", str(folder / "error.log"),
                           "-c", str(folder / "nginx.conf")])
    for port in ports.values():
        wait_port(port, process)
    return process, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


def wait_port(port, process, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args} does not listen")
        time.sleep(0.05)
