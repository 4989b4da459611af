"""Sections 2, 3 (dashboard) and 6 line by line: who may do what with tasks, families, dates, the overdue clock."""
import concurrent.futures
import datetime
import zoneinfo

from support import *

UTC = datetime.timezone.utc
ALL = "/api/project/tasks/"
STATUSES = ("PENDING", "IN_PROGRESS", "COMPLETED", "ON_HOLD", "CANCELLED")


def iso(**delta):
    return (datetime.datetime.now(UTC) + datetime.timedelta(**delta)).isoformat().replace("+00:00", "Z")


def day(days, zone=UTC):
    return (datetime.datetime.now(zone).date() + datetime.timedelta(days=days)).isoformat()


def at(t):
    return f"{ALL}{t['id']}/"


def seen_by(answer, *people):
    """Lets other sessions read what this write did."""
    position = answer.headers["Taskflow-Position"]
    for person in people:
        assert person.get(ALL + "?page_size=1", headers={"Taskflow-Position": position}).status == 200


class TaskCase(Case):
    def one(self, client, t):
        return self.ok(client.get(at(t)))

    def set(self, client, t, **fields):
        return self.ok(client.patch(at(t), fields))

    def sub(self, client, parent, **fields):
        return self.ok(client.post(at(parent) + "subtasks/", {"title": unique("Sub"), **fields}), 201)

    def status(self, client, t):
        return self.one(client, t)["status"]


