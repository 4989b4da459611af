"""Past the gateway: a service's own port, to which somebody has found the way, gives them nothing."""

import base64
import hashlib
import hmac
import json
import re
import time
import unittest

import ed25519
import installation
import lab
import routes
import wire

SERVICES = ["auth", "organization", "project", "task", "notification"]
# What the gateway alone may say, and what others might have invented.
CLAIMS = ["X-User-Id", "X-User-Email", "X-Org-Id", "X-Internal-User", "X-Internal-Organization", "Taskflow-User"]
CREDENTIALS = ["", "x", "0" * 43, "credential"]


def derive_credential(secret):
    """The service credential: HKDF-SHA-256 of the installation's secret (RFC 5869), by code of our own."""
    key = hmac.new(b"taskflow", secret.encode(), hashlib.sha256).digest()
    return hmac.new(key, b"service-credential\x01", hashlib.sha256).hexdigest()


class Direct(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = installation.shared()
        cls.support = installation.adopt(cls.place)
        cls.victim, cls.attacker = cls.support.sign_up(), cls.support.sign_up()
        cls.secret = cls.support.unique("secret")
        answer = cls.victim.post(cls.support.PROJECTS, {"name": cls.secret})
        assert answer.status == 201, answer
        cls.ports = {
            name: int(installation.environment_of(cls.place.process(name))[f"TASKFLOW_{name.upper()}_LISTEN"]
                      .rsplit(":", 1)[1])
            for name in SERVICES
        }

    def ask(self, service, path, *fields, method="GET", body=None):
        if body is not None:
            fields = (*fields, "Content-Type: application/json")
            body = json.dumps(body).encode()
        return wire.once(self.ports[service], wire.request(path, *fields, method=method, body=body, close=True))

    def forged(self):
        """Everything that a gateway of any make might say of the victim, without the credential or with a guess."""
        organization = self.victim.login_answer["organization"]["id"]
        names = [f"{name}: {value}" for name in CLAIMS for value in (self.victim.email, organization)]
        return [*names, "X-User-Role: ADMIN", "X-Internal-Role: ADMIN", "X-Internal-Client-Address: 127.0.0.1"]

    def test_GW_04_who_shows_no_token_gets_nothing_from_any_route(self):
        """Every route of the configuration, at the service that it leads to, with all that could name the victim."""
        asked = 0
        for route in routes.read():
            if route.auth != "required":
                continue
            path = re.sub(r"\{[^}]*\}|\*\*", "1", route.pattern)
            for method in route.methods:
                for credential in CREDENTIALS:
                    with self.subTest(path=path, method=method, credential=credential):
                        body = {} if method in ("POST", "PUT", "PATCH") else None
                        answer = self.ask(route.upstream, path, *self.forged(), f"X-Internal-Credential: {credential}",
                                          method=method, body=body)
                        # Behind ** there are paths that nothing answers to; neither tells anything.
                        self.assertIn(answer.status, (401, 404, 405), answer)
                        self.assertEqual(answer["content-type"], "application/problem+json; charset=utf-8")
                        if "**" not in route.pattern:
                            self.assertEqual(answer.status, 401, answer)
                        asked += 1
        self.assertGreater(asked, 100)
        print(f"\n  {asked} requests past the gateway, none answered", flush=True)

    def test_GW_04_a_forged_token_is_refused_there_as_well(self):
        head, claims, signature = self.attacker.access.split(".")
        told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        theirs = {**told, "org": self.victim.login_answer["organization"]["id"]}
        unsigned = lab.encode(lab.compact({"alg": "none", "typ": "at+jwt", "kid": "x"}))
        kept = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        own = f"{head}.{lab.encode(lab.compact(theirs))}"
        key_of_mine = lab.encode(ed25519.sign(lab.SECRET_KEY, own.encode()))
        paths = {
            "auth": "/api/account/sessions/",
            "organization": self.support.USERS,
            "project": self.support.PROJECTS,
            "task": "/api/project/tasks/",
            "notification": "/api/notifications/",
        }
        self.assertEqual(kept["alg"], "EdDSA")
        for service, path in paths.items():
            good = self.ask(service, path, f"Authorization: Bearer {self.attacker.access}")
            self.assertEqual(good.status, 200, f"{service}: without this the rest would prove nothing: {good}")
            for name, token in {
                "other claims under the old signature": f"{own}.{signature}",
                "signed by a key of one's own": f"{own}.{key_of_mine}",
                "unsigned": f"{unsigned}.{lab.encode(lab.compact(theirs))}.",
                "a refresh token": self.attacker.refresh,
            }.items():
                with self.subTest(service=service, token=name):
                    answer = self.ask(service, path, f"Authorization: Bearer {token}", *self.forged())
                    self.assertEqual(answer.status, 401, answer)

    def test_GW_04_a_good_token_counts_for_its_own_organization_only(self):
        bearer = f"Authorization: Bearer {self.attacker.access}"
        mine = self.attacker.login_answer["organization"]["id"]
        for name in (self.support.unique("own"), None):
            answer = self.ask(
                "project", self.support.PROJECTS, bearer, *self.forged(), method="POST" if name else "GET",
                body={"name": name} if name else None,
            )
            self.assertEqual(answer.status, 201 if name else 200, answer)
        self.assertEqual(len(answer.json["results"]), 1, "the victim's project is not among them, the own one is")
        self.assertNotIn(self.secret, answer.body.decode())
        people = self.ask("organization", self.support.USERS, bearer, *self.forged())
        self.assertEqual([person["email"] for person in people.json["results"]], [self.attacker.email])
        whose = self.ask("organization", self.support.ORGANIZATION, bearer, *self.forged())
        self.assertEqual((whose.status, whose.json["id"]), (200, mine))

    def test_GW_04_the_internal_part_needs_the_credential(self):
        secret = installation.environment_of(self.place.process("auth"))["TASKFLOW_SECRET"]
        real = derive_credential(secret)
        paths = ["/internal/metrics", "/internal/log/status", "/internal/events?stream=task.00&after=0"]
        bearer = f"Authorization: Bearer {self.attacker.access}"
        guesses = [*CREDENTIALS, secret, real[:-1], real.upper(), real + "0"]
        for service in SERVICES:
            for path in paths:
                if "?" not in path:
                    known = self.ask(service, path, f"X-Internal-Credential: {real}")
                    self.assertEqual(known.status, 200, f"without this the rest would prove nothing: {known}")
                for fields in (
                    [],
                    [bearer],
                    *([f"X-Internal-Credential: {guess}", bearer] for guess in guesses),
                    ["X-Internal-Credential: x", "X-Internal-Credential: y"],
                ):
                    for method in ("GET", "POST"):
                        with self.subTest(service=service, path=path, fields=len(fields), method=method):
                            answer = self.ask(service, path, *fields, method=method,
                                              body={"positions": []} if method == "POST" else None)
                            self.assertEqual(answer.status, 404, answer)

    def test_GW_04_nobody_chooses_the_address_that_is_written_down(self):
        body = {"email": self.attacker.email, "password": self.support.PASSWORD}
        for credential in ([], ["X-Internal-Credential: x"]):
            answer = self.ask("auth", self.support.LOG_IN, "X-Internal-Client-Address: 203.0.113.9",
                              "X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9", *credential,
                              method="POST", body=body)
            self.assertEqual(answer.status, 200, answer)
        email = self.attacker.email.lower().replace("'", "''")
        of_account = f"account_id = (SELECT id FROM auth.account WHERE lower(email) = '{email}')"
        audit = str(self.place.sql(f"SELECT * FROM auth.audit WHERE {of_account}"))
        sessions = str(self.place.sql(f"SELECT * FROM auth.session WHERE {of_account}"))
        self.assertIn("127.0.0.1", audit + sessions)
        self.assertNotIn("203.0.113.9", audit + sessions)
        # Of the gateway it is believed: the test looks in the right place.
        real = derive_credential(installation.environment_of(self.place.process("auth"))["TASKFLOW_SECRET"])
        self.ask("auth", self.support.LOG_IN, "X-Internal-Client-Address: 203.0.113.9",
                 f"X-Internal-Credential: {real}", method="POST", body=body)
        self.assertIn("203.0.113.9", str(self.place.sql(f"SELECT * FROM auth.session WHERE {of_account}")))

    def test_GW_04_nobody_makes_requests_wait_for_a_place_that_never_comes(self):
        real = derive_credential(installation.environment_of(self.place.process("task"))["TASKFLOW_SECRET"])
        fields = (f"Authorization: Bearer {self.attacker.access}", "X-Internal-Position: project.00:999999999")

        def seconds(*more):
            begun = time.monotonic()
            self.assertEqual(self.ask("task", "/api/project/tasks/", *fields, *more).status, 200)
            return time.monotonic() - begun

        # Whoever is believed waits half a second before the producer is asked whether there is such a place.
        self.assertGreater(seconds(f"X-Internal-Credential: {real}"), 0.4)
        for more in ([], ["X-Internal-Credential: x"]):
            self.assertLess(min(seconds(*more) for _ in range(5)), 0.4)


if __name__ == "__main__":
    unittest.main()
