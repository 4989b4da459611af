#!/usr/bin/env python3
"""Every failpoint, three ways to fail, in every service where the place exists (TST-1).

    Tests/Chaos/failpoints.py --binary .build/debug/taskflow [--seed N] [--only reader.] [--effects kill,error]

An installation of separate processes is kept under writes through the gateway. For each place and effect all services
that pass the place are started anew with it armed, and killed ones are started again without it. After each: every
acknowledged write is there once, every replica equals its producer, every cursor is at the end of its stream, nothing
is parked, and everything answers within 30 s. A release build has no failpoints; this needs a debug build.

Longer than other files: it stands alone, without the bench's installation and load, which repeat faults of their own.
"""
import argparse
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "Acceptance"))
from stores import free_port, surroundings  # noqa: E402

SERVICES = ["auth", "organization", "project", "task", "notification"]
PRODUCERS = ["auth", "organization", "project", "task"]
READS = {"auth": ["organization"], "organization": ["auth"], "project": ["auth", "organization"],
         "task": ["auth", "organization", "project"], "notification": PRODUCERS}
# Where each place is passed. To set an event aside, one has to fail first.
PLACES = {
    "request.before-commit": SERVICES, "request.after-commit": SERVICES,
    "relay.before-xadd": PRODUCERS, "relay.after-xadd": PRODUCERS,
    "reader.after-read": SERVICES, "reader.mid-transaction": SERVICES, "reader.after-commit": SERVICES,
    "reader.in-park": SERVICES,
    "refresh.after-step": ["auth"], "upload.after-reply": ["organization"],
    "migration.mid-step": [], "shutdown": [*SERVICES, "gateway"],
}
EFFECTS = {"kill": "kill", "error": "error", "sleep": "sleep:5000"}
RECOVERY = 30
PASSWORD = "correct-horse-battery"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082")


class Wrong(Exception):
    """What should hold and does not."""


