"""Section 5: projects."""
from support import *

FIELDS = {"id", "key", "name", "description", "status", "task_visibility", "created_by", "updated_by", "created_at",
          "updated_at"}


class Projects(Case):
    def test_create_and_read(self):
        admin = sign_up()
        answer = admin.post(PROJECTS, {"name": "Website Relaunch", "description": " two  spaces \n"})
        body = self.ok(answer, 201)
        self.assertTrue(FIELDS <= set(body))
        self.assertEqual(body["status"], "PENDING")
        self.assertEqual(body["task_visibility"], "collaborators")
        self.assertEqual(body["description"], " two  spaces \n")
        self.assertRegex(body["key"], r"^[A-Z][A-Z0-9]{1,9}$")
        self.assertEqual(set(body["created_by"]), {"id", "email", "name", "profile_img"})
        one = self.ok(admin.get(answer.headers["Location"]))
        self.assertEqual([c["user"]["email"] for c in one["collaborators"]], [admin.email])
        self.assertEqual(set(one["collaborators"][0]), {"user", "added_at", "added_by"})
        second = self.ok(admin.post("/api/project_management/", {"name": "Website Relaunch 2"}), 201)
        self.assertNotEqual(second["key"], body["key"])
        self.problem(admin.post(PROJECTS, {"name": "WEBSITE relaunch"}), 409, "name-taken")
        self.problem(admin.post(PROJECTS, {"name": "x", "key": body["key"]}), 409)
        for key in ("a", "AB1_", "1AB", "ABCDEFGHIJK", "ab"):
            self.problem(admin.post(PROJECTS, {"name": unique("k"), "key": key}), 422, pointer="/key")
        self.assertEqual(self.ok(admin.post(PROJECTS, {"name": unique("k"), "key": "ZZ9"}), 201)["key"], "ZZ9")
        self.problem(admin.post(PROJECTS, {"name": "\u00a0"}), 422, pointer="/name", field_code="blank")
        self.problem(admin.post(PROJECTS, {"name": "x" * 256}), 422, pointer="/name", field_code="too-long")
        self.problem(admin.post(PROJECTS, {"name": "y", "created_by": admin.email}), 422, pointer="/created_by")
        self.problem(admin.post(PROJECTS, {}), 422, pointer="/name", field_code="required")

    def test_update(self):
        admin = sign_up()
        p = project(admin, key="UPD")
        path = f"{PROJECTS}{p['id']}/"
        first = admin.get(path)
        same = admin.patch(path, {"name": p["name"]})
        self.assertEqual(same.headers["ETag"], first.headers["ETag"])
        changed = admin.patch(path, {"status": "IN_PROGRESS"}, headers={"If-Match": first.headers["ETag"]})
        self.assertEqual(self.ok(changed)["status"], "IN_PROGRESS")
        self.assertNotEqual(changed.headers["ETag"], first.headers["ETag"])
        self.problem(admin.patch(path, {"status": "CLOSED"}, headers={"If-Match": first.headers["ETag"]}), 412)
        self.assertEqual(admin.get(path, headers={"If-None-Match": changed.headers["ETag"]}).status, 304)
        self.problem(admin.patch(path, {"key": "NEW"}), 422, pointer="/key", field_code="read-only")
        put = self.ok(admin.put(path, {"name": "After put"}))
        self.assertEqual((put["status"], put["description"]), ("IN_PROGRESS", ""))
        self.problem(admin.patch(path, {"name": None}), 422, pointer="/name")
        self.problem(admin.patch(path, {"status": "pending"}), 422, pointer="/status")
        self.problem(admin.patch(path, {"x": 1}), 422, pointer="/x", field_code="unknown-field")

    def test_roles(self):
        admin = sign_up()
        manager, other, developer = add_user(admin, "MANAGER"), add_user(admin, "MANAGER"), add_user(admin)
        self.problem(developer.post(PROJECTS, {"name": "mine"}), 403)
        p = project(manager)
        path = f"{PROJECTS}{p['id']}/"
        self.assertEqual(admin.get(path).status, 200)
        for person in (other, developer):
            self.problem(person.get(path), 404)
            self.problem(person.patch(path, {"name": "x"}), 404)
            self.problem(person.delete(path), 404)
            self.assertEqual(person.pages(PROJECTS), [])
        collaborate(manager, p["id"], developer)
        collaborate(manager, p["id"], other)
        eventually(lambda: developer.get(path).status == 200)
        self.problem(developer.patch(path, {"name": "x"}), 403)
        self.problem(developer.delete(path), 403)
        self.problem(developer.post(f"{path}collaborators/{admin.email}/"), 403)
        self.ok(other.patch(path, {"description": "by another manager"}))
        self.problem(other.delete(path), 403)
        # Anyone may leave.
        self.assertEqual(developer.delete(f"{path}collaborators/{developer.email}/").status, 204)
        self.problem(developer.get(path), 404)
        # The creator who left has no rights left.
        self.assertEqual(manager.delete(f"{path}collaborators/{manager.email}/").status, 204)
        self.problem(manager.delete(path), 404)

    def test_collaborators(self):
        admin = sign_up()
        person = add_user(admin)
        p = project(admin)
        base = f"{PROJECTS}{p['id']}/collaborators/"
        answer = admin.post(f"{base}{person.email.upper()}/")
        entry = self.ok(answer, 201)
        self.assertEqual(entry["user"]["email"], person.email)
        self.assertEqual(entry["added_by"]["email"], admin.email)
        self.assertEqual(self.ok(admin.get(answer.headers["Location"]))["user"]["email"], person.email)
        self.problem(admin.post(f"{base}{person.email}/"), 409, "already-collaborator")
        self.problem(admin.post(f"{base}nobody@example.com/"), 404)
        self.assertEqual(len(admin.pages(base)), 2)
        idle = add_user(admin, log_in_too=False)
        self.ok(admin.patch(f"/api/organization/users/{idle['email']}/", {"is_active": False}))
        self.problem(admin.post(f"{base}{idle['email']}/"), 422, "inactive-user")
        self.assertEqual(admin.delete(f"{base}{person.email}/").status, 204)
        self.problem(admin.delete(f"{base}{person.email}/"), 404)
        mail = eventually(lambda: [m for m in mails(person.email) if p["name"] in text_of(m)])
        self.assertIn("List-Unsubscribe", mail[0])

    def test_trash(self):
        admin = sign_up()
        manager = add_user(admin, "MANAGER")
        p = project(manager)
        t = task(manager, p["id"])
        path = f"{PROJECTS}{p['id']}/"
        self.problem(manager.post(path + "restore/"), 409, "not-deleted")
        self.assertEqual(manager.delete(path).status, 204)
        self.problem(manager.delete(path), 404)
        self.problem(manager.get(path), 404)
        self.problem(manager.get(f"/api/project/tasks/{t['id']}/"), 404)
        self.assertEqual([r["id"] for r in manager.pages("/api/project_management/trash/")], [p["id"]])
        self.assertEqual([r["id"] for r in admin.pages("/api/project_management/trash/")], [p["id"]])
        replacement = self.ok(manager.post(PROJECTS, {"name": p["name"]}), 201)
        self.problem(manager.post(path + "restore/"), 409, "name-taken")
        self.ok(manager.patch(f"{PROJECTS}{replacement['id']}/", {"name": unique("moved")}))
        self.assertEqual(self.ok(manager.post(path + "restore/"))["id"], p["id"])
        self.assertEqual(manager.get(f"/api/project/tasks/{t['id']}/").status, 200)

    def test_list(self):
        admin = sign_up()
        made = [project(admin, name=unique(f"Alpha{i}"), status=s, description=f"100% {i}_x") for i, s in
                enumerate(["PENDING", "IN_PROGRESS", "COMPLETED", "CLOSED", "PENDING"])]
        ids = [p["id"] for p in made]
        self.assertEqual([r["id"] for r in admin.pages(PROJECTS, 2)], ids[::-1])
        self.assertEqual({r["id"] for r in admin.pages(PROJECTS + "?status=PENDING")}, {ids[0], ids[4]})
        self.assertEqual({r["id"] for r in admin.pages(PROJECTS +
     "?status=PENDING&status=CLOSED")}, {ids[0], ids[3], ids[4]})
        self.assertEqual([r["status"] for r in admin.pages(PROJECTS + "?ordering=status", 2)],
                         ["PENDING", "PENDING", "IN_PROGRESS", "COMPLETED", "CLOSED"])
        self.assertEqual(len(admin.pages(PROJECTS + "?search=100%25")), 5)
        self.assertEqual(len(admin.pages(PROJECTS + "?search=3_x")), 1)
        self.assertEqual(len(admin.pages(PROJECTS + "?search=ALPHA2%20100")), 1)
        self.assertEqual(len(admin.pages(PROJECTS + "?search=alpha2%20nothing")), 0)
        body = self.ok(admin.get(PROJECTS + "?count=true&page_size=2"))
        self.assertEqual(body["count"], 5)
        self.assertTrue(body["next"].startswith("/api/project_management/projects/?"))
        self.assertIn("count=true", body["next"])
        self.assertIsNone(body["previous"])
        second = self.ok(admin.get(body["next"]))
        self.assertEqual(self.ok(admin.get(second["previous"]))["results"], body["results"])
        self.assertNotIn("collaborators", body["results"][0])
        rows = self.ok(admin.get(PROJECTS + "?fields=id,name"))["results"]
        self.assertEqual(set(rows[0]), {"id", "name"})
