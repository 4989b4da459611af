"""Section 3: accounts, sessions, tokens, links."""
import concurrent.futures

from support import *


class SignUp(Case):
    def test_sign_up_answers_a_login(self):
        name = unique("Org")
        address = unique("Founder") + "@Example.com"
        client = Client()
        answer = client.post("/api/account/signup/", {
            "email": address, "password": PASSWORD, "first_name": "Zoë", "last_name": "O’Brien", "organization": name})
        body = self.ok(answer, 201)
        self.assertEqual(answer.headers["Location"], "/api/organization/")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(body["token_type"], "Bearer")
        self.assertEqual(body["expires_in"], 300)
        self.assertEqual(body["user"]["email"], address)
        self.assertEqual(body["user"]["name"], "Zoë O’Brien")
        self.assertEqual(body["user"]["role"], "ADMIN")
        self.assertEqual(body["organization"]["name"], name)
        self.assertEqual([o["name"] for o in body["organizations"]], [name])
        client.adopt(body)
        self.assertEqual(self.ok(client.get("/api/organization/"))["name"], name)
        self.assertEqual(self.ok(client.get("/api/account/"))["user"]["email"], address)

    def test_known_address_is_409_whatever_its_case(self):
        admin = sign_up()
        answer = Client().post("/api/account/signup/", {
            "email": admin.email.upper(), "password": PASSWORD, "first_name": "A", "last_name": "B", "organization": "C"})
        self.problem(answer, 409, "account-exists")

    def test_fields(self):
        good = {
    "email": "a@example.com",
    "password": PASSWORD,
    "first_name": "A",
    "last_name": "B",
     "organization": "C"}
        for name in good:
            body = {k: v for k, v in good.items() if k != name}
            self.problem(Client().post("/api/account/signup/", body), 422, pointer=f"/{name}")
        cases = [("email", "no-at", "bad-email"), ("email", "a/b@example.com", "bad-email"),
                 ("email", "a?b@example.com", "bad-email"), ("email", "a%b@example.com", "bad-email"),
                 ("email", "a" * 250 + "@example.com", None),
                 ("password", "short", "too-short"), ("password", "x" * 129, "too-long"),
                 ("password", "password1234", "too-common"), ("first_name", "x" * 101, "too-long"),
                 ("first_name", "  ", "blank"), ("organization", "", "blank"), ("organization", "x" * 256, "too-long"),
                 ("first_name", "nul\x00", None), ("first_name", 7, "wrong-type")]
        for name, value, code in cases:
            with self.subTest(name=name, value=str(value)[:20]):
                self.problem(Client().post("/api/account/signup/", {**good, name: value}), 422,
                             pointer=f"/{name}", field_code=code)
        self.problem(Client().post("/api/account/signup/", {**good, "is_admin": True}), 422, pointer="/is_admin")
        address = unique("grace.hopper") + "@example.com"
        self.problem(Client().post("/api/account/signup/", {**good, "email": address, "password": address}), 422,
                     pointer="/password", field_code="too-common")


class LogIn(Case):
    def test_wrong_ways_answer_the_same_401(self):
        admin = sign_up()
        answers = [
            Client().post("/api/account/login/", {"email": admin.email, "password": "wrong-password-12"}),
            Client().post("/api/account/login/", {"email": unique("x") + "@example.com", "password": PASSWORD}),
            Client().post("/api/account/login/", {
                "email": admin.email, "password": PASSWORD, "organization": str(uuid.uuid4())}),
        ]
        bodies = []
        for answer in answers:
            body = self.problem(answer, 401)
            body.pop("request_id")
            bodies.append(body)
        self.assertEqual(bodies[0], bodies[1])
        self.assertEqual(bodies[0], bodies[2])

    def test_address_in_any_case(self):
        admin = sign_up()
        self.assertTrue(log_in(admin.email.upper()).access)

    def test_two_organizations(self):
        person = sign_up()
        other = sign_up()
        self.ok(other.post("/api/organization/users/", {
            "email": person.email, "first_name": "P", "last_name": "Q", "role": "DEVELOPER"}), 201)
        client = eventually(lambda: (c := log_in(person.email)) and len(c.login_answer["organizations"]) == 2 and c)
        self.assertEqual(client.login_answer["organization"]["id"], person.login_answer["organization"]["id"])
        other_id = other.login_answer["organization"]["id"]
        old = client.access
        answer = self.ok(client.post("/api/account/switch-organization/", {"organization": other_id}))
        self.assertEqual(answer["organization"]["id"], other_id)
        self.assertEqual(answer["user"]["role"], "DEVELOPER")
        self.problem(client.get("/api/account/"), 401, "session-changed")
        client.adopt(answer)
        self.problem(client.get("/api/organization/users/"), 403)
        self.assertNotEqual(old, client.access)
        # The last used organization is the one of the next login.
        self.assertEqual(log_in(person.email).login_answer["organization"]["id"], other_id)
        self.problem(client.post("/api/account/switch-organization/", {"organization": str(uuid.uuid4())}), 422,
                     pointer="/organization")
        # The welcome to someone who has a password holds no link.
        mail = eventually(lambda: mails(person.email))[-1]
        self.assertIsNone(link_in(mail))


