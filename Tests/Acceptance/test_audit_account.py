"""Section 3 sentence by sentence: what test_account leaves out."""
import base64
import concurrent.futures
import struct
import zlib

from support import *

SIGN_UP, LOG_IN, REFRESH = "/api/account/signup/", "/api/account/login/", "/api/account/token/refresh/"
RESET, SWITCH, PICTURE = "/api/account/request-reset-password/", "/api/account/switch-organization/", "/api/account/profile-pic/"


def form(address, **fields):
    return {"email": address, "password": PASSWORD, "first_name": "Ada", "last_name": "Admin",
            "organization": unique("Org"), **fields}


def user_path(address):
    return f"/api/organization/users/{urllib.parse.quote(address)}/"


def member_of(admin, address, role="DEVELOPER"):
    """Takes somebody who has an account already into another organization."""
    answer = admin.post("/api/organization/users/", {
        "email": address, "first_name": "P", "last_name": "Q", "role": role})
    assert answer.status == 201, answer
    wanted = admin.login_answer["organization"]["id"]
    eventually(lambda: wanted in [o["id"] for o in log_in(address).login_answer["organizations"]])
    return wanted


def new_link(address, before=()):
    """The newest link mailed to an address that is not one of `before`."""
    return eventually(lambda: next(
        (link for m in reversed(mails(address)) if (link := link_in(m)) and link not in before), None))


class AuditSignUp(Case):
    def test_names_of_organizations_need_not_be_unique(self):
        name = unique("Same")
        ids = {sign_up(organization=name).login_answer["organization"]["id"] for _ in range(2)}
        self.assertEqual(len(ids), 2)
        for value in ids:
            self.assertEqual(uuid.UUID(value).version, 7)

    def test_the_password_is_exact_bytes(self):
        address = unique("spaces") + "@example.com"
        password = "  Zoë’s  long pass\t "
        self.ok(Client().post(SIGN_UP, form(address, password=password)), 201)
        self.assertTrue(log_in(address, password))
        for other in (password.strip(), password.replace("ë", "e\u0308"), password.lower()):
            self.problem(Client().post(LOG_IN, {"email": address, "password": other}), 401)

    def test_password_rule(self):
        address = unique("rule") + "@example.com"
        cases = [("x" * 11, "too-short"), ("é" * 11, "too-short"), ("ab" * 65, "too-long"),
                 (address, "too-common"), ("password1234", "too-common"), ("123456789012", "too-common")]
        for password, code in cases:
            with self.subTest(password=password[:20]):
                self.problem(Client().post(SIGN_UP, form(address, password=password)), 422,
                             pointer="/password", field_code=code)
        self.problem(Client().post(SIGN_UP, form(address, password="Analytical Engines",
                                                 organization="Analytical Engines")), 422,
                     pointer="/password", field_code="too-common")
        self.problem(Client().post(SIGN_UP, form(address, password="Maximiliana-Q", first_name="Maximiliana-Q")), 422,
                     pointer="/password", field_code="too-common")
        self.problem(Client().post(SIGN_UP, form(address, password="a\x00" + "bcdefghijklm")), 422, pointer="/password")
        # Code points count, neither bytes nor what a reader sees as one letter.
        for password in ("x" * 128, "\U0001f600" * 12, "e\u0301" * 6, "x" * 127 + "\U0001f600"):
            self.ok(Client().post(SIGN_UP, form(unique("rule") + "@example.com", password=password)), 201)

    def test_one_of_many_at_once(self):
        address = unique("race") + "@example.com"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: Client().post(
                SIGN_UP, form(address.upper() if n % 2 else address)), range(8)))
        self.assertEqual(sorted(a.status for a in answers), [201] + [409] * 7)
        self.assertEqual(len(log_in(address).login_answer["organizations"]), 1)

    def test_all_wrong_fields_are_named_at_once(self):
        body = self.problem(Client().post(SIGN_UP, {"email": "x", "password": "y", "organization": " ", "z": 1}), 422)
        self.assertEqual({e["pointer"] for e in body["errors"]},
                         {"/email", "/password", "/first_name", "/last_name", "/organization", "/z"})

    def test_answers_are_not_stored(self):
        client = sign_up()
        for answer in (client.get("/api/account/"), client.get("/api/account/sessions/"),
                       client.post(REFRESH, {"refresh": client.refresh}), Client().post(LOG_IN, {}),
                       Client().post(RESET, {"email": client.email})):
            self.assertEqual(answer.headers["Cache-Control"], "no-store", answer)

    def test_idempotency_key_is_ignored_where_tokens_are(self):
        address = unique("twice") + "@example.com"
        client = sign_up(email=address)
        key = {"Idempotency-Key": unique("key")}
        first, second = (Client().post(LOG_IN, {"email": address, "password": PASSWORD}, headers=key) for _ in range(2))
        self.assertEqual((first.status, second.status), (200, 200))
        self.assertNotEqual(first.json["refresh"], second.json["refresh"])
        self.assertNotIn("Idempotency-Replayed", second.headers)
        change = {"old_password": PASSWORD, "new_password": "brand-new-secret-1"}
        self.ok(client.post("/api/account/change-password/", change, headers=key))
        self.problem(client.post("/api/account/change-password/", change, headers=key), 422, pointer="/old_password")


