"""The DRF application as a server of its own: a venv, a database in the same Postgres, the same rows, gunicorn."""
import json
import os
import pathlib
import secrets
import subprocess
import sys

import data
import drive
import servers

HERE = pathlib.Path(__file__).resolve().parent
WORKERS, THREADS = 2, 4
DATABASE = "baseline"


def environment(folder):
    """A venv with the pinned packages, made once and kept."""
    wanted = (HERE / "baseline/requirements.txt").read_text()
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check",
                        "-r", str(HERE / "baseline/requirements.txt")], check=True)
        stamp.write_text(wanted)
    return folder / "bin"


def number(n, k):
    return (n - 1) * data.PEOPLE + k + 1


def load(machine, settings, programs, total):
    code = ("import django; django.setup(); from django.core.management import call_command as c; "
            "c('makemigrations', 'bench', verbosity=0); c('migrate', verbosity=0); "
            "from django.contrib.auth.hashers import make_password as m; print(m('" + data.PASSWORD + "'))")
    # The migration is made in a copy: nothing is written into the sources.
    password = subprocess.run([str(programs / "python"), "-c", code], env=settings, cwd=machine.folder / "baseline",
                              check=True, capture_output=True, text=True).stdout.strip()
    copy = data.Copy(machine, DATABASE)
    each = total // data.ORGANIZATIONS
    organizations = range(1, data.ORGANIZATIONS + 1)
    copy("bench_organization", "id, name", ((n, f"Organization {n}") for n in organizations))
    copy("bench_user", "id, password, organization_id, email, first_name, last_name, role, is_active",
         ((number(n, k), password, n, data.address(n, k), f"First{k}", f"Last{n}", data.role(k), True)
          for n, k in data.people()))
    copy("bench_project", "id, organization_id, key, name, numbers",
         (((n - 1) * data.PROJECTS + p, n, f"PR{p}", f"Project {p}", each) for n, p in data.projects()))
    copy("bench_project_collaborators", "project_id, user_id",
         (((n - 1) * data.PROJECTS + p, number(n, k)) for n, p in data.projects() for k in range(data.PEOPLE)))
    copy("bench_task", "id, organization_id, project_id, number, parent_task_id, title, description, priority, status, "
         "start_date, due_date, completed_date, created_by_id, updated_by_id, created_at, updated_at, version",
         (((t["n"] - 1) * each + t["id"], t["n"], (t["n"] - 1) * data.PROJECTS + t["project"], t["number"],
           (t["n"] - 1) * each + t["parent"] if t["parent"] else None, t["title"], t["description"], t["priority"],
           t["status"], t["start"], t["due_day"] or t["due_at"], t["completed"], number(t["n"], t["creator"]),
           number(t["n"], t["creator"]), t["created"], t["updated"], 1) for t in data.tasks(total)))
    copy("bench_taskcollaborator", "task_id, user_id, added_at, added_by_id",
         (((t["n"] - 1) * each + t["id"], number(t["n"], k), t["created"], number(t["n"], t["creator"]))
          for t in data.tasks(total) for k in t["people"]))
    machine.psql("SELECT setval(pg_get_serial_sequence('bench_task', 'id'), (SELECT max(id) FROM bench_task));",
                 DATABASE)
    machine.psql("VACUUM ANALYZE;", DATABASE)


class Baseline:
    """The running application; `tokens[n]` is of the admin of organization n."""

    def __init__(self, machine, venv, total, organizations):
        programs = environment(venv)
        machine.psql(f"CREATE DATABASE {DATABASE}", "postgres")
        folder = machine.folder / "baseline"
        subprocess.run(["cp", "-r", str(HERE / "baseline"), str(folder)], check=True)
        settings = {**os.environ, "BASELINE_SECRET": secrets.token_hex(32), "BASELINE_SOCKETS": str(machine.sockets),
                    "DJANGO_SETTINGS_MODULE": "bench.settings"}
        load(machine, settings, programs, total)
        port = servers.free_port()
        self.origin = f"http://127.0.0.1:{port}"
        # Threads, as in the seed: they keep clients' connections open, which the plain workers do not.
        self.process = machine.run([str(programs / "gunicorn"), "bench.wsgi", "-b", f"127.0.0.1:{port}",
                                    "-w", str(WORKERS), "-k", "gthread", "--threads", str(THREADS),
                                    "--keep-alive", "60", "--log-level", "error"], settings, folder)
        servers.wait_port(port, self.process)
        each = total // data.ORGANIZATIONS
        self.first = {n: (n - 1) * each for n in organizations}
        self.tokens = {n: drive.post_json(self.origin + "/api/account/login/", {
            "email": data.address(n, 0), "password": data.PASSWORD})["access"] for n in organizations}

    def task(self, n, task):
        return self.first[n] + task

    def project(self, n, project):
        return (n - 1) * data.PROJECTS + project

    def check(self, installation, tokens):
        """That both say the same of the same tasks: the fields, their number, the texts and the people."""
        for n in list(tokens)[:3]:
            def ask(path, theirs):
                return (json.loads(drive.get(installation.origin + path, tokens[n])),
                        json.loads(drive.get(self.origin + theirs, self.tokens[n])))
            pages = [answer["results"] for answer in ask("/api/project/tasks/", "/api/project/tasks/")]
            pairs = list(zip(*pages)) + [ask(f"/api/project/tasks/{task}/", f"/api/project/tasks/{self.task(n, task)}/")
                                         for task in (1, 2, 11)]
            if [len(page) for page in pages] != [50, 50]:
                raise RuntimeError("the pages are not of 50 tasks")
            for ours, theirs in pairs:
                for one in (ours, theirs):
                    one["people"] = sorted(c["user"]["email"] for c in one["collaborators"])
                    one["below"] = [task["title"] for task in one.get("subtasks", [])]
                same = ("title", "description", "key", "priority", "status", "people", "below")
                if set(ours) != set(theirs) or any(ours[name] != theirs[name] for name in same):
                    raise RuntimeError(f"the answers differ:\n{ours}\n{theirs}")