class Tokens(Case):
    def test_refresh_rotates_with_grace_and_reuse_ends_the_session(self):
        client = sign_up()
        first = client.refresh
        answer = self.ok(client.post("/api/account/token/refresh/", {"refresh": first}))
        again = self.ok(client.post("/api/account/token/refresh/", {"refresh": first}))
        self.assertEqual(answer["refresh"], again["refresh"])
        self.assertNotEqual(answer["refresh"], first)
        third = self.ok(client.post("/api/account/token/refresh/", {"refresh": answer["refresh"]}))
        self.problem(client.post("/api/account/token/refresh/", {"refresh": first}), 401, "refresh-reused")
        self.problem(client.post("/api/account/token/refresh/", {"refresh": third["refresh"]}), 401)
        client.access = third["access"]
        self.problem(client.get("/api/account/"), 401, "session-changed")

    def test_twenty_at_once_get_one_successor(self):
        client = sign_up()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: Client().post(
                "/api/account/token/refresh/", {"refresh": client.refresh}), range(20)))
        self.assertEqual({a.status for a in answers}, {200})
        self.assertEqual(len({a.json["refresh"] for a in answers}), 1)

    def test_garbage(self):
        for token in ("", "x", "a.b.c", "é"):
            self.assertIn(Client().post("/api/account/token/refresh/", {"refresh": token}).status, (401, 422))
        client = sign_up()
        for value in ("Bearer", "Bearer x", "Basic abc", f"Bearer {client.access}x", f"bearer  {client.access[:-2]}"):
            answer = Client().get("/api/account/", headers={"Authorization": value})
            self.problem(answer, 401)
        # Equivalent spellings of one token are not other tokens.
        self.problem(Client().get("/api/account/", headers={"Authorization": f"Bearer {client.access}="}), 401)
        self.problem(Client().get("/api/account/", headers={"Authorization": f"Bearer {client.refresh}"}), 401)

    def test_logout_kills_both_tokens(self):
        client = sign_up()
        other = log_in(client.email)
        self.problem(client.post("/api/account/logout/", {"refresh": other.refresh}), 422)
        self.problem(client.post("/api/account/logout/", {"refresh": "garbage"}), 422)
        self.assertEqual(client.get("/api/account/").status, 200)
        self.ok(client.post("/api/account/logout/", {"refresh": client.refresh}))
        self.problem(client.get("/api/account/"), 401, "session-changed")
        self.problem(Client().post("/api/account/token/refresh/", {"refresh": client.refresh}), 401)
        self.assertEqual(other.get("/api/account/").status, 200)
        self.ok(other.post("/api/account/logout/"))
        self.problem(other.get("/api/account/"), 401)

    def test_jwks(self):
        body = self.ok(Client().get("/.well-known/jwks.json"))
        for key in body["keys"]:
            self.assertEqual(set(key), {"kty", "crv", "x", "kid", "use", "alg"})


class Passwords(Case):
    def test_change(self):
        client = sign_up()
        other = log_in(client.email)
        change = "/api/account/change-password/"
        self.problem(client.post(change, {"old_password": "wrong-password-1", "new_password": "brand-new-secret-1"}),
                     422, pointer="/old_password", field_code="wrong-password")
        self.problem(client.post(change, {"old_password": PASSWORD, "new_password": PASSWORD}),
                     422, pointer="/new_password", field_code="same-password")
        self.problem(client.post(change, {"old_password": PASSWORD, "new_password": "short"}), 422,
                     pointer="/new_password", field_code="too-short")
        self.ok(client.post(change, {"old_password": PASSWORD, "new_password": "brand-new-secret-1"}))
        self.assertEqual(client.get("/api/account/").status, 200)
        self.problem(other.get("/api/account/"), 401, "session-changed")
        self.problem(Client().post("/api/account/login/", {"email": client.email, "password": PASSWORD}), 401)
        self.assertTrue(log_in(client.email, "brand-new-secret-1"))
        eventually(lambda: [m for m in mails(client.email) if "password" in m["Subject"].lower()])

    def test_reset(self):
        client = sign_up()
        ask = "/api/account/request-reset-password/"
        known = Client().post(ask, {"email": client.email})
        unknown = Client().post(ask, {"email": unique("nobody") + "@example.com"})
        self.assertEqual((known.status, unknown.status), (202, 202))
        self.assertEqual(known.body, unknown.body)
        first = welcome_link(client.email)
        self.assertEqual(Client().post(ask, {"email": client.email.upper()}).status, 202)
        second = eventually(lambda: (l := welcome_link(client.email)) != first and l)
        page = Client().get(second, headers={"Accept": "text/html"})
        self.assertEqual(page.status, 200)
        self.assertIn("text/html", page.headers["Content-Type"])
        self.assertEqual(page.headers["Referrer-Policy"], "no-referrer")
        new = "another-secret-99"
        self.problem(Client().post(first, {"password1": new, "password2": new}), 400, "invalid-link")
        self.problem(Client().post(second, {"password1": new, "password2": new + "x"}), 422, pointer="/password2")
        self.problem(Client().post(second, {"password1": "short", "password2": "short"}), 422, pointer="/password1")
        forged = second[:-3] + ("AA/" if not second.endswith("AA/") else "BB/")
        self.problem(Client().post(forged, {"password1": new, "password2": new}), 400, "invalid-link")
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            answers = list(
    pool.map(
        lambda _: Client().post(
            second, {
                "password1": new, "password2": new}).status, range(10)))
        self.assertEqual(sorted(answers), [200] + [400] * 9)
        self.problem(client.get("/api/account/"), 401, "session-changed")
        self.assertTrue(log_in(client.email, new))
        self.problem(Client().post("/api/account/login/", {"email": client.email, "password": PASSWORD}), 401)