class AuditVerification(OtherInstallation):
    SETTINGS = {"TASKFLOW_EMAIL_VERIFICATION": "on", "TASKFLOW_ACCESS_TOKEN_LIFETIME": "30",
                "TASKFLOW_PASSWORD_MINIMUM": "8"}

    def test_unknown_and_known_get_the_same_bytes(self):
        address = unique("verify") + "@Example.com"
        first = Client().post(SIGN_UP, form(address))
        self.assertEqual(first.status, 202)
        self.assertEqual(first.headers["Cache-Control"], "no-store")
        self.assertNotIn("Location", first.headers)
        self.problem(Client().post(LOG_IN, {"email": address, "password": PASSWORD}), 401)
        link = new_link(address)
        page = Client().get(link, headers={"Accept": "text/html"})
        self.assertEqual((page.status, page.headers["Referrer-Policy"]), (200, "no-referrer"))
        self.assertIn("text/html", page.headers["Content-Type"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: Client().post(link), range(8)))
        self.assertEqual(sorted(a.status for a in answers), [200] + [400] * 7)
        body = next(a for a in answers if a.status == 200).json
        self.assertEqual(set(body), {"access", "refresh", "token_type", "expires_in", "user", "organization", "organizations"})
        self.assertEqual((body["expires_in"], body["user"]["email"], body["user"]["role"]), (30, address, "ADMIN"))
        client = Client().adopt(body)
        self.assertEqual(self.ok(client.get("/api/organization/"))["name"], body["organization"]["name"])
        self.assertTrue(log_in(address))
        again = Client().post(SIGN_UP, form(address.upper(), password="something-else-1"))
        self.assertEqual((again.status, again.body), (202, first.body))
        mail = eventually(lambda: mails(address, "account already"))[-1]
        self.assertIsNone(link_in(mail))
        self.assertTrue(log_in(address))
        self.problem(Client().post(LOG_IN, {"email": address, "password": "something-else-1"}), 401)

    def test_one_of_two_sign_ups_is_finished(self):
        address = unique("again") + "@example.com"
        self.assertEqual(Client().post(SIGN_UP, form(address, organization="First")).status, 202)
        first = new_link(address)
        self.assertEqual(Client().post(SIGN_UP, form(address, organization="Second")).status, 202)
        second = new_link(address, (first,))
        # Nobody can take somebody else's sign-up back by another one; whichever is proved first counts.
        self.assertEqual(self.ok(Client().post(second))["organization"]["name"], "Second")
        self.problem(Client().post(first), 400, "invalid-link")
        self.problem(Client().post(second), 400, "invalid-link")
        self.problem(Client().get(second), 400, "invalid-link")
        page = Client().get(second, headers={"Accept": "text/html,*/*"})
        self.assertEqual((page.status, page.headers["Content-Type"].split(";")[0]), (400, "text/html"))

    def test_links_open_only_their_own_door(self):
        address = unique("door") + "@example.com"
        Client().post(SIGN_UP, form(address))
        link = new_link(address)
        wrong = link.replace("verify-email", "request-reset-password")
        self.problem(Client().post(wrong, {"password1": "x" * 12, "password2": "x" * 12}), 400, "invalid-link")
        parts = link.strip("/").split("/")
        parts[3] = str(uuid.uuid4())
        self.problem(Client().post("/" + "/".join(parts) + "/"), 400, "invalid-link")
        parts[3] = "nonsense"
        self.problem(Client().post("/" + "/".join(parts) + "/"), 400, "invalid-link")
        self.ok(Client().post(link))

    def test_a_form_gets_a_page(self):
        address = unique("page") + "@example.com"
        Client().post(SIGN_UP, form(address))
        answer = Client().post(new_link(address), raw=b"", headers={
            "Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"})
        self.assertEqual(answer.status, 200)
        self.assertIn("text/html", answer.headers["Content-Type"])
        self.assertTrue(log_in(address))

    def test_the_fields_are_judged_before_any_mail(self):
        self.problem(Client().post(SIGN_UP, form("x@example.com", password="short")), 422, pointer="/password",
                     field_code="too-short")
        address = unique("eight") + "@example.com"
        self.assertEqual(Client().post(SIGN_UP, form(address, password="eightqzx")).status, 202)

    def test_tokens_run_out(self):
        address = unique("short") + "@example.com"
        Client().post(SIGN_UP, form(address))
        client = Client().adopt(self.ok(Client().post(new_link(address))))
        claims = json.loads(base64.urlsafe_b64decode(client.access.split(".")[1] + "=="))
        self.assertEqual(claims["exp"] - claims["iat"], 30)
        self.assertTrue({"iss", "aud", "sub", "org", "role", "sid", "jti"} <= set(claims))
        self.assertEqual((claims["iss"], claims["aud"]), (self.origin, "taskflow"))


