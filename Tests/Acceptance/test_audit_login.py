"""Section 3 sentence by sentence: login, tokens, sessions and the way to another organization."""
import base64
import concurrent.futures

from support import *


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
        self.problem(
    Client().post(
        LOG_IN, {
            "email": person.email, "password": PASSWORD, "organization": other_id}), 401)
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
        self.assertEqual(set(body), {"access", "refresh", "token_type",
                         "expires_in", "user", "organization", "organizations"})
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
