"""TEN-13: a deleted organization is gone from every schema within 60 s, with its sessions and pictures, whatever dies.

Each test deletes an organization of its own; those of `Killed` end one service with SIGKILL in the middle of it, each
service in turn, and start it again. What is left is looked for in every table that has an organization_id, by name.
"""
import contextlib
import os
import signal
import subprocess
import time
import unittest

import support
import catalogue
import installation
from support import ORGANIZATION, PROJECTS, TASKS, Client, eventually
from world import Organization

# Rows that outlive an organization on purpose: nothing in them but its id.
STAYS = {"project.deleted_organization", "task.known_organization", "notification.known_organization"}
# What may stay in the log: tombstones, and the last word of the organization, which says nothing but that it is gone.
LAST_WORDS = "('tombstone', 'organization.deleted')"
SECONDS = 60


def rows_of(url, organization):
    """{table: rows} of every table of every schema that names organizations; the log's tombstones apart."""
    listed = catalogue.psql(url, f"""
        SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
        WHERE n.nspname = ANY ({catalogue.array(catalogue.SERVICES)}) AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition ORDER BY 1;""").splitlines()
    assert len(listed) > 30, listed
    union = " UNION ALL ".join(
        f"SELECT '{table}' AS t, count(*) AS n FROM {table} WHERE organization_id = '{organization}'"
        + (f" AND type NOT IN {LAST_WORDS}" if table.endswith(".outbox") else "") for table in listed)
    found = catalogue.psql(url, f"SELECT t, n FROM ({union}) x WHERE n > 0;")
    return {line.split("|")[0]: int(line.split("|")[1]) for line in found.splitlines()}


