"""Section 4 sentence by sentence: what test_organization leaves out."""
import concurrent.futures

from support import *

USER_FIELDS = {"id", "email", "first_name", "last_name", "name", "role", "department", "is_active", "profile_img",
               "created_at", "updated_at", "version"}


class AuditUsers(Case):
    def test_the_shape(self):
        admin = sign_up()
        answer = admin.post(USERS, new_user())
        user = self.ok(answer, 201)
        self.assertEqual(set(user), USER_FIELDS)
        self.assertEqual(uuid.UUID(user["id"]).version, 7)
        self.assertEqual(urllib.parse.unquote(answer.headers["Location"]), f"{USERS}{user['email']}/")
        self.assertRegex(user["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(user["name"], "New Person")
        self.assertIsNone(user["department"])
        row = next(r for r in admin.pages(USERS) if r["id"] == user["id"])
        self.assertEqual(row, self.ok(admin.get(user_path(user["email"]))))

    def test_create_fields(self):
        admin = sign_up()
        for name in ("email", "first_name", "last_name", "role"):
            body = new_user()
            del body[name]
            self.problem(admin.post(USERS, body), 422, pointer=f"/{name}")
        cases = [("email", "no"), ("email", "a/b@example.com"), ("email", "a#b@example.com"), ("email", "a@b@c"),
                 ("email", "ä@example.com"), ("email", "a" * 250 + "@example.com"), ("email", 7), ("email", None),
                 ("first_name", " \t"), ("first_name", "x" * 101), ("last_name", "a\x00b"), ("role", "admin"), ("role", None),
                 ("role", ""), ("department", "Nowhere"), ("department", 424242), ("department", True),
                 ("department", {"id": 1}), ("department", 0), ("department", -1), ("is_active", True),
                 ("id", str(uuid.uuid4())), ("password", "x" * 12), ("organization_id", str(uuid.uuid4()))]
        for name, value in cases:
            with self.subTest(name=name, value=str(value)[:20]):
                self.problem(admin.post(USERS, new_user(**{name: value})), 422, pointer=f"/{name}")
        self.assertEqual(len(admin.pages(USERS)), 1)
        self.ok(admin.post(USERS, new_user(department=None, first_name="  kept as it is ", last_name="x" * 100)), 201)
        self.assertIn("  kept as it is ", [u["first_name"] for u in admin.pages(USERS)])
        for address in ("a+b.c@example.com", "o'brien@example.com", "x@localhost", "UPPER@EXAMPLE.COM"):
            with self.subTest(address=address):
                made = self.ok(admin.post(USERS, new_user(email=address)), 201)
                self.assertEqual(self.ok(admin.get(user_path(address.swapcase())))["id"], made["id"])

    def test_departments_by_id_and_name(self):
        admin = sign_up()
        one = self.ok(admin.post(DEPARTMENTS, {"department_name": "Straße & Co"}), 201)
        self.ok(admin.post(DEPARTMENTS, {"department_name": "42"}), 201)
        shown = {"id": one["id"], "department_name": "Straße & Co"}
        for reference in (one["id"], "Straße & Co", "sTRAßE & cO"):
            self.assertEqual(self.ok(admin.post(USERS, new_user(department=reference)), 201)["department"], shown)
        by_name = self.ok(admin.post(USERS, new_user(department="42")), 201)
        self.assertEqual(by_name["department"]["department_name"], "42")

    def test_taken_is_409_in_any_case_and_another_organization_is_free(self):
        a, b = sign_up(), sign_up()
        body = new_user()
        self.ok(a.post(USERS, body), 201)
        self.problem(a.post(USERS, {**body, "email": body["email"].upper()}), 409, "email-taken")
        self.ok(b.post(USERS, body), 201)
        self.problem(a.post(USERS, new_user(email=a.email)), 409, "email-taken")
        # Fields are judged before conflicts.
        self.problem(a.post(USERS, {**body, "role": "KING"}), 422, pointer="/role")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            one = new_user()
            clients = [log_in(a.email) for _ in range(4)]
            statuses = sorted(pool.map(lambda c: c.post(USERS, one).status, clients))
        self.assertEqual(statuses, [201, 409, 409, 409])

    def test_put_and_patch(self):
        admin = sign_up()
        self.ok(admin.post(DEPARTMENTS, {"department_name": "D"}), 201)
        user = self.ok(admin.post(USERS, new_user(department="D", role="MANAGER")), 201)
        path = user_path(user["email"])
        self.ok(admin.patch(path, {"is_active": False}))
        put = self.ok(admin.put(path, {"first_name": "A", "last_name": "B", "role": "DEVELOPER"}))
        self.assertFalse(put["is_active"])
        self.assertIsNone(put["department"])
        # What was answered may be sent back.
        sent = {k: v for k, v in put.items()}
        self.assertEqual(self.ok(admin.put(path, sent))["version"], put["version"])
        self.problem(admin.put(path, {**sent, "name": "Other"}), 422, pointer="/name", field_code="read-only")
        for name, value in (("id", str(uuid.uuid4())), ("created_at", "2020-01-01T00:00:00Z"), ("version", 99),
                            ("profile_img", "http://x/y.png"), ("name", "Z"), ("updated_at", None)):
            self.problem(admin.patch(path, {name: value}), 422, pointer=f"/{name}", field_code="read-only")
        self.problem(admin.patch(path, {"nonsense": 1}), 422, pointer="/nonsense", field_code="unknown-field")
        for name, value in (("first_name", None), ("role", None), ("is_active", None), ("is_active", "yes"),
                            ("is_active", 1)):
            self.problem(admin.patch(path, {name: value}), 422, pointer=f"/{name}")
        for name in ("first_name", "last_name", "role"):
            body = {"first_name": "A", "last_name": "B", "role": "DEVELOPER"}
            del body[name]
            self.problem(admin.put(path, body), 422, pointer=f"/{name}")
        answer = admin.patch(path, {}, headers={"Content-Type": "application/merge-patch+json"})
        self.assertEqual(self.ok(answer)["version"], put["version"])
        self.assertEqual(answer.headers["ETag"], f'"{put["version"]}"')
        self.problem(admin.patch(path, raw=b"{}", headers={"Content-Type": "text/plain"}), 415)
        self.problem(admin.patch(path, raw=b"{}", headers={"Content-Type": None}), 415)
        self.problem(admin.send("DELETE", path), 405)
        self.assertEqual(self.ok(admin.get(path + "?fields=id,name")), {"id": user["id"], "name": "A B"})
        self.problem(admin.get(path + "?fields=id,nope"), 400, parameter="fields")

    def test_preconditions(self):
        admin = sign_up()
        user = self.ok(admin.post(USERS, new_user()), 201)
        path, tag = user_path(user["email"]), f'"{user["version"]}"'
        self.assertEqual(admin.get(path, headers={"If-None-Match": tag}).status, 304)
        self.assertEqual(admin.get(path, headers={"If-None-Match": '"77"'}).status, 200)
        self.problem(admin.patch(path, {"first_name": "x"}, headers={"If-Match": '"77"'}), 412)
        self.problem(admin.patch(path, {"role": "KING"}, headers={"If-Match": '"77"'}), 412)
        self.ok(admin.patch(path, {"first_name": "x"}, headers={"If-Match": tag}))
        self.problem(admin.patch(path, {"first_name": "y"}, headers={"If-Match": tag}), 412)
        self.ok(admin.patch(path, {"first_name": "y"}, headers={"If-Match": "*"}))
        self.problem(admin.patch(user_path("nobody@example.com"),
                     {"first_name": "y"}, headers={"If-Match": '"77"'}), 404)

    def test_idempotency(self):
        admin = sign_up()
        key, body = {"Idempotency-Key": unique("k")}, new_user()
        first, second = admin.post(USERS, body, headers=key), admin.post(USERS, body, headers=key)
        self.ok(first, 201)
        self.assertEqual((second.status, second.body), (201, first.body))
        self.assertEqual(second.headers["Idempotency-Replayed"], "true")
        self.assertNotIn("Idempotency-Replayed", first.headers)
        for name in ("Location", "ETag"):
            self.assertEqual(second.headers[name], first.headers[name])
        self.problem(admin.post(USERS, new_user(), headers=key), 422)
        for bad in ("", "x" * 256, "a b", "é"):
            self.problem(admin.post(USERS, new_user(), headers={"Idempotency-Key": bad.encode("latin-1")}), 400)
        self.ok(admin.post(USERS, new_user(), headers={"Idempotency-Key": "x" * 255}), 201)
        key = {"Idempotency-Key": unique("k")}
        self.problem(admin.post(USERS, {**body, "email": "bad"}, headers=key), 422)
        self.ok(admin.post(USERS, new_user(), headers=key), 201)

    def test_list(self):
        admin = sign_up()
        self.ok(admin.post(DEPARTMENTS, {"department_name": "Blue"}), 201)
        green = self.ok(admin.post(DEPARTMENTS, {"department_name": "Green, 50%_x"}), 201)
        people = [("bob", "Zed", "MANAGER", "Blue"), ("Carol", "Young", "DEVELOPER", green["id"]),
                  ("alice", "Xu", "DEVELOPER", None), ("dave", "50%_off", "ADMIN", "Blue")]
        for first, last, role, department in people:
            self.ok(
    admin.post(
        USERS,
        new_user(
            first_name=first,
            last_name=last,
            role=role,
            department=department)),
             201)
        inactive = self.ok(admin.post(USERS, new_user(first_name="Eve", last_name="Inactive")), 201)
        self.ok(admin.patch(user_path(inactive["email"]), {"is_active": False}))

        def names(query):
            return {u["first_name"] for u in admin.pages(USERS + query)}
        self.assertEqual(names("?department=Blue"), {"bob", "dave"})
        self.assertEqual(names(f"?department={green['id']}"), {"Carol"})
        self.assertEqual(names("?department=Blue&department=" +
     urllib.parse.quote("Green, 50%_x")), {"bob", "dave", "Carol"})
        self.assertEqual(names("?department=Nowhere"), set())
        self.assertEqual(names("?department=424242"), set())
        self.assertEqual(names("?is_active=false"), {"Eve"})
        self.assertEqual(names("?is_active=true&role=DEVELOPER"), {"Carol", "alice"})
        self.assertEqual(names("?search=" + urllib.parse.quote("50%_")), {"dave"})
        self.assertEqual(names("?search=_"), {"dave"})
        self.assertEqual(names("?search=BOB+zed"), {"bob"})
        self.assertEqual(names("?search=bob+young"), set())
        self.assertEqual(names("?search=" + inactive["email"].upper()), {"Eve"})
        self.assertEqual(len(names("?search=&ordering=")), 6)
        for ordering, key in (("email", lambda u: u["email"].lower()), ("name", lambda u: u["name"].lower()),
                              ("role", lambda u: ["ADMIN", "MANAGER", "DEVELOPER"].index(u["role"])),
                              ("created_at", lambda u: u["created_at"])):
            for sign in ("", "-"):
                with self.subTest(ordering=sign + ordering):
                    rows = admin.pages(f"{USERS}?ordering={sign}{ordering}", 2)
                    self.assertEqual(len({r["id"] for r in rows}), 6)
                    keys = [key(r) for r in rows]
                    self.assertEqual(keys, sorted(keys, reverse=bool(sign)))
        body = self.ok(admin.get(USERS + "?page_size=2&count=true"))
        self.assertEqual((body["count"], body["previous"], len(body["results"])), (6, None, 2))
        self.assertTrue(body["next"].startswith("/api/organization/users"))
        after = self.ok(admin.get(body["next"]))
        self.assertEqual(self.ok(admin.get(after["previous"]))["results"], body["results"])
        cursor = urllib.parse.parse_qs(urllib.parse.urlsplit(body["next"]).query)["cursor"][0]
        self.problem(admin.get(f"{USERS}?page_size=2&role=ADMIN&cursor={cursor}"), 400, "bad-cursor")
        self.problem(admin.get(f"{USERS}?page_size=2&count=true&cursor={cursor[:-2]}xx"), 400, "bad-cursor")
        self.problem(sign_up().get(body["next"]), 400, "bad-cursor")
        self.assertEqual(set(self.ok(admin.get(USERS + "?fields=email,role"))["results"][0]), {"email", "role"})
        for query, parameter in (("?foo=1", "foo"), ("?role=admin", "role"), ("?is_active=1", "is_active"),
                                 ("?is_active=true&is_active=false", "is_active"), ("?search=a&search=b", "search"),
                                 ("?page_size=0", "page_size"), ("?page_size=201",
                                  "page_size"), ("?page_size=x", "page_size"),
                                 ("?ordering=password", "ordering"), ("?count=maybe", "count"), ("?fields=nope", "fields"),
                                 ("?role=", "role")):
            with self.subTest(query=query):
                self.problem(admin.get(USERS + query), 400, parameter=parameter)

    def test_last_admin(self):
        admin = sign_up()
        path = user_path(admin.email)
        self.problem(admin.put(path, {"first_name": "A", "last_name": "B", "role": "DEVELOPER"}), 409, "last-admin")
        self.ok(admin.patch(path, {"first_name": "Renamed", "role": "ADMIN", "is_active": True}))
        second = self.ok(admin.post(USERS, new_user(role="ADMIN")), 201)
        self.ok(admin.patch(user_path(second["email"]), {"is_active": False}))
        # One who is not active is no admin left.
        self.problem(admin.patch(path, {"role": "MANAGER"}), 409, "last-admin")
        self.ok(admin.patch(user_path(second["email"]), {"is_active": True}))
        self.ok(admin.patch(path, {"is_active": False}))
        self.problem(admin.get(USERS), 401, "session-changed")

    def test_a_demoted_admin_is_403_whatever_they_name(self):
        admin = sign_up()
        person = add_user(admin)
        for path in (USERS, user_path("nobody@example.com"), user_path("no-address"), DEPARTMENTS, f"{DEPARTMENTS}1/"):
            self.problem(person.get(path), 403)
        bodies = []
        for path in (user_path(admin.email), user_path("nobody@example.com")):
            body = self.problem(person.patch(path, {"role": "ADMIN"}), 403)
            bodies.append({k: v for k, v in body.items() if k not in ("request_id", "instance")})
        self.assertEqual(bodies[0], bodies[1])
        self.problem(person.delete(f"{DEPARTMENTS}1/"), 403)
        self.problem(person.post(DEPARTMENTS, {"department_name": ""}), 403)
        # Form is judged before rights.
        self.problem(person.post(USERS, raw=b"{"), 400)


class AuditDepartments(Case):
    def test_list_and_fields(self):
        admin = sign_up()
        for name in ("beta", "Alpha", "gamma", "Ärger"):
            self.ok(admin.post(DEPARTMENTS, {"department_name": name}), 201)
        rows = admin.pages(DEPARTMENTS, 2)
        self.assertEqual([r["department_name"] for r in rows], ["Alpha", "beta", "gamma", "Ärger"])
        self.assertEqual(sorted(r["id"] for r in rows), [1, 2, 3, 4])
        self.assertEqual(self.ok(admin.get(DEPARTMENTS + "?count=true&page_size=1"))["count"], 4)
        self.problem(admin.get(DEPARTMENTS + "?foo=1"), 400, parameter="foo")
        for bad in ({}, {"department_name": None}, {"department_name": 5}, {"department_name": "x" * 256},
                    {"department_name": ""}, {"department_name": "a\x00"}):
            self.problem(admin.post(DEPARTMENTS, bad), 422, pointer="/department_name")
        self.problem(admin.post(DEPARTMENTS, {"department_name": "x", "id": 9}), 422, pointer="/id")
        self.ok(admin.post(DEPARTMENTS, {"department_name": "x" * 255}), 201)

    def test_rename_reaches_users_and_conflicts(self):
        admin = sign_up()
        one = self.ok(admin.post(DEPARTMENTS, {"department_name": "One"}), 201)
        self.ok(admin.post(DEPARTMENTS, {"department_name": "Two"}), 201)
        path = f"{DEPARTMENTS}{one['id']}/"
        user = self.ok(admin.post(USERS, new_user(department="one")), 201)
        self.problem(admin.patch(path, {"department_name": "tWO"}), 409, "name-taken")
        before = admin.get(path).headers["ETag"]
        same = admin.patch(path, {"department_name": "One"})
        self.assertEqual(same.headers["ETag"], before)
        renamed = admin.patch(path, {"department_name": "Three"})
        self.assertNotEqual(renamed.headers["ETag"], before)
        shown = self.ok(admin.get(user_path(user["email"])))
        self.assertEqual(shown["department"]["department_name"], "Three")
        self.assertGreater(shown["version"], user["version"])
        self.problem(admin.put(path, {}), 422, pointer="/department_name")
        self.problem(admin.patch(path, {"id": 77}), 422, pointer="/id", field_code="read-only")
        self.assertEqual(admin.get(path, headers={"If-None-Match": renamed.headers["ETag"]}).status, 304)
        self.problem(admin.delete(path, headers={"If-Match": '"99"'}), 412)
        self.assertEqual(admin.delete(path).status, 204)
        self.assertIsNone(self.ok(admin.get(user_path(user["email"])))["department"])
        # A number is never used again, a name may be.
        again = self.ok(admin.post(DEPARTMENTS, {"department_name": "Three"}), 201)
        self.assertGreater(again["id"], one["id"] + 1)


class AuditOrganization(Case):
    def test_fields(self):
        admin = sign_up()
        body = self.ok(admin.get(ORGANIZATION))
        self.assertEqual((body["time_zone"], body["reminder_hour"]), ("UTC", 9))
        self.assertEqual(body["id"], admin.login_answer["organization"]["id"])
        for name, value in (("name", ""), ("name", " "), ("name", "x" * 256), ("name", None), ("time_zone", None),
                            ("time_zone", "utc+1"), ("time_zone", ""), ("time_zone", 5), ("reminder_hour", -1),
                            ("reminder_hour", 24), ("reminder_hour", "9"), ("reminder_hour", None), ("reminder_hour", 9.5)):
            with self.subTest(name=name, value=value):
                self.problem(admin.patch(ORGANIZATION, {name: value}), 422, pointer=f"/{name}")
        self.problem(admin.patch(ORGANIZATION, {"id": str(uuid.uuid4())}), 422, pointer="/id", field_code="read-only")
        self.problem(admin.patch(ORGANIZATION, {"plan": "gold"}), 422, pointer="/plan", field_code="unknown-field")
        before = admin.get(ORGANIZATION).headers["ETag"]
        self.assertEqual(admin.patch(ORGANIZATION, {"name": body["name"]}).headers["ETag"], before)
        changed = admin.patch(ORGANIZATION, {"name": "  New Näme ", "reminder_hour": 0}, headers={"If-Match": before})
        self.assertEqual(self.ok(changed)["name"], "  New Näme ")
        self.assertNotEqual(changed.headers["ETag"], before)
        self.problem(admin.put(ORGANIZATION, {}), 405)
        self.problem(admin.post(ORGANIZATION, {}), 405)
        eventually(lambda: log_in(admin.email).login_answer["organizations"][0]["name"] == "  New Näme ")

    def test_members(self):
        admin = sign_up()
        person = add_user(admin, "DEVELOPER", first_name="Zora", last_name="Quick")
        gone = self.ok(admin.post(USERS, new_user()), 201)
        self.ok(admin.patch(user_path(gone["email"]), {"is_active": False}))
        rows = person.pages("/api/organization/members/", 1)
        self.assertEqual([r["name"] for r in rows], ["Ada Admin", "Zora Quick"])
        for row in rows:
            self.assertEqual(set(row), {"id", "name", "email", "role", "profile_img"})
        self.assertEqual([r["name"] for r in person.pages(
            "/api/organization/members/?search=zORA+quick")], ["Zora Quick"])
        self.assertEqual([r["name"] for r in person.pages(f"/api/organization/members/?search={admin.email[:12]}")],
                         ["Ada Admin"])
        self.problem(person.get("/api/organization/members/?role=ADMIN"), 400, parameter="role")
        self.problem(Client().get("/api/organization/members/"), 401)

    def test_delete_is_gone_everywhere(self):
        admin, stranger = sign_up(organization="Gone & Away"), sign_up()
        person = add_user(admin)
        p = project(admin)
        collaborate(admin, p["id"], person)
        t = task(admin, p["id"], collaborators=[person.email])
        kept = project(stranger)
        self.ok(stranger.post(USERS, new_user(email=person.email)), 201)
        wanted = stranger.login_answer["organization"]["id"]
        there = eventually(lambda: next((c for c in [log_in(person.email)] if wanted in
                                         [o["id"] for o in c.login_answer["organizations"]]), None))
        there = log_in(person.email, organization=wanted)
        for bad, status in (({"name": "gone & away"}, 422), ({}, 422), ({"name": None}, 422)):
            self.problem(admin.delete(ORGANIZATION, bad), status, pointer="/name")
        self.assertIn(admin.delete(ORGANIZATION).status, (400, 415))
        self.problem(person.delete(ORGANIZATION, {"name": "Gone & Away"}), 403)
        self.assertEqual(admin.delete(ORGANIZATION, {"name": "Gone & Away"}).status, 202)
        for client in (admin, person):
            for path in (ORGANIZATION, "/api/account/", f"/api/project/tasks/{t['id']}/", "/api/notifications/"):
                self.problem(client.get(path), 401)
            self.problem(Client().post("/api/account/token/refresh/", {"refresh": client.refresh}), 401)
        eventually(lambda: Client().post("/api/account/login/", {
            "email": admin.email, "password": PASSWORD}).status == 401, 60)
        # Others are untouched; who belongs to two is left in the other.
        self.assertEqual(self.ok(stranger.get(f"/api/project_management/projects/{kept['id']}/"))["id"], kept["id"])
        self.ok(there.get(ORGANIZATION))
        client = log_in(person.email)
        self.assertEqual([o["id"] for o in client.login_answer["organizations"]], [wanted])
