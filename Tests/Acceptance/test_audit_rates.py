"""Section 1: rate limits and other origins."""
import concurrent.futures

from support import *

JWKS = "/.well-known/jwks.json"


class AuditRates(OtherInstallation):
    SETTINGS = {"TASKFLOW_RATE_LIMITS": "on", "TASKFLOW_CORS_ORIGINS": "https://app.example, http://localhost:3000"}
    addresses = itertools.count(11)

    def address(self):
        return f"127.0.0.{next(AuditRates.addresses)}"

    def founder(self):
        client = Client(self.address())
        client.email = unique("rate") + "@example.com"
        answer = client.post("/api/account/signup/", {
            "email": client.email, "password": PASSWORD, "first_name": "A", "last_name": "B", "organization": unique("Org")})
        return client.adopt(self.ok(answer, 201))

    def limited(self, answer):
        self.problem(answer, 429)
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        return answer

    def test_logins(self):
        client = Client(self.address())
        body = lambda n: {"email": unique("x") + f"{n}@example.com", "password": PASSWORD}
        for n in range(20):
            answer = client.post("/api/account/login/", body(n), headers={"X-Forwarded-For": f"9.9.9.{n}"})
            self.problem(answer, 401)
        self.assertEqual(answer.headers["RateLimit-Policy"], '"login";q=20;w=60')
        self.assertRegex(answer.headers["RateLimit"], r'^"login";r=0;t=\d+$')
        limited = self.limited(client.post("/api/account/login/", body(21), headers={"X-Forwarded-For": "8.8.8.8"}))
        self.assertLessEqual(int(limited.headers["Retry-After"]), 61)
        self.assertIn("RateLimit", limited.headers)
        self.problem(Client(self.address()).post("/api/account/login/", body(22)), 401)
        # Elsewhere it is not limited by that.
        self.ok(client.get(JWKS))

    def test_anonymous(self):
        client = Client(self.address())
        for left in reversed(range(60)):
            answer = client.get(JWKS)
            self.assertEqual(answer.status, 200)
        self.assertIn("q=60;w=60", answer.headers["RateLimit-Policy"])
        self.limited(client.get(JWKS))
        # No route, no method and no token come before the rate.
        self.problem(client.get("/api/nothing"), 404)
        self.problem(client.post(JWKS), 405)
        self.problem(client.get("/api/organization/"), 401)
        self.assertEqual(client.get("/health/live").status, 200)

    def test_users(self):
        client = self.founder()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            def some(_):
                other = Client(client.source[0])
                other.access = client.access
                return [other.get("/api/organization/").status for _ in range(80)]
            statuses = [s for row in pool.map(some, range(8)) for s in row]
        self.assertEqual(set(statuses), {200, 429})
        self.assertTrue(598 <= statuses.count(200) <= 602, statuses.count(200))
        limited = self.limited(client.get("/api/organization/"))
        self.assertIn('"user";q=600;w=60', limited.headers["RateLimit-Policy"])
        self.assertIn('"organization";q=6000;w=60', limited.headers["RateLimit-Policy"])
        # The rate is judged before the form, after the token.
        self.limited(client.post("/api/organization/departments/", raw=b"{"))
        good, client.access = client.access, client.access + "x"
        self.problem(client.get("/api/organization/"), 401)
        client.access = good
        # Another person has their own.
        self.assertEqual(self.founder().get("/api/organization/").status, 200)

    def test_refreshes_of_a_session(self):
        client = self.founder()
        other = Client(self.address()).adopt(self.ok(Client(self.address()).post(
            "/api/account/login/", {"email": client.email, "password": PASSWORD})))
        token = client.refresh
        for _ in range(30):
            token = self.ok(client.post("/api/account/token/refresh/", {"refresh": token}))["refresh"]
        self.limited(client.post("/api/account/token/refresh/", {"refresh": token}))
        self.ok(client.post("/api/account/token/refresh/", {"refresh": other.refresh}))

    def test_uploads(self):
        client = self.founder()
        for _ in range(20):
            answer = client.put("/api/account/profile-pic/", raw=b"x", headers={
                "Content-Type": "multipart/form-data; boundary=b"})
            self.problem(answer, 400)
        for policy in ('"upload";q=20;w=3600', '"uploads";q=500;w=3600'):
            self.assertIn(policy, answer.headers["RateLimit-Policy"])
        self.limited(client.put("/api/account/profile-pic/", raw=b"x", headers={
            "Content-Type": "multipart/form-data; boundary=b"}))
        self.ok(client.get("/api/account/"))

    def invited(self, email):
        """A new user who follows the link of their welcome, at an address that no other rate has counted."""
        client = Client(self.address())
        client.email = email
        self.ok(client.post(welcome_link(email), {"password1": PASSWORD, "password2": PASSWORD}))
        login = {"email": email, "password": PASSWORD}
        return client.adopt(self.ok(client.post(LOG_IN, login)))

    def test_uploads_of_an_organization(self):
        founder = self.founder()
        emails = [self.ok(founder.post(USERS, new_user()), 201)["email"] for _ in range(27)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            # Twenty each are five hundred and twenty: nobody is past their own limit, all of them past that of the
            # organization. One more has not asked at all.
            *people, another = pool.map(self.invited, emails)
            rows = pool.map(lambda person: [upload(person, PNG) for _ in range(20)], people)
            answers = [answer for row in rows for answer in row]
        statuses = [answer.status for answer in answers]
        self.assertEqual((statuses.count(200), statuses.count(429)), (500, 20))
        for answer in [answer for answer in answers if answer.status == 429] + [upload(another, PNG)]:
            self.problem(self.limited(answer), 429, code="too-many-requests")
            self.assertIn('"uploads";r=0', answer.headers["RateLimit"])
            # The first of them leaves the hour with the slot of a minute that it was counted in.
            self.assertTrue(3500 <= int(answer.headers["Retry-After"]) <= 3660, answer.headers["Retry-After"])
        # What the organization is refused, its people have not used up.
        self.assertIn('"upload";r=20', answer.headers["RateLimit"])
        # What else they do goes on, and so do the uploads of everybody else.
        self.ok(another.get("/api/account/"))
        self.assertEqual(people[0].delete(PICTURE).status, 204)
        answer = upload(self.founder(), PNG)
        self.ok(answer)
        self.assertIn('"uploads";r=499', answer.headers["RateLimit"])

    def test_one_who_is_refused_takes_nothing_from_the_others(self):
        founder = self.founder()
        colleague = self.invited(self.ok(founder.post(USERS, new_user()), 201)["email"])
        statuses = [upload(founder, PNG).status for _ in range(40)]
        self.assertEqual((statuses.count(200), statuses.count(429)), (20, 20))
        answer = upload(colleague, PNG)
        self.ok(answer)
        self.assertIn('"uploads";r=479', answer.headers["RateLimit"])

    def test_mails(self):
        founder = self.founder()
        path = "/api/account/request-reset-password/"
        client = Client(self.address())
        bodies = {client.post(path, {"email": founder.email}).body for _ in range(5)}
        self.assertEqual(len(bodies), 1)
        eventually(lambda: len(mails(founder.email, "reset")) == 3)
        for n in range(5):
            self.assertEqual(client.post(path, {"email": f"nobody{n}@example.com"}).status, 202)
        self.limited(client.post(path, {"email": "nobody@example.com"}))
        self.limited(client.post("/api/account/signup/", {}))
        time.sleep(0.5)
        self.assertEqual(len(mails(founder.email, "reset")), 3)

    def test_cross_origin(self):
        for origin in ("https://app.example", "http://localhost:3000"):
            answer = Client(self.address()).get(JWKS, headers={"Origin": origin})
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], origin)
            self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)
            self.assertIn("Origin", answer.headers["Vary"])
            exposed = answer.headers["Access-Control-Expose-Headers"]
            for name in ("ETag", "Location", "RateLimit", "Retry-After", "X-Request-Id", "Taskflow-Position"):
                self.assertIn(name, exposed)
            preflight = Client().send("OPTIONS", "/api/organization/users/x@example.com/", headers={
                "Origin": origin, "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "authorization, content-type"})
            self.assertEqual((preflight.status, preflight.body), (204, b""))
            self.assertEqual(preflight.headers["Access-Control-Allow-Origin"], origin)
            self.assertEqual(preflight.headers["Access-Control-Max-Age"], "600")
            self.assertIn("PATCH", preflight.headers["Access-Control-Allow-Methods"])
            self.assertIn("authorization", preflight.headers["Access-Control-Allow-Headers"].lower())
        problem = Client().get("/api/organization/", headers={"Origin": "https://app.example"})
        self.assertEqual((problem.status, problem.headers["Access-Control-Allow-Origin"]), (401, "https://app.example"))
        for origin in ("null", "https://app.example.evil.example", "https://app.example:444", "http://app.example",
                       "HTTPS://APP.EXAMPLE", "*"):
            answer = Client(self.address()).get(JWKS, headers={"Origin": origin})
            self.assertNotIn("Access-Control-Allow-Origin", answer.headers, origin)
            self.assertIn("Origin", answer.headers["Vary"])
            preflight = Client().send("OPTIONS", "/api/organization/", headers={
                "Origin": origin, "Access-Control-Request-Method": "GET"})
            self.assertNotIn("Access-Control-Allow-Origin", preflight.headers)
        self.problem(Client().send("OPTIONS", "/api/nothing", headers={
            "Origin": "https://app.example", "Access-Control-Request-Method": "GET"}), 404)
