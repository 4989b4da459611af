"""Section 3 sentence by sentence: sign-up, with and without verification."""
import base64
import concurrent.futures

from support import *


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
        self.ok(Client().post(SIGN_UP, sign_up_form(address, password=password)), 201)
        self.assertTrue(log_in(address, password))
        for other in (password.strip(), password.replace("ë", "e\u0308"), password.lower()):
            self.problem(Client().post(LOG_IN, {"email": address, "password": other}), 401)

    def test_password_rule(self):
        address = unique("rule") + "@example.com"
        cases = [("x" * 11, "too-short"), ("é" * 11, "too-short"), ("ab" * 65, "too-long"),
                 (address, "too-common"), ("password1234", "too-common"), ("123456789012", "too-common")]
        for password, code in cases:
            with self.subTest(password=password[:20]):
                self.problem(Client().post(SIGN_UP, sign_up_form(address, password=password)), 422,
                             pointer="/password", field_code=code)
        self.problem(Client().post(SIGN_UP, sign_up_form(address, password="Analytical Engines",
                                                 organization="Analytical Engines")), 422,
                     pointer="/password", field_code="too-common")
        self.problem(Client().post(SIGN_UP, sign_up_form(address, password="Maximiliana-Q",
                                                         first_name="Maximiliana-Q")), 422,
                     pointer="/password", field_code="too-common")
        self.problem(
    Client().post(
        SIGN_UP,
        sign_up_form(
            address,
            password="a\x00" +
            "bcdefghijklm")),
            422,
             pointer="/password")
        # Code points count, neither bytes nor what a reader sees as one letter.
        for password in ("x" * 128, "\U0001f600" * 12, "e\u0301" * 6, "x" * 127 + "\U0001f600"):
            self.ok(Client().post(SIGN_UP, sign_up_form(unique("rule") + "@example.com", password=password)), 201)

    def test_one_of_many_at_once(self):
        address = unique("race") + "@example.com"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: Client().post(
                SIGN_UP, sign_up_form(address.upper() if n % 2 else address)), range(8)))
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
        first = Client().post(SIGN_UP, sign_up_form(address))
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
        self.assertEqual(set(body), {"access", "refresh", "token_type",
                         "expires_in", "user", "organization", "organizations"})
        self.assertEqual((body["expires_in"], body["user"]["email"], body["user"]["role"]), (30, address, "ADMIN"))
        client = Client().adopt(body)
        self.assertEqual(self.ok(client.get("/api/organization/"))["name"], body["organization"]["name"])
        self.assertTrue(log_in(address))
        again = Client().post(SIGN_UP, sign_up_form(address.upper(), password="something-else-1"))
        self.assertEqual((again.status, again.body), (202, first.body))
        mail = eventually(lambda: mails(address, "account already"))[-1]
        self.assertIsNone(link_in(mail))
        self.assertTrue(log_in(address))
        self.problem(Client().post(LOG_IN, {"email": address, "password": "something-else-1"}), 401)

    def test_one_of_two_sign_ups_is_finished(self):
        address = unique("again") + "@example.com"
        self.assertEqual(Client().post(SIGN_UP, sign_up_form(address, organization="First")).status, 202)
        first = new_link(address)
        self.assertEqual(Client().post(SIGN_UP, sign_up_form(address, organization="Second")).status, 202)
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
        Client().post(SIGN_UP, sign_up_form(address))
        link = new_link(address)
        wrong = link.replace("verify-email", "request-reset-password")
        self.problem(Client().post(wrong, {"password1": "x" * 12, "password2": "x" * 12}), 400, "invalid-link")
        parts = link.strip("/").split("/")
        parts[3] = str(uuid.uuid4())
        self.problem(Client().post("/" + "/".join(parts) + "/"), 400, "invalid-link")
        parts[3] = "nonsense"
        self.problem(Client().post("/" + "/".join(parts) + "/"), 400, "invalid-link")
        self.ok(Client().post(link))

    def test_the_page_asks_for_a_password(self):
        """A stranger may have signed up: who follows the link does not go on with the stranger's password."""
        address = unique("page") + "@example.com"
        Client().post(SIGN_UP, sign_up_form(address, password="the-stranger-knows-1"))
        link = new_link(address)
        mail = text_of(mails(address)[-1])
        self.assertIn("Somebody", mail)
        self.assertNotIn("the-stranger-knows-1", mail)
        page = Client().get(link, headers={"Accept": "text/html"})
        self.assertEqual(len(re.findall(r'name="password[12]" type="password"', page.body.decode())), 2)

        def send(accept="text/html", **fields):
            return Client().post(link, raw=urllib.parse.urlencode(fields).encode(), headers={
                "Content-Type": "application/x-www-form-urlencoded", "Accept": accept})
        for fields in ({}, {"password1": PASSWORD}, {"password1": PASSWORD, "password2": PASSWORD + "x"},
                       {"password1": "short", "password2": "short"},
                       {"password1": PASSWORD, "password2": PASSWORD, "role": "ADMIN"}):
            answer = send(**fields)
            self.assertEqual((answer.status, answer.headers["Content-Type"].split(";")[0]), (422, "text/html"), fields)
            self.assertIn(b"password2", answer.body)
        self.problem(send("application/json", password1=PASSWORD, password2="other-than-that"), 422,
                     pointer="/password2", field_code="mismatch")
        answer = send(password1=PASSWORD, password2=PASSWORD)
        self.assertEqual((answer.status, answer.headers["Content-Type"].split(";")[0]), (200, "text/html"))
        self.assertTrue(log_in(address))
        self.problem(Client().post(LOG_IN, {"email": address, "password": "the-stranger-knows-1"}), 401)

    def test_a_program_may_send_a_password_or_nothing(self):
        for body, kind, password in ((None, None, "given-at-sign-up-1"), ({}, None, "given-at-sign-up-1"),
                                     (None, "application/x-www-form-urlencoded", "given-at-sign-up-1"),
                                     ({"password1": PASSWORD, "password2": PASSWORD}, None, PASSWORD)):
            address = unique("program") + "@example.com"
            Client().post(SIGN_UP, sign_up_form(address, password="given-at-sign-up-1"))
            link = new_link(address)
            self.problem(Client().post(link, {"password": PASSWORD}), 422, pointer="/password",
                         field_code="unknown-field")
            client = Client()
            answer = client.post(link, body, headers={"Content-Type": kind} if kind else {})
            self.assertEqual(self.ok(answer)["user"]["email"], address)
            self.assertTrue(log_in(address, password))
            self.assertEqual([m["Subject"] for m in mails(address)], ["Confirm your e-mail address for Taskflow"])

    def test_the_fields_are_judged_before_any_mail(self):
        self.problem(Client().post(SIGN_UP, sign_up_form("x@example.com", password="short")), 422, pointer="/password",
                     field_code="too-short")
        address = unique("eight") + "@example.com"
        self.assertEqual(Client().post(SIGN_UP, sign_up_form(address, password="eightqzx")).status, 202)

    def test_tokens_run_out(self):
        address = unique("short") + "@example.com"
        Client().post(SIGN_UP, sign_up_form(address))
        client = Client().adopt(self.ok(Client().post(new_link(address))))
        claims = json.loads(base64.urlsafe_b64decode(client.access.split(".")[1] + "=="))
        self.assertEqual(claims["exp"] - claims["iat"], 30)
        self.assertTrue({"iss", "aud", "sub", "org", "role", "sid", "jti"} <= set(claims))
        self.assertEqual((claims["iss"], claims["aud"]), (self.origin, "taskflow"))


class AuditClosed(OtherInstallation):
    SETTINGS = {"TASKFLOW_SIGNUP": "closed"}

    def test_nobody_signs_up(self):
        self.problem(Client().post(SIGN_UP, sign_up_form("x@example.com")), 403, "signup-closed")
        self.problem(Client().post(SIGN_UP, {}), 403, "signup-closed")
        self.problem(Client().post(SIGN_UP, raw=b"{"), 400)
