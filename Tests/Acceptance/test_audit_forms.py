"""Section 1 line by line: ids, bodies, errors, Idempotency-Key and methods."""
import concurrent.futures

from support import *


class Forms(Case):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.project = project(cls.admin, key="FORMS")
        cls.base = f"/api/project/{cls.project['id']}/tasks/"

    def test_ids_and_keys(self):
        t = task(self.admin, self.project["id"])
        for name in ("0", "-1", "1.0", "9223372036854775808", "9223372036854775807", "18446744073709551617",
                     "0" + str(t["id"]),
                     "+1", "FORMS-0", "FORMS-01", "FORMS-9223372036854775808", "forms-1", "FORMS-", "-1", "FORMS",
                     "FORMS-1-1", "X-1",
                     "%20" + str(t["id"]), "NULL", "%C2%B2"):
            for method, tail, body in (("GET", "", None), ("PATCH", "", {"title": "x"}), ("DELETE", "", None),
                                       ("GET", "subtasks/", None),
                                       ("POST", "subtasks/", {"title": "x"}), ("GET", "collaborators/", None),
                                       ("POST", "restore/", None),
                                       ("POST", f"collaborators/{self.admin.email}/", None)):
                self.problem(self.admin.send(method, f"{TASKS}{name}/{tail}", body), 404)
        for name in ("0", "-1", "x", "9223372036854775808", "FORMS"):
            self.problem(self.admin.get(f"/api/project/{name}/tasks/"), 404)
            self.problem(self.admin.post(f"/api/project/{name}/tasks/", {"title": "x"}), 404)
            self.problem(self.admin.get(f"/api/project/{name}/tasks/{t['id']}/"), 404)
        # A key wherever an id is, below both paths.
        for root in (TASKS, self.base):
            for name in (str(t["id"]), t["key"]):
                path = f"{root}{name}/"
                self.assertEqual(self.ok(self.admin.get(path))["id"], t["id"])
                self.assertEqual(self.ok(self.admin.patch(path, {"title": unique("t")}))["id"], t["id"])
                self.assertEqual(self.ok(self.admin.put(path, {"title": unique("t")}))["id"], t["id"])
                answer = self.admin.post(path + "subtasks/", {"title": "x"})
                self.assertEqual(self.ok(answer, 201)["parent_task"], t["id"])
                self.assertEqual(self.ok(self.admin.get(answer.headers["Location"]))["id"], answer.json["id"])
                answer = self.admin.post(f"{path}collaborators/{self.admin.email}/")
                self.ok(answer, 201)
                got = self.admin.get(answer.headers["Location"])
                self.assertEqual((self.ok(got), got.headers["ETag"]), (answer.json, answer.headers["ETag"]))
                self.assertEqual(self.ok(self.admin.get(path + "collaborators/"))["results"], [answer.json])
                self.assertEqual(
    self.admin.delete(f"{path}collaborators/{urllib.parse.quote(self.admin.email.upper(), safe='')}/").status, 204)
                self.assertEqual(self.admin.delete(path).status, 204)
                self.ok(self.admin.post(path + "restore/"))
        other = project(self.admin)
        wrong = f"/api/project/{other['id']}/tasks/"
        for name in (str(t["id"]), t["key"]):
            for method, tail, body in (("GET", "", None), ("PATCH", "", {"title": "x"}), ("PUT", "", {"title": "x"}),
                                       ("DELETE", "", None),
                                       ("GET", "subtasks/", None), ("POST", "subtasks/", {"title": "x"}),
                                       ("GET", "collaborators/", None),
                                       ("POST", f"collaborators/{self.admin.email}/", None),
                                       ("POST", "restore/", None)):
                self.problem(self.admin.send(method, f"{wrong}{name}/{tail}", body), 404)
        for value in (None, "1", 1.5, True, [1], {}, 0, -1, 2**63, 2**70):
            self.problem(self.admin.post(TASKS, {"title": "x", "project": value}), 422, pointer="/project")
        self.problem(self.admin.post(self.base, {"title": "x", "project": other["id"]}), 422, pointer="/project",
                     field_code="read-only")
        self.ok(self.admin.post(self.base, {"title": "x", "project": self.project["id"]}), 201)

    def test_order_of_judgement(self):
        t = task(self.admin, self.project["id"])
        path, none, stale = f"{TASKS}{t['id']}/", f"{TASKS}424242/", {"If-Match": '"99999"'}
        for method in ("PUT", "PATCH"):
            self.problem(self.admin.send(method, none, raw=b"{"), 400)
            self.problem(self.admin.send(method, none, raw=b"[]"), 400)
            self.problem(self.admin.send(method, none, raw=b"{}", headers={"Content-Type": "text/plain"}), 415)
            self.problem(self.admin.send(method, none, raw=b'{"title": "' + b"x" * 1_100_000 + b'"}'), 413)
            self.problem(self.admin.send(method, none, {"title": ""}, headers=stale), 404)
            self.problem(self.admin.send(method, path, {"title": ""}, headers=stale), 412)
        self.problem(self.admin.delete(path, headers=stale), 412)
        self.problem(self.admin.post(f"{none}subtasks/", raw=b"{"), 400)
        self.problem(self.admin.post(f"{none}subtasks/", {"title": ""}), 404)
        self.problem(self.admin.post("/api/project/424242/tasks/", {}), 404)
        self.problem(self.admin.post(self.base, {}, headers={"Idempotency-Key": "a b"}), 400)
        # The token comes before the form, the route before the token.
        nobody = Client()
        self.problem(nobody.patch(none, raw=b"{"), 401)
        self.problem(nobody.get(TASKS + "?page_size=0"), 401)
        self.problem(nobody.get("/api/project/tasks/1/nothing/"), 404)
        self.problem(nobody.put("/api/project/trash/", {}), 405)
        for header in ("Bearer", "Bearer x.y.z", "Basic YTpi", f"Bearer  {self.admin.access}x", "bearer"):
            answer = nobody.get(TASKS, headers={"Authorization": header})
            self.problem(answer, 401)
        # 422 before 409.
        self.problem(self.admin.post(path + "restore/", {"x": 1}), 422)
        self.problem(self.admin.post(path + "restore/"), 409, "not-deleted")

    def test_json(self):
        def nested(levels):
            return b'{"title": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
        self.problem(self.admin.post(self.base, raw=nested(32)), 422, pointer="/title", field_code="wrong-type")
        self.problem(self.admin.post(self.base, raw=nested(33)), 400)
        for raw in (b"", b"null", b"1", b'"x"', b"[]", b"{'title': 1}", b'{"title": "x",}', b'{"title": "x"}{}',
                    b'{"title": NaN}',
                    b'{"title": 01}', b'{"title": 1.}', b'{"title": "a\nb"}', b'{"title": "\\ud800"}',
                    b'{"title": "\\udc00\\ud800"}',
                    b'{"title": "\\ud800\\u0041"}', b'{"t": 1, "t": 2}',
                    b'{"title": "x", "description": {"a": 1, "\\u0061": 2}}',
                    b'\xef\xbb\xbf{"title": "x"}', b'{"title": "\xff"}', b'{"title": "\xed\xa0\x80"}',
                    b'{"title": "\\x41"}', b"// c\n{}",
                    '{"title": "x"}'.encode("utf-16")):
            with self.subTest(raw=raw):
                self.problem(self.admin.post(self.base, raw=raw), 400)
        for raw, status in ((b'{"title": "\\u0000"}', 422), (b'{"title": "\\ud83d\\ude00"}', 201),
                            (b' {"title" : "x" } \n', 201),
                            (b'{"title": 1e400}', 422), (b'{"title": -0}', 422),
                            (b'{"title": "x", "a\\u0000b": 1}', 422)):
            self.assertEqual(self.admin.post(self.base, raw=raw).status, status, raw)
        self.problem(self.admin.post(self.base, {"title": "x"},
                                     headers={"Content-Type": "application/json; charset=iso-8859-1"}), 415)
        self.ok(self.admin.post(self.base, {"title": "x"},
                                headers={"Content-Type": "Application/JSON; charset=UTF-8"}), 201)
        # An absent body where none is needed.
        t = task(self.admin, self.project["id"])
        self.ok(self.admin.post(f"{TASKS}{t['id']}/collaborators/{self.admin.email}/", {}), 201)
        self.problem(self.admin.post(
            f"{TASKS}{t['id']}/collaborators/{self.admin.email}/", {"x": 1}), 422, pointer="/x")

    def test_looks_alike(self):
        stranger = sign_up()
        developer = add_user(self.admin)
        t = task(self.admin, self.project["id"])
        collaborate(self.admin, self.project["id"], developer)

        def plain(answer):
            body = self.problem(answer, 404)
            for name in ("request_id", "instance"):
                body.pop(name)
            return body
        same = [plain(developer.get(f"{TASKS}{t['id']}/")), plain(developer.get(f"{TASKS}424242/")),
                plain(stranger.get(f"{TASKS}{t['id']}/")),
                plain(developer.patch(f"{TASKS}{t['id']}/", {"title": "x"})),
                plain(developer.delete(f"{TASKS}{t['key']}/")),
                plain(developer.get(f"{TASKS}0/")), plain(stranger.get(f"{PROJECTS}424242/"))]
        self.assertEqual(same, same[:1] * len(same))
        one = self.problem(developer.post(self.base, {"title": "x", "parent_task": t["id"]}), 422)
        two = self.problem(developer.post(self.base, {"title": "x", "parent_task": 424242}), 422)
        self.assertEqual(one["errors"], two["errors"])
        one = self.problem(stranger.post(TASKS, {"title": "x", "project": self.project["id"] + 70}), 422)
        two = self.problem(developer.post(TASKS, {"title": "x", "project": 424242}), 422)
        self.assertEqual(one["errors"], two["errors"])

    def test_idempotency(self):
        manager, person = add_user(self.admin, "MANAGER"), add_user(self.admin)
        for each in (manager, person):
            collaborate(self.admin, self.project["id"], each)
        key = {"Idempotency-Key": unique("!~key")}

        def twice(path, body, status, client=manager):
            first, again = client.post(path, body, headers=key), client.post(path, body, headers=key)
            self.ok(first, status)
            self.assertIsNone(first.headers["Idempotency-Replayed"])
            self.assertEqual((again.status, again.body, again.headers["Location"], again.headers["ETag"],
                              again.headers["Idempotency-Replayed"], again.headers["Content-Type"]),
                             (status, first.body, first.headers["Location"], first.headers["ETag"], "true",
                              first.headers["Content-Type"]))
            return first.json
        t = twice(TASKS, {"title": "a", "project": self.project["id"]}, 201)
        twice(self.base, {"title": "a"}, 201)
        path = f"{TASKS}{t['id']}/"
        twice(path + "subtasks/", {"title": "a"}, 201)
        twice(f"{path}collaborators/{person.email}/", None, 201)
        self.assertEqual(manager.delete(path).status, 204)
        twice(path + "restore/", None, 200)
        # Another body; the same with members in another order is another text, and may be either.
        self.problem(manager.post(self.base, {"title": "b"}, headers=key), 422)
        # A change in between is not shown: the stored answer is.
        self.ok(manager.patch(path, {"title": "changed"}))
        again = manager.post(TASKS, {"title": "a", "project": self.project["id"]}, headers=key)
        self.assertEqual((again.json["title"], again.headers["Idempotency-Replayed"]), ("a", "true"))
        # A 4xx can be corrected under the same key, of every kind.
        key = {"Idempotency-Key": unique("again")}
        self.problem(manager.post(path + "restore/", headers=key), 409)
        self.assertEqual(manager.delete(path).status, 204)
        self.ok(manager.post(path + "restore/", headers=key))
        key = {"Idempotency-Key": unique("again")}
        self.problem(manager.post(f"{path}collaborators/{person.email}/", headers=key), 409)
        self.assertEqual(manager.delete(f"{path}collaborators/{person.email}/").status, 204)
        self.ok(manager.post(f"{path}collaborators/{person.email}/", headers=key), 201)
        key = {"Idempotency-Key": unique("again")}
        self.problem(person.post(self.base, {"title": "a", "collaborators": [manager.email]}, headers=key), 403)
        own = self.ok(person.post(self.base, {"title": "a"}, headers=key), 201)
        self.ok(person.post(TASKS, {"title": "a", "project": self.project["id"]}, headers=key), 201)
        self.ok(person.post(f"{TASKS}{own['id']}/subtasks/", {"title": "s"}, headers=key), 201)
        # Rights are judged before a replay: nothing that was once answered is given to somebody who has left.
        answer = self.admin.delete(f"{PROJECTS}{self.project['id']}/collaborators/{person.email}/")
        self.assertEqual(answer.status, 204)
        person.get(TASKS, headers={"Taskflow-Position": answer.headers["Taskflow-Position"]})
        self.problem(person.post(self.base, {"title": "a"}, headers=key), 404)
        self.problem(person.post(TASKS, {"title": "a", "project": self.project["id"]}, headers=key), 422,
                     pointer="/project",
                     field_code="not-found")
        self.problem(person.post(f"{TASKS}{own['id']}/subtasks/", {"title": "s"}, headers=key), 404)
        # Deleted meanwhile: the parent is not to be read any more.
        key = {"Idempotency-Key": unique("gone")}
        body = {"title": "s", "parent_task": t["id"]}
        self.ok(manager.post(self.base, body, headers=key), 201)
        self.assertEqual(manager.delete(path).status, 204)
        self.problem(manager.post(self.base, body, headers=key), 422, pointer="/parent_task", field_code="not-found")

    def test_idempotency_races(self):
        clients = [log_in(self.admin.email) for _ in range(6)]
        t = task(self.admin, self.project["id"])
        key = {"Idempotency-Key": unique("race")}
        for path, body in ((self.base, {"title": unique("race")}), (f"{TASKS}{t['id']}/subtasks/", {"title": "s"}),
                           (PROJECTS, {"name": unique("race")})):
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(lambda c: c.post(path, body, headers=key), clients))
            self.assertLessEqual({a.status for a in answers}, {201, 409})
            made = [a for a in answers if a.status == 201]
            self.assertEqual(len({a.body for a in made}), 1)
            self.assertEqual(len([a for a in made if not a.headers["Idempotency-Replayed"]]), 1)
        self.assertEqual(len(self.ok(self.admin.get(f"{TASKS}{t['id']}/"))["subtasks"]), 1)

    def test_methods(self):
        t = task(self.admin, self.project["id"])
        for root in (TASKS, self.base):
            path = f"{root}{t['id']}/"
            for method, where, allowed in (("DELETE", root, "GET,HEAD,POST"),
                                           ("POST", path, "DELETE,GET,HEAD,PATCH,PUT"),
                                           ("PUT", path + "subtasks/", "GET,HEAD,POST"),
                                           ("POST", path + "collaborators/", "GET,HEAD"),
                                           ("PATCH", path + "collaborators/a@b.c/", "DELETE,GET,HEAD,POST"),
                                           ("GET", path + "restore/", "POST"),
                                           ("POST", "/api/project/trash/", "GET,HEAD")):
                answer = self.admin.send(method, where, {} if method[0] == "P" else None)
                self.problem(answer, 405)
                self.assertEqual(set(answer.headers["Allow"].replace(" ", "").split(",")) - {"OPTIONS"},
                                 set(allowed.split(",")), where)
            for where in (root, path, path + "subtasks/", path + "collaborators/"):
                for form in (where, where.rstrip("/")):
                    got = self.admin.get(form)
                    self.ok(got)
                    self.assertEqual(got.headers["Cache-Control"], "private, no-cache")
                    self.assertEqual(got.headers["Content-Type"], "application/json; charset=utf-8")
