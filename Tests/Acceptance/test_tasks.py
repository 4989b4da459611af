"""Section 6: tasks."""
import concurrent.futures

from support import *


class Tasks(TaskCase):
    def test_create_and_read(self):
        admin = sign_up()
        p = project(admin, key="WEB")
        answer = admin.post(f"/api/project/{p['id']}/tasks/", {"title": "First"})
        t = self.ok(answer, 201)
        self.assertTrue({"id", "key", "project", "parent_task", "title", "description", "priority", "status", "start_date",
                         "due_date", "completed_date", "collaborators", "created_by", "updated_by", "created_at",
                         "updated_at"} <= set(t))
        self.assertEqual((t["priority"], t["status"], t["start_date"], t["due_date"], t["description"]),
                         ("MEDIUM", "PENDING", day(0), None, ""))
        self.assertEqual(t["key"], "WEB-1")
        for path in (answer.headers["Location"], f"/api/project/tasks/{t['id']}/", "/api/project/tasks/WEB-1/",
                     f"/api/project/{p['id']}/tasks/{t['id']}", f"/api/project/{p['id']}/tasks/WEB-1/"):
            self.assertEqual(self.ok(admin.get(path))["subtasks"], [])
        self.problem(admin.get(f"/api/project/{p['id'] + 1}/tasks/{t['id']}/"), 404)
        self.problem(admin.get("/api/project/tasks/WEB-2/"), 404)
        other = self.ok(admin.post("/api/project/tasks/", {"title": "Second", "project": p["id"]}), 201)
        self.assertEqual(other["key"], "WEB-2")
        self.problem(admin.post("/api/project/tasks/", {"title": "x"}), 422, pointer="/project")
        self.problem(admin.post("/api/project/tasks/", {"title": "x", "project": 99999}), 422, pointer="/project",
                     field_code="not-found")
        self.problem(admin.post("/api/project/99999/tasks/", {"title": "x"}), 404)
        self.problem(admin.post(f"/api/project/{p['id']}/tasks/",
                     {"title": " "}), 422, pointer="/title", field_code="blank")
        self.problem(admin.post(f"/api/project/{p['id']}/tasks/", {"title": "x", "status": "OVERDUE"}), 422,
                     pointer="/status", field_code="not-settable")
        self.assertEqual(admin.delete(f"/api/project/tasks/{other['id']}/").status, 204)
        self.assertEqual(task(admin, p["id"])["key"], "WEB-3")

    def test_text_to_the_code_point(self):
        admin = sign_up()
        p = project(admin)
        title = "e\u0301 \u00e9 \u200d👩‍👩‍👧 \ufeff\u202e end\u00a0"
        description = "line\r\nline\n\ttab \u2028 \u0001 \U0010ffff \"quotes\" \\ </script>" + "ä" * 1000
        t = task(admin, p["id"], title=title, description=description)
        got = self.one(admin, t)
        self.assertEqual([ord(c) for c in got["title"]], [ord(c) for c in title])
        self.assertEqual([ord(c) for c in got["description"]], [ord(c) for c in description])
        # Canonically equal is not the same text.
        before = got["version"] if "version" in got else None
        answer = self.ok(admin.patch(f"/api/project/tasks/{t['id']}/", {"title": title.replace("e\u0301", "\u00e9")}))
        self.assertEqual(answer["title"][0], "\u00e9")
        if before is not None:
            self.assertGreater(answer["version"], before)
        self.problem(admin.post(f"/api/project/{p['id']}/tasks/", {"title": "a\x00b"}), 422, pointer="/title")
        self.ok(admin.post(f"/api/project/{p['id']}/tasks/", {"title": "x" * 255, "description": "😀" * 100_000}), 201)
        self.problem(admin.post(f"/api/project/{p['id']}/tasks/", {"title": "x", "description": "x" * 100_001}), 422,
                     pointer="/description", field_code="too-long")

    def test_dates(self):
        admin = sign_up()
        p = project(admin)
        t = task(admin, p["id"], start_date="2020-01-01", due_date="2099-12-31T23:59:59.123456+02:00")
        self.assertEqual(t["due_date"], "2099-12-31T21:59:59.123456Z")
        self.assertEqual(t["start_date"], "2020-01-01")
        base = f"/api/project/{p['id']}/tasks/"
        for value in ("2026-02-30", "2026-13-01", "2026-01-01T10:00:00", "tomorrow", 5, "2026-01-01T25:00:00Z"):
            self.problem(admin.post(base, {"title": "x", "due_date": value}), 422, pointer="/due_date")
        self.problem(admin.post(base, {"title": "x", "due_date": iso(hours=-1)}), 422, pointer="/due_date",
                     field_code="in-past")
        self.problem(admin.post(base, {"title": "x", "due_date": day(-2)}),
                     422, pointer="/due_date", field_code="in-past")
        self.ok(admin.post(base, {"title": "x", "due_date": day(0)}), 201)
        self.problem(admin.post(base, {"title": "x", "start_date": day(5), "due_date": day(3)}), 422,
                     pointer="/due_date", field_code="before-start")
        self.ok(admin.post(base, {"title": "x", "start_date": day(5), "due_date": day(5)}), 201)
        path = f"/api/project/tasks/{t['id']}/"
        self.problem(admin.patch(path, {"start_date": "2100-06-01"}),
                     422, field_code="before-start", pointer="/due_date")
        self.assertIsNone(self.ok(admin.patch(path, {"due_date": None}))["due_date"])

    def test_update(self):
        admin = sign_up()
        p = project(admin)
        t = task(admin, p["id"], description="keep", priority="HIGH", status="ON_HOLD", start_date="2020-01-01")
        path = f"/api/project/tasks/{t['id']}/"
        first = admin.get(path)
        self.assertEqual(admin.patch(path, {"title": t["title"]}).headers["ETag"], first.headers["ETag"])
        put = self.ok(admin.put(path, {"title": "Put"}))
        self.assertEqual((put["description"], put["priority"], put["status"], put["start_date"]),
                         ("", "MEDIUM", "ON_HOLD", "2020-01-01"))
        self.problem(admin.patch(path, {"title": "x"}, headers={"If-Match": first.headers["ETag"]}), 412)
        etag = admin.get(path).headers["ETag"]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            statuses = sorted(pool.map(lambda n: log_in(admin.email).patch(
                path, {"title": f"race {n}"}, headers={"If-Match": etag}).status, range(2)))
        self.assertEqual(statuses, [200, 412])
        self.problem(admin.patch(path, {"id": 5}), 422, pointer="/id", field_code="read-only")
        self.ok(admin.patch(path, {"id": t["id"]}))
        self.problem(admin.patch(path, {"status": "OVERDUE"}), 422, pointer="/status", field_code="not-settable")
        self.problem(admin.patch(path, {"parent_task": t["id"]}), 422, pointer="/parent_task")
        self.assertEqual(admin.patch(path, raw=b'{"title": "x"}', headers={"Content-Type": "text/plain"}).status, 415)
        self.ok(admin.patch(path, raw=b'{"title": "merge"}', headers={"Content-Type": "application/merge-patch+json"}))

    def test_cascade(self):
        admin = sign_up()
        p = project(admin)
        parent = task(admin, p["id"])
        subs = f"/api/project/tasks/{parent['id']}/subtasks/"
        a = self.ok(admin.post(subs, {"title": "a"}), 201)
        b = self.ok(admin.post(subs, {"title": "b"}), 201)
        self.assertEqual(a["parent_task"], parent["id"])
        self.assertEqual({s["id"] for s in self.one(admin, parent)["subtasks"]}, {a["id"], b["id"]})
        self.problem(admin.post(f"/api/project/tasks/{a['id']}/subtasks/", {"title": "x"}), 422, field_code="nested-subtask",
                     pointer="/parent_task")
        other = task(admin, p["id"])
        self.problem(admin.patch(f"/api/project/tasks/{parent['id']}/", {"parent_task": other["id"]}), 422,
                     pointer="/parent_task", field_code="nested-subtask")
        done = {"status": "COMPLETED"}
        self.assertIsNotNone(self.ok(admin.patch(f"/api/project/tasks/{a['id']}/", done))["completed_date"])
        self.assertEqual(self.one(admin, parent)["status"], "PENDING")
        self.ok(admin.patch(f"/api/project/tasks/{b['id']}/", done))
        self.assertEqual(self.one(admin, parent)["status"], "COMPLETED")
        self.ok(admin.patch(f"/api/project/tasks/{b['id']}/", {"status": "PENDING"}))
        state = self.one(admin, parent)
        self.assertEqual((state["status"], state["completed_date"]), ("IN_PROGRESS", None))
        self.ok(admin.patch(f"/api/project/tasks/{parent['id']}/", done))
        self.assertEqual({s["status"] for s in self.one(admin, parent)["subtasks"]}, {"COMPLETED"})
        self.ok(admin.post(subs, {"title": "c"}), 201)
        self.assertEqual(self.one(admin, parent)["status"], "IN_PROGRESS")

    def test_siblings_completed_at_once(self):
        admin = sign_up()
        p = project(admin)
        parent = task(admin, p["id"])
        subs = [self.ok(admin.post(f"/api/project/tasks/{parent['id']}/subtasks/", {"title": str(n)}), 201)
                for n in range(6)]
        clients = [log_in(admin.email) for _ in subs]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda pair: self.ok(pair[0].patch(
                f"/api/project/tasks/{pair[1]['id']}/", {"status": "COMPLETED"})), zip(clients, subs)))
        self.assertEqual(self.one(admin, parent)["status"], "COMPLETED")

    def test_outside_parent(self):
        admin = sign_up()
        p = project(admin)
        parent = task(admin, p["id"], start_date=day(0), due_date=day(10))
        subs = f"/api/project/tasks/{parent['id']}/subtasks/"
        self.problem(admin.post(subs, {"title": "x", "start_date": day(-1)}), 422, field_code="outside-parent",
                     pointer="/start_date")
        self.problem(admin.post(subs, {"title": "x", "due_date": day(11)}), 422, field_code="outside-parent",
                     pointer="/due_date")
        self.ok(admin.post(subs, {"title": "x", "due_date": day(10)}), 201)
        self.problem(admin.patch(f"/api/project/tasks/{parent['id']}/", {"due_date": day(9)}), 422,
                     field_code="outside-parent", pointer="/due_date")

    def test_visibility(self):
        admin = sign_up()
        manager, outsider = add_user(admin, "MANAGER"), add_user(admin, "MANAGER")
        mine, theirs = add_user(admin), add_user(admin)
        p = project(manager)
        for person in (mine, theirs):
            collaborate(manager, p["id"], person)
        t = task(manager, p["id"], collaborators=[mine.email])
        path = f"/api/project/tasks/{t['id']}/"
        self.assertEqual(admin.get(path).status, 200)
        self.assertEqual(mine.get(path).status, 200)
        self.problem(theirs.get(path), 404)
        self.problem(outsider.get(path), 404)
        self.assertEqual([x["id"] for x in mine.pages("/api/project/tasks/")], [t["id"]])
        self.assertEqual(theirs.pages("/api/project/tasks/"), [])
        self.problem(theirs.patch(path, {"title": "x"}), 404)
        self.ok(mine.patch(path, {"title": "by collaborator"}))
        self.problem(mine.delete(path), 403)
        self.problem(mine.post(f"{path}collaborators/{theirs.email}/"), 403)
        self.problem(outsider.post(f"/api/project/{p['id']}/tasks/", {"title": "x"}), 404)
        answer = manager.patch(f"/api/project_management/projects/{p['id']}/", {"task_visibility": "project"})
        self.ok(answer)
        self.assertEqual(
    theirs.get(
        path,
        headers={
            "Taskflow-Position": answer.headers["Taskflow-Position"]}).status,
             200)
        self.problem(theirs.patch(path, {"title": "x"}), 403)
        # A developer's own tasks.
        own = self.ok(mine.post(f"/api/project/{p['id']}/tasks/", {"title": "own"}), 201)
        self.assertEqual([c["user"]["email"] for c in own["collaborators"]], [mine.email])
        self.problem(mine.post(f"/api/project/{p['id']}/tasks/", {"title": "x", "collaborators": [theirs.email]}), 403,
                     "own-tasks-only")
        self.problem(mine.post(f"/api/project/{p['id']}/tasks/", {"title": "x", "collaborators": ["no@example.com"]}), 403,
                     "own-tasks-only")
        self.assertEqual(mine.delete(f"/api/project/tasks/{own['id']}/").status, 204)
        self.assertEqual([x["id"] for x in mine.pages("/api/project/trash/")], [own["id"]])
        self.assertEqual(self.ok(mine.post(f"/api/project/tasks/{own['id']}/restore/"))["id"], own["id"])
        # Removed from the project: everything in it is gone for them.
        answer = manager.delete(f"/api/project_management/projects/{p['id']}/collaborators/{mine.email}/")
        self.assertEqual(answer.status, 204)
        self.assertEqual(self.one(manager, t)["collaborators"], [])
        eventually(lambda: mine.get(path).status == 404, seconds=1)

    def test_collaborators(self):
        admin = sign_up()
        a, b, c = add_user(admin), add_user(admin), add_user(admin)
        p = project(admin)
        collaborate(admin, p["id"], a)
        collaborate(admin, p["id"], b)
        base = f"/api/project/{p['id']}/tasks/"
        self.problem(admin.post(base, {"title": "x", "collaborators": [a.email, c.email]}), 422,
                     pointer="/collaborators/1", field_code="not-a-project-collaborator")
        self.problem(admin.post(base, {"title": "x", "collaborators": [a.email, a.email.upper()]}), 422,
                     pointer="/collaborators/1")
        self.problem(admin.post(base, {"title": "x", "collaborators": ["nobody@example.com"]}), 422,
                     pointer="/collaborators/0", field_code="not-found")
        self.assertEqual(admin.pages(base), [])
        t = task(admin, p["id"], collaborators=[a.email])
        path = f"/api/project/tasks/{t['id']}/"
        first = admin.get(path).headers["ETag"]
        entry = admin.post(f"{path}collaborators/{b.email}/")
        self.assertEqual(self.ok(entry, 201)["user"]["email"], b.email)
        self.assertEqual(admin.get(entry.headers["Location"]).status, 200)
        self.assertNotEqual(admin.get(path).headers["ETag"], first)
        self.problem(admin.post(f"{path}collaborators/{b.email}/"), 409, "already-collaborator")
        self.problem(admin.post(f"{path}collaborators/nobody@example.com/"), 404)
        self.problem(admin.post(f"{path}collaborators/{c.email}/"), 422, "not-a-project-collaborator")
        self.assertEqual(len(admin.pages(f"{path}collaborators/")), 2)
        self.assertEqual(a.delete(f"{path}collaborators/{a.email}/").status, 204)
        self.problem(a.get(path), 404)
        eventually(lambda: [m for m in mails(b.email) if t["title"] in text_of(m)])

    def test_trash(self):
        admin = sign_up()
        p = project(admin)
        parent = task(admin, p["id"])
        subs = f"/api/project/tasks/{parent['id']}/subtasks/"
        a = self.ok(admin.post(subs, {"title": "a"}), 201)
        b = self.ok(admin.post(subs, {"title": "b"}), 201)
        self.assertEqual(admin.delete(f"/api/project/tasks/{a['id']}/").status, 204)
        self.assertEqual(admin.delete(f"/api/project/tasks/{parent['id']}/").status, 204)
        self.problem(admin.delete(f"/api/project/tasks/{parent['id']}/"), 404)
        self.problem(admin.get(f"/api/project/tasks/{b['id']}/"), 404)
        self.problem(admin.post(f"/api/project/tasks/{b['id']}/restore/"), 409, "parent-deleted")
        self.ok(admin.post(f"/api/project/tasks/{parent['id']}/restore/"))
        self.assertEqual([s["id"] for s in self.one(admin, parent)["subtasks"]], [b["id"]])
        self.ok(admin.post(f"/api/project/tasks/{a['id']}/restore/"))
        self.problem(admin.post(f"/api/project/tasks/{a['id']}/restore/"), 409, "not-deleted")
        self.problem(admin.post("/api/project/tasks/99999/restore/"), 404)

    def test_overdue(self):
        admin = sign_up()
        person = add_user(admin)
        p = project(admin)
        collaborate(admin, p["id"], person)
        t = task(admin, p["id"], status="IN_PROGRESS", due_date=iso(seconds=2), collaborators=[person.email])
        held = task(admin, p["id"], status="ON_HOLD", due_date=iso(seconds=2))
        eventually(lambda: self.one(admin, t)["status"] == "OVERDUE", 75)
        state = self.one(admin, t)
        self.assertEqual(self.one(admin, held)["status"], "ON_HOLD")
        self.assertEqual(self.ok(admin.get("/api/account/"))["stats"]["overdue_tasks"], 1)
        eventually(lambda: [m for m in mails(person.email) if "overdue" in m["Subject"].lower()])
        # An unchanged past date is no obstacle to any other change.
        self.ok(admin.patch(f"/api/project/tasks/{t['id']}/", {"title": "still late", "due_date": state["due_date"]}))
        moved = self.ok(admin.patch(f"/api/project/tasks/{t['id']}/", {"due_date": iso(days=3)}))
        self.assertEqual(moved["status"], "IN_PROGRESS")

    def test_list(self):
        admin = sign_up()
        p = project(admin, name=unique("Listing"))
        rows = []
        for n in range(9):
            fields = {"title": f"t{n} {'Ä' if n % 2 else 'b'}", "priority": ["LOW", "MEDIUM", "HIGH"][n % 3],
                      "status": ["PENDING", "IN_PROGRESS", "ON_HOLD"][n % 3], "start_date": day(-n)}
            if n % 2:
                fields["due_date"] = day(n) if n % 4 == 1 else iso(days=n)
            rows.append(task(admin, p["id"], **fields))
        base = "/api/project/tasks/"
        ids = [r["id"] for r in rows]
        for size in (1, 2, 4, 200):
            self.assertEqual([r["id"] for r in admin.pages(base, size)], ids[::-1])
        self.assertEqual([r["priority"] for r in admin.pages(base + "?ordering=-priority", 2)],
                         ["HIGH"] * 3 + ["MEDIUM"] * 3 + ["LOW"] * 3)
        up = admin.pages(base + "?ordering=due_date", 2)
        down = admin.pages(base + "?ordering=-due_date", 2)
        self.assertEqual([r["due_date"] is None for r in up], [False] * 4 + [True] * 5)
        self.assertEqual([r["due_date"] is None for r in down], [False] * 4 + [True] * 5)
        self.assertEqual([r["id"] for r in up[:4]], [r["id"] for r in down[:4]][::-1])
        self.assertEqual([r["id"] for r in admin.pages(base + "?ordering=-priority,title", 2)],
                         [ids[n] for n in (2, 5, 8, 1, 4, 7, 0, 3, 6)])
        self.assertEqual({r["id"] for r in admin.pages(base + "?search=%C3%A4")}, {ids[n] for n in (1, 3, 5, 7)})
        self.assertEqual(len(admin.pages(base + "?search=listing")), 9)
        self.assertEqual(len(admin.pages(base + "?search=on_hold")), 3)
        self.assertEqual(len(admin.pages(base + f"?created_by={admin.email.upper()}")), 9)
        self.assertEqual(len(admin.pages(base + "?created_by=nobody@example.com")), 0)
        self.assertEqual(len(admin.pages(base + f"?collaborator={admin.email}")), 0)
        self.assertEqual(len(admin.pages(base + "?priority=HIGH&priority=LOW&status=PENDING")), 3)
        self.assertEqual(len(admin.pages(base + f"?project={p['id']}")), 9)
        self.assertEqual(len(admin.pages(base + "?project=999999")), 0)
        self.assertEqual({r["id"] for r in admin.pages(base + f"?due_before={day(2)}")}, {ids[1]})
        self.assertEqual({r["id"] for r in admin.pages(base + f"?due_after={day(6)}")}, {ids[7]})
        self.assertEqual(len(admin.pages(base + "?parent=none")), 9)
        self.assertEqual(len(admin.pages(base + f"?parent={ids[0]}")), 0)
        for query, name in (("status=pending", "status"), ("parent=x", "parent"), ("due_before=x", "due_before"),
                            ("foo=1", "foo"), ("page_size=0", "page_size"), ("page_size=201", "page_size"),
                            ("ordering=color", "ordering"), ("due_after=2020-01-01&due_after=2021-01-01", "due_after"),
                            ("count=maybe", "count"), ("fields=nope", "fields"), ("project=x", "project")):
            self.problem(admin.get(f"{base}?{query}"), 400, parameter=name)
        first = self.ok(admin.get(base + "?page_size=2"))
        cursor = urllib.parse.parse_qs(urllib.parse.urlsplit(first["next"]).query)["cursor"][0]
        self.problem(admin.get(base + f"?page_size=2&status=PENDING&cursor={cursor}"), 400, "bad-cursor")
        self.problem(admin.get(base + f"?cursor={cursor[:-2]}xx"), 400, "bad-cursor")
        self.problem(sign_up().get(base + f"?cursor={cursor}"), 400, "bad-cursor")
        self.problem(admin.get(f"{base}{ids[0]}/?foo=1"), 400, parameter="foo")
        self.assertEqual(set(self.ok(admin.get(f"{base}{ids[0]}/?fields=id,title"))), {"id", "title"})

    def test_idempotency(self):
        admin = sign_up()
        p = project(admin)
        base = f"/api/project/{p['id']}/tasks/"
        key = {"Idempotency-Key": unique("key")}
        self.problem(admin.post(base, {"title": ""}, headers=key), 422)
        first = admin.post(base, {"title": "once"}, headers=key)
        self.assertEqual(first.status, 201)
        again = admin.post(base, {"title": "once"}, headers=key)
        self.assertEqual(again.body, first.body)
        self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        for name in ("Location", "ETag"):
            self.assertEqual(again.headers[name], first.headers[name])
        self.problem(admin.post(base, {"title": "twice"}, headers=key), 422)
        self.assertEqual(len(admin.pages(base)), 1)
        self.problem(admin.post(base, {"title": "x"}, headers={"Idempotency-Key": "x" * 256}), 400)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            key = {"Idempotency-Key": unique("key")}
            clients = [log_in(admin.email) for _ in range(8)]
            statuses = list(pool.map(lambda c: c.post(base, {"title": "race"}, headers=key).status, clients))
        self.assertLessEqual(set(statuses), {201, 409})
        self.assertEqual(len(admin.pages(base + "?search=race")), 1)


class ReadYourWrites(Case):
    def test_project_then_task_then_read(self):
        rounds = int(os.environ.get("TASKFLOW_ROUNDS", "100"))
        admin = sign_up()

        def work(n):
            client = log_in(admin.email)
            for i in range(rounds // 4):
                p = project(client)
                t = task(client, p["id"], title=f"{n}-{i}")
                got = client.get(f"/api/project/tasks/{t['id']}/")
                self.assertEqual(got.status, 200, got)
                self.assertEqual(got.json["title"], f"{n}-{i}")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
