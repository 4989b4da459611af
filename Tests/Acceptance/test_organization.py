"""Section 4: users, departments, members, the organization."""
import concurrent.futures

from support import *


class Users(Case):
    def test_create_read_update(self):
        admin = sign_up()
        department = self.ok(admin.post("/api/organization/departments/", {"department_name": "Research"}), 201)
        address = unique("Mixed.Case+tag") + "@Example.com"
        answer = admin.post("/api/organization/users/", {
            "email": address, "first_name": "New", "last_name": "Person", "role": "MANAGER",
            "department": department["id"]})
        user = self.ok(answer, 201)
        location = answer.headers["Location"]
        self.assertEqual(self.ok(admin.get(location))["id"], user["id"])
        self.assertEqual(answer.headers["ETag"], f'"{user["version"]}"')
        self.assertEqual(user["department"], {"id": department["id"], "department_name": "Research"})
        self.assertTrue(user["is_active"])
        self.assertIsNone(user["profile_img"])
        path = f"/api/organization/users/{urllib.parse.quote(address.upper())}/"
        self.assertEqual(self.ok(admin.get(path))["email"], address)
        changed = self.ok(admin.patch(path, {"department": "research", "last_name": "Neu"}))
        self.assertEqual(changed["name"], "New Neu")
        self.assertGreater(changed["version"], user["version"])
        same = admin.patch(path, {"last_name": "Neu"})
        self.assertEqual(self.ok(same)["version"], changed["version"])
        put = self.ok(admin.put(path, {"first_name": "A", "last_name": "B", "role": "DEVELOPER"}))
        self.assertIsNone(put["department"])
        self.assertTrue(put["is_active"])
        self.problem(admin.put(path, {"first_name": "A"}), 422, pointer="/role")
        self.problem(admin.patch(path, {"email": "other@example.com"}), 422, pointer="/email", field_code="read-only")
        self.ok(admin.patch(path, {"email": address}))
        self.problem(admin.patch(path, {"role": "KING"}), 422, pointer="/role")
        self.problem(admin.patch(path, {"department": 999999}), 422, pointer="/department", field_code="not-found")
        self.problem(admin.patch(path, {"department": "Nowhere"}), 422, pointer="/department", field_code="not-found")
        self.problem(admin.post("/api/organization/users/", {
            "email": address.lower(), "first_name": "A", "last_name": "B", "role": "ADMIN"}), 409, "email-taken")
        self.problem(admin.get("/api/organization/users/nobody@example.com/"), 404)

    def test_roles(self):
        admin = sign_up()
        for role in ("MANAGER", "DEVELOPER"):
            person = add_user(admin, role)
            for method, path in (("GET", "/api/organization/users/"), ("POST", "/api/organization/users/"),
                                 ("GET", "/api/organization/users/nobody@example.com/"),
                                 ("GET", f"/api/organization/users/{admin.email}/"),
                                 ("PATCH", "/api/organization/users/x@example.com/"),
                                 ("GET", "/api/organization/departments/"), ("GET", "/api/organization/departments/1/"),
                                 ("PATCH", "/api/organization/")):
                body = {} if method in ("POST", "PATCH") else None
                self.problem(person.send(method, path, body), 403)
            self.assertEqual(person.get("/api/organization/").status, 200)
            members = self.ok(person.get("/api/organization/members/"))["results"]
            self.assertEqual(set(members[0]), {"id", "name", "email", "role", "profile_img"})
            self.problem(person.delete("/api/organization/", {"name": "x"}), 403)

    def test_list(self):
        admin = sign_up()
        for index in range(5):
            add_user(admin, "DEVELOPER" if index % 2 else "MANAGER", log_in_too=False, first_name=f"Name{index}")
        rows = admin.pages("/api/organization/users/", 2)
        self.assertEqual(len(rows), 6)
        addresses = [r["email"].lower() for r in rows]
        self.assertEqual(addresses, sorted(addresses))
        self.assertEqual(len(admin.pages("/api/organization/users/?role=MANAGER")), 3)
        self.assertEqual(len(admin.pages("/api/organization/users/?role=MANAGER&role=ADMIN")), 4)
        self.assertEqual(len(admin.pages("/api/organization/users/?search=name3")), 1)
        self.assertEqual(len(admin.pages("/api/organization/users/?is_active=false")), 0)
        names = [r["name"].lower() for r in admin.pages("/api/organization/users/?ordering=-name")]
        self.assertEqual(names, sorted(names, reverse=True))
        self.problem(admin.get("/api/organization/users/?role=admin"), 400, parameter="role")
        self.problem(admin.get("/api/organization/users/?is_active=yes"), 400, parameter="is_active")
        self.problem(admin.get("/api/organization/users/?ordering=password"), 400, parameter="ordering")

    def test_last_admin(self):
        admin = sign_up()
        path = f"/api/organization/users/{admin.email}/"
        self.problem(admin.patch(path, {"role": "MANAGER"}), 409, "last-admin")
        self.problem(admin.patch(path, {"is_active": False}), 409, "last-admin")
        second = add_user(admin, "ADMIN")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda pair: pair[0].patch(
                f"/api/organization/users/{pair[1].email}/", {"role": "DEVELOPER"}).status,
                [(admin, second), (second, admin)]))
        self.assertEqual(answers.count(200), 1, answers)

    def test_role_change_kills_access_before_it_answers(self):
        admin = sign_up()
        person = add_user(admin, "MANAGER")
        self.ok(admin.patch(f"/api/organization/users/{person.email}/", {"role": "DEVELOPER"}))
        self.problem(person.get("/api/account/"), 401, "session-changed")
        renewed = self.ok(person.post("/api/account/token/refresh/", {"refresh": person.refresh}))
        person.adopt({**person.login_answer, **renewed})
        self.assertEqual(self.ok(person.get("/api/account/"))["user"]["role"], "DEVELOPER")
        self.problem(person.post("/api/project_management/projects/", {"name": "x"}), 403)

    def test_deactivated(self):
        admin = sign_up()
        person = add_user(admin, "DEVELOPER")
        self.ok(admin.patch(f"/api/organization/users/{person.email}/", {"is_active": False}))
        self.problem(person.get("/api/account/"), 401, "session-changed")
        self.problem(person.post("/api/account/token/refresh/", {"refresh": person.refresh}), 401)
        self.problem(Client().post("/api/account/login/", {"email": person.email, "password": PASSWORD}), 401)
        self.assertNotIn(person.email, [m["email"] for m in admin.pages("/api/organization/members/")])
        self.ok(admin.patch(f"/api/organization/users/{person.email}/", {"is_active": True}))
        eventually(lambda: try_log_in(person.email))


