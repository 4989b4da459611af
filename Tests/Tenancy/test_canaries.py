"""TEN-9: nothing of one organization in any byte for another: lists, searches, counts, cursors, tags, notices, logs and
mails.

The client asserts it of every answer (see `world.Watched`); the tests here make it ask for everything there is.
"""
import itertools
import json
import os
import pathlib
import urllib.parse

import support
from support import DEPARTMENTS, NOTICES, ORGANIZATION, PROJECTS, TASKS, USERS, Client, eventually, log_in
from test_matrix import the_world
from world import Watched, watched

# Every list with everything it can be ordered by, from section 1 of the API's description.
LISTS = {
    TASKS: ["start_date", "due_date", "priority", "status", "title", "created_at", "updated_at"],
    "/api/project_management/": ["updated_at", "status", "name", "created_at"],
    PROJECTS: ["updated_at", "status", "name", "created_at"],
    USERS: ["email", "name", "role", "created_at"],
    "/api/organization/members/": [], DEPARTMENTS: [], "/api/project/trash/": [], "/api/project_management/trash/": [],
    NOTICES: [], "/api/account/sessions/": [],
}
SEARCHED = [TASKS, "/api/project_management/", PROJECTS, USERS, "/api/organization/members/", "/api/project/trash/"]


class Canaries(support.Case):
    def test_TEN_9_the_watch_sees_a_leak(self):
        """The oracle itself: told its own organization's canary, a client that must not hear it complains."""
        victim, _ = the_world()
        client = watched(victim.admin)
        client.forbidden = (victim.canary,)
        for path in (TASKS, PROJECTS, USERS, DEPARTMENTS, ORGANIZATION, "/api/organization/members/"):
            with self.assertRaises(AssertionError, msg=path):
                client.get(path)
        notices = watched(victim.developer)
        notices.forbidden = (victim.canary,)
        with self.assertRaises(AssertionError):
            notices.get(NOTICES)

    def test_TEN_9_lists_searches_counts(self):
        victim, attacker = the_world()
        client, before = attacker.watched, Watched.seen
        for path, orders in LISTS.items():
            for order in [None, *orders, *("-" + o for o in orders)]:
                query = {"page_size": 3, "count": "true"} | ({"ordering": order} if order else {})
                rows = list(self.walk(client, path + support.query(**query)))
                self.assertEqual({count for _, count in rows} - {len(rows)}, set(), path)
        terms = ("canary", "task", "project", "e", victim.canary[:9], victim.mark)
        for path, term in itertools.product(SEARCHED, terms):
            list(self.walk(client, path + support.query(search=term, count="true")))
        for path in ("/api/account/", ORGANIZATION, f"{NOTICES}preferences/", "/api/openapi.json", "/api/docs",
                     "/media/", "/api/account/sessions/"):
            client.get(path)
        self.assertGreater(Watched.seen - before, 100)

    @staticmethod
    def walk(client, path):
        while path:
            answer = client.get(path)
            assert answer.status == 200, answer
            for row in answer.json["results"]:
                yield row, answer.json["count"]
            path = answer.json["next"]

    def test_TEN_9_counts_count_ones_own(self):
        victim, attacker = the_world()
        count = attacker.watched.get(TASKS + "?count=true&page_size=1").json["count"]
        stored = len(attacker.watched.pages(TASKS))
        self.assertEqual(count, stored)
        dashboard = attacker.watched.get("/api/account/").json["stats"]
        self.assertEqual(dashboard["total_projects"], len(attacker.watched.pages(PROJECTS)))

    def test_TEN_9_cursors_of_another_organization_are_refused(self):
        victim, attacker = the_world()
        tried = 0
        for path in LISTS:
            query = path + "?page_size=1"
            page = victim.admin.get(query).json
            if page["next"] is None:
                continue
            cursor = urllib.parse.parse_qs(urllib.parse.urlsplit(page["next"]).query)["cursor"][0]
            if path != "/api/account/sessions/":
                self.assertEqual(victim.admin.get(page["next"]).status, 200)
            self.problem(attacker.watched.get(f"{query}&cursor={urllib.parse.quote(cursor)}"), 400, "bad-cursor")
            tried += 1
        self.assertGreaterEqual(tried, 6)

    def test_TEN_9_positions_of_another_organization_are_refused(self):
        victim, attacker = the_world()
        answer = victim.admin.patch(f"{TASKS}{victim.task}/", {"description": support.unique(victim.canary)})
        headers = {"Taskflow-Position": answer.headers["Taskflow-Position"]}
        # Good for a colleague, not for others.
        self.assertEqual(victim.developer.get(TASKS, headers=headers).status, 200)
        for method, path in (("GET", TASKS), ("GET", PROJECTS), ("POST", PROJECTS), ("GET", "/api/account/")):
            body = {"name": "x"} if method == "POST" else None
            self.problem(attacker.watched.send(method, path, body, headers=headers), 400, "bad-position")

    def test_TEN_9_tags_of_another_organization_say_nothing(self):
        victim, attacker = the_world()
        for path in (f"{TASKS}{victim.task}/", f"{PROJECTS}{victim.project}/", f"{DEPARTMENTS}{victim.department}/"):
            tag = victim.admin.get(path).headers["ETag"]
            for headers in ({"If-None-Match": tag}, {"If-None-Match": "*"}):
                self.problem(attacker.watched.get(path, headers=headers), 404)
            self.problem(attacker.watched.delete(path, headers={"If-Match": tag}), 404)
            self.problem(attacker.watched.delete(path, headers={"If-Match": '"0"'}), 404)

    def test_TEN_9_somebody_in_two_organizations_sees_one_at_a_time(self):
        victim, attacker = the_world()
        person = victim.outsider
        plain = Client()
        plain.access = attacker.admin.access
        answer = plain.post(USERS, support.new_user(email=person.email, role="ADMIN"))
        self.assertIn(answer.status, (201, 409), answer)
        wanted = attacker.id

        def member_of_both():
            client = log_in(person.email)
            return client if wanted in [o["id"] for o in client.login_answer["organizations"]] else None
        session = eventually(member_of_both)
        switched = session.post("/api/account/switch-organization/", {"organization": wanted})
        self.assertEqual(switched.status, 200, switched)
        here = Watched()
        here.access, here.refresh = switched.json["access"], switched.json["refresh"]
        # The list of one's organizations names both, nothing else may.
        here.forbidden = (victim.canary,)
        for path in LISTS:
            self.assertEqual(eventually(lambda: here.get(path).status in (200, 403) and 200), 200)
        for path in (f"{TASKS}{victim.task}/", f"{PROJECTS}{victim.project}/"):
            self.problem(here.get(path), 404)
        # The token of before the switch is dead.
        old = Client()
        old.access = session.access
        self.problem(old.get(TASKS), 401, "session-changed")

    def test_TEN_9_log_lines_of_one_organization_hold_nothing_of_another(self):
        victim, attacker = the_world()
        attacker.watched.get(TASKS)
        log = pathlib.Path(os.environ["TASKFLOW_TENANCY_LOG"])
        lines = eventually(lambda: [li for li in log.read_text(errors="replace").splitlines() if attacker.id in li])
        self.assertGreater(len(lines), 20)
        for line in lines:
            fields = json.loads(line)
            self.assertNotIn(victim.canary, line)
            if fields.get("organization") == attacker.id:
                # What the client sent as a path may name whatever it likes.
                self.assertNotIn(victim.id, json.dumps({k: v for k, v in fields.items() if k != "path"}))
        self.assertNotIn(victim.canary, "".join(li for li in log.read_text(errors="replace").splitlines()
                                                if '"path"' not in li), "names and titles are in no log line at all")

    def test_TEN_9_mails_to_one_organization_hold_nothing_of_another(self):
        victim, attacker = the_world()
        read, theirs = 0, [row["email"].encode() for row in victim.admin.pages(USERS, 200)]
        for path in pathlib.Path(os.environ["TASKFLOW_MAIL"]).glob("*.eml"):
            content = path.read_bytes()
            recipient = content.split(b"\nTo:")[1].split(b"\n")[0]
            if not any(address in recipient for address in theirs):
                self.assertNotIn(victim.canary.encode(), content, path)
            else:
                read += 1
        self.assertGreater(read, 3)
