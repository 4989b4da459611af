"""Section 2 line by line: who may do what with projects."""

from support import *

TRASH = "/api/project_management/trash/"


class Roles(Case):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.creator = add_user(cls.admin, "MANAGER")
        cls.manager = add_user(cls.admin, "MANAGER")
        cls.stranger = add_user(cls.admin, "MANAGER")
        cls.developer = add_user(cls.admin)
        cls.outsider = add_user(cls.admin)
        cls.removed = add_user(cls.admin, "MANAGER")
        cls.foreigner = sign_up()

    def make(self):
        p = project(self.creator, description="of the creator")
        path = f"{PROJECTS}{p['id']}/"
        for person in (self.manager, self.developer, self.removed):
            collaborate(self.creator, p["id"], person)
        self.assertEqual(self.creator.delete(f"{path}collaborators/{self.removed.email}/").status, 204)
        return p, path

    def test_create(self):
        for person, status in ((self.admin, 201), (self.manager, 201), (self.developer, 403)):
            answer = person.post(PROJECTS, {"name": unique("New")})
            self.assertEqual(answer.status, status, answer)
            if status == 201:
                one = self.ok(person.get(answer.headers["Location"]))
                self.assertEqual([c["user"]["email"] for c in one["collaborators"]], [person.email])
                self.assertEqual(one["collaborators"][0]["added_by"]["email"], person.email)
        # Rights come before fields.
        self.problem(self.developer.post(PROJECTS, {}), 403)
        self.problem(self.developer.post(PROJECTS, raw=b"{"), 400)

    def test_list_and_read(self):
        p, path = self.make()
        for person in (self.admin, self.creator, self.manager, self.developer):
            self.assertEqual(self.ok(person.get(path))["id"], p["id"])
            self.assertIn(p["id"], [r["id"] for r in person.pages(PROJECTS)])
            self.assertEqual(len(person.pages(path + "collaborators/")), 3)
            self.ok(person.get(f"{path}collaborators/{self.manager.email}/"))
        for person in (self.stranger, self.outsider, self.removed):
            self.problem(person.get(path), 404)
            self.assertNotIn(p["id"], [r["id"] for r in person.pages(PROJECTS)])
            self.problem(person.get(path + "collaborators/"), 404)
            self.problem(person.get(f"{path}collaborators/{self.manager.email}/"), 404)
        # Of another organization the same number may be another project; this one it never is.
        self.assertNotIn(p["name"], [r["name"] for r in self.foreigner.pages(PROJECTS)])
        self.problem(self.foreigner.get(path), 404)

    def test_update(self):
        p, path = self.make()
        for person, status in ((self.admin, 200), (self.creator, 200), (self.manager, 200), (self.developer, 403),
                               (self.stranger, 404), (self.outsider, 404), (self.removed, 404), (self.foreigner, 404)):
            for method in ("PATCH", "PUT"):
                name = unique("Renamed")
                answer = person.send(method, path, {"name": name})
                self.assertEqual(answer.status, status, (person.email, answer))
                if status == 200:
                    self.assertEqual(answer.json["updated_by"]["email"], person.email)
                    self.assertEqual(answer.json["created_by"]["email"], self.creator.email)

    def test_delete_trash_restore(self):
        p, path = self.make()
        for person, status in ((self.developer, 403), (self.manager, 403), (self.stranger, 404), (self.outsider, 404),
                               (self.removed, 404), (self.foreigner, 404)):
            self.assertEqual(person.delete(path).status, status, person.email)
            self.assertEqual(person.post(path + "restore/").status, status, person.email)
        for person in (self.creator, self.admin):
            self.problem(person.post(path + "restore/"), 409, "not-deleted")
        self.assertEqual(self.creator.delete(path).status, 204)
        for person in (self.admin, self.creator):
            rows = person.pages(TRASH)
            self.assertEqual(rows[0]["id"], p["id"])
            self.assertIn("deleted_at", rows[0])
        for person in (self.manager, self.stranger, self.removed):
            self.assertEqual(person.pages(TRASH), [])
        for person in (self.developer, self.outsider):
            self.problem(person.get(TRASH), 403)
        for person in (self.developer, self.manager, self.stranger, self.outsider, self.removed, self.foreigner):
            self.problem(person.post(path + "restore/"), 404)
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            self.problem(self.creator.send(method, path, {"name": "x"} if method[0] == "P" else None), 404)
        for name in ("", f"{self.manager.email}/"):
            self.problem(self.creator.get(path + "collaborators/" + name), 404)
        self.problem(self.creator.post(f"{path}collaborators/{self.outsider.email}/"), 404)
        self.problem(self.manager.delete(f"{path}collaborators/{self.manager.email}/"), 404)
        self.assertNotIn(p["id"], [r["id"] for r in self.admin.pages(PROJECTS)])
        answer = self.creator.post(path + "restore/")
        one = self.ok(answer)
        self.assertEqual(one["id"], p["id"])
        self.assertEqual(answer.headers["ETag"], self.creator.get(path).headers["ETag"])
        self.assertEqual(len(one["collaborators"]), 3)

    def test_admin_deletes_and_restores_all(self):
        p, path = self.make()
        self.assertEqual(self.admin.delete(path).status, 204)
        self.ok(self.admin.post(path + "restore/"))

    def test_creator_who_left_lost_all(self):
        p, path = self.make()
        self.assertEqual(self.creator.delete(f"{path}collaborators/{self.creator.email}/").status, 204)
        self.problem(self.creator.get(path), 404)
        self.problem(self.creator.delete(path), 404)
        self.assertEqual(self.admin.delete(path).status, 204)
        self.problem(self.creator.post(path + "restore/"), 404)
        self.assertEqual([r for r in self.creator.pages(TRASH) if r["id"] == p["id"]], [])

    def test_collaborators(self):
        p, path = self.make()
        target = f"{path}collaborators/{self.outsider.email}/"
        for person, add, remove in ((self.admin, 201, 204), (self.creator, 201, 204), (self.manager, 201, 204),
                                    (self.developer, 403, 403), (self.stranger, 404, 404), (self.removed, 404, 404),
                                    (self.foreigner, 404, 404)):
            answer = person.post(target)
            self.assertEqual(answer.status, add, (person.email, answer))
            if add == 201:
                self.assertEqual(answer.json["added_by"]["email"], person.email)
            else:
                self.ok(self.admin.post(target), 201)
            answer = person.delete(target)
            self.assertEqual(answer.status, remove, (person.email, answer))
            if remove != 204:
                self.assertEqual(self.admin.delete(target).status, 204)
        # Who may not, is told so whomever they name; who may, is told that there is nobody.
        for name in ("nobody@example.com", self.foreigner.email):
            self.problem(self.developer.post(f"{path}collaborators/{name}/"), 403)
            self.problem(self.developer.delete(f"{path}collaborators/{name}/"), 403)
            self.problem(self.manager.post(f"{path}collaborators/{name}/"), 404)
            self.problem(self.manager.delete(f"{path}collaborators/{name}/"), 404)
        self.problem(self.stranger.post(f"{path}collaborators/{self.stranger.email}/"), 404)
        self.problem(self.stranger.delete(f"{path}collaborators/{self.stranger.email}/"), 404)
        self.problem(self.developer.delete(f"{path}collaborators/{self.manager.email}/"), 403)
        self.assertEqual(self.developer.delete(f"{path}collaborators/{self.developer.email.upper()}/").status, 204)
        self.problem(self.developer.delete(f"{path}collaborators/{self.developer.email}/"), 404)
        self.problem(self.admin.post(f"{path}collaborators/{self.outsider.email}/", {"role": "x"}), 422,
                     pointer="/role")