class AuditClosed(OtherInstallation):
    SETTINGS = {"TASKFLOW_SIGNUP": "closed"}

    def test_nobody_signs_up(self):
        self.problem(Client().post(SIGN_UP, form("x@example.com")), 403, "signup-closed")
        self.problem(Client().post(SIGN_UP, {}), 403, "signup-closed")
        self.problem(Client().post(SIGN_UP, raw=b"{"), 400)


class AuditLogIn(Case):
    def test_every_refusal_is_one_401(self):
        admin = sign_up()
        gone = add_user(admin)
        self.ok(admin.patch(user_path(gone.email), {"is_active": False}))
        without = add_user(admin, log_in_too=False)["email"]
        locked = sign_up()
        for _ in range(7):
            Client().post(LOG_IN, {"email": locked.email, "password": "wrong-password-12"})
        stranger = sign_up()
        tries = [{"email": gone.email, "password": PASSWORD}, {"email": without, "password": PASSWORD},
                 {"email": locked.email, "password": PASSWORD}, {"email": "nobody@example.com", "password": PASSWORD},
                 {"email": admin.email, "password": "wrong-password-12"}, {"email": admin.email, "password": "x"},
                 {"email": admin.email, "password": PASSWORD, "organization": "no-uuid"},
                 {"email": admin.email, "password": PASSWORD,
                  "organization": stranger.login_answer["organization"]["id"]},
                 {"email": gone.email, "password": PASSWORD, "organization": admin.login_answer["organization"]["id"]}]
        seen = set()
        for body in tries:
            answer = Client().post(LOG_IN, body)
            problem = self.problem(answer, 401, "invalid-credentials")
            problem.pop("request_id")
            seen.add((json.dumps(problem), tuple(sorted(
                (k, v) for k, v in answer.headers.items() if k.lower() not in ("date", "x-request-id", "content-length")))))
        self.assertEqual(len(seen), 1, seen)

    def test_an_organization_may_be_named(self):
        person, other = sign_up(), sign_up()
        other_id = member_of(other, person.email, "MANAGER")
        own_id = person.login_answer["organization"]["id"]
        client = log_in(person.email, organization=other_id)
        self.assertEqual(client.login_answer["organization"]["id"], other_id)
        self.assertEqual(client.login_answer["user"]["role"], "MANAGER")
        self.assertEqual({(o["id"], o["role"]) for o in client.login_answer["organizations"]},
                         {(own_id, "ADMIN"), (other_id, "MANAGER")})
        for choice in client.login_answer["organizations"]:
            self.assertEqual(set(choice), {"id", "name", "role"})
        # The last used one.
        self.assertEqual(log_in(person.email).login_answer["organization"]["id"], other_id)
        log_in(person.email, organization=own_id.upper())
        self.assertEqual(log_in(person.email).login_answer["organization"]["id"], own_id)

    def test_known_and_unknown_take_the_same_time(self):
        known = [sign_up().email for _ in range(3)]

        def median(addresses):
            times = []
            for address in addresses:
                start = time.perf_counter()
                Client().post(LOG_IN, {"email": address, "password": "wrong-password-12"})
                times.append(time.perf_counter() - start)
            return sorted(times)[len(times) // 2]
        ratio = median(known * 3) / median([unique("nobody") + "@example.com" for _ in range(9)])
        self.assertTrue(0.4 < ratio < 2.5, ratio)

    def test_fields(self):
        self.problem(Client().post(LOG_IN, {"email": "a@example.com"}), 422, pointer="/password")
        self.problem(Client().post(LOG_IN, {"password": "x"}), 422, pointer="/email")
        self.problem(Client().post(LOG_IN, {"email": 1, "password": []}), 422, pointer="/password")
        self.problem(Client().post(LOG_IN, {"email": "a@example.com", "password": "x", "role": "ADMIN"}), 422,
                     pointer="/role")

    def test_deactivated_in_one_organization(self):
        person, other = sign_up(), sign_up()
        other_id = member_of(other, person.email)
        own = person
        there = log_in(person.email, organization=other_id)
        self.ok(other.patch(user_path(person.email), {"is_active": False}))
        self.problem(there.get("/api/account/"), 401, "session-changed")
        self.problem(there.post(REFRESH, {"refresh": there.refresh}), 401)
        # The other session goes on, and so does a new one.
        self.ok(own.get("/api/account/"))
        self.ok(own.post(REFRESH, {"refresh": own.refresh}))
        entered = log_in(person.email)
        self.assertEqual(entered.login_answer["organization"]["id"], own.login_answer["organization"]["id"])
        self.assertNotIn(other_id, [o["id"] for o in entered.login_answer["organizations"]])
        self.problem(entered.post(SWITCH, {"organization": other_id}), 422, pointer="/organization")
        self.problem(Client().post(LOG_IN, {"email": person.email, "password": PASSWORD, "organization": other_id}), 401)
        # Active again, it is there again.
        self.ok(other.patch(user_path(person.email), {"is_active": True}))
        eventually(lambda: other_id in [o["id"] for o in log_in(person.email).login_answer["organizations"]])
        self.problem(there.post(REFRESH, {"refresh": there.refresh}), 401)


class AuditTokens(Case):
    def test_the_session_ends_on_refresh_where_the_organization_has_deactivated_the_person(self):
        admin = sign_up()
        person = add_user(admin)
        self.ok(admin.patch(user_path(person.email), {"is_active": False}))
        self.problem(person.post(REFRESH, {"refresh": person.refresh}), 401)
        self.ok(admin.patch(user_path(person.email), {"is_active": True}))
        eventually(lambda: try_log_in(person.email))
        self.problem(person.post(REFRESH, {"refresh": person.refresh}), 401)

    def test_refresh_answer_and_old_access(self):
        client = sign_up()
        answer = self.ok(Client().post(REFRESH, {"refresh": client.refresh}))
        self.assertTrue({"access", "refresh", "token_type", "expires_in"} <= set(answer))
        self.assertEqual(answer["token_type"], "Bearer")
        # Both access tokens are of one living session.
        self.ok(client.get("/api/account/"))
        client.access = answer["access"]
        self.ok(client.get("/api/account/"))

    def test_one_reuse_leaves_other_sessions_alone(self):
        client = sign_up()
        other = log_in(client.email)
        tokens = [client.refresh]
        for _ in range(3):
            tokens.append(self.ok(Client().post(REFRESH, {"refresh": tokens[-1]}))["refresh"])
        self.problem(Client().post(REFRESH, {"refresh": tokens[1]}), 401, "refresh-reused")
        self.problem(client.get("/api/account/"), 401, "session-changed")
        self.problem(Client().post(REFRESH, {"refresh": tokens[-1]}), 401)
        self.ok(other.get("/api/account/"))
        mail = eventually(lambda: mails(client.email, "session"))[-1]
        self.assertNotIn(tokens[1], mail.as_string())

    def test_refresh_does_not_need_an_access_token_and_an_access_token_is_no_refresh(self):
        client = sign_up()
        self.problem(Client().post(REFRESH, {"refresh": client.access}), 401)
        self.problem(Client().post(REFRESH, {}), 422, pointer="/refresh")
        self.ok(Client().post(REFRESH, {"refresh": client.refresh}, headers={"Authorization": "Bearer garbage"}))

    def test_logout_judges_what_it_is_given(self):
        client = sign_up()
        stranger = sign_up()
        for value in (stranger.refresh, client.access, "", 5, None):
            answer = client.post("/api/account/logout/", {"refresh": value})
            if value is not None:
                self.problem(answer, 422, pointer="/refresh")
                self.ok(client.get("/api/account/"))
        self.problem(Client().post("/api/account/logout/", {"refresh": stranger.refresh}), 401)
        self.ok(stranger.get("/api/account/"))

    def test_an_older_refresh_token_of_the_session_logs_out_too(self):
        client = sign_up()
        answer = self.ok(Client().post(REFRESH, {"refresh": client.refresh}))
        self.ok(client.post("/api/account/logout/", {"refresh": client.refresh}))
        self.problem(client.get("/api/account/"), 401, "session-changed")
        self.problem(Client().post(REFRESH, {"refresh": answer["refresh"]}), 401)

    def test_tampered_tokens(self):
        client = sign_up()
        head, claims, signature = client.access.split(".")

        def coded(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
        real = json.loads(base64.urlsafe_b64decode(claims + "=="))
        tokens = [f"{coded({'alg': 'none', 'typ': 'at+jwt'})}.{claims}.", f"{coded({'alg': 'none'})}.{claims}.{signature}",
                  f"{head}.{coded({**real, 'role': 'ADMIN', 'org': str(uuid.uuid4())})}.{signature}",
                  f"{coded({'alg': 'HS256', 'typ': 'at+jwt'})}.{claims}.{signature}", f"{head}.{claims}",
                  f"{head}.{claims}.{signature}.", client.refresh, client.access + "=", "a.b.c", "x" * 5000]
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        tokens += [client.access[:-1] + c for c in last if c != client.access[-1]]
        for token in tokens:
            answer = Client().get("/api/account/", headers={"Authorization": f"Bearer {token}"})
            self.problem(answer, 401)
        for value in (f"Bearer  {client.access}", f"Bearer {client.access} ", f"Token {client.access}",
                      f"Bearer\t{client.access}", client.access):
            status = Client().get("/api/account/", headers={"Authorization": value}).status
            self.assertEqual(status, 200 if value == f"Bearer {client.access} " else 401, value)
        self.ok(Client().get("/api/account/", headers={"Authorization": f"bEARER {client.access}"}))


class AuditSwitch(Case):
    def test_tokens_of_the_same_session(self):
        person, other = sign_up(), sign_up()
        other_id = member_of(other, person.email, "MANAGER")
        sessions = self.ok(person.get("/api/account/sessions/"))["results"]
        mine = next(s["id"] for s in sessions if s["current"])
        answer = person.post(SWITCH, {"organization": other_id})
        body = self.ok(answer)
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(set(body), {"access", "refresh", "token_type", "expires_in", "user", "organization", "organizations"})
        self.problem(person.get("/api/account/"), 401, "session-changed")
        person.adopt(body)
        after = self.ok(person.get("/api/account/sessions/"))["results"]
        self.assertEqual(next(s["id"] for s in after if s["current"]), mine)
        # A refresh stays there.
        renewed = self.ok(Client().post(REFRESH, {"refresh": body["refresh"]}))
        person.access = renewed["access"]
        self.assertEqual(self.ok(person.get("/api/organization/"))["id"], other_id)
        for bad in ({"organization": "x"}, {"organization": 5}, {}, {"organization": str(uuid.uuid4())}):
            self.problem(person.post(SWITCH, bad), 422, pointer="/organization")
        self.ok(person.get("/api/organization/"))

    def test_roles_and_rows_do_not_leak(self):
        person, other = sign_up(), sign_up()
        own = project(person)
        other_id = member_of(other, person.email, "DEVELOPER")
        there = log_in(person.email, organization=other_id)
        self.assertEqual(there.pages("/api/project_management/projects/"), [])
        self.problem(there.get(f"/api/project_management/projects/{own['id']}/"), 404)
        self.problem(there.post("/api/project_management/projects/", {"name": "x"}), 403)
        self.assertEqual(person.pages("/api/project_management/projects/")[0]["id"], own["id"])


class AuditPasswords(Case):
    def test_change_in_all_organizations(self):
        person, other = sign_up(), sign_up()
        there = log_in(person.email, organization=member_of(other, person.email))
        self.ok(person.post("/api/account/change-password/", {
            "old_password": PASSWORD, "new_password": "brand-new-secret-1"}))
        self.ok(person.get("/api/account/"))
        self.problem(there.get("/api/account/"), 401, "session-changed")
        self.problem(Client().post(REFRESH, {"refresh": there.refresh}), 401)
        renewed = self.ok(Client().post(REFRESH, {"refresh": person.refresh}))
        self.assertTrue(renewed["access"])

    def test_change_voids_links_and_mails(self):
        client = sign_up()
        Client().post(RESET, {"email": client.email})
        link = new_link(client.email)
        self.ok(client.post("/api/account/change-password/", {
            "old_password": PASSWORD, "new_password": "brand-new-secret-1"}))
        mail = eventually(lambda: mails(client.email, "changed"))[-1]
        self.assertIsNone(link_in(mail))
        self.assertNotIn("List-Unsubscribe", mail)
        self.assertNotIn("brand-new-secret-1", mail.as_string())
        self.problem(client.post("/api/account/change-password/", {"old_password": PASSWORD}), 422,
                     pointer="/new_password")
        # A link that was mailed before opens nothing any more.
        self.problem(Client().get(link), 400, "invalid-link")

    def test_the_form_consumes_nothing(self):
        client = sign_up()
        Client().post(RESET, {"email": client.email})
        link = new_link(client.email)
        for _ in range(3):
            page = Client().get(link, headers={"Accept": "text/html"})
            self.assertEqual(page.status, 200)
            text = page.body.decode()
            self.assertIn('name="password1"', text)
            self.assertIn('name="password2"', text)
            self.assertNotRegex(text, r"<script|(src|href)=\"https?:")
            self.assertIn("frame-ancestors 'none'", page.headers["Content-Security-Policy"])
        self.assertEqual(Client().send("HEAD", link).status, 200)
        self.assertEqual(Client().get(link.rstrip("/")).status, 200)
        wrong = Client().post(link, {"password1": "another-secret-99"})
        self.problem(wrong, 422, pointer="/password2")
        self.problem(Client().post(link, raw=b"{"), 400)
        answer = Client().post(link, raw=b"password1=form+secret+99&password2=form+secret+99", headers={
            "Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"})
        self.assertEqual(answer.status, 200)
        self.assertIn("text/html", answer.headers["Content-Type"])
        self.assertTrue(log_in(client.email, "form secret 99"))
        self.problem(Client().post(link, {"password1": "another-secret-99", "password2": "another-secret-99"}), 400,
                     "invalid-link")
        self.assertEqual(Client().get(link).status, 400)
        self.assertTrue(eventually(lambda: mails(client.email, "password was changed")))

    def test_forged_links(self):
        client, other = sign_up(), sign_up()
        for person in (client, other):
            Client().post(RESET, {"email": person.email})
        link, foreign = new_link(client.email), new_link(other.email)
        token, uid = link.strip("/").split("/")[-1], link.strip("/").split("/")[-2]
        other_uid = foreign.strip("/").split("/")[-2]
        good = {"password1": "another-secret-99", "password2": "another-secret-99"}
        for path in (f"{RESET}{other_uid}/{token}/", f"{RESET}{uid}/{token[:-1]}/", f"{RESET}{uid}/{token}A/", f"{RESET}x/y/",
                     f"{RESET}{uid}/{token.swapcase()}/", f"{RESET}{uid}/{'A' * len(token)}/",
                     link.replace("request-reset-password", "verify-email")):
            with self.subTest(path=path):
                self.problem(Client().post(path, good), 400, "invalid-link")
        self.ok(Client().post(link, good))
        self.assertTrue(log_in(other.email))

    def test_any_link_voids_the_others(self):
        admin = sign_up()
        address = add_user(admin, log_in_too=False)["email"]
        welcome = new_link(address)
        self.assertEqual(Client().post(RESET, {"email": address}).status, 202)
        reset = new_link(address, (welcome,))
        good = {"password1": "another-secret-99", "password2": "another-secret-99"}
        self.ok(Client().post(reset, good))
        self.problem(Client().post(welcome, good), 400, "invalid-link")
        self.assertTrue(eventually(lambda: log_in(address, "another-secret-99")))

    def test_welcome_of_a_second_organization_before_any_password(self):
        first, second = sign_up(), sign_up()
        address = unique("both") + "@example.com"
        for admin in (first, second):
            self.ok(admin.post("/api/organization/users/", {
                "email": address, "first_name": "P", "last_name": "Q", "role": "DEVELOPER"}), 201)
        links = eventually(lambda: (l := [link_in(m) for m in mails(address)]) and len(l) == 2 and all(l) and l)
        good = {"password1": "another-secret-99", "password2": "another-secret-99"}
        statuses = sorted(Client().post(link, good).status for link in links)
        self.assertEqual(statuses, [200, 400])
        client = log_in(address, "another-secret-99")
        self.assertEqual(len(client.login_answer["organizations"]), 2)
        third = sign_up()
        self.ok(third.post("/api/organization/users/", {
            "email": address, "first_name": "P", "last_name": "Q", "role": "DEVELOPER"}), 201)
        mail = eventually(lambda: mails(address, third.login_answer["organization"]["name"]))[0]
        self.assertIsNone(link_in(mail))

    def test_links_come_from_the_public_url(self):
        client = sign_up()
        Client().post(RESET, {"email": client.email}, headers={
            "Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"})
        new_link(client.email)
        mail = mails(client.email)[-1]
        self.assertNotIn("evil.example", mail.as_string())
        line = next(l for l in text_of(mail).splitlines() if "/request-reset-password/" in l)
        self.assertTrue(line.startswith("http"), line)
        self.assertEqual(line, line.strip())
        # The link works as it stands in the mail, its origin is the one people use.
        self.assertNotIn("List-Unsubscribe", mail)

    def test_reset_ends_all_sessions_everywhere_and_unlocks(self):
        person, other = sign_up(), sign_up()
        there = log_in(person.email, organization=member_of(other, person.email))
        Client().post(RESET, {"email": person.email.upper()})
        for _ in range(6):
            Client().post(LOG_IN, {"email": person.email, "password": "wrong-password-12"})
        new = "another-secret-99"
        self.ok(Client().post(new_link(person.email), {"password1": new, "password2": new}))
        for client in (person, there):
            self.problem(client.get("/api/account/"), 401, "session-changed")
            self.problem(Client().post(REFRESH, {"refresh": client.refresh}), 401)
        self.assertTrue(log_in(person.email, new))

    def test_reset_of_bad_addresses(self):
        self.problem(Client().post(RESET, {"email": "nonsense"}), 422, pointer="/email", field_code="bad-email")
        self.problem(Client().post(RESET, {}), 422, pointer="/email")


# The smallest pictures that are pictures.

def png(width=1, height=1, extra=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    pixels = zlib.compress(b"\0" * 4) if width * height != 1 else zlib.compress(b"\0\xff\0\0")
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + extra
            + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def apng(frames):
    data = struct.pack(">II", frames, 0)
    return png(extra=struct.pack(">I", 8) + b"acTL" + data + struct.pack(">I", zlib.crc32(b"acTL" + data)))


def jpeg(width=1, height=1):
    return (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
            + b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
            + b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"
            + b"\xff\xc4\x00\x14\x00\x01" + b"\x00" * 15 + b"\x00" + b"\xff\xc4\x00\x14\x10\x01" + b"\x00" * 15 + b"\x00"
            + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x37\xff\xd9")


def gif(width=1, height=1, frames=1):
    frame = b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00"
    return (b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\x00\x00\xff\xff\xff\x00\x00\x00" + frame * frames
            + b"\x3b")


def webp(width=1, height=1):
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + b"\x07\x10\x11\x11\x88\x88\xfe\x07\x00"
    data += b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


class AuditPictures(Case):
    KINDS = {"png": (png, "image/png"), "jpg": (jpeg, "image/jpeg"), "gif": (gif, "image/gif"), "webp": (webp, "image/webp")}

    def upload(self, client, data, name="a.png", kind="image/png", field="profile_img", **kw):
        boundary = "xyz123"
        declared = f"Content-Type: {kind}\r\n" if kind else ""
        raw = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n"
               f"{declared}\r\n").encode() + data + f"\r\n--{boundary}--\r\n".encode()
        return client.put(PICTURE, raw=raw, headers={"Content-Type": f"multipart/form-data; boundary={boundary}", **kw})

    def test_four_formats(self):
        client = sign_up()
        urls = set()
        for ending, (make, kind) in self.KINDS.items():
            with self.subTest(ending=ending):
                answer = self.upload(client, make(), f"me.{ending}", kind)
                body = self.ok(answer)
                self.assertEqual(set(body), {"profile_img"})
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
                url = urllib.parse.urlsplit(body["profile_img"])
                # 128 bits nobody guesses.
                self.assertGreaterEqual(len(url.path.rsplit("/", 1)[1].split(".")[0]), 20)
                picture = Client().get(url.path)
                self.assertEqual((picture.status, picture.headers["Content-Type"]), (200, kind))
                self.assertEqual(picture.body, make())
                self.assertEqual(picture.headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(Client().send("HEAD", url.path).status, 200)
                urls.add(url.path)
        self.assertEqual(len(urls), 4)
        self.assertEqual(client.delete(PICTURE).status, 204)

    def test_limits(self):
        client = sign_up()
        self.ok(self.upload(client, png()))
        before = self.ok(client.get("/api/account/"))["user"]["profile_img"]
        cases = {
            "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml"),
            "html": (b"<html></html>", "a.png", "image/png"), "empty": (b"", "a.png", "image/png"),
            "pdf": (b"%PDF-1.7 ...", "a.pdf", "application/pdf"),
            "a png that says jpeg": (png(), "a.jpg", "image/jpeg"), "ending": (png(), "a.gif", "image/png"),
            "type": (png(), "a.png", "image/webp"),
            "wide": (png(8193, 1), "a.png", "image/png"), "high": (jpeg(1, 9000), "a.jpg", "image/jpeg"),
            "bomb": (png(8000, 8000), "a.png", "image/png"), "gif bomb": (gif(8000, 8000), "a.gif", "image/gif"),
            "webp bomb": (webp(8192, 8192), "a.webp", "image/webp"), "jpeg bomb": (jpeg(8000, 8000), "a.jpg", "image/jpeg"),
            "frames": (gif(frames=101), "a.gif", "image/gif"), "apng frames": (apng(101), "a.png", "image/png"),
            "cut": (png()[:30], "a.png", "image/png"), "webp cut": (webp()[:20], "a.webp", "image/webp"),
            "zero": (png(0, 1), "a.png", "image/png"), "large": (png() + b"\0" * (5 * 1024 * 1024), "a.png", "image/png"),
        }
        for name, (data, file, kind) in cases.items():
            with self.subTest(name=name):
                self.problem(self.upload(client, data, file, kind), 422, pointer="/profile_img")
        self.assertEqual(self.ok(client.get("/api/account/"))["user"]["profile_img"], before)
        self.ok(self.upload(client, gif(frames=100), "a.gif", "image/gif"))
        self.ok(self.upload(client, png(5000, 5000)))
        self.ok(self.upload(client, png(), "photo", None))
        self.ok(self.upload(client, jpeg(), "A.JPEG", "image/jpeg"))

    def test_forms(self):
        client = sign_up()
        self.problem(client.put(PICTURE, raw=png(), headers={"Content-Type": "image/png"}), 415)
        self.problem(client.put(PICTURE, {"profile_img": "http://example.com/a.png"}), 415)
        self.problem(client.put(PICTURE, raw=b"x", headers={"Content-Type": "multipart/form-data"}), 400)
        self.problem(client.put(PICTURE, raw=b"--b\r\nbroken", headers={
            "Content-Type": "multipart/form-data; boundary=b"}), 400)
        self.problem(self.upload(client, png(), field="other"), 422, pointer="/profile_img")
        self.problem(self.upload(Client(), png()), 401)
        self.assertIn(client.delete(PICTURE).status, (204, 404))

    def test_over_six_mebibytes_is_413(self):
        client = sign_up()
        connection = http.client.HTTPConnection(client.host, client.port, timeout=20)
        connection.putrequest("PUT", PICTURE)
        connection.putheader("Authorization", f"Bearer {client.access}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        connection.putheader("Content-Length", str(6 * 1024 * 1024 + 1))
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()

    def test_a_replaced_picture_is_shown_everywhere(self):
        admin = sign_up()
        person = add_user(admin)
        p = project(admin)
        collaborate(admin, p["id"], person)
        url = self.ok(self.upload(person, png()))["profile_img"]

        def shown():
            members = {m["email"]: m["profile_img"] for m in admin.pages("/api/organization/members/")}
            rows = self.ok(admin.get(f"/api/project_management/projects/{p['id']}/"))["collaborators"]
            return (members[person.email] == url and
                    [r["user"]["profile_img"] for r in rows if r["user"]["email"] == person.email] == [url])
        eventually(shown)
        self.assertEqual(self.ok(admin.get(user_path(person.email)))["profile_img"], url)
        self.assertEqual(person.delete(PICTURE).status, 204)
        self.assertIsNone(self.ok(admin.get(user_path(person.email)))["profile_img"])


class AuditSessions(Case):
    def test_fields_and_order(self):
        client = sign_up()
        answer = Client().post(LOG_IN, {"email": client.email, "password": PASSWORD},
                               headers={"User-Agent": "Browser/1.0 (test)", "X-Forwarded-For": "6.6.6.6"})
        second = Client().adopt(self.ok(answer))
        body = self.ok(second.get("/api/account/sessions/?count=true&page_size=1"))
        self.assertEqual(body["count"], 2)
        rows = second.pages("/api/account/sessions/", 1)
        self.assertEqual(len(rows), 2)
        current = next(r for r in rows if r["current"])
        self.assertEqual(current["user_agent"], "Browser/1.0 (test)")
        self.assertEqual(current["ip"], "127.0.0.1")
        moments = [r["last_used_at"] for r in rows]
        self.assertEqual(moments, sorted(moments, reverse=True))
        self.problem(second.get("/api/account/sessions/?page_size=0"), 400, parameter="page_size")
        self.problem(second.get("/api/account/sessions/?foo=1"), 400, parameter="foo")
        self.problem(second.get("/api/account/sessions/?cursor=abc"), 400, "bad-cursor")

    def test_ending_this_one(self):
        client = sign_up()
        mine = self.ok(client.get("/api/account/sessions/"))["results"][0]["id"]
        self.assertEqual(client.delete(f"/api/account/sessions/{mine}/").status, 204)
        self.problem(client.get("/api/account/"), 401, "session-changed")

    def test_sessions_of_all_organizations_are_the_accounts(self):
        person, other = sign_up(), sign_up()
        there = log_in(person.email, organization=member_of(other, person.email))
        before = len(person.pages("/api/account/sessions/"))
        self.assertEqual(len(there.pages("/api/account/sessions/")), before)
        self.assertEqual(person.delete("/api/account/sessions/").status, 204)
        self.problem(there.get("/api/account/"), 401, "session-changed")
        self.assertEqual(len(person.pages("/api/account/sessions/")), 1)


class AuditDashboard(Case):
    def test_counts_and_upcoming(self):
        import datetime
        admin = sign_up()
        person = add_user(admin)
        p = project(admin)
        project(admin, status="COMPLETED")
        collaborate(admin, p["id"], person)
        today = datetime.datetime.now(datetime.timezone.utc).date()
        for days in range(1, 13):
            task(admin, p["id"], due_date=str(today + datetime.timedelta(days=days)), collaborators=[person.email])
        soon = task(admin, p["id"], due_date=str(today), collaborators=[person.email], title="soon")
        task(admin, p["id"], due_date=str(today), title="not theirs")
        moment = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)).isoformat()
        late = task(admin, p["id"], due_date=moment, collaborators=[person.email], title="late")
        task(admin, p["id"], due_date=str(today), collaborators=[person.email], status="COMPLETED")
        eventually(lambda: self.ok(person.get("/api/account/"))["stats"]["overdue_tasks"] == 1)
        body = self.ok(person.get("/api/account/"))
        self.assertEqual(body["stats"], {"total_projects": 1, "completed_projects": 0, "pending_tasks": 13,
                                         "due_tasks": 1, "overdue_tasks": 1})
        self.assertEqual(len(body["upcoming"]), 10)
        self.assertEqual([t["id"] for t in body["upcoming"][:2]], [late["id"], soon["id"]])
        stats = self.ok(admin.get("/api/account/"))["stats"]
        self.assertEqual((stats["total_projects"], stats["completed_projects"], stats["due_tasks"]), (2, 1, 2))
        self.assertEqual(self.ok(admin.get("/api/account/"))["upcoming"], [])
        self.assertEqual(set(self.ok(admin.get("/api/account/?fields=stats"))), {"stats"})
        self.problem(admin.get("/api/account/?foo=1"), 400, parameter="foo")
