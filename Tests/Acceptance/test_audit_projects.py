"""Section 5 line by line: what projects are."""
import concurrent.futures

from support import *

TRASH = "/api/project_management/trash/"


class Projects(Case):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up(first_name="Renée")
        cls.person = add_user(cls.admin)

    def test_order_of_judgement(self):
        p = project(self.admin)
        path = f"{PROJECTS}{p['id']}/"
        none = f"{PROJECTS}424242/"
        stale = {"If-Match": '"999999"'}
        # 400 before 404.
        self.problem(self.admin.patch(none, raw=b"{"), 400)
        self.problem(self.admin.put(none, raw=b"[]"), 400)
        self.problem(self.admin.get(none + "?foo=1"), 400, parameter="foo")
        self.problem(self.admin.get(none + "?fields=nope"), 400, parameter="fields")
        self.problem(self.admin.get(none + "collaborators/?page_size=0"), 400, parameter="page_size")
        self.problem(self.admin.get(none + f"collaborators/{self.person.email}/?fields=nope"), 400, parameter="fields")
        self.problem(self.admin.patch(none + "?x=1", {"name": "x"}), 400, parameter="x")
        self.problem(self.admin.patch(path + "?fields=nope", {"name": unique("x")}), 400, parameter="fields")
        self.problem(self.admin.delete(none + "?x=1"), 400, parameter="x")
        self.problem(self.admin.patch(none, raw=b"a=b", headers={"Content-Type": "text/plain"}), 415)
        # 404 before 412 and 422; 412 before 422; 422 before 409.
        self.problem(self.admin.patch(none, {"name": ""}, headers=stale), 404)
        self.problem(self.admin.patch(path, {"name": ""}, headers=stale), 412)
        self.problem(self.admin.put(path, {}, headers=stale), 412)
        self.problem(self.admin.delete(path, headers=stale), 412)
        other = project(self.admin)
        self.problem(self.admin.patch(path, {"name": other["name"], "status": "x"}), 422, pointer="/status")
        self.problem(self.admin.patch(path, {"name": other["name"].upper()}), 409, "name-taken")
        self.problem(self.admin.post(f"{path}collaborators/{self.admin.email}/", {"x": 1}), 422)
        self.problem(self.admin.post(f"{path}restore/", {"x": 1}), 422)
        self.ok(self.admin.patch(path, {"name": unique("x")}, headers={"If-Match": "*"}))
        self.assertEqual(self.ok(self.admin.get(path))["name"][:1], "x")

    def test_ids(self):
        for name in ("0", "-1", "1.0", "abc", "9223372036854775808", "9223372036854775807",
                     "99999999999999999999999999",
                     "+1", "01", "%E2%91%A0"):
            self.problem(self.admin.get(f"{PROJECTS}{name}/"), 404)
            self.problem(self.admin.get(f"{PROJECTS}{name}/collaborators/"), 404)

    def test_text(self):
        for n, name in enumerate(("𝒳" * 255, " leading and trailing ", "ﬁ Ω K ß", "a\tb\nc", "\u202eRTL", "x" * 255)):
            p = self.ok(self.admin.post(PROJECTS, {"name": name, "description": name}), 201)
            self.assertEqual([ord(c) for c in p["name"]], [ord(c) for c in name])
            self.assertEqual(p, self.ok(self.admin.get(f"{PROJECTS}{p['id']}/")))
            self.assertRegex(p["key"], r"^[A-Z][A-Z0-9]{1,9}$")
        self.problem(self.admin.post(PROJECTS, {"name": "𝒳" * 256}), 422, pointer="/name", field_code="too-long")
        self.problem(self.admin.post(PROJECTS, {"name": "a\x00"}), 422, pointer="/name")
        self.problem(self.admin.post(PROJECTS, {"name": unique("x"), "description": "é" * 100_001}), 422,
                     pointer="/description", field_code="too-long")
        for blank in ("", " ", "\t\n", "\u3000\u2003", "\u00a0"):
            self.problem(self.admin.post(PROJECTS, {"name": blank}), 422, pointer="/name", field_code="blank")
        # Every error at once, each at its place.
        body = self.problem(self.admin.post(PROJECTS, {"name": 1, "status": "x", "key": "k", "a/b~c": 2}), 422)
        self.assertEqual({e["pointer"] for e in body["errors"]}, {"/name", "/status", "/key", "/a~1b~0c"})
        # Unique ignoring case, of any script.
        name = unique("ÄÖÜ Straße ΑΒΓ")
        self.ok(self.admin.post(PROJECTS, {"name": name}), 201)
        self.problem(self.admin.post(PROJECTS, {"name": name.lower()}), 409, "name-taken")

    def test_keys(self):
        keys = [self.ok(self.admin.post(PROJECTS, {"name": name}), 201)["key"] for name in (
            "12345", "!!!", "日本語", "Проект", "Z", "z z", "A B C D E F G H I J K L M N", "Same start one",
            "Same start 1", "Same start ones", "😀")]
        self.assertEqual(len(set(keys)), len(keys))
        for key in keys:
            self.assertRegex(key, r"^[A-Z][A-Z0-9]{1,9}$")
        p = project(self.admin, key="AUDIT1")
        path = f"{PROJECTS}{p['id']}/"
        self.assertEqual(self.ok(self.admin.patch(path, {"key": "AUDIT1"}))["key"], "AUDIT1")
        self.assertEqual(self.admin.delete(path).status, 204)
        # The key of a project in the trash is still its own.
        self.problem(self.admin.post(PROJECTS, {"name": unique("k"), "key": "AUDIT1"}), 409)
        for key in (None, 5, "", "A", "a1", "1A", "ABCDEFGHIJK", "AB C", "ÄB", "AB\n"):
            self.problem(self.admin.post(PROJECTS, {"name": unique("k"), "key": key}), 422, pointer="/key")

    def test_update_rules(self):
        p = project(self.admin, description="d", status="IN_PROGRESS", task_visibility="project")
        path = f"{PROJECTS}{p['id']}/"
        first = self.admin.get(path)
        # The whole answer put back changes nothing.
        for method in ("PUT", "PATCH"):
            same = self.admin.send(method, path, first.json)
            self.assertEqual((self.ok(same), same.headers["ETag"]), (first.json, first.headers["ETag"]))
        for name in ("id", "created_by", "updated_by", "created_at", "updated_at", "version", "collaborators"):
            self.problem(self.admin.patch(path, {name: None}), 422, pointer=f"/{name}", field_code="read-only")
        put = self.ok(self.admin.put(path, {"name": p["name"]}))
        self.assertEqual((put["description"], put["status"], put["task_visibility"]),
                         ("", "IN_PROGRESS", "collaborators"))
        self.problem(self.admin.put(path, {"description": "x"}), 422, pointer="/name", field_code="required")
        for field in ("name", "description", "status", "task_visibility"):
            self.problem(self.admin.patch(path, {field: None}), 422, pointer=f"/{field}")
        for status in ("PENDING", "IN_PROGRESS", "COMPLETED", "CLOSED"):
            self.assertEqual(self.ok(self.admin.patch(path, {"status": status}))["status"], status)
        merge = {"Content-Type": "application/merge-patch+json"}
        self.assertEqual(self.ok(self.admin.patch(path, {"description": "m"}, headers=merge))["description"], "m")
        self.problem(self.admin.put(path, {"name": "m"}, headers=merge), 415)
        self.problem(self.admin.post(PROJECTS, {"name": "m"}, headers=merge), 415)
        # Canonically equivalent text is other text.
        self.ok(self.admin.patch(path, {"description": "e\u0301"}))
        before = self.admin.get(path).headers["ETag"]
        after = self.admin.patch(path, {"description": "\u00e9"})
        self.assertNotEqual(after.headers["ETag"], before)
        # A name differing from its own by case only.
        self.ok(self.admin.patch(path, {"name": p["name"].upper()}))

    def test_etags(self):
        p = project(self.admin)
        path = f"{PROJECTS}{p['id']}/"
        seen = {self.admin.get(path).headers["ETag"]}

        def changed(answer):
            self.assertLess(answer.status, 300, answer)
            tag = self.admin.get(path).headers["ETag"]
            self.assertNotIn(tag, seen)
            self.assertEqual(tag, f'"{self.admin.get(path).json["version"]}"')
            seen.add(tag)
        entry = f"{path}collaborators/{self.person.email}/"
        added = self.admin.post(entry)
        changed(added)
        self.assertEqual(self.admin.get(entry).headers["ETag"], added.headers["ETag"])
        self.assertEqual(self.admin.get(entry, headers={"If-None-Match": added.headers["ETag"]}).status, 304)
        user = f"/api/organization/users/{self.person.email}/"
        changed(self.admin.patch(user, {"last_name": unique("Other")}))
        changed(self.admin.patch("/api/account/", {"first_name": unique("Me")}))
        self.problem(self.admin.delete(entry, headers={"If-Match": added.headers["ETag"]}), 412)
        changed(self.admin.delete(entry))
        tag = self.admin.get(path).headers["ETag"]
        for header, status in ((tag, 304), (f'"x", {tag}', 304), (f"W/{tag}", 304), ("*", 304), ('"x"', 200),
                               (f'"x,{tag[1:]}', 200)):
            answer = self.admin.get(path, headers={"If-None-Match": header})
            self.assertEqual(answer.status, status, header)
            self.assertEqual(answer.headers["ETag"], tag)
            self.assertEqual(self.admin.send("HEAD", path, headers={"If-None-Match": header}).status, status)
        for header, status in ((f'"x", {tag}', 200), (f"W/{tag}", 412), ('"x"', 412), ("*", 200)):
            self.assertEqual(self.admin.patch(path, {"name": p["name"]}, headers={"If-Match": header}).status, status)

    def test_fields(self):
        p = project(self.admin)
        path = f"{PROJECTS}{p['id']}/"
        self.assertEqual(self.ok(self.admin.get(path + "?fields=key,collaborators")),
                         {"key": p["key"], "collaborators": p["collaborators"]})
        self.problem(self.admin.get(path + "?fields=key,nope"), 400, parameter="fields")
        self.problem(self.admin.get(path + "?fields=key&fields=id"), 400, parameter="fields")
        self.problem(self.admin.get(path + "?page_size=5"), 400, parameter="page_size")
        self.assertEqual(set(self.ok(self.admin.get(path + "collaborators/?fields=user"))["results"][0]), {"user"})
        fresh = sign_up()
        for empty in (PROJECTS, TRASH):
            self.assertEqual(self.ok(fresh.get(empty + "?fields=id,name"))["results"], [])
            self.problem(fresh.get(empty + "?fields=id,nope"), 400, parameter="fields")
        self.problem(fresh.get(PROJECTS + "?fields=deleted_at"), 400, parameter="fields")
        self.problem(fresh.get(PROJECTS + "?fields=collaborators"), 400, parameter="fields")
        self.problem(fresh.get(PROJECTS + "?status=OVERDUE"), 400, parameter="status")

    def test_cursor_of_another_project(self):
        one, other = project(self.admin), project(self.admin)
        for p in (one, other):
            collaborate(self.admin, p["id"], self.person)
        page = self.ok(self.admin.get(f"{PROJECTS}{one['id']}/collaborators/?page_size=1&count=true"))
        self.assertEqual((len(page["results"]), page["count"]), (1, 2))
        second = self.ok(self.admin.get(page["next"]))
        self.assertEqual(len(second["results"]), 1)
        self.assertIsNone(second["next"])
        self.assertEqual(self.ok(self.admin.get(second["previous"]))["results"], page["results"])
        cursor = urllib.parse.parse_qs(urllib.parse.urlsplit(page["next"]).query)["cursor"][0]
        self.problem(self.admin.get(f"{PROJECTS}{other['id']}/collaborators/?page_size=1&cursor={cursor}"), 400,
                     "bad-cursor")
        self.problem(self.admin.get(f"{PROJECTS}?cursor={cursor}"), 400, "bad-cursor")

    def test_idempotency(self):
        person = add_user(self.admin, "MANAGER")
        key = {"Idempotency-Key": unique("key")}
        name = unique("Once")
        self.problem(person.post(PROJECTS, {"name": name, "status": "x"}, headers=key), 422)
        taken = project(self.admin)
        self.problem(person.post(PROJECTS, {"name": taken["name"]}, headers=key), 409)
        first = person.post(PROJECTS, {"name": name}, headers=key)
        self.ok(first, 201)
        self.assertIsNone(first.headers["Idempotency-Replayed"])
        for path in (PROJECTS, PROJECTS.rstrip("/")):
            again = person.post(path, {"name": name}, headers=key)
            self.assertEqual((again.status, again.body, again.headers["Location"], again.headers["ETag"],
                              again.headers["Idempotency-Replayed"], again.headers["Content-Type"]),
                             (201, first.body, first.headers["Location"], first.headers["ETag"], "true",
                              first.headers["Content-Type"]))
        self.problem(person.post(PROJECTS, {"name": name + "!"}, headers=key), 422)
        # Scope: the user and the path.
        self.ok(self.admin.post(PROJECTS, {"name": unique("Mine")}, headers=key), 201)
        self.ok(person.post("/api/project_management/", {"name": unique("Path")}, headers=key), 201)
        # Collaborators and restore.
        path = f"{PROJECTS}{first.json['id']}/"
        for target, body, status in ((f"{path}collaborators/{self.person.email}/", None, 201),):
            one = person.post(target, body, headers=key)
            self.ok(one, status)
            two = person.post(target, body, headers=key)
            self.assertEqual((two.body, two.headers["Location"], two.headers["Idempotency-Replayed"]),
                             (one.body, one.headers["Location"], "true"))
        self.assertEqual(person.delete(path).status, 204)
        one = person.post(path + "restore/", headers=key)
        self.ok(one)
        two = person.post(path + "restore/", headers=key)
        self.assertEqual((two.status, two.body, two.headers["ETag"]), (200, one.body, one.headers["ETag"]))
        # Rights are judged before a replay.
        self.assertEqual(self.admin.delete(f"{path}collaborators/{person.email}/").status, 204)
        self.problem(person.post(path + "restore/", headers=key), 404)
        self.problem(person.post(f"{path}collaborators/{self.person.email}/", headers=key), 404)
        for bad in ("x" * 256, "a b"):
            self.problem(person.post(PROJECTS, {"name": unique("x")}, headers={"Idempotency-Key": bad}), 400)
        self.problem(person.post(PROJECTS, {"name": unique("x")}, headers={"Idempotency-Key": ""}), 400)
        self.ok(
    person.post(
        PROJECTS, {
            "name": unique("x")}, headers={
                "Idempotency-Key": unique("~!") + "x" * 200}), 201)

    def test_races(self):
        clients = [log_in(self.admin.email) for _ in range(6)]
        name = unique("Race")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            statuses = sorted(pool.map(lambda c: c.post(PROJECTS, {"name": name}).status, clients))
        self.assertEqual(statuses, [201] + [409] * 5)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            made = list(pool.map(lambda n: clients[n].post(PROJECTS, {"name": f"Key Race {n}"}), range(6)))
        self.assertEqual(len({self.ok(m, 201)["key"] for m in made}), 6)
        p = project(self.admin)
        path = f"{PROJECTS}{p['id']}/collaborators/{self.person.email}/"
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            statuses = sorted(pool.map(lambda c: c.post(path).status, clients))
        self.assertEqual(statuses, [201] + [409] * 5)

    def test_methods(self):
        p = project(self.admin)
        path = f"{PROJECTS}{p['id']}/"
        for method, where, allowed in (("PATCH", PROJECTS, "GET,HEAD,POST"), ("POST", path, "DELETE,GET,HEAD,PATCH,PUT"),
                                       ("PUT", f"{path}collaborators/x@example.com/", "DELETE,GET,HEAD,POST"),
                                       ("GET", f"{path}restore/", "POST"), ("POST", TRASH, "GET,HEAD"),
                                       ("DELETE", "/api/project_management/", "GET,HEAD,POST")):
            answer = self.admin.send(method, where, {} if method[0] == "P" else None)
            self.problem(answer, 405)
            self.assertEqual(set(answer.headers["Allow"].replace(" ", "").split(",")) - {"OPTIONS"},
                             set(allowed.split(",")))
        for where in (PROJECTS, path, TRASH, path + "collaborators/", "/api/project_management"):
            got, head = self.admin.get(where), self.admin.send("HEAD", where)
            self.assertEqual((head.status, head.body, head.headers["ETag"]), (200, b"", got.headers["ETag"]))
            self.assertEqual(got.headers["Cache-Control"], "private, no-cache")

    def test_tasks_vanish_and_return(self):
        p = project(self.admin)
        t = task(self.admin, p["id"])
        other = task(self.admin, p["id"])
        self.assertEqual(self.admin.delete(f"/api/project/tasks/{other['id']}/").status, 204)
        path = f"{PROJECTS}{p['id']}/"
        self.assertEqual(self.admin.delete(path).status, 204)
        one = f"/api/project/tasks/{t['id']}/"
        for method, where, body in (
                ("GET", one, None), ("PATCH", one, {"title": "x"}), ("DELETE", one, None),
                ("GET", f"/api/project/{p['id']}/tasks/", None),
                                    ("POST", f"/api/project/{p['id']}/tasks/", {"title": "x"}),
                ("GET", one + "subtasks/", None), ("POST", one + "subtasks/", {"title": "x"}),
                ("GET", one + "collaborators/", None), ("GET", f"/api/project/tasks/{t['key']}/", None),
                ("POST", f"/api/project/tasks/{other['id']}/restore/", None)):
            self.problem(self.admin.send(method, where, body), 404)
        self.problem(self.admin.post("/api/project/tasks/", {"title": "x", "project": p["id"]}), 422,
                     pointer="/project",
                     field_code="not-found")
        self.assertEqual([r for r in self.admin.pages("/api/project/tasks/") if r["project"] == p["id"]], [])
        self.assertEqual([r for r in self.admin.pages("/api/project/trash/") if r["project"] == p["id"]], [])
        stats = self.ok(self.admin.get("/api/account/"))["stats"]
        self.ok(self.admin.post(path + "restore/"))
        self.assertEqual([r["id"] for r in self.admin.pages(f"/api/project/{p['id']}/tasks/")], [t["id"]])
        self.assertEqual([r["id"] for r in self.admin.pages("/api/project/trash/") if r["project"] == p["id"]],
                         [other["id"]])
        after = self.ok(self.admin.get("/api/account/"))["stats"]
        self.assertEqual((after["total_projects"], after["pending_tasks"]),
                         (stats["total_projects"] + 1, stats["pending_tasks"] + 1))
        # Trash: the latest first.
        names = [project(self.admin) for _ in range(3)]
        for each in names:
            self.assertEqual(self.admin.delete(f"{PROJECTS}{each['id']}/").status, 204)
        self.assertEqual([r["id"] for r in self.admin.pages(TRASH, 1)][:3], [n["id"] for n in reversed(names)])
