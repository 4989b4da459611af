"""PgBouncer in transaction mode between the services and Postgres: they work through it, and outlive its end."""
import os
import shutil
import signal
import subprocess
import time

from load import Company, Load
from stage import PASSWORD, SERVICES, LeftOut, Stage, expect, free_port, wait_for

SESSIONS = 4


class Pooler:
    def __init__(self, stage, program):
        self.port = free_port()
        self.postgres, folder = stage.postgres, stage.postgres.folder
        self.log = folder / "pgbouncer.log"
        users, self.settings = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"postgres" "{PASSWORD}"\n')
        self.settings.write_text(f"""
[databases]
* = host=127.0.0.1 port={stage.postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = {SESSIONS}
max_client_conn = 500
auth_type = scram-sha-256
auth_file = {users}
auth_user = postgres
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
""")
        self.words = [*stage.postgres.account, program, str(self.settings)]
        self.process = None

    def url(self, role):
        return self.postgres.url(role).replace(f":{self.postgres.port}/", f":{self.port}/")

    def start(self):
        self.process = subprocess.Popen(self.words, cwd="/", stdout=self.log.open("ab"), stderr=subprocess.STDOUT)
        wait_for(lambda: subprocess.run(["psql", "-XqAtc", "SELECT 1", self.url("postgres")], capture_output=True,
                                        check=False).returncode == 0, "PgBouncer answers")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def drill(binary, say, keep=False):
    program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        raise LeftOut("pgbouncer is missing: apt-get install pgbouncer")
    stage = Stage(binary, copies=2)
    pooler = Pooler(stage, program)
    try:
        for name in SERVICES:
            key = f"TASKFLOW_{name.upper()}"
            stage.settings |= {f"{key}_DATABASE_URL": pooler.url(f"{name}_app"),
                               f"{key}_DIRECT_DATABASE_URL": stage.postgres.url(f"{name}_app"), f"{key}_POOL": "10"}
        stage.postgres.initialize()
        stage.postgres.start()
        stage.create_database()
        pooler.start()
        stage.redis.start()
        stage.run("migrate")
        stage.start_processes()
        companies = [Company(stage.origins) for _ in range(4)]
        with Load(companies, rate=60) as load:
            time.sleep(15)
            # Two processes of each service with ten connections share the few sessions; beside them the locks.
            sessions = stage.postgres.sql(
                "SELECT usename, count(*) FROM pg_stat_activity WHERE usename = 'task_app' "
                "AND application_name = 'taskflow-task' AND query NOT LIKE '%pg_try_advisory_lock%' GROUP BY 1")
        expect(not load.failures, f"requests failed: {load.failures[:3]}")
        expect(sessions and 1 <= int(sessions[0][1]) <= SESSIONS, f"sessions of task: {sessions}")
        say(f"through PgBouncer: {load.figures()}; task has {sessions[0][1]} sessions")

        with Load(companies, rate=60) as load:
            time.sleep(3)
            pooler.kill()
            time.sleep(2)
            pooler.start()
            back = time.monotonic()
            stage.wait_ready(seconds=30)
            ready = time.monotonic() - back
            time.sleep(5)
        broken = [failure for failure in load.failures if failure[2] not in (502, 503, 504)]
        expect(not broken, f"answers that say nothing: {broken[:3]}")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(f"killed and started again after 2 s: ready {ready:.1f} s later; {load.figures()}; {stage.verify()}")
    finally:
        pooler.kill()
        stage.close(keep)
