"""Section 6 line by line: completion, subtasks and their bounds, the trash."""

from support import *

STATUSES = ("PENDING", "IN_PROGRESS", "COMPLETED", "ON_HOLD", "CANCELLED")


class Families(TaskCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.manager = add_user(cls.admin, "MANAGER")
        cls.project = project(cls.admin)
        cls.id = cls.project["id"]
        collaborate(cls.admin, cls.id, cls.manager)

    def family(self, status="PENDING", *subtasks):
        parent = task(self.admin, self.id, status="PENDING")
        made = [self.sub(self.admin, parent, status=s) for s in subtasks]
        if self.status(self.admin, parent) != status:
            self.set(self.admin, parent, status=status)
        for m, s in zip(made, subtasks):
            self.assertEqual(self.status(self.admin, m), "COMPLETED" if status == "COMPLETED"
                             and s != "CANCELLED" else s)
        return parent, made

    def test_completed_date(self):
        for status in STATUSES:
            t = task(self.admin, self.id, status=status)
            self.assertEqual(t["completed_date"] is not None, status == "COMPLETED")
            for other in STATUSES:
                got = self.set(self.admin, t, status=other)
                self.assertEqual((got["status"], got["completed_date"] is not None), (other, other == "COMPLETED"))
                self.set(self.admin, t, status=status)
        t = task(self.admin, self.id, status="COMPLETED")
        self.assertEqual(self.set(self.admin, t, status="COMPLETED", title="later")["completed_date"],
                         t["completed_date"])
        self.problem(self.admin.patch(task_path(t), {"completed_date": iso()}), 422, pointer="/completed_date",
                     field_code="read-only")

    def test_completing_a_parent(self):
        for status in ("PENDING", "IN_PROGRESS", "ON_HOLD", "CANCELLED"):
            parent, made = self.family(status, "PENDING", "IN_PROGRESS", "ON_HOLD", "CANCELLED", "COMPLETED")
            done = made[4]["completed_date"]
            got = self.ok(self.manager.patch(task_path(parent), {"status": "COMPLETED"}))
            self.assertEqual([s["status"] for s in got["subtasks"]],
                             ["COMPLETED"] * 3 + ["CANCELLED", "COMPLETED"])
            for s, by in zip(got["subtasks"], [self.manager] * 3 + [self.admin] * 2):
                self.assertEqual(s["updated_by"]["email"], by.email)
                self.assertEqual(s["completed_date"] is not None, s["status"] == "COMPLETED")
            self.assertEqual(got["subtasks"][4]["completed_date"], done)
        # Leaving COMPLETED takes no subtask along.
        self.set(self.admin, parent, status="PENDING")
        self.assertEqual([s["status"] for s in self.one(self.admin, parent)["subtasks"]],
                         ["COMPLETED"] * 3 + ["CANCELLED", "COMPLETED"])

    def test_last_completion_completes_the_parent(self):
        for status, after in (("PENDING", "COMPLETED"), ("IN_PROGRESS", "COMPLETED"), ("ON_HOLD", "COMPLETED"),
                              ("CANCELLED", "CANCELLED")):
            parent, (a, b, c) = self.family(status, "PENDING", "ON_HOLD", "CANCELLED")
            self.set(self.admin, a, status="COMPLETED")
            self.assertEqual(self.status(self.admin, parent), status)
            self.ok(self.manager.patch(task_path(b), {"status": "COMPLETED"}))
            got = self.one(self.admin, parent)
            self.assertEqual((got["status"], got["completed_date"] is not None), (after, after == "COMPLETED"))
            self.assertEqual(got["updated_by"]["email"], (self.manager if after == "COMPLETED" else self.admin).email)
        # From CANCELLED to COMPLETED is a completion too.
        parent, (a, b) = self.family("PENDING", "CANCELLED", "CANCELLED")
        self.set(self.admin, a, status="COMPLETED")
        self.assertEqual(self.status(self.admin, parent), "COMPLETED")

    def test_cancelling_and_deleting_complete_nothing(self):
        parent, (a, b) = self.family("PENDING", "PENDING", "COMPLETED")
        self.set(self.admin, a, status="CANCELLED")
        self.assertEqual(self.status(self.admin, parent), "PENDING")
        parent, (a, b) = self.family("PENDING", "COMPLETED", "PENDING")
        self.assertEqual(self.admin.delete(task_path(b)).status, 204)
        self.assertEqual(self.status(self.admin, parent), "PENDING")
        # Deleted ones are none: the rest completes the parent.
        parent, (a, b) = self.family("PENDING", "PENDING", "PENDING")
        self.assertEqual(self.admin.delete(task_path(b)).status, 204)
        self.set(self.admin, a, status="COMPLETED")
        self.assertEqual(self.status(self.admin, parent), "COMPLETED")
        # A completed parent whose open subtask comes back from the trash has an open one again.
        self.ok(self.admin.post(task_path(b) + "restore/"))
        self.assertEqual(self.status(self.admin, parent), "IN_PROGRESS")

    def test_reopening(self):
        for before in ("COMPLETED", "CANCELLED"):
            for after in ("PENDING", "IN_PROGRESS", "ON_HOLD"):
                parent, made = self.family("COMPLETED", "CANCELLED", "COMPLETED")
                s = made[0] if before == "CANCELLED" else made[1]
                self.ok(self.manager.patch(task_path(s), {"status": after}))
                got = self.one(self.admin, parent)
                self.assertEqual((got["status"], got["completed_date"]), ("IN_PROGRESS", None))
                self.assertEqual(got["updated_by"]["email"], self.manager.email)
        # To CANCELLED is no reopening; and only a completed parent is set.
        parent, (a, b) = self.family("COMPLETED", "CANCELLED", "COMPLETED")
        self.set(self.admin, b, status="CANCELLED")
        self.assertEqual(self.status(self.admin, parent), "COMPLETED")
        for status in ("PENDING", "ON_HOLD", "CANCELLED"):
            parent, (a, b) = self.family(status, "COMPLETED", "PENDING")
            self.set(self.admin, a, status="IN_PROGRESS")
            self.assertEqual(self.status(self.admin, parent), status)

    def test_adding(self):
        for status in ("PENDING", "IN_PROGRESS", "ON_HOLD"):
            parent, _ = self.family("COMPLETED", "COMPLETED")
            self.ok(self.manager.post(task_path(parent) + "subtasks/", {"title": "x", "status": status}), 201)
            got = self.one(self.admin, parent)
            self.assertEqual((got["status"], got["completed_date"], got["updated_by"]["email"]),
                             ("IN_PROGRESS", None, self.manager.email))
        parent, _ = self.family("COMPLETED", "COMPLETED")
        self.sub(self.admin, parent, status="CANCELLED")
        self.assertEqual(self.status(self.admin, parent), "COMPLETED")
        for status, after in (("PENDING", "COMPLETED"), ("ON_HOLD", "COMPLETED"), ("CANCELLED", "CANCELLED")):
            parent, _ = self.family(status)
            self.ok(self.manager.post(f"/api/project/{self.id}/tasks/",
                                      {"title": "x", "status": "COMPLETED", "parent_task": parent["id"]}), 201)
            self.assertEqual(self.status(self.admin, parent), after)
        parent, _ = self.family("PENDING", "PENDING")
        self.sub(self.admin, parent, status="COMPLETED")
        self.assertEqual(self.status(self.admin, parent), "PENDING")

    def test_moving(self):
        # Away: the rest being complete changes nothing.
        parent, (a, b) = self.family("PENDING", "PENDING", "COMPLETED")
        tag = self.admin.get(task_path(parent)).headers["ETag"]
        self.assertIsNone(self.set(self.admin, a, parent_task=None)["parent_task"])
        got = self.admin.get(task_path(parent))
        self.assertEqual((got.json["status"], [s["id"] for s in got.json["subtasks"]]), ("PENDING", [b["id"]]))
        self.assertNotEqual(got.headers["ETag"], tag)
        # In: an open one reopens a completed parent, a completed or cancelled one changes nothing.
        for status, after in (("PENDING", "IN_PROGRESS"), ("ON_HOLD", "IN_PROGRESS"), ("COMPLETED", "COMPLETED"),
                              ("CANCELLED", "COMPLETED")):
            parent, _ = self.family("COMPLETED", "COMPLETED")
            t = task(self.admin, self.id, status=status)
            moved = self.ok(self.manager.patch(task_path(t), {"parent_task": parent["id"]}))
            self.assertEqual((moved["parent_task"], moved["status"]), (parent["id"], status))
            self.assertEqual(self.status(self.admin, parent), after)
        parent, _ = self.family("PENDING")
        t = task(self.admin, self.id, status="COMPLETED")
        self.set(self.admin, t, parent_task=parent["id"])
        self.assertEqual(self.status(self.admin, parent), "PENDING")
        # From one parent to another, both change their tags.
        one, (s,) = self.family("PENDING", "PENDING")
        two, _ = self.family("COMPLETED")
        tags = [self.admin.get(task_path(x)).headers["ETag"] for x in (one, two)]
        self.set(self.admin, s, parent_task=two["id"])
        for x, tag in zip((one, two), tags):
            self.assertNotEqual(self.admin.get(task_path(x)).headers["ETag"], tag)
        self.assertEqual((self.status(self.admin, one), self.status(self.admin, two)), ("PENDING", "IN_PROGRESS"))
        # Absent in a PUT it stays.
        self.assertEqual(self.ok(self.admin.put(task_path(s), {"title": "x"}))["parent_task"], two["id"])

    def test_parent_rules(self):
        p = project(self.admin)
        other = task(self.admin, p["id"])
        parent, (s,) = self.family("PENDING", "PENDING")
        free = task(self.admin, self.id)
        for body, code in (({"parent_task": other["id"]}, None), ({"parent_task": s["id"]}, "nested-subtask"),
                           ({"parent_task": free["id"]}, None), ({"parent_task": 424242}, "not-found"),
                           ({"parent_task": "x"}, "wrong-type"), ({"parent_task": 1.5}, "wrong-type"),
                           ({"parent_task": -1}, None), ({"parent_task": 2**63}, None)):
            if body["parent_task"] != free["id"]:
                self.problem(self.admin.patch(task_path(free), body), 422, pointer="/parent_task", field_code=code)
                self.problem(self.admin.post(f"/api/project/{self.id}/tasks/", {"title": "x", **body}), 422,
                             pointer="/parent_task", field_code=code)
            else:
                self.problem(self.admin.patch(task_path(free), body), 422, pointer="/parent_task")
        self.problem(self.admin.patch(task_path(parent), {"parent_task": free["id"]}), 422, pointer="/parent_task",
                     field_code="nested-subtask")
        # With its subtask deleted it can go under another one; the subtask cannot come back then.
        self.assertEqual(self.admin.delete(task_path(s)).status, 204)
        self.set(self.admin, parent, parent_task=free["id"])
        self.assertEqual(self.admin.post(task_path(s) + "restore/").status, 409)
        self.problem(self.admin.patch(task_path(task(self.admin, self.id)), {"parent_task": s["id"]}), 422,
                     pointer="/parent_task", field_code="not-found")
        foreigner = sign_up()
        q = project(foreigner)
        mine = task(foreigner, q["id"])
        self.problem(foreigner.patch(task_path(mine), {"parent_task": free["id"] + 5000}), 422, pointer="/parent_task",
                     field_code="not-found")
        # In the path: of a subtask, of nothing.
        self.problem(self.admin.post(task_path(parent) + "subtasks/", {"title": "x"}), 422, pointer="/parent_task",
                     field_code="nested-subtask")
        self.problem(self.admin.post(f"{TASKS}424242/subtasks/", {"title": "x"}), 404)
        self.problem(self.admin.post(f"/api/project/{p['id']}/tasks/{free['id']}/subtasks/", {"title": "x"}), 404)
        self.ok(self.admin.post(task_path(free) + "subtasks/", {"title": "x", "parent_task": free["id"], "project": self.id}),
                201)

    def test_outside_parent(self):
        parent = task(self.admin, self.id, start_date=day(2), due_date=day(10))
        s = self.sub(self.admin, parent)
        # The default start is today, but not before the parent's.
        self.assertEqual(s["start_date"], day(2))
        self.assertEqual(self.sub(self.admin, task(self.admin, self.id, start_date=day(-2)))["start_date"], day(0))
        for fields, pointer in (({"start_date": day(1)}, "/start_date"), ({"due_date": day(11)}, "/due_date"),
                                ({"due_date": day(10) + "T23:59:59Z"}, None),
                                ({"due_date": day(11) + "T00:00:00Z"}, "/due_date"),
                                ({"start_date": day(1) + "T23:59:59Z"}, "/start_date"),
                                ({"start_date": day(2) + "T00:00:00Z"}, None),
                                ({"start_date": None}, None), ({"due_date": None}, None)):
            for answer in (self.admin.patch(task_path(s), fields),
                           self.admin.post(task_path(parent) + "subtasks/", {"title": "x", **fields})):
                if pointer:
                    self.problem(answer, 422, pointer=pointer, field_code="outside-parent")
                else:
                    self.assertIn(answer.status, (200, 201), (fields, answer))
        late = task(self.admin, self.id, start_date=day(0), due_date=day(20))
        self.problem(self.admin.patch(task_path(late), {"parent_task": parent["id"]}), 422, field_code="outside-parent",
                     pointer="/due_date")
        self.problem(self.admin.patch(task_path(parent), {"start_date": day(3)}), 422, field_code="outside-parent",
                     pointer="/start_date")
        self.problem(self.admin.patch(task_path(parent), {"due_date": day(9)}), 422, field_code="outside-parent",
                     pointer="/due_date")
        self.problem(self.admin.put(task_path(parent), {"title": "x", "due_date": day(9)}), 422, pointer="/due_date")
        # A parent without a date sets no bound; a deleted subtask is none.
        self.set(self.admin, parent, due_date=None)
        self.set(self.admin, s, due_date=day(30))
        self.problem(self.admin.patch(task_path(parent), {"due_date": day(29)}), 422, field_code="outside-parent",
                     pointer="/due_date")
        for x in self.one(self.admin, parent)["subtasks"]:
            self.assertEqual(self.admin.delete(task_path(x)).status, 204)
        self.set(self.admin, parent, start_date=day(5), due_date=day(6))
        # Moments with moments compare to the microsecond.
        parent = task(self.admin, self.id, due_date=day(10) + "T12:00:00.000001Z")
        self.problem(self.admin.post(task_path(parent) + "subtasks/",
                                     {"title": "x", "due_date": day(10) + "T12:00:00.000002Z"}),
                     422, pointer="/due_date", field_code="outside-parent")
        self.sub(self.admin, parent, due_date=day(10) + "T12:00:00.000001Z")
        self.sub(self.admin, parent, due_date=day(10))

    def test_trash(self):
        parent, (a, b, c) = self.family("PENDING", "PENDING", "COMPLETED", "CANCELLED")
        tags = self.admin.get(task_path(parent)).headers["ETag"]
        self.assertEqual(self.admin.delete(task_path(a)).status, 204)
        self.assertNotEqual(self.admin.get(task_path(parent)).headers["ETag"], tags)
        self.assertEqual(self.admin.delete(f"{TASKS}{parent['key']}/").status, 204)
        listed = [r["id"] for r in self.admin.pages("/api/project/trash/", 1)][:4]
        self.assertEqual((set(listed[:3]), listed[3]), ({parent["id"], b["id"], c["id"]}, a["id"]))
        for x in (a, b, c):
            self.problem(self.admin.post(task_path(x) + "restore/"), 409, "parent-deleted")
        for x in (parent, a, b):
            for method in ("GET", "PATCH", "PUT", "DELETE"):
                self.problem(self.admin.send(method, task_path(x), {"title": "x"} if method[0] == "P" else None), 404)
            for tail in ("subtasks/", "collaborators/"):
                self.problem(self.admin.get(task_path(x) + tail), 404)
        self.problem(self.admin.post(f"/api/project/{self.id + 1000}/tasks/{parent['id']}/restore/"), 404)
        got = self.ok(self.admin.post(f"/api/project/{self.id}/tasks/{parent['key']}/restore/"))
        self.assertEqual([s["id"] for s in got["subtasks"]], [b["id"], c["id"]])
        self.assertEqual(self.ok(self.admin.post(task_path(a) + "restore/"))["parent_task"], parent["id"])
        self.problem(self.admin.post(task_path(a) + "restore/"), 409, "not-deleted")
        # Restoring a completed subtask completes nothing.
        parent, (a,) = self.family("PENDING", "PENDING")
        d = self.sub(self.admin, task(self.admin, self.id), status="PENDING")
        self.set(self.admin, d, status="COMPLETED")
        self.assertEqual(self.admin.delete(task_path(d)).status, 204)
        self.ok(self.admin.post(task_path(d) + "restore/"))

    def test_etag_of_parent(self):
        parent, (s,) = self.family("PENDING", "PENDING")
        seen = {self.admin.get(task_path(parent)).headers["ETag"]}

        def changed(answer):
            self.assertLess(answer.status, 300, answer)
            got = self.admin.get(task_path(parent))
            self.assertNotIn(got.headers["ETag"], seen)
            self.assertEqual(got.headers["ETag"], f'"{got.json["version"]}"')
            seen.add(got.headers["ETag"])
        changed(self.admin.patch(task_path(s), {"title": "other"}))
        changed(self.admin.post(f"{task_path(s)}collaborators/{self.manager.email}/"))
        changed(self.admin.delete(f"{task_path(s)}collaborators/{self.manager.email}/"))
        changed(self.admin.patch(task_path(s), {"status": "COMPLETED"}))
        changed(self.admin.patch(task_path(s), {"due_date": day(3)}))
        changed(self.admin.post(f"{task_path(parent)}collaborators/{self.manager.email}/"))
        changed(self.admin.patch(f"/api/organization/users/{self.manager.email}/", {"last_name": unique("New")}))
        changed(self.admin.patch("/api/account/", {"first_name": unique("Ada")}))
        picture = (b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
                   b"\x00\x00\x00\nIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00\x00IEND\xaeB`\x82")
        form = (b'--b\r\nContent-Disposition: form-data; name="profile_img"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
                + picture + b"\r\n--b--\r\n")
        answer = self.manager.put("/api/account/profile-pic/", raw=form,
                                  headers={"Content-Type": "multipart/form-data; boundary=b"})
        seen_by(answer, self.admin)
        changed(answer)
        changed(self.admin.delete(task_path(s)))
        changed(self.admin.post(task_path(s) + "restore/"))
        tag = self.admin.get(task_path(parent)).headers["ETag"]
        # Nothing changed, nothing new.
        for fields in ({"title": self.one(self.admin, s)["title"]}, {"due_date": day(3)}, {},
                       {"parent_task": parent["id"]},
                       {"status": "COMPLETED"}):
            before = self.admin.get(task_path(s))
            answer = self.admin.patch(task_path(s), fields)
            self.assertEqual((answer.status, answer.headers["ETag"]), (200, before.headers["ETag"]))
            self.assertEqual(answer.json["updated_at"], before.json["updated_at"])
        self.assertEqual(self.admin.get(task_path(parent), headers={"If-None-Match": f'"a", W/{tag}'}).status, 304)
        self.problem(self.admin.delete(task_path(parent), headers={"If-Match": '"0"'}), 412)
        self.problem(self.admin.put(task_path(parent), {}, headers={"If-Match": f"W/{tag}"}), 412)
        # The whole answer put back changes nothing.
        for x in (parent, s):
            first = self.admin.get(task_path(x))
            for method in ("PUT", "PATCH"):
                same = self.admin.send(method, task_path(x), first.json)
                self.assertEqual((self.ok(same), same.headers["ETag"]), (first.json, first.headers["ETag"]))
