"""Section 2 line by line: who may do what with tasks."""

from support import *


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
        self.ok(self.manager.post(f"{task_path(t)}collaborators/{self.worker.email}/"), 201)
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
        self.table(lambda who, t: who.get(task_path(t)), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.get(f"/api/project/{self.id}/tasks/{t['key']}"), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.get(task_path(t) + "subtasks/"), (200,) * 5 + (404,) * 5, fresh=False)
        self.table(lambda who, t: who.get(task_path(t) + "collaborators/"), (200,) * 5 + (404,) * 5, fresh=False)
        self.table(lambda who, t: who.get(f"{task_path(t)}collaborators/{self.worker.email}/"), (200,) * 5 + (404,) * 5,
                   fresh=False)
        self.table(lambda who, t: who.get(f"/api/project/{self.id}/tasks/"), (200,) * 6 + (404,) * 4, fresh=False)
        t = self.make()
        for name in self.everyone:
            for path in (TASKS, f"/api/project/{self.id}/tasks/") if name in self.everyone[:6] else (TASKS,):
                rows = [r["id"] for r in getattr(self, name).pages(path) if r["title"] == t["title"]]
                self.assertEqual(rows, [t["id"]] if name in self.everyone[:5] else [], name)

    def test_update(self):
        self.table(lambda who, t: who.patch(task_path(t), {"title": unique("By")}), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.put(task_path(t), {"title": unique("By")}), (200,) * 5 + (404,) * 5)
        self.table(lambda who, t: who.post(task_path(t) + "subtasks/",
                   {"title": unique("Under")}), (201,) * 5 + (404,) * 5)
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
        self.problem(self.bystander.patch(task_path(own), {"parent_task": t["id"]}), 422, pointer="/parent_task",
                     field_code="not-found")

    def test_delete_and_restore(self):
        self.table(lambda who, t: who.delete(task_path(t)), (204,) * 4 + (403,) + (404,) * 5)
        self.table(lambda who, t: who.post(task_path(t) + "restore/"), (409,) * 4 + (403,) + (404,) * 5, fresh=False)
        for name, status in zip(self.everyone, (200,) * 4 + (404,) * 6):
            t = self.make()
            self.assertEqual(self.creator.delete(task_path(t)).status, 204)
            who = getattr(self, name)
            rows = [r["id"] for r in who.pages("/api/project/trash/") if r["title"] == t["title"]]
            self.assertEqual(rows, [t["id"]] if status == 200 else [], name)
            answer = who.post(task_path(t) + "restore/")
            self.assertEqual(answer.status, status, (name, answer))
            if status == 200:
                self.assertEqual(answer.headers["ETag"], who.get(task_path(t)).headers["ETag"])
                self.assertEqual(answer.json, self.one(who, t))

    def test_collaborators(self):
        self.table(lambda who, t: who.post(f"{task_path(t)}collaborators/{self.bystander.email}/"),
                   (201,) * 3 + (403,) * 2 + (404,) * 5)
        self.table(lambda who, t: who.delete(f"{task_path(t)}collaborators/{self.worker.email}/"),
                   (204,) * 3 + (403, 204) + (404,) * 5)
        t = self.make()
        self.problem(self.creator.post(f"{task_path(t)}collaborators/nobody@example.com/"), 403)
        self.problem(self.creator.delete(f"{task_path(t)}collaborators/nobody@example.com/"), 403)
        # Nobody comes to a task by adding themselves.
        self.problem(self.bystander.post(f"{task_path(t)}collaborators/{self.bystander.email}/"), 404)
        self.problem(self.worker.post(f"{task_path(t)}collaborators/{self.worker.email}/"), 403)
        self.problem(self.manager.delete(f"{task_path(t)}collaborators/{self.bystander.email}/"), 404)
        self.problem(self.manager.delete(f"{task_path(t)}collaborators/nobody@example.com/"), 404)
        # The creator may remove themselves and goes on seeing the task.
        self.assertEqual(self.creator.delete(f"{task_path(t)}collaborators/{self.creator.email}/").status, 204)
        self.assertEqual(self.creator.get(task_path(t)).status, 200)
        self.problem(self.manager.post(f"{task_path(t)}collaborators/{self.foreigner.email}/"), 404)
        self.problem(self.manager.post(f"{task_path(t)}collaborators/{self.outsider.email}/"), 422,
                     "not-a-project-collaborator")

    def test_create(self):
        self.leave()
        for name, status in zip(self.everyone, (201,) * 6 + (404,) * 4):
            who = getattr(self, name)
            answer = who.post(f"/api/project/{self.id}/tasks/", {"title": unique("New")})
            self.assertEqual(answer.status, status, (name, answer))
            body = {"title": unique("New"), "project": self.id}
            answer = who.post(TASKS, body)
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
        for method, path, body in (("PATCH", task_path(t), {"title": "x"}), ("PUT", task_path(t), {"title": "x"}),
                                   ("DELETE", task_path(t), None),
                                   ("POST", task_path(t) + "subtasks/", {"title": "x"}),
                                   ("POST", f"{task_path(t)}collaborators/{self.bystander.email}/", None),
                                   ("POST", f"/api/project/{p['id']}/tasks/", {"title": "x", "parent_task": t["id"]}),
                                   ("POST", task_path(t) + "restore/", None)):
            self.problem(self.bystander.send(method, path, body), 403)
        before = self.bystander.get(task_path(t))
        self.assertEqual([x["id"] for x in before.json["subtasks"]], [s["id"]])
        # Back to the default: what was shown is gone at once.
        answer = self.manager.patch(f"/api/project_management/projects/{p['id']}/",
                                    {"task_visibility": "collaborators"})
        self.ok(answer)
        seen_by(answer, self.bystander)
        self.problem(self.bystander.get(task_path(t)), 404)
        self.ok(self.manager.post(f"{task_path(t)}collaborators/{self.bystander.email}/"), 201)
        after = self.bystander.get(task_path(t))
        self.assertNotEqual(after.headers["ETag"], before.headers["ETag"])
        self.assertEqual((after.json["subtasks"], self.ok(self.bystander.get(task_path(t) + "subtasks/"))["results"]),
                         ([], []))
        self.problem(self.bystander.get(task_path(s)), 404)

    def test_removed_from_the_project(self):
        p = project(self.manager)
        collaborate(self.manager, p["id"], self.outsider)
        t = task(self.manager, p["id"], collaborators=[self.outsider.email])
        s = self.sub(self.manager, t, collaborators=[self.outsider.email])
        own = task(self.outsider, p["id"])
        trashed = task(self.manager, p["id"], collaborators=[self.outsider.email])
        self.assertEqual(self.manager.delete(task_path(trashed)).status, 204)
        tag = self.manager.get(task_path(t)).headers["ETag"]
        answer = self.manager.delete(f"/api/project_management/projects/{p['id']}/collaborators/{self.outsider.email}/")
        self.assertEqual(answer.status, 204)
        got = self.manager.get(task_path(t))
        self.assertEqual((got.json["collaborators"], got.json["subtasks"][0]["collaborators"]), ([], []))
        self.assertNotEqual(got.headers["ETag"], tag)
        self.assertEqual(self.one(self.manager, own)["collaborators"], [])
        seen_by(answer, self.outsider)
        for each in (t, s, own):
            self.problem(self.outsider.get(task_path(each)), 404)
        self.assertEqual(self.outsider.pages(TASKS + f"?project={p['id']}"), [])
        self.assertEqual(self.ok(self.manager.post(task_path(trashed) + "restore/"))["collaborators"], [])
        # Whoever comes back has what they created, not what they worked on.
        collaborate(self.manager, p["id"], self.outsider)
        self.problem(self.outsider.get(task_path(t)), 404)
        self.assertEqual(self.one(self.outsider, own)["id"], own["id"])

    def test_role_change_counts(self):
        p = project(self.admin)
        person = add_user(self.admin)
        collaborate(self.admin, p["id"], person)
        t = task(self.admin, p["id"])
        s = self.sub(self.admin, t)
        self.problem(person.get(task_path(t)), 404)
        self.ok(self.admin.post(f"{task_path(t)}collaborators/{person.email}/"), 201)
        tag = person.get(task_path(t)).headers["ETag"]
        self.assertEqual(self.one(person, t)["subtasks"], [])
        self.ok(self.admin.patch(f"/api/organization/users/{person.email}/", {"role": "MANAGER"}))
        person = log_in(person.email)
        got = person.get(task_path(t), headers={"If-None-Match": tag})
        self.assertEqual([x["id"] for x in self.ok(got)["subtasks"]], [s["id"]])
