"""Section 3 sentence by sentence: passwords and the links that set them."""
import concurrent.futures

from support import *


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
