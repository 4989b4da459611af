"""TEN-7, TEN-8: every route and method of the OpenAPI document, every id parameter, every kind of caller.

The routes come from the document that the installation serves, what they are to answer from `rows.py`. One test for
each row; a route without a row fails, and so does a row without a route.
"""
import itertools
import json
import os
import unittest
import urllib.parse
import urllib.request

import rows
import support
import world
from support import PROJECTS, TASKS, Client
from world import Organization, same_bytes, unused, watched

METHODS = ("get", "put", "post", "patch", "delete", "head", "options", "trace")
WORLD = None


def the_world():
    """Both organizations, made once: they cost a dozen mails and password hashes."""
    global WORLD
    if WORLD is None:
        victim = Organization(head_start=world.HEAD_START)
        attacker = Organization(people=False)
        client = watched(attacker.admin)
        client.forbidden = (victim.canary, victim.id)
        attacker.watched = client
        WORLD = (victim, attacker)
    return WORLD


def documented():
    with urllib.request.urlopen(support.ORIGIN + "/api/openapi.json", timeout=20) as answer:
        paths = json.load(answer)["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in item if method in METHODS]


def parameters(path):
    """(name in the path, kind of thing) of a route."""
    kinds = {"email": "email", "task": "task", "project_id": "project", "uid": "uid", "token": "token",
             "organization": "organization", "file": "file"}
    by_place = {"departments": "department", "projects": "project", "sessions": "session", "notifications": "notice"}
    parts = path.strip("/").split("/")
    for before, part in zip(["", *parts], parts):
        if part.startswith("{"):
            yield part[1:-1], kinds.get(part[1:-1]) or by_place[before]


def value_of(organization, kind):
    """What an id of this kind is in an organization, as the requests name it."""
    if kind in ("uid", "token"):
        return "nonsense"
    if kind == "organization":
        return organization.id
    if kind == "file":
        return organization.picture.rsplit("/", 1)[1]
    if kind == "email":
        return organization.admin.email
    return getattr(organization, kind, None) or 1


def fill(path, values):
    for name, kind in parameters(path):
        path = path.replace("{" + name + "}", urllib.parse.quote(str(values[kind]), safe=""), 1)
    return path


class Matrix(support.Case):
    """TEN-8. One test for each row is put in below."""

    def test_TEN_8_every_route_has_a_row_and_every_row_a_route(self):
        found = documented()
        self.assertGreater(len(found), 80)
        self.assertEqual(sorted(set(found) - set(rows.ROWS)), [], "routes without a row in rows.py")
        self.assertEqual(sorted(set(rows.ROWS) - set(found)), [], "rows without a route")
        self.assertEqual(len(found), len(set(found)))

    def values(self, organization, row, path):
        values = {kind: value_of(organization, kind) for _, kind in parameters(path)}
        if row.named:
            values |= {kind: v for kind, v in row.named(organization).items() if kind in values}
        return values

    def send(self, client, row, method, path, organization):
        body = row.body(organization) if callable(row.body) else row.body
        return client.send(method, path, body, headers=row.headers, raw=row.raw)

    def judge(self, answer, expected, who, method, path):
        self.assertEqual(answer.status, expected, f"{method} {path} as {who}: {answer}")
        if expected == 401 and who in ("anonymous", "deactivated"):
            self.assertIn("WWW-Authenticate", answer.headers)

    def row(self, key):
        victim, attacker = the_world()
        method, path = key.split(" ")
        row = rows.ROWS[key]
        values = self.values(victim, row, path)
        before = self.state(victim)
        tried = 0
        for who in ("manager", "developer", "outsider", "removed", "deactivated"):
            expected = getattr(row, who)
            if expected is not None:
                answer = self.send(getattr(victim, who), row, method, fill(path, values), victim)
                self.judge(answer, expected, who, method, path)
                tried += 1
        if row.anonymous is not None:
            answer = self.send(Client(), row, method, fill(path, values), victim)
            self.judge(answer, row.anonymous, "anonymous", method, path)
            tried += 1
        if row.foreign is not None:
            self.foreign(key, row, method, path, victim, attacker)
            tried += 1
        self.assertTrue(tried >= 2 or row.why, "nobody but the owner was tried")
        if method in ("PUT", "PATCH", "POST", "DELETE") and list(parameters(path)):
            allowed = {getattr(row, who) for who in rows.MEMBERS} & {200, 201, 204}
            if not allowed:
                self.assertEqual(self.state(victim), before, f"{key} changed something")
        used = {**values, **(row.fresh(victim) if row.fresh else {})}
        answer = self.send(victim.admin, row, method, fill(path, used), victim)
        self.judge(answer, row.own, "own", method, path)

    def foreign(self, key, row, method, path, victim, attacker):
        """Each id parameter with the other organization's value alone, and all of them together."""
        theirs = self.values(victim, row, path)
        mine = {kind: value_of(attacker, kind) for _, kind in parameters(path)}
        kinds = list(theirs)
        if not kinds:
            self.judge(self.send(attacker.watched, row, method, path, victim), row.foreign, "foreign", method, path)
            return
        for count in range(1, len(kinds) + 1):
            for chosen in itertools.combinations(kinds, count):
                if set(chosen) <= {"uid", "token"}:
                    continue
                values = {k: theirs[k] if k in chosen else mine[k] for k in kinds}
                nothing = {k: unused(k) if k in chosen else mine[k] for k in kinds}
                self.compare(row, method, path, values, nothing, victim, attacker, chosen)

    def compare(self, row, method, path, values, nothing, victim, attacker, chosen):
        """TEN-7: what is another organization's is answered like what does not exist."""
        target, empty = fill(path, values), fill(path, nothing)
        body = row.body(victim) if callable(row.body) else row.body
        tag = {"If-None-Match": '"1"'} if method == "GET" else {}
        one = attacker.watched.send(method, target, body, headers={**(row.headers or {}), **tag}, raw=row.raw)
        other = attacker.watched.send(method, empty, body, headers={**(row.headers or {}), **tag}, raw=row.raw)
        expected = row.foreign
        if set(chosen) == {"organization"} or set(chosen) == {"file"}:
            expected = 404
        elif path.startswith("/media/"):
            return
        self.judge(one, expected, f"foreign {chosen}", method, path)
        self.assertEqual(same_bytes(one, target), same_bytes(other, empty), f"{method} {target} differs from {empty}")

    @staticmethod
    def state(victim):
        """What attacks must leave alone."""
        admin = victim.admin
        return [(answer.status, answer.headers["ETag"]) for answer in (
            admin.get(f"{PROJECTS}{victim.project}/"), admin.get(f"{TASKS}{victim.task}/"),
            admin.get(f"/api/organization/departments/{victim.department}/"), admin.get("/api/organization/"))]


class References(support.Case):
    """TEN-7 for what is named in bodies, filters and headers instead of paths."""

    def both(self, kind):
        victim, _ = the_world()
        if kind == "refresh":
            return victim.admin.refresh, "r1." + "A" * 80
        if kind in ("canary", "department_name"):
            return {"canary": victim.canary, "department_name": f"Department {victim.canary}"}[kind], "nosuchword"
        return value_of(victim, kind), unused(kind)

    def test_TEN_7_references_in_bodies(self):
        victim, attacker = the_world()
        places = {"own project tasks": f"/api/project/{attacker.project}/tasks/",
                  "own task": f"{TASKS}{attacker.task}/", "own user": support.user_path(attacker.admin.email)}
        for method, path, body, kind, status in rows.BODIES:
            with self.subTest(path=path, kind=kind):
                path = places.get(path, path)
                client = attacker.watched
                answers = [client.send(method, path, body(value, attacker)) for value in self.both(kind)]
                self.assertEqual(answers[0].status, status, answers[0])
                self.assertEqual(same_bytes(answers[0], path), same_bytes(answers[1], path))
                if status == 422 and kind in ("project", "task", "email", "department"):
                    self.assertEqual({e["code"] for e in answers[0].json["errors"]}, {"not-found"}, answers[0])

    def test_TEN_7_filters_and_searches_find_nothing(self):
        victim, attacker = the_world()
        for path, kind in rows.FILTERS:
            with self.subTest(path=path):
                paths = [path.format(urllib.parse.quote(str(v))) + "&count=true" for v in self.both(kind)]
                answers = [attacker.watched.get(p) for p in paths]
                self.assertEqual(answers[0].json, {"next": None, "previous": None, "results": [], "count": 0}, path)
                self.assertEqual(answers[0].body, answers[1].body)

    def test_TEN_7_names_are_unique_per_organization(self):
        victim, attacker = the_world()
        name, key = f"Named {victim.mark}", "Q" + victim.mark.upper()
        victim.make(PROJECTS, {"name": name, "key": key})
        victim.make(support.DEPARTMENTS, {"department_name": name})
        plain = Client().adopt({"access": attacker.admin.access, "refresh": attacker.admin.refresh})
        self.assertEqual(plain.post(PROJECTS, {"name": name, "key": key}).status, 201)
        self.assertEqual(plain.post(PROJECTS, {"name": name}).status, 409)
        self.assertEqual(plain.post(PROJECTS, {"name": "Another", "key": key}).status, 409)
        department = plain.post(support.DEPARTMENTS, {"department_name": name})
        self.assertEqual(department.status, 201, department)
        # An address that is a user of the other organization may be one here too.
        both = plain.post(support.USERS, support.new_user(email=victim.outsider.email))
        self.assertEqual(both.status, 201, both)

    def test_TEN_7_an_idempotency_key_of_another_organization_is_unknown(self):
        victim, attacker = the_world()
        headers = {"Idempotency-Key": "the-same-key"}
        path, body = f"/api/project/{attacker.project}/tasks/", {"title": "the same body"}
        one = victim.admin.post(f"/api/project/{victim.project}/tasks/", body, headers=headers)
        self.assertEqual(one.status, 201)
        own = attacker.watched.post(path, body, headers=headers)
        self.assertEqual(own.status, 201)
        self.assertNotIn("Idempotency-Replayed", own.headers)
        self.assertEqual(attacker.watched.post(path, body, headers=headers).headers["Idempotency-Replayed"], "true")


def add_rows():
    for key in rows.ROWS:
        words = key.replace("{", "").replace("}", "").replace("/", " ").replace(".", " ").replace("-", " ").split()

        def test(self, key=key):
            self.row(key)
        name = "test_TEN_8_" + "_".join(words)
        test.__name__ = name
        assert not hasattr(Matrix, name), name
        setattr(Matrix, name, test)


add_rows()

if __name__ == "__main__":
    os.environ.setdefault("TASKFLOW_ORIGIN", "http://127.0.0.1:8080")
    unittest.main()
