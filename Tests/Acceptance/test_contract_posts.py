"""What section 1 says of Idempotency-Key and of creating, asked of every authenticated POST there is."""
from support import *


class EveryPost(TaskCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.manager = add_user(cls.admin, "MANAGER")
        cls.project = project(cls.admin)
        collaborate(cls.admin, cls.project["id"], cls.manager)

    def key(self):
        return {"Idempotency-Key": unique("key~!")}

    def posts(self):
        """Path, body, status; each can be done once."""
        one, below = f"{PROJECTS}{self.project['id']}/", f"/api/project/{self.project['id']}/tasks/"
        t = task(self.admin, self.project["id"])
        gone = task(self.admin, self.project["id"])
        self.assertEqual(self.admin.delete(task_path(gone)).status, 204)
        trashed = project(self.admin)
        self.assertEqual(self.admin.delete(f"{PROJECTS}{trashed['id']}/").status, 204)
        new = add_user(self.admin, log_in_too=False)
        return [
            (USERS, new_user(), 201), (DEPARTMENTS, {"department_name": unique("D")}, 201),
            ("/api/project_management/", {"name": unique("P")}, 201), (PROJECTS, {"name": unique("P")}, 201),
            (f"{one}collaborators/{new['email']}/", None, 201), (f"{PROJECTS}{trashed['id']}/restore/", None, 200),
            (TASKS, {"title": "t", "project": self.project["id"]}, 201), (below, {"title": "t"}, 201),
            (task_path(t) + "subtasks/", {"title": "t"}, 201), (f"{below}{t['key']}/subtasks/", {"title": "t"}, 201),
            (f"{below}{t['id']}/collaborators/{self.manager.email}/", None, 201),
            (f"{TASKS}{gone['key']}/restore/", None, 200),
        ]

    def test_once_and_again(self):
        for path, body, status in self.posts():
            with self.subTest(path=path):
                key = self.key()
                # Another body of the wrong form under the same key is corrected by the right one.
                self.problem(self.admin.post(path, {"zzz": 1}, headers=key), 422, pointer="/zzz")
                self.problem(self.admin.post(path, raw=b"{", headers=key), 400)
                self.problem(self.admin.post(path + "?x=1", body, headers=key), 400, parameter="x")
                first = self.admin.post(path, body, headers=key)
                self.ok(first, status)
                self.assertNotIn("Idempotency-Replayed", first.headers)
                self.assertRegex(first.headers["ETag"], r'^"\d+"$')
                if status == 201:
                    got = self.admin.get(first.headers["Location"])
                    self.assertEqual((got.body, got.headers["ETag"]), (first.body, first.headers["ETag"]))
                for spelled in (path, path.rstrip("/")):
                    again = self.admin.post(spelled, body, headers=key)
                    self.assertEqual((again.status, again.body, again.headers["Idempotency-Replayed"]),
                                     (status, first.body, "true"))
                    for name in ("Location", "ETag", "Content-Type"):
                        self.assertEqual(again.headers[name], first.headers[name])
                if body:
                    self.problem(self.admin.post(path, {**body, "description": "other"}, headers=key), 422)
                # Without the key it is another request, and with another key.
                for headers in ({}, self.key()):
                    other = self.admin.post(path, body, headers=headers)
                    self.assertNotIn("Idempotency-Replayed", other.headers)
                    self.assertEqual(other.status, 201 if "title" in (body or {}) else 409, other)

    def test_keys(self):
        for bad in ("", " ", "a b", "x" * 256, "\u00e9", "a\tb"):
            answer = self.admin.post(DEPARTMENTS, {"department_name": unique("D")},
                                     headers={"Idempotency-Key": bad.encode("latin-1")})
            self.problem(answer, 400)
        self.ok(
    self.admin.post(
        DEPARTMENTS, {
            "department_name": unique("D")}, headers={
                "Idempotency-Key": "~" * 255}), 201)
        # A key is one's own, and of one path.
        key = self.key()
        below = f"/api/project/{self.project['id']}/tasks/"
        first = self.ok(self.admin.post(below, {"title": "mine"}, headers=key), 201)
        other = self.manager.post(below, {"title": "mine"}, headers=key)
        self.assertNotEqual(self.ok(other, 201)["id"], first["id"])
        third = self.admin.post(TASKS, {"title": "mine", "project": self.project["id"]}, headers=key)
        self.assertNotIn(self.ok(third, 201)["id"], (first["id"], other.json["id"]))
        stranger = sign_up()
        self.ok(stranger.post(DEPARTMENTS, {"department_name": "x"}, headers=key), 201)

    def test_reading_notices(self):
        eventually(lambda: self.manager.pages(NOTICES))
        row = self.manager.pages(NOTICES)[0]
        for path in (f"{NOTICES}{row['id']}/read/", NOTICES + "read-all/"):
            key = self.key()
            first, again = self.manager.post(path, headers=key), self.manager.post(path, headers=key)
            self.assertEqual((self.ok(again), again.headers["Idempotency-Replayed"]), (self.ok(first), "true"))
            self.problem(self.manager.post(path, {"x": 1}), 422, pointer="/x")
            self.problem(self.manager.post(path + "?x=1"), 400, parameter="x")
            self.problem(self.manager.post(path + "?fields=id"), 400, parameter="fields")

    def test_ignored_where_tokens_are(self):
        client = sign_up()
        key = self.key()
        wanted = client.login_answer["organization"]["id"]
        for _ in range(2):
            answer = client.post(SWITCH, {"organization": wanted}, headers=key)
            self.assertNotIn("Idempotency-Replayed", answer.headers)
            client.adopt(self.ok(answer))
        for old, new in ((PASSWORD, "brand-new-secret-1"), ("brand-new-secret-1", "brand-new-secret-2")):
            answer = client.post("/api/account/change-password/",
                                 {"old_password": old, "new_password": new}, headers=key)
            self.ok(answer)
            self.assertNotIn("Idempotency-Replayed", answer.headers)
        tokens = [log_in(client.email, "brand-new-secret-2") for _ in range(2)]
        for each in tokens:
            answer = each.post("/api/account/logout/", {"refresh": each.refresh}, headers=key)
            self.ok(answer)
            self.assertNotIn("Idempotency-Replayed", answer.headers)

    def test_rights_come_before_a_replay(self):
        admin = sign_up()
        other = add_user(admin, "ADMIN")
        p = project(admin)
        key = self.key()
        done = [(USERS, new_user(), 403), (DEPARTMENTS, {"department_name": "x"}, 403),
                (PROJECTS, {"name": unique("P")}, 403),
                (f"{PROJECTS}{p['id']}/collaborators/{other.email}/", None, 404)]
        for path, body, _ in done:
            self.ok(other.post(path, body, headers=key), 201)
        self.assertEqual(admin.delete(f"{PROJECTS}{p['id']}/collaborators/{other.email}/").status, 204)
        self.ok(admin.patch(user_path(other.email), {"role": "DEVELOPER"}))
        other = log_in(other.email)
        for path, body, status in done:
            answer = other.post(path, body, headers=key)
            self.problem(answer, status)
            self.assertNotIn("Idempotency-Replayed", answer.headers)