class Departments(Case):
    def test_all(self):
        admin = sign_up()
        path = "/api/organization/departments/"
        answer = admin.post(path, {"department_name": "Ünïque Dept"})
        made = self.ok(answer, 201)
        self.assertEqual(set(made) >= {"id", "department_name"}, True)
        self.problem(admin.post(path, {"department_name": "üNÏQUE dept"}), 409, "name-taken")
        self.problem(admin.post(path, {"department_name": " \t"}), 422, pointer="/department_name", field_code="blank")
        one = answer.headers["Location"]
        self.assertEqual(self.ok(admin.get(one))["department_name"], "Ünïque Dept")
        self.assertEqual(self.ok(admin.patch(one, {"department_name": "ünïque dept"}))[
                         "department_name"], "ünïque dept")
        self.assertEqual(self.ok(admin.put(one, {"department_name": "Other"}))["department_name"], "Other")
        user = add_user(admin, log_in_too=False, department=made["id"])
        self.assertEqual(user["department"]["department_name"], "Other")
        self.assertEqual(admin.delete(one).status, 204)
        self.problem(admin.delete(one), 404)
        self.assertIsNone(self.ok(admin.get(f"/api/organization/users/{user['email']}/"))["department"])
        for bad in ("0", "-1", "01", "abc", "9223372036854775808", "1.0"):
            self.problem(admin.get(f"{path}{bad}/"), 404)


class Organization(Case):
    def test_settings(self):
        admin = sign_up()
        body = self.ok(admin.get("/api/organization/"))
        self.assertEqual(set(body) >= {"id", "name", "time_zone", "reminder_hour", "created_at", "updated_at"}, True)
        self.assertEqual(body["reminder_hour"], 9)
        changed = self.ok(admin.patch("/api/organization/", {"time_zone": "Asia/Kolkata", "reminder_hour": 7}))
        self.assertEqual(changed["time_zone"], "Asia/Kolkata")
        self.problem(admin.patch("/api/organization/", {"time_zone": "Mars/Olympus"}), 422, pointer="/time_zone")
        self.problem(admin.patch("/api/organization/", {"reminder_hour": 24}), 422, pointer="/reminder_hour")

    def test_delete(self):
        admin = sign_up(organization="Gone Ltd")
        p = project(admin)
        task(admin, p["id"])
        self.problem(admin.delete("/api/organization/", {"name": "gone ltd"}), 422, pointer="/name")
        self.assertEqual(admin.delete("/api/organization/", {"name": "Gone Ltd"}).status, 202)
        self.assertEqual(admin.get("/api/organization/").status, 401)
        eventually(lambda: Client().post(
            "/api/account/login/", {"email": admin.email, "password": PASSWORD}).status == 401)


class Tenancy(Case):
    def test_nothing_of_another_organization(self):
        a, b = sign_up(), sign_up()
        dept = self.ok(b.post("/api/organization/departments/", {"department_name": "B only"}), 201)
        self.problem(a.get(f"/api/organization/users/{b.email}/"), 404)
        self.problem(a.get(f"/api/organization/departments/{dept['id']}/"), 404)
        p = project(a)
        self.problem(a.post(f"/api/project_management/projects/{p['id']}/collaborators/{b.email}/"), 404)
        self.problem(a.post(f"/api/project/{p['id']}/tasks/", {"title": "x", "collaborators": [b.email]}), 422,
                     pointer="/collaborators/0", field_code="not-found")
        self.problem(b.get(f"/api/project_management/projects/{p['id']}/"), 404)