class Installation:
    """Postgres, Redis and one process for each service; any of them may be armed, killed and started again."""

    def __init__(self, binary, folder):
        self.binary, self.folder = str(pathlib.Path(binary).resolve()), folder
        self.output = (folder / "servers.log").open("ab")
        self.processes, self.logs, self.generation, self.redis = {}, {}, 0, None
        self.servers = subprocess.Popen(
            [self.binary, "up", "--directory", str(folder / "data"), "--port", str(free_port())], cwd=folder,
            stdout=self.output, stderr=self.output, start_new_session=True,
            env={**surroundings(), "TASKFLOW_LOG_LEVEL": "warning"})
        try:
            self.prepare()
        except BaseException:
            self.end()
            raise

    def prepare(self):
        folder = self.folder
        settings_file = folder / "data" / "taskflow.env"
        self.wait(lambda: settings_file.exists() and self.servers.poll() is None, 90, "the servers")
        kept = dict(line.split("=", 1) for line in settings_file.read_text().splitlines())
        self.admin = kept["TASKFLOW_ADMIN_DATABASE_URL"].rsplit("/", 1)[0]
        self.psql("CREATE DATABASE failpoints", database="postgres")
        self.ports = {name: free_port() for name in [*SERVICES, "gateway"]}
        self.origin = f"http://127.0.0.1:{self.ports['gateway']}"
        socket = folder / "redis.sock"
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--appendonly", "yes",
             "--save", "", "--maxmemory-policy", "noeviction"],
            stdout=self.output, stderr=self.output, start_new_session=True)
        self.environment = {
            **surroundings(), "TASKFLOW_LOG_LEVEL": "warning", "TASKFLOW_RATE_LIMITS": "off",
            "TASKFLOW_SECRET": kept["TASKFLOW_SECRET"], "TASKFLOW_PUBLIC_URL": self.origin,
            "TASKFLOW_REDIS_URL": f"unix://{socket}", "TASKFLOW_ADMIN_DATABASE_URL": f"{self.admin}/failpoints",
            "TASKFLOW_GATEWAY_LISTEN": f"127.0.0.1:{self.ports['gateway']}",
            "TASKFLOW_GATEWAY_ADMIN": f"127.0.0.1:{free_port()}",
            "TASKFLOW_MAIL_DIRECTORY": str(folder / "mail"), "TASKFLOW_MEDIA_DIRECTORY": str(folder / "media"),
        }
        for name in SERVICES:
            key, address = name.upper(), f"127.0.0.1:{self.ports[name]}"
            self.environment |= {
                f"TASKFLOW_{key}_DATABASE_URL":
                    kept[f"TASKFLOW_{key}_DATABASE_URL"].rsplit("/", 1)[0] + "/failpoints",
                f"TASKFLOW_{key}_LISTEN": address, f"TASKFLOW_{key}_URL": f"http://{address}",
                f"TASKFLOW_UPSTREAM_{key}": address}
        self.migrate("failpoints")
        for name in [*SERVICES, "gateway"]:
            self.start(name)
        self.wait_until_ready(120)

    @staticmethod
    def wait(condition, seconds, what):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds} s")
            time.sleep(0.1)

    def psql(self, sql, database="failpoints"):
        words = ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", f"{self.admin}/{database}", "-c", sql]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    def migrate(self, database, armed=None):
        """The exit code of a migration of every schema."""
        environment = {key: f"{value.rsplit('/', 1)[0]}/{database}" if key.endswith("_DATABASE_URL") else value
                       for key, value in self.environment.items()}
        if armed:
            environment["TASKFLOW_FAILPOINT"] = armed
        return subprocess.run([self.binary, "migrate"], env=environment, cwd=self.folder, stdout=self.output,
                              stderr=self.output, timeout=120).returncode

    def start(self, name, armed=None):
        self.generation += 1
        log = self.folder / f"{self.generation:04}-{name}.log"
        environment = {**self.environment, **({"TASKFLOW_FAILPOINT": armed} if armed else {})}
        with log.open("ab") as output:
            self.processes[name] = subprocess.Popen([self.binary, "serve", name], env=environment, cwd=self.folder,
                                                    stdout=output, stderr=output, start_new_session=True)
        self.logs[name] = [*self.logs.get(name, []), log]

    def stop(self, names):
        """SIGTERM to all at once; their exit codes."""
        for name in names:
            self.processes[name].send_signal(signal.SIGTERM)
        codes = {}
        for name in names:
            try:
                codes[name] = self.processes[name].wait(45)
            except subprocess.TimeoutExpired:
                self.processes[name].kill()
                raise Wrong(f"{name} did not end within 45 s of SIGTERM") from None
        return codes

    def tend(self):
        """Starts again what has died."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                self.start(name)

    def has_fired(self, name, place, since):
        line = f"failpoint {place}:"
        return any(line in log.read_text(errors="replace") for log in self.logs[name][since:])

    def is_ready(self):
        for port in self.ports.values():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2):
                    pass
            except OSError:
                return False
        return True

    def wait_until_ready(self, seconds):
        def condition():
            self.tend()
            return self.is_ready()
        self.wait(condition, seconds, "ready")

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
        for process in (self.redis, self.servers):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(40)


class Work:
    """Writes through the gateway, each repeated with its key until it is acknowledged; and what was acknowledged."""

    def __init__(self, installation, dice):
        self.installation, self.dice = installation, dice
        self.kept = []
        self.token = self.refresh = self.organization = None
        self.refreshes = 0
        self.found()

    def once(self, method, path, body=None, headers=None):
        sent = {"Accept": "application/json", **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(self.installation.origin + path, body, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=12) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read()[:300]
        except OSError as error:
            return 0, str(error)

    def until(self, method, path, body=None, headers=None, fine=()):
        """Repeats until there is an answer that is one; a refusal at the first try is a mistake of ours. `fine` is what
        a later try may be told, where an earlier one has done it and its answer was lost."""
        deadline, is_unclear = time.monotonic() + RECOVERY, False
        while True:
            status, answer = self.once(method, path, body, headers)
            if 200 <= status < 300 or (is_unclear and status in fine):
                return status, answer
            is_unclear = is_unclear or status in (0, 500, 502, 503, 504)
            if status not in (0, 409, 500, 502, 503, 504) or time.monotonic() > deadline:
                raise Wrong(f"{method} {path}: {status} {answer}")
            self.installation.tend()
            time.sleep(0.15)

    def write(self, method, path, body, table=None, column=None, value=None):
        _, answer = self.until(method, path, body, {"Idempotency-Key": uuid.uuid4().hex})
        if table:
            self.kept.append((table, column, value))
        return answer

    def name(self, what):
        return f"{what} {uuid.uuid4().hex[:10]}"

    def found(self):
        """A new organization: what the account service has to say."""
        address, name = f"{uuid.uuid4().hex[:12]}@example.com", self.name("Org")
        self.token = None
        status, answer = self.until("POST", "/api/account/signup/", {
            "email": address, "password": PASSWORD, "first_name": "Ada", "last_name": "Admin", "organization": name},
            fine=(409,))
        if status == 409:
            # Nobody else knows the address: the account is of a try whose answer was lost.
            _, answer = self.until("POST", "/api/account/login/", {"email": address, "password": PASSWORD})
        self.kept += [("organization.organization", "name", name), ("organization.app_user", "email", address),
                      ("auth.account", "email", address)]
        self.token, self.refresh, self.refreshes = answer["access"], answer["refresh"], 0

    def turn(self):
        """A little of everything."""
        self.rotate()
        department, project = self.name("Department"), self.name("Project")
        person = f"{uuid.uuid4().hex[:12]}@example.com"
        self.write("POST", "/api/organization/departments/", {"department_name": department},
                   "organization.department", "name", department)
        self.write("POST", "/api/organization/users/", {
            "email": person, "first_name": "Per", "last_name": "Son", "role": "DEVELOPER"},
            "organization.app_user", "email", person)
        made = self.write("POST", "/api/project_management/projects/", {"name": project},
                          "project.project", "name", project)
        for _ in range(self.dice.randint(1, 3)):
            title = self.name("Task")
            self.write("POST", f"/api/project/{made['id']}/tasks/", {"title": title}, "task.task", "title", title)
        self.until("PUT", "/api/notifications/preferences/", {"reminder_hour": self.dice.randint(0, 23)})
        self.upload()
        if self.dice.random() < 0.5:
            self.found()

    def rotate(self):
        """A refresh whose answer may be lost: asked again with the same token, within the grace."""
        _, answer = self.until("POST", "/api/account/token/refresh/", {"refresh": self.refresh})
        _, again = self.until("POST", "/api/account/token/refresh/", {"refresh": self.refresh})
        if again["refresh"] != answer["refresh"]:
            raise Wrong("one refresh token has two successors")
        self.token, self.refresh = answer["access"], answer["refresh"]
        self.refreshes += 1

    def upload(self):
        body = (b"--b\r\nContent-Disposition: form-data; name=\"profile_img\"; filename=\"a.png\"\r\n"
                b"Content-Type: image/png\r\n\r\n" + PNG + b"\r\n--b--\r\n")
        _, answer = self.until("PUT", "/api/account/profile-pic/", body,
                               {"Content-Type": "multipart/form-data; boundary=b"})
        self.kept = [k for k in self.kept if k[1] != "picture_url"]
        self.kept.append(("organization.app_user", "picture_url", answer["profile_img"]))

    def everything_answers(self):
        paths = ["/api/account/", "/api/organization/", "/api/organization/users/", "/api/project_management/projects/",
                 "/api/project/tasks/", "/api/notifications/"]
        return all(self.once("GET", path)[0] == 200 for path in paths)


def pairs():
    """What has to be equal: a producer's rows and a replica's."""
    of = "email, first_name, last_name, is_active FROM"
    for service in ("auth", "project", "task", "notification"):
        table = "membership" if service == "auth" else "member"
        yield (f"users in {service}", f"SELECT organization_id, id, {of} organization.app_user",
               f"SELECT organization_id, user_id, {of} {service}.{table}")
    for service in ("auth", "task", "notification"):
        columns = "SELECT organization_id, name, time_zone"
        yield (f"organizations in {service}", f"{columns} FROM organization.organization",
               f"{columns} FROM {service}.organization")
    for service in ("task", "notification"):
        columns = "SELECT organization_id, id, name"
        yield f"projects in {service}", f"{columns} FROM project.project", f"{columns} FROM {service}.project"
    columns = "SELECT organization_id, project_id, user_id FROM"
    yield "collaborators", f"{columns} project.project_collaborator", f"{columns} task.project_collaborator"
    columns = "SELECT organization_id, id, project_id, title FROM"
    yield "tasks in notification", f"{columns} task.task", f"{columns} notification.task"


def faults(installation, work):
    """Everything that is not as it should be, by SQL; empty once all has come to rest."""
    selects = []
    for name, left, right in pairs():
        selects.append(f"SELECT '{name} differ' WHERE EXISTS (({left}) EXCEPT ({right})) "
                       f"OR EXISTS (({right}) EXCEPT ({left}))")
    for reader, producers in READS.items():
        selects.append(f"SELECT '{reader} has parked ' || count(*) FROM {reader}.parked HAVING count(*) > 0")
        for producer in producers:
            selects.append(
                f"SELECT '{reader} is behind {producer}' WHERE EXISTS (SELECT FROM {producer}.event_log l "
                f"LEFT JOIN {reader}.cursor c ON c.stream = '{producer}.' || lpad(l.shard::text, 2, '0') "
                f"WHERE coalesce(c.seq, 0) <> l.seq OR coalesce(c.settled, 0) <> l.seq)")
    for producer in PRODUCERS:
        selects.append(f"SELECT '{producer} has a hole in its outbox' WHERE EXISTS (SELECT FROM {producer}.event_log l "
                       f"WHERE l.seq <> (SELECT count(*) FROM {producer}.outbox o WHERE o.shard = l.shard))")
    values = ", ".join(f"('{t}', '{c}', '{v}')" for t, c, v in work.kept)
    for table, column in sorted({k[:2] for k in work.kept}):
        selects.append(
            f"SELECT '{table}: ' || k.v || ' is there ' || count(x.{column}) || ' times' FROM kept k "
            f"LEFT JOIN {table} x ON x.{column} = k.v WHERE k.t = '{table}' AND k.c = '{column}' "
            f"GROUP BY k.v HAVING count(x.{column}) <> 1")
    return installation.psql(f"WITH kept (t, c, v) AS (VALUES {values}) " + " UNION ALL ".join(selects))


def settle(installation, work):
    """Seconds until everything answers and everything agrees; Wrong after 30."""
    began = time.monotonic()
    while True:
        installation.tend()
        wrong = "not everything answers" if not work.everything_answers() else faults(installation, work)
        took = time.monotonic() - began
        if not wrong:
            return took
        if took > RECOVERY:
            raise Wrong(f"{RECOVERY} s later: {wrong[:1500]}")
        time.sleep(0.2)


def migration(installation, effect, number):
    """A migration that stops midway is run again, and ends as one that was not stopped."""
    name = f"migration_{number}"
    installation.psql(f"CREATE DATABASE {name}", database="postgres")
    code = installation.migrate(name, f"migration.mid-step:{number % 12 + 2}={EFFECTS[effect]}")
    if (code == 0) != (effect == "sleep"):
        raise Wrong(f"the migration ended with {code}")
    if installation.migrate(name) != 0:
        raise Wrong("the migration cannot be run again")
    count = "SELECT " + " + ".join(f"(SELECT count(*) FROM {s}.migration)" for s in SERVICES)
    if installation.psql(count, database=name) != installation.psql(count):
        raise Wrong("the migrated database lacks something")
    installation.psql(f"DROP DATABASE {name}", database="postgres")
    return ["migrate"]


def cell(installation, work, place, effect, number):
    """One place, one effect; which services passed it."""
    if place == "migration.mid-step":
        return migration(installation, effect, number)
    services = PLACES[place]
    armed = f"{place}={EFFECTS[effect]}"
    if place == "reader.in-park":
        armed += ",reader.mid-transaction=error"
    installation.stop(services)
    since = {name: len(installation.logs[name]) for name in services}
    for name in services:
        installation.start(name, armed)
    if place == "shutdown":
        installation.wait_until_ready(60)
        work.turn()
        codes = installation.stop(services)
        wanted = {"kill": lambda c: c == -signal.SIGKILL, "error": lambda c: c > 0, "sleep": lambda c: c == 0}[effect]
        for name, code in codes.items():
            if not wanted(code):
                raise Wrong(f"{name} ended with {code}")
    deadline = time.monotonic() + 60
    waiting = list(services)
    while waiting and time.monotonic() < deadline:
        work.turn()
        waiting = [name for name in waiting if not installation.has_fired(name, place, since[name])]
    if waiting:
        raise Wrong(f"never came by in {', '.join(waiting)}")
    return services


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(HERE.parent.parent / ".build/debug/taskflow"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="places whose names begin so")
    parser.add_argument("--effects", default="kill,error,sleep")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    cells = [(place, effect) for place in PLACES if place.startswith(arguments.only)
             for effect in arguments.effects.split(",")]
    dice.shuffle(cells)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-failpoints."))
    folder.chmod(0o755)
    installation, failed, began, longest = None, 0, time.monotonic(), 0.0
    try:
        installation = Installation(arguments.binary, folder)
        work = Work(installation, dice)
        work.turn()
        for number, (place, effect) in enumerate(cells):
            start = time.monotonic()
            try:
                services = cell(installation, work, place, effect, number)
                took = settle(installation, work)
                longest = max(longest, took)
                print(f"ok      {place:24} {effect:6} {', '.join(services)}: agreed {took:.1f} s after, "
                      f"{time.monotonic() - start:.0f} s in all", flush=True)
            except Wrong as wrong:
                failed += 1
                print(f"FAILED  {place:24} {effect:6} {wrong}", flush=True)
        print(f"failpoints: {len(cells) - failed} passed, {failed} failed, seed {arguments.seed}, "
              f"{len(work.kept)} writes kept, {time.monotonic() - began:.0f} s, longest recovery {longest:.1f} s")
    finally:
        if installation:
            installation.end()
        if arguments.keep or failed:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed or not cells else 0)


if __name__ == "__main__":
    main()