class Deletion(support.Case):
    IN_PROCESSES = False

    @classmethod
    def setUpClass(cls):
        cls.there = installation.Installation(os.environ["TASKFLOW_ACCEPTANCE_BINARY"], cls.IN_PROCESSES)
        cls.before = (support.ORIGIN, support.MAIL)
        support.ORIGIN, support.MAIL = cls.there.origin, cls.there.mail
        cls.url = cls.there.administrator()

    @classmethod
    def tearDownClass(cls):
        support.ORIGIN, support.MAIL = cls.before
        assert cls.there.stop(), "not everything ended on SIGTERM"

    def blobs(self, organization):
        folder = self.there.media() / organization.id
        return list(folder.glob("*")) if folder.exists() else []

    def left(self, organization):
        return {table: n for table, n in rows_of(self.url, organization.id).items() if table not in STAYS}

    def delete(self, organization, meanwhile=None):
        """Deletes it; gives the seconds until nothing was left."""
        self.assertGreater(len(self.left(organization)), 15)
        self.assertEqual(len(self.blobs(organization)), 1)
        # The mails of its making are sent by now, and their place in the queue names it.
        session = organization.admin
        started = time.monotonic()
        answer = session.delete(ORGANIZATION, {"name": organization.name})
        self.assertEqual(answer.status, 202, answer)
        with meanwhile or contextlib.nullcontext():
            pass
        eventually(lambda: not self.left(organization) and not self.blobs(organization), seconds=SECONDS, every=0.2)
        return time.monotonic() - started

    def is_dead(self, organization, people):
        for person in people:
            self.assertEqual(eventually(lambda: person.get(TASKS).status == 401 and 401), 401)
            old = Client()
            old.access = None
            self.assertEqual(old.post(support.REFRESH, {"refresh": person.refresh}).status, 401)
        again = Client().post(support.LOG_IN, {"email": organization.admin.email, "password": support.PASSWORD})
        self.assertEqual(again.status, 401, again)
        self.assertEqual(Client().get(organization.picture).status, 404)

    def outbox_is_empty_of_people(self, organization):
        found = catalogue.psql(self.url, " UNION ALL ".join(
            f"SELECT count(*) FROM {service}.outbox WHERE payload LIKE '%{organization.canary}%' "
            f"OR payload LIKE '%{organization.mark}%'" for service in catalogue.SERVICES) + ";")
        self.assertEqual(set(found.splitlines()), {"0"}, "the log still knows somebody")
        last = catalogue.psql(self.url, f"SELECT payload FROM organization.outbox WHERE type = 'organization.deleted' "
                                        f"AND organization_id = '{organization.id}';")
        self.assertEqual(last, "{}")


    def streams_that_know(self, organization):
        def ask(*words):
            done = subprocess.run(["redis-cli", "-s", self.there.redis_socket(), *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        streams = ask("--scan", "--pattern", "ev:*").split()
        self.assertGreater(len(streams), 3)
        return [name for name in streams
                if any(word in ask("XRANGE", name, "-", "+") for word in (organization.canary, organization.mark))]


class Whole(Deletion):
    def test_TEN_13_gone_everywhere_within_a_minute_and_nobody_else_is(self):
        doomed, other = Organization(head_start=2), Organization(people=False)
        kept = rows_of(self.url, other.id)
        seconds = self.delete(doomed)
        print(f"gone after {seconds:.1f} s")
        self.is_dead(doomed, [doomed.admin, doomed.manager, doomed.developer])
        # A mail goes when it is sent, everything else stays, and more may have come.
        self.assertLessEqual(set(kept) - {"notification.mail"}, set(rows_of(self.url, other.id)))
        self.assertEqual(len(self.blobs(other)), 1)
        self.assertEqual(other.admin.get(f"{PROJECTS}{other.project}/").status, 200)
        # A late write under the old token brings nothing back.
        self.assertEqual(doomed.admin.post(PROJECTS, {"name": "late"}).status, 401)
        self.assertEqual(self.left(doomed), {})

    def test_TEN_13_the_log_keeps_nothing_of_people(self):
        doomed = Organization()
        self.assertGreater(len(self.streams_that_know(doomed)), 1)
        seconds = self.delete(doomed)
        self.outbox_is_empty_of_people(doomed)
        eventually(lambda: not self.streams_that_know(doomed), seconds=SECONDS - seconds, every=1)

    def test_TEN_13_the_id_cannot_be_used_again(self):
        doomed = Organization(people=False)
        self.delete(doomed)
        stays = rows_of(self.url, doomed.id)
        self.assertEqual(set(stays) & STAYS, {"task.known_organization", "notification.known_organization"})
        found = catalogue.psql(self.url, f"SELECT id FROM project.deleted_organization WHERE id = '{doomed.id}';")
        self.assertEqual(found, doomed.id)


class Killed(Deletion):
    IN_PROCESSES = True

    def process(self, name):
        return [p for p in self.there.processes if p.args[1:] == ["serve", name]]

    @contextlib.contextmanager
    def kill(self, name):
        """SIGKILL now, started again after a moment."""
        for process in self.process(name):
            process.send_signal(signal.SIGKILL)
            process.wait()
        yield
        time.sleep(1.5)
        for process in self.process(name):
            index = self.there.processes.index(process)
            environment = self.environments[process.pid]
            self.there.processes[index] = subprocess.Popen(
                process.args, env=environment, cwd=self.there.folder, stdout=self.output, stderr=self.output,
                start_new_session=True)
            self.environments[self.there.processes[index].pid] = environment

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.output = cls.there.log.open("ab")
        cls.environments = {}
        for process in cls.there.processes:
            raw = open(f"/proc/{process.pid}/environ", "rb").read()
            cls.environments[process.pid] = dict(
                item.decode().split("=", 1) for item in raw.split(b"\0") if b"=" in item)

    def die(self, name):
        doomed = Organization(people=False)
        seconds = self.delete(doomed, self.kill(name))
        print(f"{name} killed: gone after {seconds:.1f} s")
        eventually(lambda: Client().get("/health/ready").status == 200, seconds=30)
        # The gateway asks now and then only; a service that has just come back says of itself that it starts.
        eventually(lambda: Client().post(support.REFRESH, {"refresh": doomed.admin.refresh}).status == 401, seconds=30)
        self.is_dead(doomed, [doomed.admin])
        self.outbox_is_empty_of_people(doomed)

    def test_TEN_13_auth_dies(self):
        self.die("auth")

    def test_TEN_13_organization_dies(self):
        self.die("organization")

    def test_TEN_13_project_dies(self):
        self.die("project")

    def test_TEN_13_task_dies(self):
        self.die("task")

    def test_TEN_13_notification_dies(self):
        self.die("notification")


del Deletion

if __name__ == "__main__":
    unittest.main()