class Sessions(Case):
    def test_list_and_end(self):
        first = sign_up()
        second = log_in(first.email)
        third = log_in(first.email)
        rows = self.ok(first.get("/api/account/sessions/"))["results"]
        self.assertEqual(len(rows), 3)
        for row in rows:
            self.assertEqual(set(row), {"id", "created_at", "last_used_at", "ip", "user_agent", "current"})
        self.assertEqual([r["current"] for r in rows].count(True), 1)
        mine = next(r["id"] for r in self.ok(second.get("/api/account/sessions/"))["results"] if r["current"])
        self.assertEqual(first.delete(f"/api/account/sessions/{mine}/").status, 204)
        self.problem(second.get("/api/account/"), 401, "session-changed")
        self.problem(first.delete(f"/api/account/sessions/{mine}/"), 404)
        self.problem(first.delete(f"/api/account/sessions/{uuid.uuid4()}/"), 404)
        self.problem(first.delete("/api/account/sessions/nonsense/"), 404)
        self.assertEqual(first.delete("/api/account/sessions/").status, 204)
        self.problem(third.get("/api/account/"), 401, "session-changed")
        self.assertEqual(first.get("/api/account/").status, 200)
        stranger = sign_up()
        own = self.ok(stranger.get("/api/account/sessions/"))["results"][0]["id"]
        self.problem(first.delete(f"/api/account/sessions/{own}/"), 404)


class Profile(Case):
    def test_names(self):
        client = sign_up()
        body = self.ok(client.patch("/api/account/", {"first_name": "Grace"}))
        dashboard = self.ok(client.get("/api/account/"))
        self.assertEqual(dashboard["user"]["first_name"], "Grace")
        self.assertEqual(dashboard["user"]["name"], "Grace Admin")
        self.problem(client.patch("/api/account/", {"role": "ADMIN2"}), 422, pointer="/role")
        self.problem(client.patch("/api/account/", {"first_name": " "}), 422, pointer="/first_name")
        self.assertTrue(body)

    def test_picture(self):
        client = sign_up()
        url = self.ok(upload(client, PNG))["profile_img"]
        path = urllib.parse.urlsplit(url).path
        picture = Client().get(path)
        self.assertEqual(picture.status, 200)
        self.assertEqual(picture.body, PNG)
        self.assertEqual(picture.headers["Content-Type"], "image/png")
        self.assertEqual(self.ok(client.get("/api/account/"))["user"]["profile_img"], url)
        self.problem(upload(client, b"<svg/>", "a.svg", "image/svg+xml"), 422, pointer="/profile_img")
        self.problem(upload(client, b"GIF89a" + b"\0" * 20, "a.png", "image/png"), 422, pointer="/profile_img")
        self.problem(upload(client, PNG, field="other"), 422)
        self.assertIn(upload(client, PNG + b"\0" * (5 * 1024 * 1024 + 1)).status, (422,))
        self.assertEqual(client.delete("/api/account/profile-pic/").status, 204)
        self.assertIsNone(self.ok(client.get("/api/account/"))["user"]["profile_img"])

    def test_too_large_a_body_is_413(self):
        client = sign_up()
        try:
            answer = upload(client, PNG + b"\0" * (6 * 1024 * 1024 + 10))
        except (BrokenPipeError, ConnectionResetError):
            return  # refused while we were still sending
        self.problem(answer, 413)


class Dashboard(Case):
    def test_shape_and_counts(self):
        admin = sign_up()
        p = project(admin)
        task(admin, p["id"], status="PENDING")
        task(admin, p["id"], status="ON_HOLD")
        task(admin, p["id"], status="COMPLETED")
        mine = task(admin, p["id"], due_date="2099-01-01", collaborators=[admin.email])
        project(admin, status="COMPLETED")
        body = self.ok(admin.get("/api/account/"))
        self.assertEqual(set(body), {"user", "organization", "stats", "upcoming"})
        self.assertEqual(body["stats"], {"total_projects": 2, "completed_projects": 1, "pending_tasks": 3,
                                         "due_tasks": 0, "overdue_tasks": 0})
        self.assertEqual([t["id"] for t in body["upcoming"]], [mine["id"]])
        for name in ("id", "email", "first_name", "last_name", "name", "role", "department", "is_active",
                     "profile_img", "created_at", "updated_at"):
            self.assertIn(name, body["user"])