class Roles(TaskCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.manager = add_user(cls.admin, "MANAGER")
        cls.colleague = add_user(cls.admin, "MANAGER")
        cls.stranger = add_user(cls.admin, "MANAGER")
        cls.creator = add_user(cls.admin)
        cls.worker = add_user(cls.admin)
        cls.bystander = add_user(cls.admin)
        cls.outsider = add_user(cls.admin)
        cls.removed = add_user(cls.admin)
        cls.foreigner = sign_up()
        cls.project = project(cls.manager)
        cls.id = cls.project["id"]
        for person in (cls.colleague, cls.creator, cls.worker, cls.bystander, cls.removed):
            collaborate(cls.manager, cls.id, person)

    def make(self):
        """A task by a developer on which another one works; and one by somebody who has left."""
        t = task(self.creator, self.id)
        self.ok(self.manager.post(f"{at(t)}collaborators/{self.worker.email}/"), 201)
        return t

    everyone = ("admin", "manager", "colleague", "creator", "worker", "bystander", "stranger", "outsider", "removed",
                "foreigner")

    @classmethod
    def leave(cls):
        if getattr(cls, "left", False):
            return
        cls.left = True
        cls.old = task(cls.removed, cls.id)
        answer = cls.manager.delete(f"/api/project_management/projects/{cls.id}/collaborators/{cls.removed.email}/")
        assert answer.status == 204
        seen_by(answer, cls.removed)

    def table(self, send, expected, fresh=True):
        self.leave()
        t = self.make()
        for name, status in zip(self.everyone, expected):
            answer = send(getattr(self, name), t)
            self.assertEqual(answer.status, status, (name, answer))
            if fresh and status in (200, 201, 204):
                t = self.make()

    def test_read(self):
        self.table(lambda who, t: who.get(at(t)), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.get(f"/api/project/{self.id}/tasks/{t['key']}"), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.get(at(t) + "subtasks/"), (200,) * 5 + (404,) * 5, fresh=False)
        self.table(lambda who, t: who.get(at(t) + "collaborators/"), (200,) * 5 + (404,) * 5, fresh=False)
        self.table(lambda who, t: who.get(f"{at(t)}collaborators/{self.worker.email}/"), (200,) * 5 + (404,) * 5,
                   fresh=False)
        self.table(lambda who, t: who.get(f"/api/project/{self.id}/tasks/"), (200,) * 6 + (404,) * 4, fresh=False)
        t = self.make()
        for name in self.everyone:
            for path in (ALL, f"/api/project/{self.id}/tasks/") if name in self.everyone[:6] else (ALL,):
                rows = [r["id"] for r in getattr(self, name).pages(path) if r["title"] == t["title"]]
                self.assertEqual(rows, [t["id"]] if name in self.everyone[:5] else [], name)

    def test_update(self):
        self.table(lambda who, t: who.patch(at(t), {"title": unique("By")}), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.put(at(t), {"title": unique("By")}), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.post(at(t) + "subtasks/", {"title": unique("Under")}), (201,) * 5 + (404,) * 5)
        # In a body what cannot be seen is a wrong field.
        self.table(lambda who, t: who.post(f"/api/project/{self.id}/tasks/", {"title": "u", "parent_task": t["id"]}),
                   (201,) * 5 + (422,) + (404,) * 4)
        t = self.make()
        self.assertEqual(self.set(self.worker, t, title="w")["updated_by"]["email"], self.worker.email)
        self.problem(self.bystander.post(f"/api/project/{self.id}/tasks/", {"title": "u", "parent_task": t["id"]}), 422,
                     pointer="/parent_task", field_code="not-found")
        self.problem(self.bystander.post(f"/api/project/{self.id}/tasks/", {"title": "u", "parent_task": 424242}), 422,
                     pointer="/parent_task", field_code="not-found")
        own = task(self.bystander, self.id)
        self.problem(self.bystander.patch(at(own), {"parent_task": t["id"]}), 422, pointer="/parent_task",
                     field_code="not-found")

    def test_delete_and_restore(self):
        self.table(lambda who, t: who.delete(at(t)), (204,) * 4 + (403,) + (404,) * 5)
        self.table(lambda who, t: who.post(at(t) + "restore/"), (409,) * 4 + (403,) + (404,) * 5, fresh=False)
        for name, status in zip(self.everyone, (200,) * 4 + (404,) * 6):
            t = self.make()
            self.assertEqual(self.creator.delete(at(t)).status, 204)
            who = getattr(self, name)
            rows = [r["id"] for r in who.pages("/api/project/trash/") if r["title"] == t["title"]]
            self.assertEqual(rows, [t["id"]] if status == 200 else [], name)
            answer = who.post(at(t) + "restore/")
            self.assertEqual(answer.status, status, (name, answer))
            if status == 200:
                self.assertEqual(answer.headers["ETag"], who.get(at(t)).headers["ETag"])
                self.assertEqual(answer.json, self.one(who, t))

    def test_collaborators(self):
        self.table(lambda who, t: who.post(f"{at(t)}collaborators/{self.bystander.email}/"),
                   (201,) * 3 + (403,) * 2 + (404,) * 5)
        self.table(lambda who, t: who.delete(f"{at(t)}collaborators/{self.worker.email}/"),
                   (204,) * 3 + (403, 204) + (404,) * 5)
        t = self.make()
        self.problem(self.creator.post(f"{at(t)}collaborators/nobody@example.com/"), 403)
        self.problem(self.creator.delete(f"{at(t)}collaborators/nobody@example.com/"), 403)
        # Nobody comes to a task by adding themselves.
        self.problem(self.bystander.post(f"{at(t)}collaborators/{self.bystander.email}/"), 404)
        self.problem(self.worker.post(f"{at(t)}collaborators/{self.worker.email}/"), 403)
        self.problem(self.manager.delete(f"{at(t)}collaborators/{self.bystander.email}/"), 404)
        self.problem(self.manager.delete(f"{at(t)}collaborators/nobody@example.com/"), 404)
        # The creator may remove themselves and goes on seeing the task.
        self.assertEqual(self.creator.delete(f"{at(t)}collaborators/{self.creator.email}/").status, 204)
        self.assertEqual(self.creator.get(at(t)).status, 200)
        self.problem(self.manager.post(f"{at(t)}collaborators/{self.foreigner.email}/"), 404)
        self.problem(self.manager.post(f"{at(t)}collaborators/{self.outsider.email}/"), 422,
                     "not-a-project-collaborator")

    def test_create(self):
        self.leave()
        for name, status in zip(self.everyone, (201,) * 6 + (404,) * 4):
            who = getattr(self, name)
            answer = who.post(f"/api/project/{self.id}/tasks/", {"title": unique("New")})
            self.assertEqual(answer.status, status, (name, answer))
            body = {"title": unique("New"), "project": self.id}
            answer = who.post(ALL, body)
            if status == 201:
                t = self.ok(answer, 201)
                mine = [who.email] if name in ("creator", "worker", "bystander") else []
                self.assertEqual([c["user"]["email"] for c in t["collaborators"]], mine)
            elif name != "foreigner":
                self.problem(answer, 422, pointer="/project", field_code="not-found")
        base = f"/api/project/{self.id}/tasks/"
        me = self.creator
        for people, code in (([], 201), ([me.email], 201), ([me.email.upper()], 201),
                             ([me.email, self.worker.email], 403),
                             ([self.worker.email], 403), (["nobody@example.com"], 403), ([self.outsider.email], 403)):
            answer = me.post(base, {"title": unique("x"), "collaborators": people})
            self.assertEqual(answer.status, code, (people, answer))
            if code == 403:
                self.assertEqual(answer.json["code"], "own-tasks-only")
            else:
                self.assertEqual([c["user"]["email"] for c in answer.json["collaborators"]], [me.email])
        self.assertEqual(len(self.ok(me.post(base, {"title": "x", "also_collaborator": False}), 201)["collaborators"]),
                         1)
        # 403 before 422.
        self.problem(me.post(base, {"title": "", "collaborators": ["nobody@example.com"]}), 403, "own-tasks-only")
        boss = self.manager
        t = self.ok(boss.post(base, {"title": "x", "collaborators": [me.email], "also_collaborator": True}), 201)
        self.assertEqual({c["user"]["email"] for c in t["collaborators"]}, {me.email, boss.email})
        self.assertEqual({c["added_by"]["email"] for c in t["collaborators"]}, {boss.email})
        t = self.ok(boss.post(base, {"title": "x", "collaborators": [boss.email], "also_collaborator": True}), 201)
        self.assertEqual([c["user"]["email"] for c in t["collaborators"]], [boss.email])
        # An admin sees every project, but collaborates on those alone that they were added to.
        self.problem(self.admin.post(base, {"title": "x", "also_collaborator": True}), 422,
                     pointer="/also_collaborator")

    def test_project_visibility(self):
        p = project(self.manager, task_visibility="project")
        for person in (self.creator, self.bystander):
            collaborate(self.manager, p["id"], person)
        t = task(self.creator, p["id"])
        s = self.sub(self.creator, t)
        self.assertEqual([r["id"] for r in self.bystander.pages(f"/api/project/{p['id']}/tasks/?ordering=created_at")],
                         [t["id"], s["id"]])
        for method, path, body in (("PATCH", at(t), {"title": "x"}), ("PUT", at(t), {"title": "x"}),
                                   ("DELETE", at(t), None),
                                   ("POST", at(t) + "subtasks/", {"title": "x"}),
                                   ("POST", f"{at(t)}collaborators/{self.bystander.email}/", None),
                                   ("POST", f"/api/project/{p['id']}/tasks/", {"title": "x", "parent_task": t["id"]}),
                                   ("POST", at(t) + "restore/", None)):
            self.problem(self.bystander.send(method, path, body), 403)
        before = self.bystander.get(at(t))
        self.assertEqual([x["id"] for x in before.json["subtasks"]], [s["id"]])
        # Back to the default: what was shown is gone at once.
        answer = self.manager.patch(f"/api/project_management/projects/{p['id']}/",
                                    {"task_visibility": "collaborators"})
        self.ok(answer)
        seen_by(answer, self.bystander)
        self.problem(self.bystander.get(at(t)), 404)
        self.ok(self.manager.post(f"{at(t)}collaborators/{self.bystander.email}/"), 201)
        after = self.bystander.get(at(t))
        self.assertNotEqual(after.headers["ETag"], before.headers["ETag"])
        self.assertEqual((after.json["subtasks"], self.ok(self.bystander.get(at(t) + "subtasks/"))["results"]),
                         ([], []))
        self.problem(self.bystander.get(at(s)), 404)

    def test_removed_from_the_project(self):
        p = project(self.manager)
        collaborate(self.manager, p["id"], self.outsider)
        t = task(self.manager, p["id"], collaborators=[self.outsider.email])
        s = self.sub(self.manager, t, collaborators=[self.outsider.email])
        own = task(self.outsider, p["id"])
        trashed = task(self.manager, p["id"], collaborators=[self.outsider.email])
        self.assertEqual(self.manager.delete(at(trashed)).status, 204)
        tag = self.manager.get(at(t)).headers["ETag"]
        answer = self.manager.delete(f"/api/project_management/projects/{p['id']}/collaborators/{self.outsider.email}/")
        self.assertEqual(answer.status, 204)
        got = self.manager.get(at(t))
        self.assertEqual((got.json["collaborators"], got.json["subtasks"][0]["collaborators"]), ([], []))
        self.assertNotEqual(got.headers["ETag"], tag)
        self.assertEqual(self.one(self.manager, own)["collaborators"], [])
        seen_by(answer, self.outsider)
        for each in (t, s, own):
            self.problem(self.outsider.get(at(each)), 404)
        self.assertEqual(self.outsider.pages(ALL + f"?project={p['id']}"), [])
        self.assertEqual(self.ok(self.manager.post(at(trashed) + "restore/"))["collaborators"], [])
        # Whoever comes back has what they created, not what they worked on.
        collaborate(self.manager, p["id"], self.outsider)
        self.problem(self.outsider.get(at(t)), 404)
        self.assertEqual(self.one(self.outsider, own)["id"], own["id"])

    def test_role_change_counts(self):
        p = project(self.admin)
        person = add_user(self.admin)
        collaborate(self.admin, p["id"], person)
        t = task(self.admin, p["id"])
        s = self.sub(self.admin, t)
        self.problem(person.get(at(t)), 404)
        self.ok(self.admin.post(f"{at(t)}collaborators/{person.email}/"), 201)
        tag = person.get(at(t)).headers["ETag"]
        self.assertEqual(self.one(person, t)["subtasks"], [])
        self.ok(self.admin.patch(f"/api/organization/users/{person.email}/", {"role": "MANAGER"}))
        person = log_in(person.email)
        got = person.get(at(t), headers={"If-None-Match": tag})
        self.assertEqual([x["id"] for x in self.ok(got)["subtasks"]], [s["id"]])


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
        self.problem(self.admin.patch(at(t), {"completed_date": iso()}), 422, pointer="/completed_date",
                     field_code="read-only")

    def test_completing_a_parent(self):
        for status in ("PENDING", "IN_PROGRESS", "ON_HOLD", "CANCELLED"):
            parent, made = self.family(status, "PENDING", "IN_PROGRESS", "ON_HOLD", "CANCELLED", "COMPLETED")
            done = made[4]["completed_date"]
            got = self.ok(self.manager.patch(at(parent), {"status": "COMPLETED"}))
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
            self.ok(self.manager.patch(at(b), {"status": "COMPLETED"}))
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
        self.assertEqual(self.admin.delete(at(b)).status, 204)
        self.assertEqual(self.status(self.admin, parent), "PENDING")
        # Deleted ones are none: the rest completes the parent.
        parent, (a, b) = self.family("PENDING", "PENDING", "PENDING")
        self.assertEqual(self.admin.delete(at(b)).status, 204)
        self.set(self.admin, a, status="COMPLETED")
        self.assertEqual(self.status(self.admin, parent), "COMPLETED")
        # A completed parent whose open subtask comes back from the trash has an open one again.
        self.ok(self.admin.post(at(b) + "restore/"))
        self.assertEqual(self.status(self.admin, parent), "IN_PROGRESS")

    def test_reopening(self):
        for before in ("COMPLETED", "CANCELLED"):
            for after in ("PENDING", "IN_PROGRESS", "ON_HOLD"):
                parent, made = self.family("COMPLETED", "CANCELLED", "COMPLETED")
                s = made[0] if before == "CANCELLED" else made[1]
                self.ok(self.manager.patch(at(s), {"status": after}))
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
            self.ok(self.manager.post(at(parent) + "subtasks/", {"title": "x", "status": status}), 201)
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
        tag = self.admin.get(at(parent)).headers["ETag"]
        self.assertIsNone(self.set(self.admin, a, parent_task=None)["parent_task"])
        got = self.admin.get(at(parent))
        self.assertEqual((got.json["status"], [s["id"] for s in got.json["subtasks"]]), ("PENDING", [b["id"]]))
        self.assertNotEqual(got.headers["ETag"], tag)
        # In: an open one reopens a completed parent, a completed or cancelled one changes nothing.
        for status, after in (("PENDING", "IN_PROGRESS"), ("ON_HOLD", "IN_PROGRESS"), ("COMPLETED", "COMPLETED"),
                              ("CANCELLED", "COMPLETED")):
            parent, _ = self.family("COMPLETED", "COMPLETED")
            t = task(self.admin, self.id, status=status)
            moved = self.ok(self.manager.patch(at(t), {"parent_task": parent["id"]}))
            self.assertEqual((moved["parent_task"], moved["status"]), (parent["id"], status))
            self.assertEqual(self.status(self.admin, parent), after)
        parent, _ = self.family("PENDING")
        t = task(self.admin, self.id, status="COMPLETED")
        self.set(self.admin, t, parent_task=parent["id"])
        self.assertEqual(self.status(self.admin, parent), "PENDING")
        # From one parent to another, both change their tags.
        one, (s,) = self.family("PENDING", "PENDING")
        two, _ = self.family("COMPLETED")
        tags = [self.admin.get(at(x)).headers["ETag"] for x in (one, two)]
        self.set(self.admin, s, parent_task=two["id"])
        for x, tag in zip((one, two), tags):
            self.assertNotEqual(self.admin.get(at(x)).headers["ETag"], tag)
        self.assertEqual((self.status(self.admin, one), self.status(self.admin, two)), ("PENDING", "IN_PROGRESS"))
        # Absent in a PUT it stays.
        self.assertEqual(self.ok(self.admin.put(at(s), {"title": "x"}))["parent_task"], two["id"])

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
                self.problem(self.admin.patch(at(free), body), 422, pointer="/parent_task", field_code=code)
                self.problem(self.admin.post(f"/api/project/{self.id}/tasks/", {"title": "x", **body}), 422,
                             pointer="/parent_task", field_code=code)
            else:
                self.problem(self.admin.patch(at(free), body), 422, pointer="/parent_task")
        self.problem(self.admin.patch(at(parent), {"parent_task": free["id"]}), 422, pointer="/parent_task",
                     field_code="nested-subtask")
        # With its subtask deleted it can go under another one; the subtask cannot come back then.
        self.assertEqual(self.admin.delete(at(s)).status, 204)
        self.set(self.admin, parent, parent_task=free["id"])
        self.assertEqual(self.admin.post(at(s) + "restore/").status, 409)
        self.problem(self.admin.patch(at(task(self.admin, self.id)), {"parent_task": s["id"]}), 422,
                     pointer="/parent_task", field_code="not-found")
        foreigner = sign_up()
        q = project(foreigner)
        mine = task(foreigner, q["id"])
        self.problem(foreigner.patch(at(mine), {"parent_task": free["id"] + 5000}), 422, pointer="/parent_task",
                     field_code="not-found")
        # In the path: of a subtask, of nothing.
        self.problem(self.admin.post(at(parent) + "subtasks/", {"title": "x"}), 422, pointer="/parent_task",
                     field_code="nested-subtask")
        self.problem(self.admin.post(f"{ALL}424242/subtasks/", {"title": "x"}), 404)
        self.problem(self.admin.post(f"/api/project/{p['id']}/tasks/{free['id']}/subtasks/", {"title": "x"}), 404)
        self.ok(self.admin.post(at(free) + "subtasks/", {"title": "x", "parent_task": free["id"], "project": self.id}),
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
            for answer in (self.admin.patch(at(s), fields),
                           self.admin.post(at(parent) + "subtasks/", {"title": "x", **fields})):
                if pointer:
                    self.problem(answer, 422, pointer=pointer, field_code="outside-parent")
                else:
                    self.assertIn(answer.status, (200, 201), (fields, answer))
        late = task(self.admin, self.id, start_date=day(0), due_date=day(20))
        self.problem(self.admin.patch(at(late), {"parent_task": parent["id"]}), 422, field_code="outside-parent",
                     pointer="/due_date")
        self.problem(self.admin.patch(at(parent), {"start_date": day(3)}), 422, field_code="outside-parent",
                     pointer="/start_date")
        self.problem(self.admin.patch(at(parent), {"due_date": day(9)}), 422, field_code="outside-parent",
                     pointer="/due_date")
        self.problem(self.admin.put(at(parent), {"title": "x", "due_date": day(9)}), 422, pointer="/due_date")
        # A parent without a date sets no bound; a deleted subtask is none.
        self.set(self.admin, parent, due_date=None)
        self.set(self.admin, s, due_date=day(30))
        self.problem(self.admin.patch(at(parent), {"due_date": day(29)}), 422, field_code="outside-parent",
                     pointer="/due_date")
        for x in self.one(self.admin, parent)["subtasks"]:
            self.assertEqual(self.admin.delete(at(x)).status, 204)
        self.set(self.admin, parent, start_date=day(5), due_date=day(6))
        # Moments with moments compare to the microsecond.
        parent = task(self.admin, self.id, due_date=day(10) + "T12:00:00.000001Z")
        self.problem(self.admin.post(at(parent) + "subtasks/",
                                     {"title": "x", "due_date": day(10) + "T12:00:00.000002Z"}),
                     422, pointer="/due_date", field_code="outside-parent")
        self.sub(self.admin, parent, due_date=day(10) + "T12:00:00.000001Z")
        self.sub(self.admin, parent, due_date=day(10))

    def test_trash(self):
        parent, (a, b, c) = self.family("PENDING", "PENDING", "COMPLETED", "CANCELLED")
        tags = self.admin.get(at(parent)).headers["ETag"]
        self.assertEqual(self.admin.delete(at(a)).status, 204)
        self.assertNotEqual(self.admin.get(at(parent)).headers["ETag"], tags)
        self.assertEqual(self.admin.delete(f"{ALL}{parent['key']}/").status, 204)
        listed = [r["id"] for r in self.admin.pages("/api/project/trash/", 1)][:4]
        self.assertEqual((set(listed[:3]), listed[3]), ({parent["id"], b["id"], c["id"]}, a["id"]))
        for x in (a, b, c):
            self.problem(self.admin.post(at(x) + "restore/"), 409, "parent-deleted")
        for x in (parent, a, b):
            for method in ("GET", "PATCH", "PUT", "DELETE"):
                self.problem(self.admin.send(method, at(x), {"title": "x"} if method[0] == "P" else None), 404)
            for tail in ("subtasks/", "collaborators/"):
                self.problem(self.admin.get(at(x) + tail), 404)
        self.problem(self.admin.post(f"/api/project/{self.id + 1000}/tasks/{parent['id']}/restore/"), 404)
        got = self.ok(self.admin.post(f"/api/project/{self.id}/tasks/{parent['key']}/restore/"))
        self.assertEqual([s["id"] for s in got["subtasks"]], [b["id"], c["id"]])
        self.assertEqual(self.ok(self.admin.post(at(a) + "restore/"))["parent_task"], parent["id"])
        self.problem(self.admin.post(at(a) + "restore/"), 409, "not-deleted")
        # Restoring a completed subtask completes nothing.
        parent, (a,) = self.family("PENDING", "PENDING")
        d = self.sub(self.admin, task(self.admin, self.id), status="PENDING")
        self.set(self.admin, d, status="COMPLETED")
        self.assertEqual(self.admin.delete(at(d)).status, 204)
        self.ok(self.admin.post(at(d) + "restore/"))

    def test_etag_of_parent(self):
        parent, (s,) = self.family("PENDING", "PENDING")
        seen = {self.admin.get(at(parent)).headers["ETag"]}

        def changed(answer):
            self.assertLess(answer.status, 300, answer)
            got = self.admin.get(at(parent))
            self.assertNotIn(got.headers["ETag"], seen)
            self.assertEqual(got.headers["ETag"], f'"{got.json["version"]}"')
            seen.add(got.headers["ETag"])
        changed(self.admin.patch(at(s), {"title": "other"}))
        changed(self.admin.post(f"{at(s)}collaborators/{self.manager.email}/"))
        changed(self.admin.delete(f"{at(s)}collaborators/{self.manager.email}/"))
        changed(self.admin.patch(at(s), {"status": "COMPLETED"}))
        changed(self.admin.patch(at(s), {"due_date": day(3)}))
        changed(self.admin.post(f"{at(parent)}collaborators/{self.manager.email}/"))
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
        changed(self.admin.delete(at(s)))
        changed(self.admin.post(at(s) + "restore/"))
        tag = self.admin.get(at(parent)).headers["ETag"]
        # Nothing changed, nothing new.
        for fields in ({"title": self.one(self.admin, s)["title"]}, {"due_date": day(3)}, {},
                       {"parent_task": parent["id"]},
                       {"status": "COMPLETED"}):
            before = self.admin.get(at(s))
            answer = self.admin.patch(at(s), fields)
            self.assertEqual((answer.status, answer.headers["ETag"]), (200, before.headers["ETag"]))
            self.assertEqual(answer.json["updated_at"], before.json["updated_at"])
        self.assertEqual(self.admin.get(at(parent), headers={"If-None-Match": f'"a", W/{tag}'}).status, 304)
        self.problem(self.admin.delete(at(parent), headers={"If-Match": '"0"'}), 412)
        self.problem(self.admin.put(at(parent), {}, headers={"If-Match": f"W/{tag}"}), 412)
        # The whole answer put back changes nothing.
        for x in (parent, s):
            first = self.admin.get(at(x))
            for method in ("PUT", "PATCH"):
                same = self.admin.send(method, at(x), first.json)
                self.assertEqual((self.ok(same), same.headers["ETag"]), (first.json, first.headers["ETag"]))


class Dates(TaskCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.id = project(cls.admin)["id"]
        cls.base = f"/api/project/{cls.id}/tasks/"

    def test_forms(self):
        for given, shown in (("2028-02-29", "2028-02-29"), ("9999-12-31", "9999-12-31"),
                             ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
                             ("2099-01-01T00:00:00+14:00", "2098-12-31T10:00:00.000000Z"),
                             ("2099-01-01T00:00:00.1-00:30", "2099-01-01T00:30:00.100000Z"),
                             ("2099-06-30T23:59:59.000001Z", "2099-06-30T23:59:59.000001Z")):
            t = self.ok(self.admin.post(self.base, {"title": "x", "due_date": given}), 201)
            self.assertEqual((t["due_date"], self.one(self.admin, t)["due_date"]), (shown, shown))
        for given in ("0001-01-01", "0001-01-01T00:00:00Z", "1900-02-28", "2000-02-29T12:00:00Z"):
            t = self.ok(self.admin.post(self.base, {"title": "x", "start_date": given}), 201)
            self.assertEqual(self.one(self.admin, t)["start_date"][:10], given[:10])
        for value in ("2027-02-29", "2100-02-29", "1900-02-29", "2026-00-10", "2026-12-32", "0000-01-01", "10000-01-01",
                      "2026-1-1", "20261201", "2026-12-01T10:00Z", "2026-12-01T10:00:00", "2026-12-01T24:00:00Z",
                      "2026-12-01T23:60:00Z", "2026-12-01T23:59:61Z", "2026-12-01T10:00:00+25:00",
                      "2026-12-01T10:00:00+0100",
                      "2026-12-01T10:00:00.Z", "2026-02-30T10:00:00Z", "", " 2026-12-01", "2026-12-01 ", "٢٠٢٦-١٢-٠١",
                      1764547200,
                      True, [], {}, "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"):
            for field in ("due_date", "start_date"):
                self.problem(self.admin.post(self.base, {"title": "x", field: value}), 422, pointer=f"/{field}")

    def test_bounds_in_far_zones(self):
        admin = sign_up()
        base = f"/api/project/{project(admin)['id']}/tasks/"
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"):
            self.ok(admin.patch("/api/organization/", {"time_zone": zone}))
            first = self.ok(admin.post(base, {"title": f"first {zone}", "start_date": "0001-01-01"}), 201)
            last = self.ok(admin.post(base, {"title": f"last {zone}", "due_date": "9999-12-31"}), 201)
            self.assertEqual((first["start_date"], last["due_date"]), ("0001-01-01", "9999-12-31"))
            for order in ("start_date", "-start_date", "due_date", "-due_date"):
                rows = admin.pages(f"{base}?ordering={order}", 1)
                self.assertEqual(len({r["id"] for r in rows}), len(rows))
            for query in ("due_before=0001-01-01", "due_after=9999-12-31", "due_after=0001-01-01",
                          "due_before=9999-12-31"):
                self.ok(admin.get(f"{base}?{query}"))
            self.ok(admin.patch(at(first), {"title": "again"}))

    def test_judged_on_the_merged_task(self):
        t = self.ok(self.admin.post(self.base, {"title": "x", "start_date": day(5), "due_date": day(8)}), 201)
        self.problem(self.admin.patch(at(t), {"due_date": day(4)}), 422, pointer="/due_date", field_code="before-start")
        self.problem(self.admin.patch(at(t), {"start_date": day(9)}), 422, pointer="/due_date",
                     field_code="before-start")
        self.set(self.admin, t, start_date=day(9), due_date=day(9))
        self.problem(self.admin.put(at(t), {"title": "x", "due_date": day(8)}), 422, pointer="/due_date",
                     field_code="before-start")
        self.set(self.admin, t, start_date=None, due_date=day(1))
        self.assertIsNone(self.one(self.admin, t)["start_date"])
        # Civil with a moment: days are compared, so a due moment on the start's day is not before it.
        self.set(self.admin, t, start_date=day(3), due_date=day(3) + "T00:00:00Z")
        self.set(self.admin, t, start_date=day(3) + "T23:59:59Z", due_date=day(3))
        self.problem(self.admin.patch(at(t), {"due_date": day(3) + "T23:59:58.999999Z"}), 422,
                     field_code="before-start",
                     pointer="/due_date")
        self.set(self.admin, t, due_date=day(3) + "T23:59:59Z")

    def test_put_defaults(self):
        parent = self.ok(self.admin.post(self.base, {"title": "p", "start_date": "2020-01-01"}), 201)
        t = self.ok(self.admin.post(self.base, {
            "title": "x", "description": "d", "priority": "HIGH", "status": "ON_HOLD", "start_date": "2020-02-02",
            "due_date": day(3), "parent_task": parent["id"], "also_collaborator": True}), 201)
        got = self.ok(self.admin.put(at(t), {"title": "y"}))
        self.assertEqual((got["title"], got["description"], got["priority"], got["status"], got["start_date"],
                          got["due_date"],
                          got["parent_task"], len(got["collaborators"])),
                         ("y", "", "MEDIUM", "ON_HOLD", "2020-02-02", None, parent["id"], 1))
        self.problem(self.admin.put(at(t), {"priority": "LOW"}), 422, pointer="/title", field_code="required")
        for field in ("title", "description", "priority", "status"):
            self.problem(self.admin.patch(at(t), {field: None}), 422, pointer=f"/{field}")
        for field in ("id", "key", "project", "completed_date", "collaborators", "created_by", "updated_by",
                      "created_at",
                      "updated_at", "version", "subtasks"):
            self.problem(self.admin.patch(at(t), {field: "other"}), 422, pointer=f"/{field}", field_code="read-only")
            self.problem(self.admin.put(at(t), {"title": "y", field: 77777}), 422, pointer=f"/{field}",
                         field_code="read-only")
        self.problem(self.admin.patch(at(t), {"also_collaborator": True}), 422, pointer="/also_collaborator")
        merge = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
        self.assertEqual(self.ok(self.admin.patch(at(t), {"start_date": None}, headers=merge))["start_date"], None)
        self.problem(self.admin.put(at(t), {"title": "y"}, headers=merge), 415)
        self.problem(self.admin.patch(at(t), {"title": "y"}, headers={"Content-Type": None}), 415)

    def test_title_lengths(self):
        for title in ("𝒳" * 255, "é" * 255, " x "):
            self.assertEqual(self.ok(self.admin.post(self.base, {"title": title}), 201)["title"], title)
        self.problem(self.admin.post(self.base, {"title": "𝒳" * 256}), 422, pointer="/title", field_code="too-long")
        self.problem(self.admin.post(self.base, {"title": "\u3000"}), 422, pointer="/title", field_code="blank")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": "a@b"}), 422, pointer="/collaborators")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": [1]}), 422, pointer="/collaborators/0")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": None}), 422, pointer="/collaborators")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": ["a\x00@b"]}), 422,
                     pointer="/collaborators/0")
        self.problem(self.admin.post(self.base, {"title": "x", "also_collaborator": "yes"}), 422,
                     pointer="/also_collaborator")
        self.problem(self.admin.post(self.base, {"title": "x", "id": 1}), 422, pointer="/id",
                     field_code="unknown-field")
        self.problem(self.admin.post(self.base, {"title": "x", "priority": "high"}), 422, pointer="/priority")
        body = self.problem(self.admin.post(self.base, {"title": "", "priority": 1, "due_date": "x", "zzz": 0}), 422)
        self.assertEqual({e["pointer"] for e in body["errors"]}, {"/title", "/priority", "/due_date", "/zzz"})

    def test_zone_decides_what_today_is(self):
        admin = sign_up()
        base = f"/api/project/{project(admin)['id']}/tasks/"
        for name in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            zone = zoneinfo.ZoneInfo(name)
            self.ok(admin.patch("/api/organization/", {"time_zone": name}))
            self.assertEqual(self.ok(admin.post(base, {"title": "x"}), 201)["start_date"], day(0, zone))
            today = self.ok(admin.post(base, {"title": "x", "due_date": day(0, zone)}), 201)
            self.problem(admin.post(base, {"title": "x", "start_date": "2020-01-01", "due_date": day(-1, zone)}), 422,
                         pointer="/due_date", field_code="in-past")
            # A civil due day runs to the end of the day there.
            end = datetime.datetime.combine(datetime.date.fromisoformat(today["due_date"]) + datetime.timedelta(days=1),
                                            datetime.time(), zone).astimezone(UTC)
            inside = (end - datetime.timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
            after = end.isoformat().replace("+00:00", "Z")
            ids = {r["id"] for r in admin.pages(f"{base}?due_before={urllib.parse.quote(after)}")}
            self.assertIn(today["id"], ids)
            self.assertNotIn(today["id"],
                             {r["id"] for r in admin.pages(f"{base}?due_before={urllib.parse.quote(inside)}")})
            self.assertIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_after={urllib.parse.quote(inside)}")})
            self.assertNotIn(today["id"],
                             {r["id"] for r in admin.pages(f"{base}?due_after={urllib.parse.quote(after)}")})
            # A civil date as a value is the begin of its day.
            self.assertIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_after={today['due_date']}")})
            self.assertNotIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_before={today['due_date']}")})
            self.assertIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_before={day(1, zone)}")})
            self.assertEqual(self.ok(admin.get("/api/account/"))["stats"]["due_tasks"], 1)
            self.ok(admin.patch(at(today), {"status": "CANCELLED"}))


class Overdue(TaskCase):
    def test_overdue(self):
        admin = sign_up()
        self.ok(admin.patch("/api/organization/", {"time_zone": "Europe/Berlin"}))
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
        p = project(admin)
        due = iso(seconds=2)

        def make(**fields):
            return task(admin, p["id"], start_date=None, **fields)
        pending, progress, held, cancelled, done, today = (
            make(due_date=due), make(due_date=due, status="IN_PROGRESS"), make(due_date=due, status="ON_HOLD"),
            make(due_date=due, status="CANCELLED"), make(due_date=due, status="COMPLETED"), make(due_date=day(0, zone)))
        others = [make(due_date=due, status=s)
                  for s in ("PENDING", "IN_PROGRESS", "PENDING", "PENDING", "IN_PROGRESS", "PENDING")]
        cleared, future, cleared_to, byhand, reopened, put = others
        parent = make(due_date=due)
        s = self.sub(admin, parent, start_date=None, due_date=due)
        tag = admin.get(at(parent)).headers["ETag"]
        manager = add_user(admin, "MANAGER")
        collaborate(admin, p["id"], manager)
        eventually(lambda: all(self.status(admin, t) == "OVERDUE" for t in (pending, progress, parent, s, *others)), 20)
        for t, status in ((held, "ON_HOLD"), (cancelled, "CANCELLED"), (done, "COMPLETED"), (today, "PENDING")):
            self.assertEqual(self.status(admin, t), status)
        got = admin.get(at(parent))
        self.assertEqual((got.json["subtasks"][0]["status"], got.json["updated_by"]["email"]), ("OVERDUE", admin.email))
        self.assertNotEqual(got.headers["ETag"], tag)
        stats = self.ok(admin.get("/api/account/"))["stats"]
        self.assertEqual((stats["overdue_tasks"], stats["pending_tasks"], stats["due_tasks"]), (10, 2, 2))
        self.assertEqual(len(admin.pages(ALL + "?status=OVERDUE&search=overdue")), 10)
        # Nobody sets it by hand, naming it where it is so sets nothing.
        for t in (held, done, today):
            self.problem(admin.patch(at(t), {"status": "OVERDUE"}), 422, pointer="/status", field_code="not-settable")
            self.problem(admin.put(at(t), {"title": "x", "status": "OVERDUE"}), 422, pointer="/status",
                         field_code="not-settable")
        tag = admin.get(at(pending)).headers["ETag"]
        self.assertEqual(admin.patch(at(pending), {"status": "OVERDUE"}).headers["ETag"], tag)
        # An unchanged past date is no obstacle, to no change; a changed one must be in the future.
        self.ok(admin.put(at(pending), {"title": "late", "due_date": due, "priority": "HIGH"}))
        self.assertEqual(self.status(admin, pending), "OVERDUE")
        self.problem(admin.patch(at(pending), {"due_date": iso(seconds=-1)}), 422, pointer="/due_date",
                     field_code="in-past")
        self.set(admin, pending, description="x", due_date=self.one(admin, pending)["due_date"])
        # Clearing or moving brings the earlier status back, unless the request sets another.
        self.assertEqual(self.set(admin, cleared, due_date=None)["status"], "PENDING")
        self.assertEqual(self.set(admin, future, due_date=day(3))["status"], "IN_PROGRESS")
        self.assertEqual(self.set(admin, cleared_to, due_date=None, status="ON_HOLD")["status"], "ON_HOLD")
        self.assertEqual(self.ok(admin.put(at(put), {"title": "x"}))["status"], "PENDING")
        self.assertEqual(self.set(admin, progress, status="OVERDUE", due_date=day(0, zone))["status"], "IN_PROGRESS")
        # Taken off by hand, or reopened.
        self.assertEqual(self.set(admin, byhand, status="PENDING")["status"], "PENDING")
        self.assertIsNotNone(self.set(admin, reopened, status="COMPLETED")["completed_date"])
        self.set(admin, reopened, status="PENDING")
        # The family: completing an overdue parent completes its overdue subtask.
        got = self.ok(manager.patch(at(parent), {"status": "COMPLETED"}))
        self.assertEqual(([x["status"] for x in got["subtasks"]], got["subtasks"][0]["updated_by"]["email"]),
                         (["COMPLETED"], manager.email))
        self.set(admin, s, status="PENDING")
        self.assertEqual(self.status(admin, parent), "IN_PROGRESS")
        # A new due date gets a new turn.
        self.set(admin, cleared, due_date=iso(seconds=1.5))
        eventually(lambda: self.status(admin, cleared) == "OVERDUE", 20)
        time.sleep(2.2)
        for t, status in ((byhand, "PENDING"), (reopened, "PENDING"), (parent, "IN_PROGRESS"), (s, "PENDING"),
                          (held, "ON_HOLD"), (today, "PENDING"), (progress, "IN_PROGRESS")):
            self.assertEqual(self.status(admin, t), status, t["title"])
        # In the trash nothing is marked; it is when it comes back.
        gone = make(due_date=iso(seconds=1))
        self.assertEqual(admin.delete(at(gone)).status, 204)
        time.sleep(2.5)
        self.ok(admin.post(at(gone) + "restore/"))
        eventually(lambda: self.status(admin, gone) == "OVERDUE", 20)

    def test_changed_time_zone(self):
        admin = sign_up()
        west, east = zoneinfo.ZoneInfo("Pacific/Pago_Pago"), zoneinfo.ZoneInfo("Pacific/Kiritimati")
        self.ok(admin.patch("/api/organization/", {"time_zone": "Pacific/Pago_Pago"}))
        p = project(admin)
        # 25 hours lie between the two, so that the day has always ended in the east.
        t = task(admin, p["id"], start_date=None, due_date=day(0, west))
        moment = task(admin, p["id"], start_date=None, due_date=iso(hours=1))
        self.assertLess(day(0, west), day(0, east))
        time.sleep(1.5)
        self.assertEqual(self.status(admin, t), "PENDING")
        self.ok(admin.patch("/api/organization/", {"time_zone": "Pacific/Kiritimati"}))
        eventually(lambda: self.status(admin, t) == "OVERDUE", 20)
        got = self.one(admin, t)
        self.assertEqual((got["due_date"], self.status(admin, moment)), (day(0, west), "PENDING"))
        self.set(admin, t, title="late", due_date=got["due_date"])


class Dashboard(TaskCase):
    def test_dashboard(self):
        admin = sign_up()
        manager, developer = add_user(admin, "MANAGER"), add_user(admin)
        empty = self.ok(developer.get("/api/account/"))
        self.assertEqual(set(empty), {"user", "organization", "stats", "upcoming"})
        self.assertEqual(set(empty["user"]), {"id", "email", "first_name", "last_name", "name", "role", "department",
                                              "is_active", "profile_img", "created_at", "updated_at", "version"})
        self.assertEqual(set(empty["organization"]) - {"version"},
                         {"id", "name", "time_zone", "reminder_hour", "created_at", "updated_at"})
        self.assertEqual(empty["stats"],
                         {"total_projects": 0, "completed_projects": 0, "pending_tasks": 0, "due_tasks": 0,
                                          "overdue_tasks": 0})
        p = project(manager)
        done = project(manager, status="COMPLETED")
        gone = project(manager, status="COMPLETED")
        self.assertEqual(manager.delete(f"/api/project_management/projects/{gone['id']}/").status, 204)
        hidden = project(admin)
        collaborate(manager, p["id"], developer)
        mine = [task(manager, p["id"], title=f"t{n}", due_date=day(n), collaborators=[developer.email])
                for n in range(12)]
        task(manager, p["id"], collaborators=[developer.email])
        task(manager, p["id"], status="COMPLETED", due_date=day(1), collaborators=[developer.email])
        task(manager, p["id"], status="CANCELLED", due_date=day(1), collaborators=[developer.email])
        task(manager, p["id"], status="ON_HOLD", due_date=day(0) + "T23:59:59.999999Z")
        task(manager, p["id"], due_date=day(1) + "T00:00:00Z")
        task(admin, hidden["id"], due_date=day(0))
        late = task(manager, p["id"], start_date=None, due_date=iso(seconds=1), collaborators=[developer.email])
        eventually(lambda: self.status(manager, late) == "OVERDUE")
        for who, stats in ((developer, (1, 0, 13, 1, 1)), (manager, (2, 1, 15, 2, 1)), (admin, (3, 1, 16, 3, 1))):
            got = self.ok(who.get("/api/account/"))
            self.assertEqual(tuple(got["stats"][n] for n in ("total_projects", "completed_projects", "pending_tasks",
                                                             "due_tasks", "overdue_tasks")), stats, who.email)
        got = self.ok(developer.get("/api/account/"))
        self.assertEqual([t["id"] for t in got["upcoming"]], [late["id"]] + [t["id"] for t in mine[:9]])
        self.assertEqual(self.ok(manager.get("/api/account/"))["upcoming"], [])
        row = self.ok(developer.get(f"{ALL}?search=t3"))["results"][0]
        self.assertEqual([t for t in got["upcoming"] if t["id"] == row["id"]], [row])
        self.problem(developer.get("/api/account/?fields=nope"), 400, parameter="fields")
        self.assertEqual(set(self.ok(developer.get("/api/account/?fields=stats"))), {"stats"})
        answer = developer.get("/api/account/")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(developer.send("HEAD", "/api/account/").status, 200)


class People(TaskCase):
    def test_inactive_and_unknown(self):
        admin = sign_up()
        p = project(admin)
        person, gone = add_user(admin), add_user(admin)
        for each in (person, gone):
            collaborate(admin, p["id"], each)
        base = f"/api/project/{p['id']}/tasks/"
        kept = task(admin, p["id"], collaborators=[gone.email])
        t = task(admin, p["id"])
        self.ok(admin.patch(f"/api/organization/users/{gone.email}/", {"is_active": False}))
        self.problem(admin.post(f"{at(t)}collaborators/{gone.email}/"), 422, "inactive-user")
        names = [person.email, gone.email, "nobody@example.com", person.email.upper(), "no address",
                 "\u212aate@example.com"]
        body = self.problem(admin.post(base, {"title": "x", "collaborators": names}), 422)
        self.assertEqual([(e["pointer"], e["code"]) for e in body["errors"]][:2],
                         [("/collaborators/1", "inactive-user"), ("/collaborators/2", "not-found")])
        self.assertEqual({e["pointer"] for e in body["errors"]}, {f"/collaborators/{n}" for n in range(1, 6)})
        self.assertEqual(len(admin.pages(base)), 2)
        # Somebody deactivated stays where they are, and is found there.
        self.assertEqual(self.one(admin, kept)["collaborators"][0]["user"]["email"], gone.email)
        self.assertEqual([r["id"] for r in admin.pages(f"{ALL}?collaborator={gone.email}")], [kept["id"]])
        self.assertEqual(admin.delete(f"{at(kept)}collaborators/{gone.email}/").status, 204)
        self.problem(gone.get(ALL), 401)

    def test_addresses_in_paths(self):
        admin = sign_up()
        p = project(admin)
        address = unique("o'neil+tag!#"[:10]) + "&=~^{|}*@Example.com"
        person = add_user(admin, email=address, log_in_too=False)
        quoted = urllib.parse.quote(address, safe="")
        answer = admin.post(f"/api/project_management/projects/{p['id']}/collaborators/{quoted}/")
        self.ok(answer, 201)
        self.assertEqual(self.ok(admin.get(answer.headers["Location"]))["user"]["id"], person["id"])
        t = task(admin, p["id"], collaborators=[address.upper()])
        self.assertEqual(self.ok(admin.get(f"{at(t)}collaborators/{quoted}/"))["user"]["email"], address)
        self.assertEqual(admin.delete(f"{at(t)}collaborators/{quoted}/").status, 204)
        answer = admin.post(f"{at(t)}collaborators/{quoted.lower()}/")
        self.ok(answer, 201)
        self.assertEqual(self.ok(admin.get(answer.headers["Location"]))["user"]["email"], address)
        self.assertEqual([r["id"] for r in admin.pages(f"{ALL}?collaborator={quoted}")], [t["id"]])

    def test_order_follows_the_zone(self):
        admin = sign_up()
        p = project(admin)
        civil = task(admin, p["id"], start_date="2030-06-10", due_date="2030-06-10")
        moment = task(admin, p["id"], start_date="2030-06-09T20:00:00Z", due_date="2030-06-10T12:00:00Z")
        for zone, starts, dues in (("UTC", [moment, civil], [moment, civil]),
                                   ("Pacific/Kiritimati", [civil, moment], [civil, moment]),
                                   ("Europe/Berlin", [moment, civil], [moment, civil])):
            self.ok(admin.patch("/api/organization/", {"time_zone": zone}))
            for order, wanted in (("start_date", starts), ("due_date", dues), ("-start_date", starts[::-1]),
                                  ("-due_date", dues[::-1])):
                self.assertEqual([r["id"] for r in admin.pages(f"{ALL}?ordering={order}", 1)],
                                 [t["id"] for t in wanted], (zone, order))
        self.assertEqual(self.one(admin, civil)["due_date"], "2030-06-10")


class Races(TaskCase):
    def both(self, pool, *sends):
        return [f.result() for f in [pool.submit(s) for s in sends]]

    def test_families(self):
        admin = sign_up()
        other = log_in(admin.email)
        p = project(admin)
        base = f"/api/project/{p['id']}/tasks/"
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in range(8):
                # Each under the other: one level, so that one at most can be.
                a, b = task(admin, p["id"]), task(admin, p["id"])
                answers = self.both(pool, lambda: admin.patch(at(a), {"parent_task": b["id"]}),
                                    lambda: other.patch(at(b), {"parent_task": a["id"]}))
                self.assertEqual(sorted(x.status for x in answers), [200, 422], answers)
                # A subtask for a task that becomes one.
                a, b = task(admin, p["id"]), task(admin, p["id"])
                answers = self.both(pool, lambda: admin.post(at(a) + "subtasks/", {"title": "s"}),
                                    lambda: other.patch(at(a), {"parent_task": b["id"]}))
                self.assertEqual(len([x for x in answers if x.status < 300]), 1, answers)
                # A subtask for a parent that is being deleted is no orphan.
                a = task(admin, p["id"])
                answers = self.both(pool, lambda: admin.post(at(a) + "subtasks/", {"title": "s"}),
                                    lambda: other.delete(at(a)))
                self.assertEqual(answers[1].status, 204)
                self.assertIn(answers[0].status, (201, 404))
                if answers[0].status == 201:
                    self.problem(admin.get(at(answers[0].json)), 404)
                # The last open subtask completes while another one comes.
                a = task(admin, p["id"])
                s = self.sub(admin, a)
                answers = self.both(pool, lambda: admin.patch(at(s), {"status": "COMPLETED"}),
                                    lambda: other.post(at(a) + "subtasks/", {"title": "late"}))
                self.assertEqual([x.status for x in answers], [200, 201])
                self.assertIn(self.status(admin, a), ("PENDING", "IN_PROGRESS"))
                # Two collaborators' requests at once.
                answers = self.both(pool, lambda: admin.post(f"{at(a)}collaborators/{admin.email}/"),
                                    lambda: other.post(f"{at(a)}collaborators/{admin.email}/"))
                self.assertEqual(sorted(x.status for x in answers), [201, 409])
                answers = self.both(pool, lambda: admin.delete(at(a)), lambda: other.delete(at(a)))
                self.assertEqual(sorted(x.status for x in answers), [204, 404])
                answers = self.both(pool, lambda: admin.post(at(a) + "restore/"),
                                    lambda: other.post(at(a) + "restore/"))
                self.assertEqual(sorted(x.status for x in answers), [200, 409])
        rows = {r["id"]: r for r in admin.pages(base)}
        for r in rows.values():
            if r["parent_task"]:
                self.assertIsNone(rows[r["parent_task"]]["parent_task"])

    def test_leaving_while_being_named(self):
        admin = sign_up()
        person, other = add_user(admin), log_in(admin.email)
        p = project(admin)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in range(6):
                collaborate(admin, p["id"], person)
                t = task(admin, p["id"])
                answers = self.both(
                    pool, lambda: other.post(f"/api/project/{p['id']}/tasks/",
                                             {"title": "n", "collaborators": [person.email]}),
                    lambda: admin.delete(f"/api/project_management/projects/{p['id']}/collaborators/{person.email}/"))
                self.assertEqual(answers[1].status, 204)
                self.assertIn(answers[0].status, (201, 422))
                if answers[0].status == 201:
                    seen_by(answers[1], other)
                    self.assertEqual(self.one(other, answers[0].json)["collaborators"], [])
                self.problem(admin.post(f"{at(t)}collaborators/{person.email}/"), 422, "not-a-project-collaborator")
